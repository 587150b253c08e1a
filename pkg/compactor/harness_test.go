package compactor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/deletes"
	"logstore/pkg/index"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/store"
	"logstore/pkg/tenant"
)

// world is a store of one member, with a bucket in memory. It is meant for a bubble of synctest: its clock stands still
// unless somebody sleeps.
type world struct {
	t       testing.TB
	periods schema.Periods
	bucket  objstore.Bucket
	limits  *limits.Overrides
	ship    *shipper.Shipper
	store   *store.Store
	deletes *deletes.Store
	comp    *Compactor
	cfg     Config
	deps    Deps
}

// testResync is the resync interval of the test's shippers, from which the grace follows.
const testResync = time.Minute

func newWorld(t testing.TB, change func(cfg *Config, l *limits.Limits)) *world {
	t.Helper()
	return newWorldOn(t, objstore.NewMemory(), schema.Periods{schema.DefaultPeriod}, change)
}

func newWorldOn(t testing.TB, b objstore.Bucket, periods schema.Periods, change func(cfg *Config, l *limits.Limits)) *world {
	t.Helper()
	w := &world{t: t, bucket: b, periods: periods, cfg: DefaultConfig}
	w.cfg.Directory, w.cfg.Grace, w.cfg.Staleness, w.cfg.MergeAfter = t.TempDir(), 2*testResync, 3*testResync, 0
	// A zstd coder belongs to the bubble that made it, and is pooled.
	w.cfg.ChunkEncoding = compress.Snappy
	l := limits.DefaultLimits()
	if change != nil {
		change(&w.cfg, &l)
	}
	var err error
	w.limits, err = limits.New(l)
	require.NoError(t, err)
	w.openReaders()
	dc := deletes.DefaultConfig
	dc.Directory, dc.Linger = t.TempDir(), 4*testResync
	w.deletes, err = deletes.New(dc, deletes.Deps{Bucket: b, Limits: w.limits})
	require.NoError(t, err)
	w.deps = Deps{
		Periods: periods, Bucket: func(int) objstore.Bucket { return b }, Chunks: w.store, Limits: w.limits, Deletes: w.deletes,
	}
	w.restart()
	return w
}

// openReaders makes a shipper and a store without any copies.
func (w *world) openReaders() {
	cfg := shipper.DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = w.t.TempDir(), w.t.TempDir()
	cfg.ResyncInterval, cfg.IndexCacheValidity = testResync, 5*time.Minute
	var err error
	w.ship, err = shipper.New(cfg, shipper.Deps{Periods: w.periods, Bucket: func(int) objstore.Bucket { return w.bucket }})
	require.NoError(w.t, err)
	w.store, err = store.New(store.Deps{
		Periods: w.periods, Stores: map[string]store.ObjectStore{schema.Filesystem: {Bucket: w.bucket, Filesystem: true}},
		Indexes: map[string]store.Index{schema.StoreBoltDB: w.ship},
	})
	require.NoError(w.t, err)
}

// restart makes a new compactor, which knows nothing but what is in the bucket.
func (w *world) restart() {
	var err error
	w.comp, err = New(w.cfg, w.deps)
	require.NoError(w.t, err)
}

func (w *world) run() {
	w.t.Helper()
	require.NoError(w.t, w.comp.RunOnce(w.t.Context()))
}

// settle runs the compactor until nothing is due any more, for at most a day of the bubble's clock.
func (w *world) settle() {
	w.t.Helper()
	for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); {
		w.run()
		if w.comp.next.IsZero() {
			return
		}
		time.Sleep(max(time.Until(w.comp.next), time.Second))
	}
	w.t.Fatal("the compactor does not come to rest")
}

// put stores a chunk of lines at given instants.
func (w *world) put(id string, lbls labels.Labels, entries ...model.Entry) model.ChunkRef {
	w.t.Helper()
	b := chunk.NewBuilder(chunk.Version4)
	for _, e := range entries {
		require.NoError(w.t, b.Append(e.Timestamp, []byte(e.Line), e.Metadata))
	}
	c := b.Chunk()
	c.Tenant, c.Labels, c.Fingerprint = id, lbls, schema.Fingerprint(lbls)
	object, ref, err := chunk.Marshal(c, chunk.Options{Encoding: compress.Snappy})
	require.NoError(w.t, err)
	require.NoError(w.t, w.store.PutChunk(w.t.Context(), ref, object, lbls))
	return ref
}

func (w *world) flush() {
	w.t.Helper()
	require.NoError(w.t, w.ship.Flush(w.t.Context()))
}

// lines returns what a query over all time shows of a tenant, as "labels ts line", sorted, each as often as it is there
// after streams are deduplicated.
func (w *world) lines(id string) []string {
	w.t.Helper()
	return linesOf(w.t, deletes.Hide(w.store, w.deletes.Filters), id)
}

func linesOf(t testing.TB, src logql.Source, id string) []string {
	t.Helper()
	out := []string{}
	ctx := tenant.Inject(context.Background(), id)
	now := time.Now()
	streams, err := src.Select(ctx, logql.Selection{Interval: model.Interval{Start: now.Add(-400 * 24 * time.Hour).UnixNano(), End: now.Add(24 * time.Hour).UnixNano()}})
	require.NoError(t, err)
	for _, s := range streams {
		var chunks []*chunk.Chunk
		for _, p := range s.Pieces {
			c, err := p.Open(ctx)
			require.NoError(t, err)
			chunks = append(chunks, c)
		}
		it := chunk.Iterate(chunks...)
		for it.Next() {
			out = append(out, fmt.Sprintf("%s %d %s", s.Labels, it.Timestamp(), it.Line()))
		}
		require.NoError(t, it.Err())
	}
	sort.Strings(out)
	return out
}

// keys returns the keys in the bucket with a prefix.
func (w *world) keys(prefix string) []string {
	w.t.Helper()
	out := []string{}
	require.NoError(w.t, w.bucket.List(context.Background(), prefix, func(o objstore.ObjectInfo) error {
		out = append(out, o.Key)
		return nil
	}))
	return out
}

// chunkKeys returns the keys of all chunk objects.
func (w *world) chunkKeys() []string {
	return slices.DeleteFunc(w.keys(""), func(key string) bool {
		return strings.HasPrefix(key, "index/") || strings.HasPrefix(key, "__logstore__/")
	})
}

// rows returns all rows of a table as "bucket key=value", from all of its files.
func (w *world) rows(day int64) []string {
	w.t.Helper()
	all := map[string]bool{}
	p := &w.periods[0]
	tb := &table{day: day, name: p.Table(day), p: p, bucket: w.bucket}
	require.NoError(w.t, tb.list(context.Background(), nil))
	o, err := w.comp.open(context.Background(), tb)
	require.NoError(w.t, err)
	defer o.close()
	for _, c := range o.copies {
		require.NoError(w.t, c.file.ViewBuckets(func(bucket string, cur *index.Cursor) error {
			for k, v := cur.First(); k != nil; k, v = cur.Next() {
				all[fmt.Sprintf("%s/%s %q=%q", c.tenant, bucket, k, v)] = true
			}
			return nil
		}))
	}
	return slices.Sorted(maps.Keys(all))
}

// check wants that rows and chunk objects belong together: each row has its object and each object a row.
func (w *world) check() {
	w.t.Helper()
	named := map[string]bool{}
	objects := map[string]bool{}
	for _, key := range w.chunkKeys() {
		objects[key] = true
	}
	p := &w.periods[0]
	require.NoError(w.t, w.bucket.ListDirs(context.Background(), p.PathPrefix, func(dir string) error {
		day, ok := p.ParseTable(strings.TrimSuffix(strings.TrimPrefix(dir, p.PathPrefix), "/"))
		if !ok {
			return nil
		}
		tb := &table{day: day, name: p.Table(day), p: p, bucket: w.bucket}
		require.NoError(w.t, tb.list(context.Background(), nil))
		o, err := w.comp.open(context.Background(), tb)
		require.NoError(w.t, err)
		defer o.close()
		for _, c := range o.copies {
			require.NoError(w.t, c.file.ViewBuckets(func(_ string, cur *index.Cursor) error {
				series, streams := map[string]bool{}, map[string]bool{}
				for k, v := cur.First(); k != nil; k, v = cur.Next() {
					r, err := p.ParseRow(k, v)
					require.NoError(w.t, err)
					id := string(r.Tenant) + "/" + r.Series.String()
					switch r.Kind {
					case schema.KindChunk:
						name, err := schema.ParseChunkKey(string(r.Chunk))
						require.NoError(w.t, err)
						named[schema.ChunkPath(name.ChunkRef, name.Layout)] = true
						streams[id] = true
					case schema.KindSeries, schema.KindLabel:
						series[id] = true
					}
				}
				require.Equal(w.t, streams, series, "streams with chunks and streams with labels in %s", tb.name)
				return nil
			}))
		}
		return nil
	}))
	require.Equal(w.t, objects, named, "chunk objects and rows")
}

func line(at time.Time, text string) model.Entry {
	return model.Entry{Timestamp: at.UnixNano(), Line: text}
}
