package cache_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
	"logstore/pkg/cache"
	"logstore/pkg/cache/cachetest"
)

func newRedis(t *testing.T, cfg cache.RedisConfig) *cache.Redis {
	t.Helper()
	r, err := cache.NewRedis(cache.Config{Name: "test", Prefix: "t:", Redis: cfg}, cache.Deps{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	return r
}

// start runs the cache for the length of the test.
func start(t *testing.T, c cache.Cache) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func TestRedisSingle(t *testing.T) {
	s := testservers.StartRedis(t)
	cachetest.Run(t, newRedis(t, cache.RedisConfig{Endpoint: s.Address, DB: 3, PoolSize: 4, IdleTimeout: time.Minute, MaxConnectionAge: time.Minute, Expiration: time.Hour}))
	require.Equal(t, "0", s.CLI(t, "dbsize"), "database 3 was asked for")
	require.NotEqual(t, "0", s.CLI(t, "-n", "3", "dbsize"))
	left := s.CLI(t, "-n", "3", "ttl", "t:found")
	require.NotContains(t, []string{"-1", "-2", "0"}, left, "values expire")
}

func TestRedisPasswordAndURL(t *testing.T) {
	s := testservers.StartRedis(t, "--requirepass", testservers.RedisPassword)
	cachetest.Run(t, newRedis(t, cache.RedisConfig{Endpoint: s.Address, Password: testservers.RedisPassword}))
	u := url.URL{Scheme: "redis", User: url.UserPassword("default", testservers.RedisPassword), Host: s.Address, Path: "/2"}
	cachetest.Run(t, newRedis(t, cache.RedisConfig{Endpoint: u.String()}))
}

func TestRedisTLS(t *testing.T) {
	s := testservers.StartRedisTLS(t)
	cachetest.Run(t, newRedis(t, cache.RedisConfig{Endpoint: "rediss://" + s.Address, TLSInsecureSkipVerify: true}))
	strict := newRedis(t, cache.RedisConfig{Endpoint: s.Address, TLS: true})
	start(t, strict)
	strict.Put("a", []byte("b"))
	require.Nil(t, strict.Get(t.Context(), "a")[0], "nobody signed the certificate")
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := testservers.StartRedisCluster(t)
	cachetest.Run(t, newRedis(t, cache.RedisConfig{Endpoint: testservers.Addresses(nodes)}))
	for _, n := range nodes {
		require.NotEqual(t, "0", n.CLI(t, "dbsize"), "the keys are spread")
	}
}

func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master, _, sentinels := testservers.StartRedisSentinels(t)
	c := newRedis(t, cache.RedisConfig{Endpoint: testservers.Addresses(sentinels), MasterName: testservers.SentinelMaster})
	cachetest.Run(t, c)
	if testing.Short() {
		return
	}
	again := newRedis(t, cache.RedisConfig{Endpoint: testservers.Addresses(sentinels), MasterName: testservers.SentinelMaster})
	start(t, again)
	again.Put("before", []byte("1"))
	cachetest.Eventually(t, again, "before", []byte("1"))
	master.Kill()
	// The replica takes over, and the cache is used again without anybody's help.
	require.Eventually(t, func() bool {
		again.Put("after", []byte("2"))
		return string(again.Get(t.Context(), "after")[0]) == "2"
	}, 30*time.Second, 50*time.Millisecond)
}

// TestRedisForeignValues puts into Redis what the cache did not write.
func TestRedisForeignValues(t *testing.T) {
	s := testservers.StartRedis(t)
	c := newRedis(t, cache.RedisConfig{Endpoint: s.Address})
	start(t, c)
	c.Put("mine", []byte("value"))
	cachetest.Eventually(t, c, "mine", []byte("value"))
	s.CLI(t, "set", "t:text", "somebody else's")
	s.CLI(t, "lpush", "t:list", "a", "b")
	s.CLI(t, "copy", "t:mine", "t:moved")
	s.CLI(t, "setrange", "t:mine", "13", "X")
	for _, key := range []string{"text", "list", "moved", "mine"} {
		require.Nil(t, c.Get(t.Context(), key)[0], key)
	}
	c.Put("mine", []byte("again"))
	cachetest.Eventually(t, c, "mine", []byte("again"))
}

// TestRedisDiesAndComesBack kills and pauses the server: each change is one line in the log, and no read is an error.
func TestRedisDiesAndComesBack(t *testing.T) {
	s := testservers.StartRedis(t)
	var log logBuffer
	r, err := cache.NewRedis(cache.Config{Name: "chunks", Redis: cache.RedisConfig{Endpoint: "redis://u:" + url.QueryEscape(testservers.RedisPassword) + "@" + s.Address}},
		cache.Deps{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	// The credentials are wrong: it must say so without showing them.
	start(t, r)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "does not answer") }, 5*time.Second, 10*time.Millisecond)
	require.NotContains(t, log.String(), testservers.RedisPassword)

	log.reset()
	c := newRedisLogging(t, s.Address, &log)
	start(t, c)
	c.Put("a", []byte("1"))
	cachetest.Eventually(t, c, "a", []byte("1"))
	for name, step := range map[string]struct{ fail, heal func() }{
		"killed": {s.Kill, func() { s.Restart(t) }},
		"paused": {func() { require.NoError(t, s.Pause()) }, func() { require.NoError(t, s.Resume()) }},
	} {
		log.reset()
		step.fail()
		slow := 0
		for range 200 {
			begin := time.Now()
			require.Nil(t, c.Get(t.Context(), "a")[0], name)
			if time.Since(begin) > cache.ReadBudget/2 {
				slow++
			}
		}
		require.LessOrEqual(t, slow, 3, "%s: only the first read may wait", name)
		step.heal()
		require.Eventually(t, func() bool {
			c.Put("a", []byte("1"))
			return string(c.Get(t.Context(), "a")[0]) == "1"
		}, 30*time.Second, 20*time.Millisecond, name)
		require.Equal(t, 1, strings.Count(log.String(), "does not answer"), log.String())
		require.Equal(t, 1, strings.Count(log.String(), "answers again"), log.String())
	}
}

func newRedisLogging(t *testing.T, address string, log *logBuffer) *cache.Redis {
	t.Helper()
	r, err := cache.NewRedis(cache.Config{Name: "chunks", Redis: cache.RedisConfig{Endpoint: address}}, cache.Deps{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return r
}

// logBuffer is a log for several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
