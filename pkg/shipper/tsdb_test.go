package shipper

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/tsdb"
)

// tsdbWorld is a bucket with the index files of a recorded one.
func tsdbWorld(t *testing.T, name string) (*world, *TSDB, CacheConfig) {
	t.Helper()
	c := lokibuckets.Open(t, name)
	w := newWorld(t)
	w.periods[0].Store = schema.StoreTSDB
	root := filepath.Join(c.Bucket, "index")
	require.NoError(t, filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		rel, err := filepath.Rel(c.Bucket, path)
		require.NoError(t, err)
		return w.bucket.Put(t.Context(), filepath.ToSlash(rel), body)
	}))
	cfg := DefaultCacheConfig
	cfg.CacheLocation = t.TempDir()
	return w, w.openTSDB(cfg), cfg
}

func (w *world) openTSDB(cfg CacheConfig) *TSDB {
	w.t.Helper()
	x, err := NewTSDB(cfg, Deps{Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket }})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = x.copies.pool.close() })
	return x
}

func selectTSDB(t *testing.T, x *TSDB, sel logql.Selection) []schema.Series {
	t.Helper()
	sel.Interval = wholeDay
	series, err := x.Select(t.Context(), "acme", sel, x.copies.periods.SpansOf(wholeDay))
	require.NoError(t, err)
	return series
}

// TestTSDBShards deals every stream to one shard.
func TestTSDBShards(t *testing.T) {
	_, x, _ := tsdbWorld(t, "l37-tsdb-raw")
	all := selectTSDB(t, x, logql.Selection{})
	require.NotEmpty(t, all)
	var parts [][]schema.Series
	for i := range uint64(5) {
		parts = append(parts, selectTSDB(t, x, logql.Selection{ShardIndex: i, ShardCount: 5}))
		require.Less(t, len(parts[i]), len(all))
	}
	require.Equal(t, all, schema.MergeSeries(parts...))
}

// TestTSDBTorn lets downloads arrive damaged and copies be torn: they are fetched again, and an answer is whole or an error
// that names the object.
func TestTSDBTorn(t *testing.T) {
	w, x, cfg := tsdbWorld(t, "l37-tsdb-compacted")
	w.bucket.tear.Store(1)
	want := selectTSDB(t, x, logql.Selection{})
	require.NotEmpty(t, want)
	copies, err := filepath.Glob(filepath.Join(cfg.CacheLocation, "index_20464", "acme", "*.tsdb"))
	require.NoError(t, err)
	require.Len(t, copies, 1)
	good, err := os.ReadFile(copies[0])
	require.NoError(t, err)
	for _, bad := range [][]byte{nil, good[:len(good)/2], append(bytes.Clone(good), 1), bytes.Repeat([]byte{7}, len(good))} {
		require.NoError(t, x.copies.pool.close())
		require.NoError(t, os.WriteFile(copies[0], bad, 0o666))
		x = w.openTSDB(cfg)
		require.Equal(t, want, selectTSDB(t, x, logql.Selection{}))
	}
	asides, err := filepath.Glob(copies[0] + corruptSuffix)
	require.NoError(t, err)
	require.Len(t, asides, 1)

	// An object that is no index file, though its gzip is sound.
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, err = io.WriteString(zw, "not an index")
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	key := "index/index_20464/acme/" + filepath.Base(copies[0]) + ".gz"
	require.NoError(t, w.bucket.Put(t.Context(), key, buf.Bytes()))
	cfg.CacheLocation = t.TempDir()
	_, err = w.openTSDB(cfg).Select(t.Context(), "acme", logql.Selection{Interval: wholeDay}, w.periods.SpansOf(wholeDay))
	require.ErrorIs(t, err, tsdb.ErrCorrupt)
	require.ErrorContains(t, err, key)
}

// TestChangeOfStore has both kinds of files in the table of the day on which the store changed: each index takes its own.
func TestChangeOfStore(t *testing.T) {
	w, _, cfg := tsdbWorld(t, "l37-tsdb-raw")
	late := w.periods[0]
	late.Store, late.From = schema.StoreBoltDB, time.UnixMilli(testDay*schema.MillisPerDay).UTC()
	w.periods = append(w.periods, late)
	s := w.open(w.config())
	put(t, s, chunkOf("acme", 1, stream(1)))
	require.NoError(t, s.Flush(t.Context()))
	require.Equal(t, []string{"1 1"}, find(t, w.open(w.config()), "acme", wholeDay))
	before := model.Interval{Start: wholeDay.Start - schema.MillisPerDay*1e6, End: wholeDay.Start}
	x := w.openTSDB(cfg)
	m := labels.MustNewMatcher(labels.MatchEqual, "app", "api")
	series, err := x.Select(t.Context(), "acme", logql.Selection{Interval: before, Matchers: []*labels.Matcher{m}}, w.periods.SpansOf(before))
	require.NoError(t, err)
	require.Len(t, series, 2)

	// The rounding of a chunk's end is no reason to refuse it before a period that is only read.
	next := late
	next.Store, next.From = schema.StoreTSDB, late.From.AddDate(0, 0, 1)
	w.periods = append(w.periods, next)
	s = w.open(w.config())
	e := chunkOf("acme", 7, stream(7))
	e.Ref.From, e.Ref.Through = next.From.UnixMilli()-1, next.From.UnixMilli()
	put(t, s, e)
	require.Equal(t, []string{"7 7"}, find(t, s, "acme", model.Interval{Start: wholeDay.End - 1, End: wholeDay.End}))
	e.Ref.Through++
	require.ErrorContains(t, s.Put(t.Context(), []schema.IndexEntry{e}), "tsdb")
}
