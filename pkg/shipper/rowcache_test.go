package shipper

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/index"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/schema"
)

// rowsRead is how many streams were looked up in files that do not change and had to be read there.
func rowsRead(s *Shipper) int {
	return int(testutil.ToFloat64(s.metrics.rowStreams.WithLabelValues("read")))
}

// require that the cache counts what it holds, and no more than it may.
func checkRows(t *testing.T, c *rowCache) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes := int64(0)
	for _, e := range c.files {
		bytes += fileRowsBytes
		e.mu.RLock()
		for _, rows := range e.streams {
			bytes += rows.bytes()
		}
		e.mu.RUnlock()
	}
	require.Equal(t, bytes, c.bytes)
	require.Equal(t, len(c.files), c.order.Len())
	require.LessOrEqual(t, c.bytes, c.limit)
	require.EqualValues(t, c.bytes, testutil.ToFloat64(c.metrics.rowBytes))
}

// lookups runs random lookups, and returns what they found. Chunks of a stream must ascend.
func lookups(t *testing.T, s *Shipper, seed uint64, n int) [][]schema.Series {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	var out [][]schema.Series
	for range n {
		const day = schema.MillisPerDay * int64(time.Millisecond)
		start := wholeDay.Start - day/2 + rng.Int64N(3*day)
		sel := logql.Selection{
			Interval: model.Interval{Start: start, End: start + 1 + rng.Int64N(2*day)>>rng.IntN(16)},
			Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "n", fmt.Sprintf("[%d-9]|1.", rng.IntN(10)))},
		}
		tenant := []string{"acme", "other"}[rng.IntN(2)]
		found, err := s.Select(t.Context(), tenant, sel, s.periods.SpansOf(sel.Interval))
		require.NoError(t, err)
		for _, x := range found {
			for _, c := range x.Chunks {
				require.Equal(t, tenant, c.Tenant)
			}
		}
		out = append(out, found)
	}
	return out
}

// TestRowCacheAnswersTheSame looks up random intervals of random streams of two tenants in tables of several files, with caches of all
// sizes: all find what a shipper without a cache finds, whatever was asked before.
func TestRowCacheAnswersTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	for range 3 {
		writer := w.open(w.config())
		for n := range 300 {
			e := chunkOf([]string{"acme", "other"}[n%2], n, stream(rng.IntN(20)))
			e.Ref.From = (testDay)*schema.MillisPerDay + rng.Int64N(2*schema.MillisPerDay)
			e.Ref.Through = e.Ref.From + rng.Int64N(schema.MillisPerDay)>>rng.IntN(12)
			put(t, writer, e)
		}
		require.NoError(t, writer.Flush(t.Context()))
	}
	config := func(bytes int64) Config {
		cfg := w.config()
		cfg.RowCacheBytes = bytes
		return cfg
	}
	plain := w.open(config(0))
	want := lookups(t, plain, seed, 200)
	require.Empty(t, plain.rows.files)
	for _, bytes := range []int64{1, 4000, 30_000, DefaultConfig.RowCacheBytes} {
		s := w.open(config(bytes))
		require.Equal(t, want, lookups(t, s, seed, 200), "with %d bytes", bytes)
		checkRows(t, s.rows)
		if bytes == DefaultConfig.RowCacheBytes {
			read := rowsRead(s)
			require.Equal(t, want, lookups(t, s, seed, 200))
			require.Equal(t, read, rowsRead(s), "what was read once is not read again")
		}
	}
}

// TestRowCacheTogether looks up at the same time through a small cache; what is found is shared and changed by nobody.
func TestRowCacheTogether(t *testing.T) {
	w := newWorld(t)
	writer := w.open(w.config())
	for n := range 200 {
		put(t, writer, chunkOf([]string{"acme", "other"}[n%2], n*400, stream(n%20)))
	}
	require.NoError(t, writer.Flush(t.Context()))
	cfg := w.config()
	cfg.RowCacheBytes = 0
	want := lookups(t, w.open(cfg), 1, 50)
	cfg = w.config()
	cfg.RowCacheBytes = 16_000
	s := w.open(cfg)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 4 {
				require.Equal(t, want, lookups(t, s, 1, 50))
			}
		})
	}
	group.Go(func() {
		for range 20 {
			for _, f := range s.copies.all() {
				for _, file := range f.files {
					s.rows.forget(file.path())
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	group.Wait()
	checkRows(t, s.rows)
}

// replace puts one file in place of all index objects, of the rows of the given chunks.
func (w *world) replace(t *testing.T, name string, entries ...schema.IndexEntry) {
	t.Helper()
	writer := w.open(w.config())
	old := w.keys()
	put(t, writer, entries...)
	path := filepath.Join(t.TempDir(), "one")
	var parts []*part
	for _, f := range writer.local.of(0, testDay) {
		parts = append(parts, *f.parts.Load()...)
	}
	require.NoError(t, writer.mergeFiles(path, parts))
	object, err := index.Compress(path)
	require.NoError(t, err)
	require.NoError(t, w.bucket.Put(t.Context(), "index/index_20464/"+name+".gz", object))
	for _, key := range old {
		require.NoError(t, w.bucket.Delete(t.Context(), key))
	}
}

// TestRowCacheAfterCompaction replaces files by one that names other chunks of the same streams: nothing of the old ones is found, or
// kept.
func TestRowCacheAfterCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writer := w.open(w.config())
		put(t, writer, chunkOf("acme", 1, stream(1)), chunkOf("acme", 2, stream(1)), chunkOf("acme", 3, stream(2)))
		require.NoError(t, writer.Flush(t.Context()))
		cfg := w.config()
		s := w.open(cfg)
		require.Equal(t, []string{"1 1", "1 2", "2 3"}, find(t, s, "acme", wholeDay))
		require.Equal(t, []string{"1 1", "1 2", "2 3"}, find(t, s, "acme", wholeDay))
		require.Equal(t, 2, rowsRead(s))
		before := s.rows.bytes

		w.replace(t, "compactor-1", chunkOf("acme", 2, stream(1)), chunkOf("acme", 4, stream(2)))
		time.Sleep(cfg.ResyncInterval + 1)
		require.Equal(t, []string{"1 2", "2 4"}, find(t, s, "acme", wholeDay))
		require.Less(t, s.rows.bytes, before)
		require.Len(t, s.rows.files, 1, "the rows of a file go with it")
		checkRows(t, s.rows)

		// A table that is not used any more takes its rows along.
		time.Sleep(cfg.CacheTTL + time.Minute)
		s.copies.resync(t.Context())
		require.Empty(t, s.rows.files)
		checkRows(t, s.rows)
	})
}

// TestRowCacheOfMovingRanges asks as a dashboard does, for ranges that move on, and for one that begins a little earlier.
func TestRowCacheOfMovingRanges(t *testing.T) {
	w := newWorld(t)
	writer := w.open(w.config())
	for n := range 100 {
		put(t, writer, chunkOf("acme", n*800, stream(n%5)))
	}
	require.NoError(t, writer.Flush(t.Context()))
	s := w.open(w.config())
	ask := func(from time.Duration) int {
		i := model.Interval{Start: wholeDay.Start + int64(from), End: wholeDay.Start + int64(from+2*time.Hour)}
		found := find(t, s, "acme", i)
		require.NotEmpty(t, found)
		return rowsRead(s)
	}
	require.Equal(t, 5, ask(10*time.Hour+30*time.Minute))
	require.Equal(t, 5, ask(12*time.Hour), "later")
	require.Equal(t, 5, ask(10*time.Hour+29*time.Minute), "a little earlier")
	require.Equal(t, 10, ask(7*time.Hour), "much earlier")
	require.Equal(t, 10, ask(10*time.Hour))
	checkRows(t, s.rows)
}

// TestRowCacheOfLargeFile asks for all of a file that has more rows than the cache may hold: what fits stays.
func TestRowCacheOfLargeFile(t *testing.T) {
	w := newWorld(t)
	writer := w.open(w.config())
	for n := range 100 {
		put(t, writer, chunkOf("acme", n, stream(n)))
	}
	require.NoError(t, writer.Flush(t.Context()))
	cfg := w.config()
	cfg.RowCacheBytes = 50 * (streamRowsBytes + chunkNameBytes)
	s := w.open(cfg)
	for round := range 3 {
		require.Len(t, find(t, s, "acme", wholeDay), 100)
		checkRows(t, s.rows)
		require.Equal(t, 100+75*round, rowsRead(s))
	}
}

// TestOwnRows writes to a file that lookups read meanwhile: rows of a file that grows are not kept.
func TestOwnRows(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.config())
	put(t, s, chunkOf("acme", 1, stream(1)))
	require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
	put(t, s, chunkOf("acme", 2, stream(1)))
	require.Equal(t, []string{"1 1", "1 2"}, find(t, s, "acme", wholeDay))
	require.Empty(t, s.rows.files)
	// A batch gets a part of its own, which does not change, until it is merged with others.
	entries := make([]schema.IndexEntry, partRows/4)
	for round := range 14 {
		for i := range entries {
			entries[i] = chunkOf("acme", 100+round*len(entries)+i, stream(i))
		}
		put(t, s, entries...)
		require.Len(t, find(t, s, "acme", wholeDay), 2+(round+1)*len(entries))
		checkRows(t, s.rows)
	}
	fixed := 0
	for _, f := range s.local.of(0, testDay) {
		for _, p := range *f.parts.Load() {
			if p.level > 0 {
				fixed++
			}
		}
	}
	require.Positive(t, fixed)
	require.Len(t, s.rows.files, fixed)
}
