package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/tenant"
)

// mapCache is a cache that the test can spoil.
type mapCache map[string][]byte

func (c mapCache) Get(_ context.Context, key string) ([]byte, bool) { b, ok := c[key]; return b, ok }
func (c mapCache) Put(_ context.Context, key string, object []byte) { c[key] = object }

// made is a chunk that a test made.
type made struct {
	ref    model.ChunkRef
	object []byte
	labels labels.Labels
}

// makeChunk returns a chunk of one line per timestamp.
func makeChunk(t *testing.T, tenantID string, lbls labels.Labels, ts ...int64) made {
	t.Helper()
	b := chunk.NewBuilder(chunk.Version3)
	for _, at := range ts {
		require.NoError(t, b.Append(at, []byte(time.Unix(0, at).UTC().Format(time.RFC3339Nano)), nil))
	}
	c := b.Chunk()
	c.Labels, c.Tenant, c.Fingerprint = lbls, tenantID, schema.Fingerprint(lbls)
	object, ref, err := chunk.Marshal(c, chunk.Options{Encoding: compress.Snappy})
	require.NoError(t, err)
	return made{ref, object, lbls}
}

type rig struct {
	store  *Store
	bucket objstore.Bucket
	ship   *shipper.Shipper
	cache  mapCache
	reg    *prometheus.Registry
}

func newRig(t *testing.T, o ObjectStore, periods schema.Periods) *rig {
	t.Helper()
	r := &rig{bucket: objstore.NewMemory(), cache: mapCache{}, reg: prometheus.NewRegistry()}
	o.Bucket = r.bucket
	cfg := shipper.DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = t.TempDir(), t.TempDir()
	var err error
	r.ship, err = shipper.New(cfg, shipper.Deps{Periods: periods, Bucket: func(int) objstore.Bucket { return r.bucket }, Registerer: r.reg})
	require.NoError(t, err)
	r.store, err = New(Deps{
		Periods: periods, Stores: map[string]ObjectStore{"s3": o, "filesystem": o},
		Indexes: map[string]Index{schema.StoreBoltDB: r.ship}, Cache: r.cache, Registerer: r.reg,
	})
	require.NoError(t, err)
	return r
}

func (r *rig) put(t *testing.T, chunks ...made) {
	t.Helper()
	for _, c := range chunks {
		require.NoError(t, r.store.PutChunk(t.Context(), c.ref, c.object, c.labels))
	}
}

func (r *rig) keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	require.NoError(t, r.bucket.List(t.Context(), "", func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	}))
	return keys
}

const dayNanos = int64(24 * time.Hour)

// midnight is the first instant of 2026-01-11.
const midnight = 20464 * dayNanos

func twoPeriods(early, late schema.Version) schema.Periods {
	ps := schema.Periods{schema.DefaultPeriod, schema.DefaultPeriod}
	ps[0].Schema, ps[1].Schema = early, late
	ps[1].From = time.Unix(0, midnight).UTC()
	return ps
}

// TestPutAndSelect stores chunks around a change of period and finds them, to the nanosecond.
func TestPutAndSelect(t *testing.T) {
	r := newRig(t, ObjectStore{}, twoPeriods(11, 13))
	a, b := labels.FromStrings("app", "a"), labels.FromStrings("app", "b")
	over := makeChunk(t, "acme", a, midnight-5, midnight-1, midnight, midnight+3)
	early := makeChunk(t, "acme", a, midnight-dayNanos, midnight-dayNanos+7)
	late := makeChunk(t, "acme", b, midnight+dayNanos/2)
	foreign := makeChunk(t, "beta", a, midnight)
	r.put(t, over, early, late, foreign)
	require.ElementsMatch(t, []string{
		schema.ChunkKey(early.ref, schema.Flat), schema.ChunkKey(late.ref, schema.Nested), schema.ChunkKey(over.ref, schema.Flat),
		schema.ChunkKey(foreign.ref, schema.Nested),
	}, r.keys(t))

	ctx := tenant.Inject(t.Context(), "acme")
	f := func(from, to int64, want ...int64) {
		t.Helper()
		got := []int64{}
		for _, e := range readAll(t, ctx, r.store, logql.Selection{Interval: model.Interval{Start: from, End: to}}, func([]byte) bool { return true }) {
			got = append(got, e.ts)
		}
		slices.Sort(got)
		require.Equal(t, append([]int64{}, want...), got)
	}
	f(midnight-1, midnight, midnight-1)
	f(midnight, midnight+1, midnight)
	f(midnight-5, midnight+4, midnight-5, midnight-1, midnight, midnight+3)
	f(midnight-dayNanos+7, midnight-4, midnight-dayNanos+7, midnight-5)
	f(midnight+dayNanos/2, midnight+dayNanos/2+1, midnight+dayNanos/2)
	f(midnight+dayNanos/2+1, midnight+dayNanos)
	f(5, 5)

	streams, err := r.store.Select(ctx, logql.Selection{Interval: model.Interval{Start: midnight - 1, End: midnight + 1}})
	require.NoError(t, err)
	require.Len(t, streams, 1)
	require.Len(t, streams[0].Pieces, 1, "a chunk of two days is one piece")
	require.Equal(t, schema.ContentKey(over.ref), streams[0].Pieces[0].Key())
	first, last := streams[0].Pieces[0].Bounds()
	require.LessOrEqual(t, first, midnight-5)
	require.GreaterOrEqual(t, last, midnight+3)

	_, err = r.store.Select(t.Context(), logql.Selection{})
	require.ErrorIs(t, err, tenant.ErrNoOrgID)
	for _, call := range []func() error{
		func() error { _, err := r.store.LabelNames(t.Context(), logql.Selection{}); return err },
		func() error { _, err := r.store.Series(t.Context(), logql.Selection{}); return err },
	} {
		require.ErrorIs(t, call(), tenant.ErrNoOrgID)
	}
}

func TestObjectStores(t *testing.T) {
	lbls := labels.FromStrings("app", "a")
	c := makeChunk(t, "acme", lbls, midnight)
	f := func(o ObjectStore, v schema.Version, want string) {
		t.Helper()
		p := schema.DefaultPeriod
		p.Schema = v
		r := newRig(t, o, schema.Periods{p})
		r.put(t, c)
		require.Equal(t, []string{want}, r.keys(t))
		clear(r.cache)
		got := readAll(t, tenant.Inject(t.Context(), "acme"), r.store,
			logql.Selection{Interval: model.Interval{Start: midnight, End: midnight + 1}}, func([]byte) bool { return true })
		require.Len(t, got, 1)
	}
	f(ObjectStore{}, 11, schema.ChunkKey(c.ref, schema.Flat))
	f(ObjectStore{}, 12, schema.ChunkKey(c.ref, schema.Nested))
	f(ObjectStore{Filesystem: true}, 11, schema.ChunkPath(c.ref, schema.Flat))
	f(ObjectStore{Filesystem: true}, 13, schema.ChunkPath(c.ref, schema.Nested))
	dashed := []byte(schema.ChunkKey(c.ref, schema.Flat))
	for i := range dashed {
		if dashed[i] == ':' {
			dashed[i] = '-'
		}
	}
	f(ObjectStore{ChunkDelimiter: "-"}, 11, string(dashed))
}

// TestCache takes chunks from the cache, and nothing from it that is not the chunk.
func TestCache(t *testing.T) {
	r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
	lbls := labels.FromStrings("app", "a")
	c := makeChunk(t, "acme", lbls, midnight)
	r.put(t, c)
	key := schema.ChunkKey(c.ref, schema.Nested)
	ctx := tenant.Inject(t.Context(), "acme")
	sel := logql.Selection{Interval: model.Interval{Start: midnight, End: midnight + 1}}
	read := func() {
		t.Helper()
		require.Len(t, readAll(t, ctx, r.store, sel, func([]byte) bool { return true }), 1)
	}
	from := func(place string) float64 { return testutil.ToFloat64(r.store.metrics.fetched.WithLabelValues(place)) }
	read()
	require.Equal(t, 1.0, from("cache"), "what was written is in the cache")
	for _, bad := range [][]byte{nil, []byte("x"), c.object[:20], append(slices.Clone(c.object), 0), makeChunk(t, "acme", lbls, midnight+1).object} {
		r.cache[key] = bad
		read()
		require.Equal(t, c.object, r.cache[key])
	}
	require.Equal(t, 5.0, from("bucket"))
	require.Equal(t, 5.0, testutil.ToFloat64(r.store.metrics.corruptCached))
}

// TestBadObjects spoils the object in the bucket: the error has its key, and no line comes back.
func TestBadObjects(t *testing.T) {
	r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
	lbls := labels.FromStrings("app", "a")
	c := makeChunk(t, "acme", lbls, midnight)
	r.put(t, c)
	key := schema.ChunkKey(c.ref, schema.Nested)
	ctx := tenant.Inject(t.Context(), "acme")
	open := func() error {
		clear(r.cache)
		streams, err := r.store.Select(ctx, logql.Selection{Interval: model.Interval{Start: midnight, End: midnight + 1}})
		require.NoError(t, err)
		_, err = streams[0].Pieces[0].Open(ctx)
		return err
	}
	f := func(object []byte) {
		t.Helper()
		require.NoError(t, r.bucket.Put(ctx, key, object))
		err := open()
		require.ErrorIs(t, err, chunk.ErrCorrupt)
		require.ErrorContains(t, err, key)
	}
	require.NoError(t, open())
	f(nil)
	f(c.object[:len(c.object)-1])
	for _, at := range []int{0, 30, len(c.object) / 2, len(c.object) - 1} {
		bad := slices.Clone(c.object)
		bad[at] ^= 1
		f(bad)
	}
	require.NoError(t, r.bucket.Delete(ctx, key))
	err := open()
	require.ErrorIs(t, err, objstore.ErrNotFound)
	require.ErrorContains(t, err, key)

	// A sound chunk that is not the one that its key says.
	other := makeChunk(t, "beta", lbls, midnight)
	ref := other.ref
	ref.Tenant = "acme"
	require.NoError(t, r.bucket.Put(ctx, schema.ChunkKey(ref, schema.Nested), other.object))
	_, _, err = r.store.open(ctx, schema.ChunkName{ChunkRef: ref, Layout: schema.Nested})
	require.ErrorIs(t, err, chunk.ErrForeign)

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	p := piece{store: r.store, name: schema.ChunkName{ChunkRef: c.ref, Layout: schema.Nested}}
	_, err = p.Open(canceled)
	require.Equal(t, context.Canceled, err)
}

// TestUnsupportedIndex reads and refuses around a period whose index store is not there.
func TestUnsupportedIndex(t *testing.T) {
	ps := twoPeriods(12, 13)
	ps[1].Store = schema.StoreTSDB
	r := newRig(t, ObjectStore{}, ps)
	lbls := labels.FromStrings("app", "a")
	r.put(t, makeChunk(t, "acme", lbls, midnight-1e9))
	for _, c := range []made{makeChunk(t, "acme", lbls, midnight), makeChunk(t, "acme", lbls, midnight-1e9, midnight+1)} {
		err := r.store.PutChunk(t.Context(), c.ref, c.object, c.labels)
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, "tsdb")
		require.ErrorIs(t, r.store.PutIndex(t.Context(), []schema.IndexEntry{{Ref: c.ref, Labels: lbls}}), ErrUnsupported)
	}
	require.Len(t, r.keys(t), 1, "no object without an index")
	// The end of a chunk is rounded up to a millisecond: that of the last nanosecond of a day reaches into the next.
	r.put(t, makeChunk(t, "acme", labels.FromStrings("app", "b"), midnight-1))
	ctx := tenant.Inject(t.Context(), "acme")
	list, err := r.store.Series(ctx, logql.Selection{Interval: model.Interval{Start: midnight - dayNanos, End: midnight}})
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, err = r.store.Series(ctx, logql.Selection{Interval: model.Interval{Start: midnight - dayNanos, End: midnight + 1}})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "2026-01-11")
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Deps{})
	require.ErrorIs(t, err, schema.ErrPeriod)
	_, err = New(Deps{Periods: schema.Periods{schema.DefaultPeriod}})
	require.ErrorContains(t, err, `object_store "filesystem"`)
	_, err = New(Deps{Periods: schema.Periods{schema.DefaultPeriod}, Stores: map[string]ObjectStore{"filesystem": {Bucket: objstore.NewMemory(), ChunkDelimiter: "--"}}})
	require.ErrorContains(t, err, "chunk_delimiter")
}

// failingBucket refuses objects.
type failingBucket struct{ objstore.Bucket }

var errBucket = errors.New("the bucket is full")

func (failingBucket) Put(context.Context, string, []byte) error { return errBucket }

// TestObjectBeforeRows wants no row of a chunk whose object could not be written.
func TestObjectBeforeRows(t *testing.T) {
	r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
	r.store.stores[0].Bucket = failingBucket{r.bucket}
	c := makeChunk(t, "acme", labels.FromStrings("app", "a"), midnight)
	err := r.store.PutChunk(t.Context(), c.ref, c.object, c.labels)
	require.ErrorIs(t, err, errBucket)
	require.ErrorContains(t, err, schema.ChunkKey(c.ref, schema.Nested))
	list, err := r.store.Series(tenant.Inject(t.Context(), "acme"), logql.Selection{Interval: model.Interval{Start: midnight, End: midnight + 1}})
	require.NoError(t, err)
	require.Empty(t, list)
}

// countingBucket counts writes.
type countingBucket struct {
	objstore.Bucket
	puts int
}

func (b *countingBucket) Put(ctx context.Context, key string, body []byte) error {
	b.puts++
	return b.Bucket.Put(ctx, key, body)
}

// TestWrittenTwice writes an object that another replica wrote, and one that was deleted after it.
func TestWrittenTwice(t *testing.T) {
	r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
	bucket := &countingBucket{Bucket: r.bucket}
	r.store.stores[0].Bucket = bucket
	r.store.written = mapCache{}
	ctx := t.Context()
	c := makeChunk(t, "acme", labels.FromStrings("app", "a"), midnight)
	for i := range 3 {
		written, err := r.store.PutObject(ctx, c.ref, c.object)
		require.NoError(t, err)
		require.Equal(t, i == 0, written)
	}
	require.Equal(t, 1, bucket.puts)
	o := r.store.stores[0]
	require.NoError(t, bucket.Delete(ctx, o.ChunkKey(schema.ChunkName{ChunkRef: c.ref, Layout: r.store.periods.LayoutOf(c.ref.From)})))
	written, err := r.store.PutObject(ctx, c.ref, c.object)
	require.NoError(t, err)
	require.True(t, written)
	require.Equal(t, 2, bucket.puts, "what the cache remembers was deleted since")
}

// TestWrittenByReplica finds in the bucket what another replica wrote, where no cache remembers it.
func TestWrittenByReplica(t *testing.T) {
	for replicated, puts := range map[bool]int{false: 2, true: 1} {
		r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
		bucket := &countingBucket{Bucket: r.bucket}
		r.store.stores[0].Bucket, r.store.replicated = bucket, replicated
		c := makeChunk(t, "acme", labels.FromStrings("app", "a"), midnight)
		for i := range 2 {
			written, err := r.store.PutObject(t.Context(), c.ref, c.object)
			require.NoError(t, err)
			require.Equal(t, i == 0 || !replicated, written)
		}
		require.Equal(t, puts, bucket.puts)
	}
}

// TestSidecarOfReplica finds the sidecar that another replica stored, by asking once, or not at all where a cache remembers it.
func TestSidecarOfReplica(t *testing.T) {
	r := newRig(t, ObjectStore{}, schema.Periods{schema.DefaultPeriod})
	r.store.sidecars.cfg = SidecarConfig{Enabled: true, FilterBits: 6, MaxShare: 1, MinChunk: 1, CacheBytes: 1 << 20}
	c := makeChunk(t, "acme", labels.FromStrings("app", "a"), midnight)
	require.True(t, r.store.LacksSidecar(t.Context(), c.ref, c.object))
	require.NoError(t, r.store.StoreSidecar(t.Context(), c.ref, c.object, nil))
	require.False(t, r.store.LacksSidecar(t.Context(), c.ref, c.object), "it is in the bucket")
	current, err := r.store.CurrentSidecar(t.Context(), schema.ChunkName{ChunkRef: c.ref})
	require.NoError(t, err)
	require.True(t, current)

	r.store.written = mapCache{}
	require.NoError(t, r.store.StoreSidecar(t.Context(), c.ref, c.object, nil))
	require.NoError(t, r.store.DeleteSidecar(t.Context(), c.ref))
	require.False(t, r.store.LacksSidecar(t.Context(), c.ref, c.object), "the cache is believed")
	r.store.written = nil
	require.True(t, r.store.LacksSidecar(t.Context(), c.ref, c.object))
	r.store.sidecars.cfg.MinChunk = len(c.object) + 1
	require.False(t, r.store.LacksSidecar(t.Context(), c.ref, c.object), "it needs none")
}
