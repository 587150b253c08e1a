package cache_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
	"logstore/pkg/cache/cachetest"
)

func TestCompressed(t *testing.T) {
	cachetest.Run(t, cache.NewCompressed(cache.NewLocal("test", cache.LocalConfig{MaxBytes: 16 << 20}, cache.Deps{})))
}

// TestCompressedSaves keeps more values than would have room as they are, and none that is damaged.
func TestCompressedSaves(t *testing.T) {
	inner := cache.NewLocal("test", cache.LocalConfig{MaxBytes: 64 << 10}, cache.Deps{})
	c := cache.NewCompressed(inner)
	value := bytes.Repeat([]byte("a line of logs, "), 1<<10)
	for _, k := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		c.Put(k, value)
	}
	for _, v := range c.Get(t.Context(), "a", "b", "c", "d", "e", "f", "g", "h") {
		require.Equal(t, value, v)
	}
	require.Nil(t, inner.Get(t.Context(), "a")[0], "members that do not compress have keys of their own")
	inner.Put("a:snappy", []byte("no snappy"))
	require.Nil(t, c.Get(t.Context(), "a")[0])
	require.Equal(t, cache.Nothing{}, cache.NewCompressed(cache.Nothing{}))
}
