package shipper

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// putDays writes and uploads one chunk on each of n days from testDay on.
func putDays(t *testing.T, s *Shipper, n int) {
	t.Helper()
	for day := range n {
		e := chunkOf("acme", day, stream(day))
		e.Ref.From += int64(day) * schema.MillisPerDay
		e.Ref.Through += int64(day) * schema.MillisPerDay
		put(t, s, e)
	}
	require.NoError(t, s.Flush(t.Context()))
}

func dayInterval(day int) model.Interval {
	return model.Interval{Start: wholeDay.Start + int64(day)*schema.MillisPerDay*1e6, End: wholeDay.End + int64(day)*schema.MillisPerDay*1e6}
}

// cachedBytes adds up the copies on the disk.
func cachedBytes(t *testing.T, dir string) (bytes int64, files int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		bytes, files = bytes+info.Size(), files+1
		return err
	}))
	return bytes, files
}

// TestCacheBound reads many tables through a cache that holds a few: the least recently used are removed, answers stay whole,
// and what an earlier run left counts.
func TestCacheBound(t *testing.T) {
	w := newWorld(t)
	putDays(t, w.open(w.config()), 6)
	cfg := w.config()
	probe := w.open(cfg)
	find(t, probe, "acme", dayInterval(0))
	size, _ := cachedBytes(t, cfg.CacheLocation)

	cfg.CacheBytes = 3*size + size/2
	require.NoError(t, probe.pool.close())
	s := w.open(cfg)
	for round := range 2 {
		for day := range 6 {
			require.Equal(t, []string{fmt.Sprintf("%d %d", day, day)}, find(t, s, "acme", dayInterval(day)), "round %d", round)
			bytes, files := cachedBytes(t, cfg.CacheLocation)
			require.LessOrEqual(t, bytes, cfg.CacheBytes)
			require.LessOrEqual(t, files, 3)
			require.Equal(t, bytes, s.copies.disk.bytes)
		}
	}
	require.EqualValues(t, 12, w.bucket.reads.Load(), "one was there already")
	// The used one stays.
	find(t, s, "acme", dayInterval(3))
	find(t, s, "acme", dayInterval(0))
	reads := w.bucket.reads.Load()
	find(t, s, "acme", dayInterval(3))
	require.Equal(t, reads, w.bucket.reads.Load())

	// A copy that a query reads is not removed, even if it alone is too much.
	cfg.CacheBytes = 1
	require.NoError(t, s.pool.close())
	s = w.open(cfg)
	bytes, _ := cachedBytes(t, cfg.CacheLocation)
	require.Zero(t, bytes, "what an earlier run left is too much")
	v, err := scope{s, false}.openTable(t.Context(), tableKey{0, testDay}, "acme")
	require.NoError(t, err)
	find(t, s, "acme", dayInterval(1))
	_, err = os.Stat(v.files[0].path)
	require.NoError(t, err)
	v.release()
	find(t, s, "acme", dayInterval(2))
	_, err = os.Stat(v.files[0].path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestCacheBoundConcurrent lets many lookups fight for a cache of one file.
func TestCacheBoundConcurrent(t *testing.T) {
	w := newWorld(t)
	putDays(t, w.open(w.config()), 4)
	cfg := w.config()
	cfg.CacheBytes = 1
	s := w.open(cfg)
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			for i := range 30 {
				day := (k + i) % 4
				require.Equal(t, []string{fmt.Sprintf("%d %d", day, day)}, find(t, s, "acme", dayInterval(day)))
			}
		})
	}
	wait.Wait()
	_, files := cachedBytes(t, cfg.CacheLocation)
	require.LessOrEqual(t, files, 1)
}

// TestTornCopiesTogether lets many lookups meet the same torn copy: one sets it aside, none fails, and what was fetched anew
// is not set aside by another.
func TestTornCopiesTogether(t *testing.T) {
	w := newWorld(t)
	putDays(t, w.open(w.config()), 1)
	cfg := w.config()
	s := w.open(cfg)
	find(t, s, "acme", wholeDay)
	copied := filepath.Join(cfg.CacheLocation, "index_20464", strings.TrimSuffix(filepath.Base(w.keys()[0]), ".gz"))
	for range 5 {
		require.NoError(t, s.pool.close())
		require.NoError(t, os.Truncate(copied, 5000))
		s = w.open(cfg)
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() { require.Equal(t, []string{"0 0"}, find(t, s, "acme", wholeDay)) })
		}
		wait.Wait()
	}
	require.EqualValues(t, 6, w.bucket.reads.Load())
}

// TestQuarantineIsBounded keeps the newest files that were set aside.
func TestQuarantineIsBounded(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	dir := filepath.Join(cfg.CacheLocation, "index_20464")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	for i := range maxCorruptCopies + 5 {
		path := filepath.Join(dir, fmt.Sprint(i)+corruptSuffix)
		require.NoError(t, os.WriteFile(path, nil, 0o666))
		at := time.Now().Add(time.Duration(i-100) * time.Hour)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	w.open(cfg)
	left, err := filepath.Glob(filepath.Join(dir, "*"+corruptSuffix))
	require.NoError(t, err)
	require.Len(t, left, maxCorruptCopies)
	require.NotContains(t, left, filepath.Join(dir, "4"+corruptSuffix))
	require.Contains(t, left, filepath.Join(dir, "5"+corruptSuffix))
}

// lateBucket is a bucket whose listings pass over some objects.
type lateBucket struct {
	objstore.Bucket
	hidden map[string]bool
}

func (b *lateBucket) List(ctx context.Context, prefix string, fn func(objstore.ObjectInfo) error) error {
	return b.Bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		if b.hidden[o.Key] {
			return nil
		}
		return fn(o)
	})
}

// TestListingThatLagsBehind forgets no file that a listing passes over while it is there.
func TestListingThatLagsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		late := &lateBucket{Bucket: w.bucket.Bucket, hidden: map[string]bool{}}
		w.bucket.Bucket = late
		writer := w.open(w.config())
		for i := range 2 {
			put(t, writer, chunkOf("acme", i, stream(i)))
			require.NoError(t, writer.Flush(t.Context()))
		}
		cfg := w.config()
		s := w.open(cfg)
		require.Equal(t, []string{"0 0", "1 1"}, find(t, s, "acme", wholeDay))
		late.hidden[w.keys()[0]] = true
		time.Sleep(cfg.ResyncInterval + 1)
		require.Equal(t, []string{"0 0", "1 1"}, find(t, s, "acme", wholeDay), "it is there, whatever the listing says")
		clear(late.hidden)
		require.NoError(t, w.bucket.Delete(t.Context(), w.keys()[0]))
		time.Sleep(cfg.ResyncInterval + 1)
		require.Len(t, find(t, s, "acme", wholeDay), 1, "now it is gone")
	})
}

// TestQueryReady fetches the last days before the process is ready, tries again while the bucket fails, and keeps them.
func TestQueryReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		cfg.QueryReadyDays = 2
		today := schema.Day(time.Now().UnixMilli())
		writer := w.open(w.config())
		for _, ago := range []int64{0, 1, 2, 3} {
			for _, tenant := range []string{"acme", "beta"} {
				e := chunkOf(tenant, int(ago), stream(int(ago)))
				e.Ref.From += (today - ago - testDay) * schema.MillisPerDay
				e.Ref.Through = e.Ref.From + 1
				put(t, writer, e)
			}
		}
		require.NoError(t, writer.Flush(t.Context()))
		w.bucket.failList.Store(true)
		s := w.open(cfg)
		require.ErrorIs(t, s.Ready(), ErrNotReady)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		require.ErrorIs(t, s.Ready(), ErrNotReady)
		w.bucket.failList.Store(false)
		time.Sleep(readyRetry + time.Second)
		require.NoError(t, s.Ready())
		_, files := cachedBytes(t, cfg.CacheLocation)
		require.Equal(t, 3, files, "today and two days before")
		time.Sleep(2 * cfg.CacheTTL) // two days later
		_, files = cachedBytes(t, cfg.CacheLocation)
		require.Equal(t, 2, files, "the day that is still among the last two stays, and the one that was so a day ago")
		time.Sleep(2 * cfg.CacheTTL)
		_, files = cachedBytes(t, cfg.CacheLocation)
		require.Zero(t, files)
		cancel()
		require.NoError(t, <-done)
	})
}

// TestRetainUploaded keeps local files as long as ingesterdbretainperiod says, if that is longer.
func TestRetainUploaded(t *testing.T) {
	cfg := DefaultConfig
	require.Equal(t, 20*time.Minute, cfg.retention())
	cfg.RetainUploaded = time.Hour
	require.Equal(t, time.Hour, cfg.retention())
	cfg.RetainUploaded = time.Minute
	require.Equal(t, 20*time.Minute, cfg.retention(), "less would be a gap for readers elsewhere")
}

// TestShutdownTimeout ends within the time that the configuration gives, though the bucket hangs.
func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		cfg.ShutdownTimeout = 7 * time.Second
		s, err := New(cfg, Deps{Periods: w.periods, Bucket: func(int) objstore.Bucket { return hangingBucket{w.bucket} }})
		require.NoError(t, err)
		put(t, s, chunkOf("acme", 1, stream(1)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		require.ErrorIs(t, s.Run(ctx), context.DeadlineExceeded)
		require.Equal(t, cfg.ShutdownTimeout, time.Since(begin))
	})
}

type hangingBucket struct{ objstore.Bucket }

func (hangingBucket) Put(ctx context.Context, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}
