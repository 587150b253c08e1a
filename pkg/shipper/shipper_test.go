package shipper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/index"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// brokenBucket is a bucket that fails and tears on demand.
type brokenBucket struct {
	objstore.Bucket
	failPut, failList, failGet atomic.Bool
	// tear is how many of the next reads are cut; before runs before each read.
	tear   atomic.Int32
	reads  atomic.Int32
	lists  atomic.Int32
	before func(key string)
}

var errBroken = errors.New("the bucket is broken")

func (b *brokenBucket) Put(ctx context.Context, key string, body []byte) error {
	if b.failPut.Load() {
		return errBroken
	}
	return b.Bucket.Put(ctx, key, body)
}

func (b *brokenBucket) List(ctx context.Context, prefix string, fn func(objstore.ObjectInfo) error) error {
	b.lists.Add(1)
	if b.failList.Load() {
		return errBroken
	}
	return b.Bucket.List(ctx, prefix, fn)
}

func (b *brokenBucket) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	b.reads.Add(1)
	if b.before != nil {
		b.before(key)
	}
	if b.failGet.Load() {
		return nil, errBroken
	}
	if b.tear.Add(-1) >= 0 {
		body, err := b.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader(string(body[:len(body)*2/3]))), nil
	}
	return b.Bucket.GetReader(ctx, key)
}

// world is a bucket and the processes that use it.
type world struct {
	t       *testing.T
	bucket  *brokenBucket
	periods schema.Periods
}

func newWorld(t *testing.T) *world {
	return &world{t: t, bucket: &brokenBucket{Bucket: objstore.NewMemory()}, periods: schema.Periods{schema.DefaultPeriod}}
}

func (w *world) config() Config {
	cfg := DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = w.t.TempDir(), w.t.TempDir()
	cfg.IngesterID = "me"
	return cfg
}

func (w *world) open(cfg Config) *Shipper {
	w.t.Helper()
	s, err := New(cfg, Deps{Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket }})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = s.pool.close() })
	return s
}

// keys returns the index objects of the bucket.
func (w *world) keys() []string {
	var keys []string
	require.NoError(w.t, w.bucket.Bucket.List(w.t.Context(), "", func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	}))
	return keys
}

const testDay = 20464

// chunkOf returns the entry of a chunk of a stream, a second long, n seconds into the day.
func chunkOf(tenant string, n int, lbls labels.Labels) schema.IndexEntry {
	from := int64(testDay*schema.MillisPerDay + n*1000)
	return schema.IndexEntry{
		Ref:    model.ChunkRef{Tenant: tenant, Fingerprint: schema.Fingerprint(lbls), From: from, Through: from + 999, Checksum: uint32(n)},
		Labels: lbls,
	}
}

func stream(i int) labels.Labels {
	return labels.FromStrings("app", "a", "n", fmt.Sprint(i), "half", fmt.Sprint(i%2))
}

func put(t *testing.T, s *Shipper, entries ...schema.IndexEntry) {
	t.Helper()
	require.NoError(t, s.Put(t.Context(), entries))
}

var wholeDay = model.Interval{Start: testDay * schema.MillisPerDay * 1e6, End: (testDay + 1) * schema.MillisPerDay * 1e6}

func trySelect(ctx context.Context, s *Shipper, tenant string, i model.Interval, matchers ...*labels.Matcher) ([]string, error) {
	series, err := s.Select(ctx, tenant, logql.Selection{Matchers: matchers, Interval: i}, s.periods.SpansOf(i))
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, x := range series {
		for _, c := range x.Chunks {
			out = append(out, fmt.Sprintf("%s %d", x.Labels.Get("n"), c.Checksum))
		}
	}
	slices.Sort(out)
	return out, nil
}

// find returns "stream chunk" for all that a lookup finds.
func find(t *testing.T, s *Shipper, tenant string, i model.Interval, matchers ...*labels.Matcher) []string {
	t.Helper()
	out, err := trySelect(t.Context(), s, tenant, i, matchers...)
	require.NoError(t, err)
	return out
}

func TestReadYourWrites(t *testing.T) {
	for _, perTenant := range []bool{false, true} {
		w := newWorld(t)
		cfg := w.config()
		cfg.BuildPerTenantIndex = perTenant
		s := w.open(cfg)
		require.Empty(t, find(t, s, "acme", wholeDay))
		put(t, s, chunkOf("acme", 1, stream(1)), chunkOf("beta", 2, stream(1)))
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		require.Equal(t, []string{"1 2"}, find(t, s, "beta", wholeDay))
		put(t, s, chunkOf("acme", 3, stream(1)), chunkOf("acme", 4, stream(2)), chunkOf("acme", 4, stream(2)))
		require.Equal(t, []string{"1 1", "1 3", "2 4"}, find(t, s, "acme", wholeDay))

		half := labels.MustNewMatcher(labels.MatchEqual, "half", "0")
		require.Equal(t, []string{"2 4"}, find(t, s, "acme", wholeDay, half))
		from := wholeDay.Start
		require.Equal(t, []string{"1 3"}, find(t, s, "acme", model.Interval{Start: from + 3e9, End: from + 4e9}))
		require.Equal(t, []string{"1 3", "2 4"}, find(t, s, "acme", model.Interval{Start: from + 3999e6, End: from + 4e9 + 1}))

		// Uploaded or not, each chunk is found once, here and elsewhere.
		require.NoError(t, s.Flush(t.Context()))
		require.Len(t, w.keys(), 1)
		require.Regexp(t, `^index/index_20464/me-\d+-\d+\.gz$`, w.keys()[0])
		put(t, s, chunkOf("acme", 5, stream(1)))
		require.NoError(t, s.copies.table(tableKey{0, testDay}).refresh(t.Context(), 0))
		require.Equal(t, []string{"1 1", "1 3", "1 5", "2 4"}, find(t, s, "acme", wholeDay))
		require.Zero(t, w.bucket.reads.Load(), "an own upload is not fetched")
		require.NoError(t, s.Flush(t.Context()))
		require.Len(t, w.keys(), 2, "an object is never changed under its name")
		other := w.open(w.config())
		require.Equal(t, []string{"1 1", "1 3", "1 5", "2 4"}, find(t, other, "acme", wholeDay))
		require.Equal(t, []string{"1 2"}, find(t, other, "beta", wholeDay))
		require.Empty(t, find(t, other, "nobody", wholeDay))
		for tenant, want := range map[string][]string{"acme": {"1", "2"}, "beta": {"1"}} {
			for _, x := range []*Shipper{s, other} {
				sel := logql.Selection{Interval: wholeDay}
				values, err := x.LabelValues(t.Context(), tenant, "n", sel, x.periods.SpansOf(wholeDay))
				require.NoError(t, err)
				require.Equal(t, want, values)
				names, err := x.LabelNames(t.Context(), tenant, sel, x.periods.SpansOf(wholeDay))
				require.NoError(t, err)
				require.Equal(t, []string{"app", "half", "n"}, names)
			}
		}
	}
}

// TestManyParts writes batches of all sizes, so that parts of every level come about, and reads them from everywhere.
func TestManyParts(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.config())
	want := []string{}
	n := 0
	for batch := range 3 * partFanIn {
		var entries []schema.IndexEntry
		size := partRows/6 + 100
		if batch%5 == 0 {
			size = 7
		}
		for range size {
			entries = append(entries, chunkOf("acme", n, stream(n/2)))
			want = append(want, fmt.Sprintf("%d %d", n/2, n))
			n++
		}
		put(t, s, entries...)
	}
	slices.Sort(want)
	require.Equal(t, want, find(t, s, "acme", wholeDay))
	parts := *s.local.files[0].parts.Load()
	require.Less(t, len(parts), partFanIn+2)
	require.NoError(t, s.Flush(t.Context()))
	require.Equal(t, want, find(t, s, "acme", wholeDay))
	require.Equal(t, want, find(t, w.open(w.config()), "acme", wholeDay))
	one := labels.MustNewMatcher(labels.MatchEqual, "n", "77")
	require.Equal(t, []string{"77 154", "77 155"}, find(t, s, "acme", wholeDay, one))
}

// TestPeriods writes chunks over a change of schema and of the table's prefix.
func TestPeriods(t *testing.T) {
	w := newWorld(t)
	for _, v := range []schema.Version{9, 10, 11, 13} {
		early, late := schema.DefaultPeriod, schema.DefaultPeriod
		early.Schema, early.IndexPrefix = v, "old_"
		late.From = time.UnixMilli(testDay * schema.MillisPerDay).UTC()
		w.periods = schema.Periods{early, late}
		s := w.open(w.config())
		e := chunkOf("acme", 1, stream(1))
		e.Ref.From -= 2000
		put(t, s, e)
		layout := schema.Flat
		if v >= 12 {
			layout = schema.Nested
		}
		for _, i := range []model.Interval{
			wholeDay, {Start: wholeDay.Start - 1e9, End: wholeDay.Start}, {Start: wholeDay.Start - 1e9, End: wholeDay.Start + 1},
		} {
			require.Equal(t, []string{"1 1"}, find(t, s, "acme", i))
			series, err := s.Select(t.Context(), "acme", logql.Selection{Interval: i}, s.periods.SpansOf(i))
			require.NoError(t, err)
			require.Equal(t, layout, series[0].Chunks[0].Layout)
		}
		require.NoError(t, s.Flush(t.Context()))
		require.Equal(t, []string{"1 1"}, find(t, w.open(w.config()), "acme", model.Interval{Start: wholeDay.Start - 1e9, End: wholeDay.Start}))
	}
	late := schema.DefaultPeriod
	late.Store = schema.StoreTSDB
	w.periods = schema.Periods{late}
	require.ErrorContains(t, w.open(w.config()).Put(t.Context(), []schema.IndexEntry{chunkOf("acme", 1, stream(1))}), "tsdb")
}

// TestCrash leaves files behind without a shutdown; the next start uploads them.
func TestCrash(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	s := w.open(cfg)
	put(t, s, chunkOf("acme", 1, stream(1)))
	uploader := s.uploader
	require.NoError(t, s.pool.close())
	dir := filepath.Join(cfg.ActiveIndexDirectory, "index_20464")
	old, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, old, 1)
	good, err := os.ReadFile(filepath.Join(dir, old[0].Name()))
	require.NoError(t, err)
	for name, body := range map[string][]byte{
		"index_20464/5.temp": good[:100], "index_20464/5.snapshot": good, "index_20464/6": good[:5000], "index_20463": good, "unknown_1/7": good,
	} {
		path := filepath.Join(cfg.ActiveIndexDirectory, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, body, 0o666))
	}

	s = w.open(cfg)
	require.Equal(t, uploader, s.uploader)
	require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay), "before the upload")
	put(t, s, chunkOf("acme", 2, stream(2)))
	require.NoError(t, s.Flush(t.Context()))
	keys := w.keys()
	require.Len(t, keys, 3)
	require.Contains(t, keys, "index/index_20463/"+uploader+"-index_20463.gz")
	require.Contains(t, keys, "index/index_20464/"+uploader+"-"+old[0].Name()+".gz")
	require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))
	require.Equal(t, []string{"1 1", "2 2"}, find(t, w.open(w.config()), "acme", wholeDay))
	for _, gone := range []string{"5.temp", "5.snapshot", "6"} {
		_, err := os.Stat(filepath.Join(dir, gone))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	_, err = os.Stat(filepath.Join(dir, "6"+corruptSuffix))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(cfg.ActiveIndexDirectory, "unknown_1", "7"))
	require.NoError(t, err, "what is no table is left alone")
}

// TestCadence runs the loop on a fake clock: files are uploaded when their quarter of an hour is over, and removed when
// readers elsewhere have had time to see them. At no time is a chunk missing or there twice.
func TestCadence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		s, reader := w.open(cfg), w.open(w.config())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- s.Run(ctx) }()
		go func() { done <- reader.Run(ctx) }()
		put(t, s, chunkOf("acme", 1, stream(1)))
		require.Empty(t, find(t, reader, "acme", wholeDay))

		w.bucket.failPut.Store(true)
		time.Sleep(16*time.Minute + time.Second)
		require.Empty(t, w.keys())
		put(t, s, chunkOf("acme", 2, stream(2)))
		for range 10 {
			time.Sleep(time.Minute)
			require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))
		}
		w.bucket.failPut.Store(false)
		time.Sleep(4 * time.Minute)
		require.Len(t, w.keys(), 1, "the second file's time is not over")
		for range 60 {
			time.Sleep(time.Minute)
			require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))
		}
		require.Len(t, w.keys(), 2)
		require.Empty(t, s.local.files, "local files are removed in the end")
		require.Equal(t, []string{"1 1", "2 2"}, find(t, reader, "acme", wholeDay))

		put(t, s, chunkOf("acme", 3, stream(3)))
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		require.Len(t, w.keys(), 3, "the shutdown uploads")
		require.ErrorIs(t, s.Put(t.Context(), []schema.IndexEntry{chunkOf("acme", 4, stream(4))}), ErrClosed)
		left, err := os.ReadDir(cfg.ActiveIndexDirectory)
		require.NoError(t, err)
		require.Len(t, left, 1, "only the uploader's name is left")
		require.Equal(t, []string{"1 1", "2 2", "3 3"}, find(t, w.open(cfg), "acme", wholeDay))
	})
}

// TestShutdownWithoutBucket keeps the rows for the next start.
func TestShutdownWithoutBucket(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	s := w.open(cfg)
	put(t, s, chunkOf("acme", 1, stream(1)))
	w.bucket.failPut.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Run(ctx), errBroken)
	w.bucket.failPut.Store(false)
	s = w.open(cfg)
	require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
	require.NoError(t, s.Flush(t.Context()))
	require.Len(t, w.keys(), 1)
}

func TestRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writer := w.open(w.config())
		put(t, writer, chunkOf("acme", 1, stream(1)))
		require.NoError(t, writer.Flush(t.Context()))
		cfg := w.config()
		s := w.open(cfg)

		// A download that arrives damaged is repeated; one that always does is an error with the key.
		w.bucket.tear.Store(downloadAttempts)
		_, err := trySelect(t.Context(), s, "acme", wholeDay)
		require.ErrorIs(t, err, index.ErrCorrupt)
		require.ErrorContains(t, err, w.keys()[0])
		w.bucket.tear.Store(2)
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		reads := w.bucket.reads.Load()
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		require.Equal(t, reads, w.bucket.reads.Load(), "a file is fetched once")

		// A copy that is torn while no process runs is set aside and fetched again; a sound one is used as it is.
		require.NoError(t, s.pool.close())
		s = w.open(cfg)
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		require.Equal(t, reads, w.bucket.reads.Load())
		require.NoError(t, s.pool.close())
		name := strings.TrimSuffix(filepath.Base(w.keys()[0]), ".gz")
		copied := filepath.Join(cfg.CacheLocation, "index_20464", name)
		require.NoError(t, os.Truncate(copied, 5000))
		s = w.open(cfg)
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		require.Equal(t, reads+1, w.bucket.reads.Load())

		// New files are seen after the resync interval, not before.
		put(t, writer, chunkOf("acme", 2, stream(2)))
		require.NoError(t, writer.Flush(t.Context()))
		require.Equal(t, []string{"1 1"}, find(t, s, "acme", wholeDay))
		time.Sleep(cfg.ResyncInterval + 1)
		require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))

		// An older listing is good enough while the bucket cannot be listed, but not for ever.
		w.bucket.failList.Store(true)
		time.Sleep(cfg.ResyncInterval + 1)
		require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))
		time.Sleep(3 * cfg.ResyncInterval)
		_, err = trySelect(t.Context(), s, "acme", wholeDay)
		require.ErrorIs(t, err, errBroken)
		w.bucket.failList.Store(false)
		require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))

		// Copies of tables that are not asked for are dropped.
		time.Sleep(cfg.CacheTTL + time.Minute)
		s.copies.resync(t.Context())
		require.Empty(t, s.copies.tables)
		left, err := os.ReadDir(cfg.CacheLocation)
		require.NoError(t, err)
		require.Len(t, left, 1) // the file that was set aside keeps its folder
		require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", wholeDay))
	})
}

// TestCompactedMeanwhile replaces the files of a table between the listing and the download.
func TestCompactedMeanwhile(t *testing.T) {
	w := newWorld(t)
	writer := w.open(w.config())
	for i := range 3 {
		put(t, writer, chunkOf("acme", i, stream(i)))
		require.NoError(t, writer.Flush(t.Context()))
	}
	dir := t.TempDir()
	var files []*index.File
	var sources []string
	for i, key := range w.keys() {
		r, err := w.bucket.Bucket.GetReader(t.Context(), key)
		require.NoError(t, err)
		path := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, index.Unpack(path, r, true))
		f, err := index.Open(path)
		require.NoError(t, err)
		defer f.Close()
		files, sources = append(files, f), append(sources, key)
	}
	require.NoError(t, index.Merge(filepath.Join(dir, "all"), files...))
	object, err := index.Compress(filepath.Join(dir, "all"))
	require.NoError(t, err)
	var once sync.Once
	w.bucket.before = func(string) {
		once.Do(func() {
			require.NoError(t, w.bucket.Put(t.Context(), "index/index_20464/compactor-1.gz", object))
			for _, key := range sources {
				require.NoError(t, w.bucket.Delete(t.Context(), key))
			}
		})
	}
	cfg := w.config()
	s := w.open(cfg)
	require.Equal(t, []string{"0 0", "1 1", "2 2"}, find(t, s, "acme", wholeDay))
	left, err := os.ReadDir(filepath.Join(cfg.CacheLocation, "index_20464"))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// TestConcurrent writes, flushes, resyncs and drops while lookups want every chunk whose Put has returned, once.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.MaxOpenFiles, cfg.SeriesCacheBytes = 2, 1000
	cfg.ResyncInterval, cfg.IndexCacheValidity = time.Millisecond, time.Millisecond
	s := w.open(cfg)
	var written atomic.Int64
	stop := make(chan struct{})
	var group, readers sync.WaitGroup
	var mu sync.Mutex
	done := map[string]bool{}
	for k := range 3 {
		group.Go(func() {
			for i := range 40 {
				n := k*1000 + i
				require.NoError(t, s.Put(t.Context(), []schema.IndexEntry{chunkOf("acme", n, stream(n/3))}))
				mu.Lock()
				done[fmt.Sprintf("%d %d", n/3, n)] = true
				mu.Unlock()
				written.Add(1)
			}
		})
	}
	for _, work := range []func(){
		func() { require.NoError(t, s.Flush(t.Context())) },
		func() { s.copies.resync(t.Context()); s.dropUploaded() },
		func() {
			mu.Lock()
			want := len(done)
			mu.Unlock()
			got := find(t, s, "acme", wholeDay)
			require.GreaterOrEqual(t, len(got), want)
			require.Len(t, slices.Compact(slices.Clone(got)), len(got))
		},
	} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					work()
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	readers.Wait()
	require.Len(t, find(t, s, "acme", wholeDay), 120)
	require.NoError(t, s.Flush(t.Context()))
	require.Len(t, find(t, w.open(w.config()), "acme", wholeDay), 120)
}

// TestLongInterval asks for all times: only tables that there are are listed.
func TestLongInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		writer := w.open(w.config())
		put(t, writer, chunkOf("acme", 1, stream(1)))
		require.NoError(t, writer.Flush(t.Context()))
		cfg := w.config()
		s := w.open(cfg)
		local := chunkOf("acme", 2, stream(2))
		local.Ref.From += 10 * schema.MillisPerDay
		local.Ref.Through += 10 * schema.MillisPerDay
		put(t, s, local)
		ever := model.Interval{Start: 0, End: 1 << 62}
		require.Equal(t, []string{"1 1", "2 2"}, find(t, s, "acme", ever))
		require.EqualValues(t, 2, w.bucket.lists.Load())
		e := chunkOf("acme", 3, stream(3))
		e.Ref.From -= schema.MillisPerDay
		e.Ref.Through -= schema.MillisPerDay
		put(t, writer, e)
		require.NoError(t, writer.Flush(t.Context()))
		time.Sleep(cfg.ResyncInterval + 1)
		require.Equal(t, []string{"1 1", "2 2", "3 3"}, find(t, s, "acme", ever))
	})
}

func TestPutRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.config())
	bad := chunkOf("acme", 1, stream(1))
	bad.Ref.Through = bad.Ref.From - 1
	require.ErrorContains(t, s.Put(t.Context(), []schema.IndexEntry{bad}), "bounds")
	bad = chunkOf("", 1, stream(1))
	require.Error(t, s.Put(t.Context(), []schema.IndexEntry{bad}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := trySelect(ctx, s, "acme", wholeDay)
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, (&Config{}).Validate())
	require.NoError(t, DefaultConfig.Validate())
}

func TestFoldersThatCannotBe(t *testing.T) {
	w := newWorld(t)
	f := func(change func(cfg *Config, path string), want string) {
		t.Helper()
		cfg := w.config()
		path := filepath.Join(t.TempDir(), "taken")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		change(&cfg, path)
		_, err := New(cfg, Deps{Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket }})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	f(func(cfg *Config, path string) { cfg.ActiveIndexDirectory = path }, "cannot open active index directory")
	f(func(cfg *Config, path string) { cfg.CacheLocation = path }, "cannot open cache location of the index")
}
