package cachetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
)

// patience is how long a value may take to be written.
const patience = 10 * time.Second

// Run holds a cache against the contract. It must have room for a few megabytes, and it is run for the length of the test.
func Run(t *testing.T, c cache.Cache) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Run("what was put is found", func(t *testing.T) { found(t, c) })
	t.Run("misses stand at their places", func(t *testing.T) { misses(t, c) })
	t.Run("a later value replaces an earlier one", func(t *testing.T) { replaced(t, c) })
	t.Run("odd keys and values", func(t *testing.T) { odd(t, c) })
	t.Run("an empty value is not kept", func(t *testing.T) {
		c.Put("empty", nil)
		c.Put("empty", []byte{})
		require.Nil(t, c.Get(t.Context(), "empty")[0])
	})
	t.Run("no keys", func(t *testing.T) { require.Empty(t, c.Get(t.Context())) })
	t.Run("a context that has ended", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.Len(t, c.Get(ended, "a", "b"), 2)
		found(t, c) // and nobody else suffers from it
	})
	t.Run("many at a time", func(t *testing.T) { concurrent(t, c) })
}

// Eventually waits until the cache has the value under the key, which was put. A cache may drop what it cannot write at the
// moment, so that the value is put again now and then.
func Eventually(t *testing.T, c cache.Cache, key string, want []byte) {
	t.Helper()
	put := time.Now()
	require.Eventually(t, func() bool {
		if time.Since(put) > time.Second {
			put = time.Now()
			c.Put(key, want)
		}
		return bytes.Equal(c.Get(t.Context(), key)[0], want)
	}, patience, 5*time.Millisecond, key)
}

func found(t *testing.T, c cache.Cache) {
	c.Put("found", []byte("value"))
	Eventually(t, c, "found", []byte("value"))
}

func misses(t *testing.T, c cache.Cache) {
	var keys []string
	for i := range 200 {
		key := fmt.Sprintf("sparse-%d", i)
		keys = append(keys, key)
		if i%3 == 0 {
			c.Put(key, []byte(key))
		}
	}
	for i := 0; i < len(keys); i += 3 {
		Eventually(t, c, keys[i], []byte(keys[i]))
	}
	require.Eventually(t, func() bool {
		for i, v := range c.Get(t.Context(), keys...) {
			if i%3 == 0 && string(v) != keys[i] || i%3 != 0 && v != nil {
				return false
			}
		}
		return true
	}, patience, 5*time.Millisecond)
}

func replaced(t *testing.T, c cache.Cache) {
	c.Put("replaced", []byte("one"))
	Eventually(t, c, "replaced", []byte("one"))
	c.Put("replaced", []byte("two"))
	Eventually(t, c, "replaced", []byte("two"))
}

func odd(t *testing.T, c cache.Cache) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for key, value := range map[string][]byte{
		"with space\nand {tag}": []byte("a"), "ключ": {0, 1, 2, 0xff}, "": []byte("key of no length"), "large": large,
	} {
		c.Put(key, value)
		Eventually(t, c, key, value)
	}
}

func concurrent(t *testing.T, c cache.Cache) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				key := fmt.Sprintf("concurrent-%d", (w+i)%50)
				c.Put(key, []byte(key))
				if v := c.Get(t.Context(), key)[0]; v != nil && string(v) != key {
					t.Errorf("%s holds %q", key, v)
				}
			}
		})
	}
	wg.Wait()
}
