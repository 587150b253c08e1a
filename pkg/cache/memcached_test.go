package cache_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
	"logstore/pkg/cache"
	"logstore/pkg/cache/cachetest"
)

func newMemcached(t *testing.T, log io.Writer, c cache.MemcachedConfig) *cache.Memcached {
	t.Helper()
	require.NoError(t, c.Validate())
	return cache.NewMemcached(cache.Config{Name: "test", Prefix: "t:", Memcached: c}, cache.Deps{Logger: slog.New(slog.NewTextHandler(log, nil))})
}

func TestMemcached(t *testing.T) {
	s := testservers.StartMemcached(t, "-I", "8m")
	cachetest.Run(t, newMemcached(t, t.Output(), cache.MemcachedConfig{
		Addresses: "dns+" + s.Address, Timeout: time.Second, MaxIdle: 16, BatchSize: 20, Parallelism: 10, Expiration: time.Hour, Update: time.Minute,
	}))
}

// startThree runs a cache on three servers and fills it.
func startThree(t *testing.T, log io.Writer, consistent bool) (c *cache.Memcached, servers []*testservers.Memcached, keys []string) {
	t.Helper()
	var addrs []string
	for range 3 {
		s := testservers.StartMemcached(t)
		servers, addrs = append(servers, s), append(addrs, s.Address)
	}
	c = newMemcached(t, log, cache.MemcachedConfig{Addresses: strings.Join(addrs, ", "), ConsistentHash: consistent, Timeout: time.Second})
	start(t, c)
	for i := range 300 {
		keys = append(keys, fmt.Sprint("key ", i))
	}
	put(t, c, keys[0])
	for _, k := range keys {
		c.Put(k, []byte(k))
	}
	for _, k := range keys {
		cachetest.Eventually(t, c, k, []byte(k))
	}
	return c, servers, keys
}

// put keeps a key as its own value, and waits until it is found.
func put(t *testing.T, c cache.Cache, key string) {
	t.Helper()
	c.Put(key, []byte(key))
	cachetest.Eventually(t, c, key, []byte(key))
}

func hits(t *testing.T, c cache.Cache, keys []string) int {
	n := 0
	for i, v := range c.Get(t.Context(), keys...) {
		if v != nil {
			require.Equal(t, keys[i], string(v))
			n++
		}
	}
	return n
}

// TestMemcachedLosesAServer loses a third of the values and of nothing else, and a server that hangs costs no more time than ReadBudget,
// once.
func TestMemcachedLosesAServer(t *testing.T) {
	for _, consistent := range []bool{true, false} {
		var log logBuffer
		c, servers, keys := startThree(t, &log, consistent)
		all := func() bool { return hits(t, c, keys) == 300 }
		tries := 0
		for ; !losesOne(t, c, servers, keys, &log); tries++ {
			require.Less(t, tries, 20, log.String())
			require.Eventually(t, all, 20*time.Second, 20*time.Millisecond)
		}
		require.Eventually(t, all, 20*time.Second, 20*time.Millisecond)
		servers[1].Kill()
		require.Eventually(t, func() bool { n := hits(t, c, keys); return n > 150 && n < 250 }, 10*time.Second, 10*time.Millisecond)
	}
}

// losesOne has the first server hang for a while. It returns false if another one kept the cache waiting too, or this one answered
// before it stopped, as may be on a machine that is busy.
func losesOne(t *testing.T, c cache.Cache, servers []*testservers.Memcached, keys []string, log *logBuffer) bool {
	t.Helper()
	log.reset()
	before := hits(t, c, keys)
	require.NoError(t, servers[0].Pause())
	begin := time.Now()
	left := []int{hits(t, c, keys)}
	took := time.Since(begin)
	for range 20 {
		left = append(left, hits(t, c, keys))
	}
	require.NoError(t, servers[0].Resume())
	text := log.String()
	if before < 300 || left[0] == 300 || strings.Contains(text, servers[1].Address) || strings.Contains(text, servers[2].Address) {
		return false
	}
	require.Greater(t, left[0], 150)
	require.Less(t, left[0], 250)
	require.GreaterOrEqual(t, took, 40*time.Millisecond, "it was waited for")
	require.Less(t, took, time.Second)
	require.Len(t, slices.Compact(left), 1, "the server is not asked any more, and the others are")
	require.Equal(t, 1, strings.Count(text, "going on without it"), text)
	return true
}

func TestMemcachedForeignAndLargeValues(t *testing.T) {
	s := testservers.StartMemcached(t)
	c := newMemcached(t, t.Output(), cache.MemcachedConfig{Addresses: s.Address, MaxItemSize: 4 << 20, Timeout: time.Second})
	start(t, c)
	put(t, c, "good")
	c.Put("larger than the server takes", bytes.Repeat([]byte("x"), 3<<20))
	c.Put("larger than is wanted", bytes.Repeat([]byte("x"), 5<<20))
	put(t, c, "after")
	require.Nil(t, c.Get(t.Context(), "larger than the server takes")[0])
	require.Nil(t, c.Get(t.Context(), "larger than is wanted")[0])

	client := memcache.New(s.Address)
	defer client.Close()
	// What is under our key, and not ours, is a miss.
	sum := sha256.Sum256([]byte("good"))
	name := "t:" + base64.RawURLEncoding.EncodeToString(sum[:])
	item, err := client.Get(name)
	require.NoError(t, err)
	item.Value[len(item.Value)-1] ^= 1
	require.NoError(t, client.Set(item))
	require.Nil(t, c.Get(t.Context(), "good")[0])
}

// TestMemcachedTLS reaches a server through a listener that speaks TLS.
func TestMemcachedTLS(t *testing.T) {
	s := testservers.StartMemcached(t)
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: https.TLS.Certificates})
	require.NoError(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", s.Address)
			if err != nil {
				_ = in.Close()
				return
			}
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	trusting := newMemcached(t, t.Output(), cache.MemcachedConfig{Addresses: l.Addr().String(), Timeout: time.Second, TLS: &tls.Config{InsecureSkipVerify: true}})
	strict := newMemcached(t, t.Output(), cache.MemcachedConfig{Addresses: l.Addr().String(), Timeout: time.Second, TLS: &tls.Config{ServerName: "example.com"}})
	start(t, trusting)
	start(t, strict)
	put(t, trusting, "a")
	require.Nil(t, strict.Get(t.Context(), "a")[0], "nobody signed the certificate")
}

func TestMemcachedConfig(t *testing.T) {
	require.NoError(t, cache.MemcachedConfig{}.Validate())
	require.NoError(t, cache.MemcachedConfig{Host: "memcached", Service: "memcache"}.Validate())
	require.ErrorContains(t, cache.MemcachedConfig{Host: "memcached", Addresses: "a:1"}.Validate(), "both")
	require.ErrorContains(t, cache.MemcachedConfig{Addresses: " , "}.Validate(), "no address")
	// A name that is not there is said once, and everything is a miss.
	var log logBuffer
	c := newMemcached(t, &log, cache.MemcachedConfig{Host: "nowhere.invalid", Service: "memcached", Update: 10 * time.Millisecond})
	start(t, c)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "cannot find all servers") }, 10*time.Second, 5*time.Millisecond)
	c.Put("a", []byte("b"))
	require.Nil(t, c.Get(t.Context(), "a")[0])
}
