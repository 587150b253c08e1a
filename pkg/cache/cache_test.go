package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(c Cache, key string) string { return string(c.Get(context.Background(), key)[0]) }

func TestLocalForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal("test", LocalConfig{MaxBytes: 10 * (itemBytes + 20), MaxItems: 3, TTL: time.Minute}, Deps{})
		for i := range 3 {
			l.Put(fmt.Sprint(i), []byte("value"))
		}
		require.Equal(t, "value", get(l, "0"))
		l.Put("3", []byte("value"))
		require.Empty(t, get(l, "1"), "1 was not asked for the longest")
		require.Equal(t, "value", get(l, "0"))
		l.Put("large", bytes.Repeat([]byte("x"), 500))
		require.Empty(t, get(l, "large"), "it would drive out the others")
		time.Sleep(time.Minute)
		require.Empty(t, get(l, "0"), "its time is over")
		require.Less(t, len(l.items), 3, "what is over goes when it is asked for")
	})
}

func TestLocalBytes(t *testing.T) {
	l := NewLocal("test", LocalConfig{MaxBytes: 100_000}, Deps{})
	for i := range 1000 {
		l.Put(fmt.Sprint(i%300), make([]byte, 1+i%5000))
		require.LessOrEqual(t, l.bytes, int64(100_000))
	}
	var sum int64
	for _, e := range l.items {
		sum += itemOf(e).size()
	}
	require.Equal(t, sum, l.bytes)
	require.Equal(t, len(l.items), l.order.Len())
}

func TestTieredFillsTheNearCache(t *testing.T) {
	near, far := NewLocal("near", LocalConfig{MaxBytes: 1 << 20}, Deps{}), NewLocal("far", LocalConfig{MaxBytes: 1 << 20}, Deps{})
	c := NewTiered(near, far)
	far.Put("b", []byte("far"))
	near.Put("a", []byte("near"))
	got := c.Get(t.Context(), "a", "x", "b")
	require.Equal(t, []string{"near", "", "far"}, []string{string(got[0]), string(got[1]), string(got[2])})
	require.Equal(t, "far", get(near, "b"))
}

func TestEnvelope(t *testing.T) {
	sealed := seal("key", []byte("value"))
	require.Equal(t, "4c535601710243b4fb44bb7f76616c7565", hex.EncodeToString(sealed))
	value, ok := open("key", sealed)
	require.True(t, ok)
	require.Equal(t, "value", string(value))
	_, ok = open("other", sealed)
	require.False(t, ok, "written under another key")
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		_, ok := open("key", damaged)
		require.False(t, ok, "byte %d", i)
		_, ok = open("key", sealed[:i])
		require.False(t, ok, "cut to %d bytes", i)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("LSV\x01"))
	f.Add(seal("key", []byte("value")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if value, ok := open("key", data); ok && !bytes.Equal(seal("key", value), data) {
			t.Fatalf("%x is taken for an envelope", data)
		}
	})
}

func TestWriteBehindIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics("test", "redis", nil)
		var mu sync.Mutex
		written := 0
		block := make(chan struct{})
		release := sync.OnceFunc(func() { close(block) })
		defer release() // also when an assertion fails, so that no writer outlives the test
		w := newWriteBehind(WriteConfig{Goroutines: 2, MaxItems: 100, MaxBytes: 1 << 20}, m, func(_ context.Context, batch []pair) {
			<-block
			mu.Lock()
			defer mu.Unlock()
			written += len(batch)
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 50 {
			w.put(pair{key: "a", value: []byte("b")})
		}
		go w.run(ctx)
		synctest.Wait() // the first writer holds all 50: they are one batch
		w.put(pair{key: "a", value: []byte("b")})
		synctest.Wait() // the second writer holds one
		require.Empty(t, w.queue)
		for range 1000 { // nobody writes: the queue fills and then drops
			w.put(pair{key: "a", value: []byte("b")})
		}
		synctest.Wait()
		require.Len(t, w.queue, 100)
		require.EqualValues(t, 900, testutil.ToFloat64(m.dropped))
		release()
		synctest.Wait()
		require.Equal(t, 151, written)
		require.Zero(t, w.bytes)
	})
}

func TestBreakerSaysEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		var dead atomic.Bool
		dead.Store(true)
		b := newBreaker("chunks", slog.New(slog.NewTextHandler(&log, nil)), newMetrics("test", "redis", nil), func(context.Context) error {
			if dead.Load() {
				return context.DeadlineExceeded
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.run(ctx)
		for round := range 2 {
			dead.Store(true)
			require.True(t, b.allow())
			for range 10 {
				b.failed(context.DeadlineExceeded)
			}
			require.False(t, b.allow())
			time.Sleep(time.Minute)
			require.False(t, b.allow(), "it is still dead")
			dead.Store(false)
			time.Sleep(lastProbe + time.Second)
			require.True(t, b.allow())
			require.Equal(t, 2*(round+1), strings.Count(log.String(), "\n"), log.String())
		}
	})
}

// lockedLog is a log for several goroutines.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSilentRedisCostsOnce asks a server that takes connections and never answers.
func TestSilentRedisCostsOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	r, err := NewRedis(Config{Name: "test", Redis: RedisConfig{Endpoint: listener.Addr().String()}},
		Deps{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.client.Close()) }()
	start := time.Now()
	require.Nil(t, r.Get(t.Context(), "a", "b")[0])
	first := time.Since(start)
	require.GreaterOrEqual(t, first, ReadBudget)
	start = time.Now()
	for range 1000 {
		require.Nil(t, r.Get(t.Context(), "a")[0])
		r.Put("a", []byte("b"))
	}
	require.Less(t, time.Since(start), 10*first, "a thousand reads must not wait again")
}

func TestRedisConfig(t *testing.T) {
	for _, tc := range []struct {
		cfg   RedisConfig
		addrs []string
		tls   bool
		err   string
	}{
		{cfg: RedisConfig{Endpoint: "redis"}, addrs: []string{"redis:6379"}},
		{cfg: RedisConfig{Endpoint: "[::1]"}, addrs: []string{"[::1]:6379"}},
		{cfg: RedisConfig{Endpoint: "a:1, b:2,"}, addrs: []string{"a:1", "b:2"}},
		{cfg: RedisConfig{Endpoint: "rediss://me:hush@host:7/3"}, addrs: []string{"host:7"}, tls: true},
		{cfg: RedisConfig{Endpoint: "redis://host", TLS: true}, addrs: []string{"host:6379"}, tls: true},
		{cfg: RedisConfig{Endpoint: "http://me:hush@host:7/3"}, err: "cannot read the URL"},
		{cfg: RedisConfig{Endpoint: " , "}, err: "no address"},
		{cfg: RedisConfig{Endpoint: "a,b", DB: 2}, err: "no database but 0"},
		{cfg: RedisConfig{Endpoint: "a,b", DB: 2, MasterName: "mine"}, addrs: []string{"a:6379", "b:6379"}},
	} {
		err := tc.cfg.Validate()
		if tc.err != "" {
			require.ErrorContains(t, err, tc.err)
			require.NotContains(t, err.Error(), "hush")
			continue
		}
		require.NoError(t, err)
		o, err := tc.cfg.options()
		require.NoError(t, err)
		require.Equal(t, tc.addrs, o.Addrs)
		require.Equal(t, tc.tls, o.TLSConfig != nil)
	}
	o, err := RedisConfig{Endpoint: "redis://me:hush@host:7/3", Username: "you"}.options()
	require.NoError(t, err)
	require.Equal(t, []any{"you", "hush", 3}, []any{o.Username, o.Password, o.DB})
}
