package compactor

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/deletes"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

func app(name string) labels.Labels { return labels.FromStrings("app", name, "job", "test") }

// fill puts n chunks of one line each into a day, flushing the index after each few.
func (w *world) fill(id, name string, at time.Time, n int) {
	for i := range n {
		w.put(id, app(name), line(at.Add(time.Duration(i)*time.Minute), fmt.Sprintf("%s line %d of %s", id, i, name)))
		if i%3 == 2 {
			w.flush()
		}
	}
	w.flush()
}

func day(at time.Time) int64 { return schema.Day(at.UnixMilli()) }

// TestCompact merges the files of a day into one, and removes them when no reader needs them any more.
func TestCompact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		at := time.Now().Add(-time.Hour)
		w.fill("acme", "a", at, 10)
		w.fill("beta", "a", at, 4)
		rows, want, other := w.rows(day(at)), w.lines("acme"), w.lines("beta")
		table := "index/" + w.periods[0].Table(day(at)) + "/"
		files := w.keys(table)
		require.Greater(t, len(files), 4)
		require.Len(t, want, 10)

		w.run()
		both := w.keys(table)
		require.Len(t, both, len(files)+1, "the old files stay for the grace")
		require.Equal(t, rows, w.rows(day(at)))
		require.Equal(t, want, w.lines("acme"))
		w.run()
		require.Len(t, w.keys(table), len(files)+1, "a second pass has nothing to do")

		w.settle()
		left := w.keys(table)
		require.Len(t, left, 1)
		require.True(t, strings.HasPrefix(left[0], table+"compactor-"), left[0])
		require.Equal(t, rows, w.rows(day(at)))
		require.Equal(t, want, w.lines("acme"))
		require.Equal(t, other, w.lines("beta"))
		require.Empty(t, w.keys(manifestPrefix))
		w.openReaders()
		require.Equal(t, want, w.lines("acme"))
		w.check()

		// What comes later is merged with it.
		w.fill("acme", "b", at, 2)
		w.settle()
		require.Len(t, w.keys(table), 1)
		require.Len(t, w.lines("acme"), 12)
		w.check()
	})
}

// unreadBucket answers the first reads with an error.
type unreadBucket struct {
	objstore.Bucket
	left atomic.Int32
	err  error
}

func (b *unreadBucket) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	if b.left.Add(-1) >= 0 {
		return nil, b.err
	}
	return b.Bucket.GetReader(ctx, key)
}

// TestUnreadTable meets index files that cannot be fetched: another member has removed them, or the bucket or the disk fails. The pass
// ends without harm, leaves nothing behind, and a later one does the work.
func TestUnreadTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		at := time.Now().Add(-time.Hour)
		w.fill("acme", "a", at, 10)
		want := w.lines("acme")
		b := &unreadBucket{Bucket: w.bucket}
		w.deps.Bucket = func(int) objstore.Bucket { return b }
		w.restart()
		pass := func(err error) error {
			b.left.Store(1)
			b.err = err
			failed := w.comp.RunOnce(t.Context())
			left, err := filepath.Glob(filepath.Join(w.cfg.Directory, workPrefix+"*"))
			require.NoError(t, err)
			require.Empty(t, left)
			return failed
		}
		require.NoError(t, pass(objstore.ErrNotFound))
		require.ErrorIs(t, pass(syscall.ENOSPC), syscall.ENOSPC)
		w.settle()
		require.Len(t, w.keys("index/"+w.periods[0].Table(day(at))+"/"), 1)
		require.Equal(t, want, w.lines("acme"))
		w.check()
	})
}

// TestRetention removes what is older than its rule says, chunk by chunk and day by day.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d = 24 * time.Hour
		w := newWorld(t, func(cfg *Config, l *limits.Limits) {
			cfg.RetentionEnabled = true
			l.RetentionPeriod = 10 * d
			l.RetentionStream = []limits.StreamRetention{
				{Selector: `{app="short"}`, Priority: 1, Period: 2 * d},
				{Selector: `{app=~"sho.*", job="test"}`, Priority: 2, Period: 4 * d},
				{Selector: `{app="long"}`, Priority: 1, Period: 30 * d},
				{Selector: `{app="long"}`, Priority: 1, Period: 20 * d},
			}
		})
		beta := limits.DefaultLimits()
		require.NoError(t, w.limits.Set("beta", beta))
		now := time.Now().Truncate(d).Add(12 * time.Hour)
		time.Sleep(time.Until(now) + d)
		now = time.Now()
		ages := map[string][]int{}
		for _, age := range []int{1, 3, 5, 9, 11, 19, 21, 29} {
			for _, name := range []string{"short", "long", "plain"} {
				w.put("acme", app(name), line(now.Add(-time.Duration(age)*d), fmt.Sprint("age ", age)))
				ages[name] = append(ages[name], age)
			}
			w.put("beta", app("plain"), line(now.Add(-time.Duration(age)*d), fmt.Sprint("age ", age)))
		}
		// A chunk over the boundary is kept until its end is expired.
		w.put("acme", app("wide"), line(now.Add(-11*d), "old"), line(now.Add(-9*d), "new"))
		w.flush()
		w.settle()
		count := map[string]int{}
		for _, l := range w.lines("acme") {
			count[l[6:10]]++
		}
		require.Equal(t, map[string]int{`shor`: 2, `long`: 6, `plai`: 4, `wide`: 2}, count)
		require.Len(t, w.lines("beta"), 8)
		w.check()

		// Two days later the next ones go, by themselves.
		time.Sleep(2 * d)
		w.settle()
		count = map[string]int{}
		for _, l := range w.lines("acme") {
			count[l[6:10]]++
		}
		require.Equal(t, map[string]int{`shor`: 1, `long`: 5, `plai`: 3}, count)
		w.check()

		// Overrides are read anew in each pass.
		beta.RetentionPeriod = 24 * time.Hour
		require.NoError(t, w.limits.Set("beta", beta))
		w.settle()
		require.Empty(t, w.lines("beta"))
		w.check()
	})
}

// TestSharedNames keeps the label names row of a stream that another tenant still has.
func TestSharedNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config, l *limits.Limits) { cfg.RetentionEnabled = true })
		at := time.Now().Add(-3 * 24 * time.Hour)
		w.put("acme", app("a"), line(at, "x"))
		w.put("beta", app("a"), line(at, "x"))
		w.flush()
		short := limits.DefaultLimits()
		short.RetentionPeriod = 24 * time.Hour
		require.NoError(t, w.limits.Set("beta", short))
		w.settle()
		require.Empty(t, w.lines("beta"))
		require.Len(t, w.lines("acme"), 1)
		names := 0
		for _, r := range w.rows(day(at)) {
			if strings.Contains(r, `["app","job"]`) || strings.Contains(r, `[\"app\",\"job\"]`) {
				names++
			}
		}
		require.Equal(t, 1, names)
		w.check()
		require.NoError(t, w.limits.Set("acme", short))
		w.settle()
		require.Empty(t, w.keys("index/index_"), "an empty table has no file")
		require.Empty(t, w.chunkKeys())
	})
}

func (w *world) delete(id, query string, start, end time.Time) string {
	w.t.Helper()
	request, err := w.deletes.Add(w.t.Context(), id, deletes.Params{Query: query, Start: start.UnixMilli(), End: end.UnixMilli()})
	require.NoError(w.t, err)
	return request
}

func (w *world) status(id string) string {
	w.t.Helper()
	require.NoError(w.t, w.deletes.Refresh(w.t.Context()))
	var out []string
	for _, r := range w.deletes.Requests(id) {
		out = append(out, r.Status())
	}
	return strings.Join(out, ",")
}

// TestDelete carries out requests for whole streams and for some of their lines, over midnight.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config, l *limits.Limits) { cfg.RetentionEnabled = true })
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(30 * time.Hour)))
		midnight := time.Now().Truncate(24 * time.Hour)
		var entries []model.Entry
		for i := -120; i < 120; i++ {
			level := []string{"info", "warn"}[(i+120)%2]
			entries = append(entries, line(midnight.Add(time.Duration(i)*time.Minute), fmt.Sprintf("level=%s n=%d", level, i)))
		}
		w.put("acme", app("wide"), entries...)
		w.put("acme", app("early"), entries[:100]...)
		w.put("acme", app("gone"), entries...)
		w.put("beta", app("wide"), entries...)
		w.flush()
		w.delete("acme", `{app="gone"}`, midnight.Add(-24*time.Hour), midnight.Add(4*time.Hour))
		w.delete("acme", `{app=~"wide|early"} |= "warn"`, midnight.Add(-time.Hour), midnight.Add(time.Hour))
		kept := func() int {
			n := 0
			for _, e := range entries {
				at := time.Unix(0, e.Timestamp)
				inside := !at.Before(midnight.Add(-time.Hour)) && !at.After(midnight.Add(time.Hour))
				if !(inside && strings.Contains(e.Line, "warn")) {
					n++
				}
			}
			return n
		}()
		want := w.lines("acme")
		early := 80 + 20
		early -= (100 - 60) / 2
		require.Len(t, want, kept+early, "hidden at once")
		require.Len(t, w.lines("beta"), 240)
		w.settle()
		require.Equal(t, "received,received", w.status("acme"), "the cancel period is a day")
		require.Len(t, linesOf(t, w.store, "acme"), 580)

		time.Sleep(25 * time.Hour)
		w.run()
		require.Equal(t, want, w.lines("acme"))
		require.Equal(t, "received,received", w.status("acme"), "readers may still see the old files")
		for range 40 {
			require.Equal(t, want, w.lines("acme"))
			time.Sleep(time.Minute)
			w.run()
		}
		require.Equal(t, "processed,processed", w.status("acme"))
		w.settle()
		time.Sleep(time.Hour)
		require.Empty(t, w.deletes.Filters("acme"), "the filters are lifted")
		require.Equal(t, want, linesOf(t, w.store, "acme"))
		require.Len(t, w.lines("beta"), 240)
		w.check()
		w.openReaders()
		require.Equal(t, want, linesOf(t, w.store, "acme"))
	})
}

// TestMergeChunks makes full chunks of small ones, while readers with an old listing go on.
func TestMergeChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config, l *limits.Limits) { cfg.MergeAfter = 48 * time.Hour })
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(36 * time.Hour)))
		old, young := time.Now().Add(-4*24*time.Hour), time.Now().Add(-2*24*time.Hour)
		w.fill("acme", "a", old, 20)
		w.fill("acme", "b", young, 20)
		// The same lines in chunks that were cut elsewhere, as replicas have them.
		w.put("acme", app("a"), line(old, "acme line 0 of a"), line(old.Add(time.Minute), "acme line 1 of a"), line(old.Add(time.Minute), "another"))
		w.flush()
		want := w.lines("acme")
		require.Len(t, want, 41)
		require.Len(t, w.chunkKeys(), 41)
		w.run()
		require.Equal(t, want, w.lines("acme"))
		for range 30 {
			time.Sleep(time.Minute)
			w.run()
			require.Equal(t, want, w.lines("acme"))
		}
		w.settle()
		require.Equal(t, want, w.lines("acme"))
		require.Len(t, w.chunkKeys(), 21)
		w.check()
		w.restart()
		written := w.keys("index/")
		w.settle()
		require.Equal(t, written, w.keys("index/"), "it is not done again")
	})
}

// TestSize removes the oldest days, and no more of them while their chunks wait for their removal.
func TestSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *Config, l *limits.Limits) { cfg.DeleteDelay = time.Hour })
		time.Sleep(12 * time.Hour)
		for age := range 10 {
			w.fill("acme", "a", time.Now().Add(-time.Duration(age)*24*time.Hour-2*time.Hour), 3)
		}
		total := int64(0)
		require.NoError(t, w.store.EachChunk(t.Context(), func(_ schema.ChunkName, size int64) error {
			total += size
			return nil
		}))
		w.comp.cfg.MaxBytes = total * 45 / 100
		for range 5 {
			w.run()
			time.Sleep(time.Minute)
		}
		w.settle()
		require.Len(t, w.lines("acme"), 12)
		w.check()
		w.comp.cfg.MaxBytes = 1
		w.settle()
		require.NotEmpty(t, w.lines("acme"), "the current day stays")
		require.Less(t, len(w.lines("acme")), 7)
	})
}

// TestTwoCompactors lets two members try.
func TestTwoCompactors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.fill("acme", "a", time.Now().Add(-time.Hour), 5)
		cfg := w.cfg
		cfg.ID, cfg.Directory = "another", t.TempDir()
		other, err := New(cfg, w.deps)
		require.NoError(t, err)
		w.run()
		require.NoError(t, other.RunOnce(t.Context()))
		require.False(t, other.Status().Owner)
		require.True(t, w.comp.Status().Owner)
		require.Len(t, w.keys(lockPrefix), 1)
		// The first one dies; its lock runs out.
		time.Sleep(cfg.LockTTL)
		require.False(t, w.comp.Status().Owner)
		require.NoError(t, other.RunOnce(t.Context()))
		require.False(t, other.Status().Owner, "not before the clocks may differ by half of it")
		time.Sleep(cfg.LockTTL)
		require.NoError(t, other.RunOnce(t.Context()))
		require.True(t, other.Status().Owner)
		require.Greater(t, other.Status().Fence, w.comp.Status().Fence)
		w.run()
		require.False(t, w.comp.Status().Owner)
		require.ErrorIs(t, w.comp.lock.mine(), errLost)
		require.NoError(t, other.lock.release(t.Context()))
		w.run()
		require.True(t, w.comp.Status().Owner)
	})
}
