package ingester

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

var errStore = errors.New("the bucket says no")

// TestFlushFailures lets the store fail, hang and succeed in part: nothing is lost, nothing is stored twice, and everything
// stays readable meanwhile.
func TestFlushFailures(t *testing.T) {
	store := newMemStore()
	var objects, rows atomic.Int64
	store.putObject = func(ctx context.Context, _ model.ChunkRef) error {
		switch objects.Add(1) % 4 {
		case 1:
			return errStore
		case 2:
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	store.putIndex = func(context.Context, []schema.IndexEntry) error {
		if rows.Add(1)%3 != 0 {
			return errStore
		}
		return nil
	}
	cfg := testConfig(t.TempDir())
	cfg.FlushTimeout = 20 * time.Millisecond
	n := start(t, cfg, store, nil)
	var want []entry
	for k := range 12 {
		s := app(fmt.Sprint("a", k), at(int64(k), "x"), at(int64(k)+1, "y", "m", "v"))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	done := make(chan error)
	go func() { done <- n.FlushWait(context.Background()) }()
	for waiting := true; waiting; {
		require.Equal(t, sorted(want), distinct(append(inMemory(t, n.Ingester, "t"), store.all(t)...)))
		select {
		case err := <-done:
			require.NoError(t, err)
			waiting = false
		case <-time.After(time.Millisecond):
		}
	}
	require.Equal(t, sorted(want), sorted(store.all(t)))
	require.Positive(t, value(t, n, "loki_ingester_chunks_flush_failures_total"))
	require.Zero(t, value(t, n, "loki_ingester_memory_chunks"))
	n.end()
}

// TestIndexFailureDoesNotStoreAgain wants one PutObject for a chunk whose rows fail at first.
func TestIndexFailureDoesNotStoreAgain(t *testing.T) {
	store := newMemStore()
	var calls atomic.Int64
	store.putIndex = func(context.Context, []schema.IndexEntry) error {
		if calls.Add(1) < 5 {
			return errStore
		}
		return nil
	}
	n := start(t, testConfig(t.TempDir()), store, nil)
	n.push("t", app("a", at(1, "x")))
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, 1, store.objectCalls)
	require.Equal(t, 5, store.indexCalls)
	n.end()
}

// TestKeyOfFlushingChunk sees the object's key on a piece that is not indexed yet.
func TestKeyOfFlushingChunk(t *testing.T) {
	store := newMemStore()
	release := make(chan struct{})
	store.putIndex = func(context.Context, []schema.IndexEntry) error { <-release; return nil }
	n := start(t, testConfig(t.TempDir()), store, nil)
	n.push("t", app("a", at(1, "x")))
	n.Flush()
	ctx := tenant.Inject(context.Background(), "t")
	var key string
	require.Eventually(t, func() bool {
		got, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: 0, End: 10}})
		require.NoError(t, err)
		require.Len(t, got, 1)
		key = got[0].Pieces[0].Key()
		return key != ""
	}, 5*time.Second, time.Millisecond)
	close(release)
	require.NoError(t, n.FlushWait(context.Background()))
	for ref := range store.rows {
		require.Equal(t, schema.ContentKey(ref), key)
	}
	n.end()
}

func TestIndexRowsAreBatched(t *testing.T) {
	store := newMemStore()
	n := start(t, testConfig(t.TempDir()), store, nil)
	for k := range 500 {
		n.push("t", app(fmt.Sprint(k), at(1, "x")))
	}
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, 500, store.count())
	require.Less(t, store.indexCalls, 100)
	n.end()
}

func TestShutdown(t *testing.T) {
	dir := t.TempDir()
	store := newMemStore()
	cfg := testConfig(dir)
	cfg.FlushOnShutdown, cfg.ShutdownTimeout = true, 10*time.Second
	n := start(t, cfg, store, nil)
	a := app("a", at(1, "x"))
	n.push("t", a)
	n.end()
	require.Equal(t, expect("t", a), store.all(t))
	require.Zero(t, n.logBytes())

	// A store that hangs does not keep the process: what is not stored is in the log.
	store.set(func() {
		store.putObject = func(ctx context.Context, _ model.ChunkRef) error { <-ctx.Done(); return ctx.Err() }
	})
	cfg.ShutdownTimeout = 50 * time.Millisecond
	n = start(t, cfg, store, nil)
	b := app("b", at(1, "y"))
	n.push("t", b)
	begin := time.Now()
	n.end()
	require.Less(t, time.Since(begin), 5*time.Second)
	store.set(func() { store.putObject = nil })
	n = start(t, cfg, store, nil)
	require.Equal(t, expect("t", b), inMemory(t, n.Ingester, "t"))
	n.end()
}

// TestShutdownWithoutLog wants an error when the stop loses entries.
func TestShutdownWithoutLog(t *testing.T) {
	store := newMemStore()
	store.putObject = func(ctx context.Context, _ model.ChunkRef) error { <-ctx.Done(); return ctx.Err() }
	cfg := testConfig("")
	cfg.FlushOnShutdown, cfg.ShutdownTimeout = true, 50*time.Millisecond
	n := start(t, cfg, store, nil)
	n.push("t", app("a", at(1, "x")))
	n.stop()
	require.ErrorContains(t, <-n.done, "there is no write-ahead log, so 1 chunks are lost")
	n.done <- nil
	n.end()
}

// TestWhenChunksAreFlushed runs on a clock of its own.
func TestWhenChunksAreFlushed(t *testing.T) {
	f := func(name, reason string, change func(*Config), push func(n *node), after time.Duration) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig(t.TempDir())
				change(&cfg)
				store := newMemStore()
				n := build(t, cfg, store, nil)
				n.run()
				synctest.Wait()
				require.NoError(t, n.Ready())
				push(n)
				time.Sleep(after - time.Second)
				synctest.Wait()
				require.Zero(t, store.count(), "too early")
				time.Sleep(cfg.FlushCheck + 2*time.Second)
				synctest.Wait()
				require.Equal(t, 1, store.count(), "too late")
				require.InDelta(t, 1, flushedBecause(t, n, reason), 0)
				n.end()
			})
		})
	}
	one := func(n *node) { n.push("t", app("a", at(1, "x"))) }
	f("idle", "idle", func(*Config) {}, one, DefaultConfig.ChunkIdle)
	f("age on the clock", "max_age", func(c *Config) { c.ChunkIdle, c.MaxChunkAge = 24*time.Hour, time.Hour }, one, time.Hour)
	f("age of its entries", "max_age", func(c *Config) { c.ChunkIdle = 24 * time.Hour },
		func(n *node) { n.push("t", app("a", at(0, "x"), at(int64(2*time.Hour)+1, "y"))) }, time.Second)
}

func flushedBecause(t testing.TB, n *node, reason string) float64 {
	t.Helper()
	families, err := n.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "loki_ingester_chunks_flushed_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestRetainedChunksLeaveLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t.TempDir())
		cfg.ChunkRetain = time.Hour
		n := build(t, cfg, newMemStore(), nil)
		n.run()
		synctest.Wait()
		n.push("t", app("a", at(1, "x")))
		require.NoError(t, n.FlushWait(context.Background()))
		require.Len(t, inMemory(t, n.Ingester, "t"), 1)
		require.Zero(t, value(t, n, "loki_ingester_memory_chunks"))
		time.Sleep(time.Hour + time.Minute)
		require.Empty(t, inMemory(t, n.Ingester, "t"))
		require.Zero(t, n.memory.Load())
		n.end()
	})
}

func TestFullChunks(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.BlockSize, cfg.TargetSize = 8<<10, 64<<10
	store := newMemStore()
	n := start(t, cfg, store, nil)
	var want []entry
	for k := range 3000 {
		s := app("a", at(int64(k), fmt.Sprintf("%d %x", k, rand16k(k)[:100])))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	require.Eventually(t, func() bool { return store.count() > 0 && n.flushes.outstanding.Load() == 0 }, 10*time.Second, time.Millisecond)
	require.Positive(t, flushedBecause(t, n, "full"))
	for ref := range store.objects {
		require.InDelta(t, 80<<10, len(store.objects[ref]), 32<<10)
	}
	require.Equal(t, sorted(want), sorted(append(inMemory(t, n.Ingester, "t"), store.all(t)...)))
	n.end()
}

// TestMemoryLimit fills memory while the store hangs: pushes are refused with the limit's name, reads go on, and pushes are
// taken again when the store does its work.
func TestMemoryLimit(t *testing.T) {
	store := newMemStore()
	var hang atomic.Bool
	hang.Store(true)
	store.putObject = func(ctx context.Context, _ model.ChunkRef) error {
		for hang.Load() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return ctx.Err()
	}
	cfg := testConfig(t.TempDir())
	cfg.MemoryLimit, cfg.HeadLimit, cfg.BlockSize = 2<<20, 1<<20, 16<<10
	n := start(t, cfg, store, nil)
	var want []entry
	var refused error
	push := func(k int) error {
		s := app(fmt.Sprint("a", k%50), at(int64(k), fmt.Sprintf("%x", rand16k(k))))
		err := n.Push(context.Background(), "t", []wire.Stream{s})
		if err == nil {
			want = append(want, expect("t", s)...)
		}
		return err
	}
	for k := 0; refused == nil && k < 5000; k++ {
		refused = push(k)
	}
	require.ErrorIs(t, refused, ErrMemory)
	require.ErrorIs(t, refused, wire.ErrUnavailable)
	require.ErrorContains(t, refused, "memory_limit is 2097152")
	require.Less(t, n.memory.Load(), int64(3<<20))
	require.Equal(t, sorted(want), sorted(inMemory(t, n.Ingester, "t")))
	hang.Store(false)
	require.Eventually(t, func() bool { return push(5000) == nil }, 10*time.Second, time.Millisecond)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Positive(t, flushedBecause(t, n, "memory"))
	require.Equal(t, sorted(want), sorted(store.all(t)))
	n.end()
}

// rand16k makes 8 KiB of bytes that do not compress.
func rand16k(seed int) []byte {
	b := make([]byte, 8<<10)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// TestPushesQueriesAndFlushesTogether is for the race detector, and counts.
func TestPushesQueriesAndFlushesTogether(t *testing.T) {
	cfg := smallLog(t.TempDir())
	cfg.FlushCheck, cfg.HeadLimit = 5*time.Millisecond, 64<<10
	cfg.ChunkIdle = 10 * time.Millisecond
	store := newMemStore()
	n := start(t, cfg, store, nil)
	var mu sync.Mutex
	var want []entry
	var wg, readers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for g := range 4 {
		wg.Go(func() {
			for k := range 150 {
				s := app(fmt.Sprint("a", (g+k)%20), at(int64(k), fmt.Sprintf("g%d k%d %s", g, k, strings.Repeat("z", k))), at(int64(k), fmt.Sprint("g", g), "k", fmt.Sprint(k)))
				n.push("t", s)
				mu.Lock()
				want = append(want, expect("t", s)...)
				mu.Unlock()
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				inMemory(t, n.Ingester, "t")
				_, err := n.LabelValues(tenant.Inject(ctx, "t"), "app", logql.Selection{Interval: model.Interval{End: 1000}})
				if ctx.Err() == nil {
					require.NoError(t, err)
				}
			}
		})
	}
	readers.Go(func() {
		for ctx.Err() == nil {
			n.Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	wg.Wait()
	cancel()
	readers.Wait()
	require.NoError(t, n.FlushWait(context.Background()))
	requireAll(t, store.all(t), want)
	require.Equal(t, len(want), len(distinct(store.all(t))))
	n.end()
	require.Zero(t, n.logBytes())
	require.InDelta(t, 0, n.heads.Load(), 0)
}
