package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/sidecar"
	"logstore/pkg/tenant"
)

// requests counts what is asked of a bucket, and the bytes of chunks that it answers.
type requests struct {
	objstore.Bucket
	mu                             sync.Mutex
	whole, ranges, lists, sidecars int
	chunkBytes                     int64
}

func (r *requests) count(n *int, key string, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
	if strings.HasPrefix(key, SidecarPrefix) {
		r.sidecars++
		return
	}
	r.chunkBytes += int64(len(b))
}

func (r *requests) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := r.Bucket.Get(ctx, key)
	r.count(&r.whole, key, b)
	return b, err
}

func (r *requests) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	b, err := r.Bucket.GetRange(ctx, key, offset, length)
	r.count(&r.ranges, key, b)
	return b, err
}

func (r *requests) List(ctx context.Context, prefix string, fn func(objstore.ObjectInfo) error) error {
	r.mu.Lock()
	r.lists++
	r.mu.Unlock()
	return r.Bucket.List(ctx, prefix, fn)
}

func (r *requests) reset() { r.whole, r.ranges, r.lists, r.sidecars, r.chunkBytes = 0, 0, 0, 0, 0 }

// sharedCache is a cache for several goroutines.
type sharedCache struct {
	mu      sync.Mutex
	objects mapCache
}

func (c *sharedCache) Get(ctx context.Context, key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects.Get(ctx, key)
}

func (c *sharedCache) Put(ctx context.Context, key string, object []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects.Put(ctx, key, object)
}

// described is a store of chunks with sidecars.
type described struct {
	*requests
	t     *testing.T
	store *Store
	ctx   context.Context
	cfg   SidecarConfig
	cache *sharedCache
	ship  *shipper.Shipper
	refs  []model.ChunkRef
}

const (
	describedLines = 4000
	needleLine     = "a needle 5f0c29aa-11d2-4b6e-9d1c-0a1b2c3d4e5f here"
)

// newDescribed stores chunks of two streams. Line 1234 of stream 1 is the needle; every line has the metadata user.
func newDescribed(t *testing.T) *described {
	t.Helper()
	d := &described{
		requests: &requests{Bucket: objstore.NewMemory()}, t: t, ctx: tenant.Inject(t.Context(), "acme"),
		cfg: SidecarConfig{Enabled: true, FilterBits: 10, MaxShare: 1, MinChunk: 1, CacheBytes: 64 << 20}, cache: &sharedCache{objects: mapCache{}},
	}
	cfg := shipper.DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = t.TempDir(), t.TempDir()
	var err error
	p := schema.DefaultPeriod
	p.Schema = 13
	d.ship, err = shipper.New(cfg, shipper.Deps{Periods: schema.Periods{p}, Bucket: func(int) objstore.Bucket { return d.Bucket }})
	require.NoError(t, err)
	d.open()
	rnd := rand.New(rand.NewPCG(1, 1))
	ballast := make([]byte, 1000)
	for i := range ballast {
		ballast[i] = byte('!' + rnd.IntN(15)) // no words
	}
	for stream := range 2 {
		lbls := labels.FromStrings("app", fmt.Sprint(stream))
		for from := 0; from < describedLines; from += describedLines / 4 {
			b := chunk.NewBuilder(chunk.Version4)
			for i := from; i < from+describedLines/4; i++ {
				line := fmt.Sprintf("level=info id=%016x took=%d %s", rnd.Uint64(), rnd.IntN(1000), ballast[rnd.IntN(len(ballast)/2):])
				if stream == 1 && i == 1234 {
					line = needleLine
				}
				require.NoError(t, b.Append(at(i), []byte(line), []model.Pair{{Name: "user", Value: fmt.Sprint("user-", i/300)}}))
				if b.HeadSize() > 32<<10 {
					b.Cut()
				}
			}
			c := b.Chunk()
			c.Labels, c.Tenant, c.Fingerprint = lbls, "acme", schema.Fingerprint(lbls)
			object, ref, err := chunk.Marshal(c, chunk.Options{Encoding: compress.Snappy, Version4: true, BlockSize: 32 << 10})
			require.NoError(t, err)
			require.NoError(t, d.store.PutChunk(d.ctx, ref, object, lbls))
			require.NoError(t, d.store.StoreSidecar(d.ctx, ref, object, nil))
			d.refs = append(d.refs, ref)
		}
	}
	d.open()
	return d
}

func at(i int) int64 { return midnight + int64(i)*1e9 }

// open makes the store anew, with nothing in memory and no cache of chunks.
func (d *described) open() {
	d.t.Helper()
	p := schema.DefaultPeriod
	p.Schema = 13
	deps := Deps{
		Periods: schema.Periods{p}, Stores: map[string]ObjectStore{"s3": {Bucket: d.requests}, "filesystem": {Bucket: d.requests}},
		Indexes: map[string]Index{schema.StoreBoltDB: d.ship}, Sidecars: d.cfg, Registerer: prometheus.NewRegistry(),
	}
	if d.cache != nil {
		deps.Cache = d.cache
		clear(d.cache.objects)
	}
	var err error
	d.store, err = New(deps)
	require.NoError(d.t, err)
	d.reset()
}

// run runs a query over everything and prints the answer.
func (d *described) run(query string, limit int) string {
	d.t.Helper()
	expr, err := syntax.Parse(query)
	require.NoError(d.t, err)
	p := engine.Params{Text: query, Expr: expr, Start: midnight, End: at(describedLines), Step: 5 * time.Minute, Limit: limit, Direction: model.Backward}
	res, err := new(engine.Engine).Run(d.ctx, d.store, p, engine.Limits{})
	require.NoError(d.t, err)
	return fmt.Sprint(res.Value)
}

// queries are of each kind that a sidecar answers or makes shorter.
var queries = []string{
	`{app=~".+"} |= "5f0c29aa-11d2-4b6e-9d1c-0a1b2c3d4e5f"`, `{app=~".+"} |~ "needle .* here"`, `{app=~".+"} | user = "user-7"`,
	`sum(count_over_time({app=~".+"}[5m]))`, `sum by (app) (bytes_over_time({app=~".+"}[5m]))`,
	`sum by (user) (count_over_time({app="1"}[5m]))`, `count_over_time({app=~".+"} |= "needle" [5m])`,
}

// TestSidecarsAnswer wants the answers of the bare chunks for a fraction of what is read.
func TestSidecarsAnswer(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.cfg.Enabled = false
	var want []string
	var cost []int64
	for _, q := range queries {
		d.open()
		want = append(want, d.run(q, 5000))
		require.Positive(t, d.chunkBytes)
		require.Zero(t, d.sidecars)
		cost = append(cost, d.chunkBytes)
	}
	d.cfg.Enabled = true
	for i, q := range queries {
		d.open()
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Less(t, d.chunkBytes*3, cost[i], q)
		require.LessOrEqual(t, d.sidecars, len(d.refs), q)
		d.reset()
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Zero(t, d.sidecars, "they are in memory: %s", q)
	}
	d.open()
	require.Contains(t, d.run(queries[0], 5000), "needle")
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.blocksFetched))
	d.reset()
	require.NotContains(t, d.run(`{app=~".+"} |= "5f0c29aa-11d2-4b6e-9d1c-0a1b2c3d4e50"`, 5000), "needle")
	require.LessOrEqual(t, d.whole+d.ranges, 1)
	d.reset()
	d.run(`{app="1"}`, 10)
	require.Less(t, d.chunkBytes*10, cost[0], "the last lines are in the last block")
}

// TestSpoiledSidecars spoils sidecars in every way: no answer changes, and a store without them says so.
func TestSpoiledSidecars(t *testing.T) {
	d := newDescribed(t)
	var want []string
	for _, q := range queries {
		want = append(want, d.run(q, 5000))
	}
	sound := map[model.ChunkRef][]byte{}
	for _, ref := range d.refs {
		b, err := d.Bucket.Get(d.ctx, sidecarKey(ref))
		require.NoError(t, err)
		sound[ref] = b
	}
	f := func(name string, spoil func(b []byte) []byte) {
		t.Helper()
		for i, ref := range d.refs {
			b := spoil(slices.Clone(sound[ref]))
			if i%3 == 2 {
				b = sound[ref] // Some are as they were.
			}
			if b == nil {
				require.NoError(t, d.Delete(d.ctx, sidecarKey(ref)))
			} else {
				require.NoError(t, d.Put(d.ctx, sidecarKey(ref), b))
			}
		}
		for i, q := range queries {
			d.open()
			require.Equal(t, want[i], d.run(q, 5000), "%s: %s", name, q)
		}
	}
	f("missing", func([]byte) []byte { return nil })
	f("empty", func([]byte) []byte { return []byte{} })
	f("foreign", func([]byte) []byte { return sound[d.refs[2]] })
	f("another version", func(b []byte) []byte {
		b[4]++
		directory := binary.BigEndian.Uint32(b[5:]) + 9
		binary.BigEndian.PutUint32(b[directory:], crc32.Checksum(b[:directory], crc32.MakeTable(crc32.Castagnoli)))
		return b
	})
	f("longer", func(b []byte) []byte { return append(b, "behind"...) })
	for _, part := range []int{1, 8, 9, 100} {
		f("cut off", func(b []byte) []byte { return b[:len(b)*part/101] })
	}
	for k := range 12 {
		f("a bit", func(b []byte) []byte { b[len(b)*k/12] ^= 1 << (k % 8); return b })
	}
	f("zeros", func(b []byte) []byte { return bytes.Repeat([]byte{0}, len(b)) })
	require.Positive(t, testutil.ToFloat64(d.store.metrics.sidecarsRead.WithLabelValues("failed")))
}

// TestSpoiledChunkBehindSidecar wants an error with the chunk's key, not lines, where the bytes of a wanted block are bad.
func TestSpoiledChunkBehindSidecar(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	for _, ref := range d.refs {
		key := d.store.storeOf(schema.ChunkName{ChunkRef: ref}).ChunkKey(schema.ChunkName{ChunkRef: ref, Layout: schema.Nested})
		b, err := d.Bucket.Get(d.ctx, key)
		require.NoError(t, err)
		for i := 200; i < len(b); i += 50 {
			b[i] ^= 1
		}
		require.NoError(t, d.Put(d.ctx, key, b))
	}
	d.open()
	expr, err := syntax.Parse(queries[0])
	require.NoError(t, err)
	p := engine.Params{Text: queries[0], Expr: expr, Start: midnight, End: at(describedLines), Limit: 10, Direction: model.Backward}
	_, err = new(engine.Engine).Run(d.ctx, d.store, p, engine.Limits{})
	require.ErrorIs(t, err, chunk.ErrCorrupt)
	require.ErrorContains(t, err, "acme/")
}

// TestSidecarsInTheCache reads sidecars of the cache of chunks, and none that is spoiled there.
func TestSidecarsInTheCache(t *testing.T) {
	d := newDescribed(t)
	want := d.run(queries[0], 10)
	require.Equal(t, len(d.refs), d.sidecars)
	kept := mapCache{}
	for k, v := range d.cache.objects {
		kept[k] = v
	}
	d.open()
	for k, v := range kept {
		d.cache.objects[k] = v
	}
	require.Equal(t, want, d.run(queries[0], 10))
	require.Zero(t, d.sidecars)
	d.open()
	for k, v := range kept {
		if strings.HasPrefix(k, SidecarPrefix) {
			d.cache.objects[k] = v[:len(v)-1]
		}
	}
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, len(d.refs), d.sidecars)
}

// TestMissingSidecarsAreListed asks for a few missing sidecars of a stream, then for a list, and sees what is stored since.
func TestMissingSidecarsAreListed(t *testing.T) {
	d := newDescribed(t)
	for _, ref := range d.refs {
		require.NoError(t, d.store.DeleteSidecar(d.ctx, ref))
	}
	d.open()
	name := schema.ChunkName{ChunkRef: d.refs[0], Layout: schema.Nested}
	ask := func(i int) bool {
		n := name
		n.Checksum += uint32(i)
		o, err := d.store.sidecarOf(d.ctx, n, sidecar.Whole, nil)
		require.NoError(t, err)
		return o != nil
	}
	for i := range 10 {
		require.False(t, ask(i))
	}
	require.Equal(t, missesBefore, d.sidecars)
	require.Equal(t, 2, d.lists, "packs, and the stream")
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.sidecarLists))
	built, err := d.store.BuildSidecar(d.ctx, name)
	require.NoError(t, err)
	require.True(t, built)
	require.True(t, ask(0))
	later := time.Now().Add(2 * negativeFor)
	d.store.sidecars.now = func() time.Time { return later }
	d.store.sidecars.listings.now = d.store.sidecars.now
	require.False(t, ask(1), "what is known is old")
	require.Equal(t, missesBefore+1, d.sidecars)
}

// TestSidecarKey reads what it writes.
func TestSidecarKey(t *testing.T) {
	ref := model.ChunkRef{Tenant: "a-b", Fingerprint: 0xfedc, From: 1767225600000, Through: 1767225600001, Checksum: 0xa0}
	got, ok := ParseSidecarKey(sidecarKey(ref))
	require.True(t, ok)
	require.Equal(t, ref, got)
	for _, key := range []string{"", "logstore/sidecar/", "logstore/sidecar/a/b/c", "logstore/sidecar/a/fedc/1-2-3x", "a/fedc/1-2-3", "logstore/sidecar/a/0fedc/1-2-3", "logstore/sidecar/a/fedc/1-2-3/4"} {
		_, ok := ParseSidecarKey(key)
		require.False(t, ok, key)
	}
}

// TestSmallChunksAreRemembered asks twice for chunks too small for sidecars: the first query describes what it read, the second one
// reads nothing.
func TestSmallChunksAreRemembered(t *testing.T) {
	d := newDescribed(t)
	for _, ref := range d.refs {
		require.NoError(t, d.store.DeleteSidecar(d.ctx, ref))
	}
	d.cache = nil
	d.cfg.Enabled = false
	d.open()
	var want []string
	for _, q := range queries {
		want = append(want, d.run(q, 5000))
	}
	d.cfg = SidecarConfig{Enabled: true, FilterBits: 10, MaxShare: 0.12, MinChunk: 1 << 20, CacheBytes: 64 << 20}
	for i, q := range queries {
		d.open()
		require.Equal(t, want[i], d.run(q, 5000), q)
		read := d.chunkBytes
		require.Positive(t, read)
		require.Positive(t, testutil.ToFloat64(d.store.metrics.sidecarsRead.WithLabelValues("described")))
		d.reset()
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Less(t, d.chunkBytes*3, read, q)
	}
	d.cfg.MinChunk = 1
	d.open()
	d.run(queries[0], 5000)
	require.Zero(t, testutil.ToFloat64(d.store.metrics.sidecarsRead.WithLabelValues("described")), "large ones are the compactor's")
}

// TestTotals wants the totals of chunks whose sidecars are in memory, and counts answered by them alone.
func TestTotals(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.open()
	piece := func(i int) *piece { return d.store.Piece(d.refs[i]).(*piece) }
	_, ok := piece(0).Totals()
	require.False(t, ok, "nothing was read yet")
	const query = `sum by (app) (count_over_time({app=~".+"}[3h]))`
	want := d.run(query, 0)
	require.Contains(t, want, "4000")
	entries := 0
	for i := range d.refs {
		got, ok := piece(i).Totals()
		require.True(t, ok)
		require.Equal(t, d.refs[i].From*1e6, got.First)
		require.Equal(t, d.refs[i].Through*1e6, got.Last)
		entries += got.Entries
	}
	require.Equal(t, 2*describedLines, entries)
	d.reset()
	require.Equal(t, want, d.run(query, 0))
	require.Zero(t, d.whole+d.ranges)
	require.NoError(t, d.store.DeleteSidecar(d.ctx, d.refs[0]))
	_, ok = piece(0).Totals()
	require.False(t, ok, "it was deleted")
	require.Equal(t, want, d.run(query, 0))
	require.Positive(t, d.whole+d.ranges)
}

// TestSidecarsUsedLastStay fills a cache three times over, half of it with sidecars that are used all the while, by lookups and by counts.
func TestSidecarsUsedLastStay(t *testing.T) {
	c := newSidecars(SidecarConfig{CacheBytes: 100 * slotBytes})
	ref := func(i int) model.ChunkRef { return model.ChunkRef{Tenant: "acme", From: int64(i)} }
	for i := range 300 {
		c.put(ref(i), nil, 0)
		require.LessOrEqual(t, c.bytes, c.cfg.CacheBytes)
		for k := range min(i, 40) {
			if of := ref(k); k%2 == 0 {
				_, known := c.get(of, 0)
				require.True(t, known, "%d after %d", k, i)
			} else {
				_, _ = c.totals(&of)
			}
		}
	}
	for k := range 40 {
		require.Contains(t, c.byRef, ref(k))
	}
	require.NotContains(t, c.byRef, ref(100))
	require.Contains(t, c.byRef, ref(299))
}

// TestCohorts keeps sidecars that share bytes as long as one of them is there, counts the bytes once, and forgets them together.
func TestCohorts(t *testing.T) {
	const shared, each = 10_000, slotBytes + rowMemory
	c := newSidecars(SidecarConfig{CacheBytes: 3 * (shared + 4*each)})
	run := func(n int) map[model.ChunkRef]foundSidecar {
		found := map[model.ChunkRef]foundSidecar{}
		for i := range 4 {
			ref := model.ChunkRef{Tenant: "acme", Fingerprint: uint64(i), From: int64(n)}
			found[ref] = foundSidecar{&sidecar.Object{Ref: ref, Places: make([]sidecar.Place, 1), Blocks: make([]sidecar.Block, 1)}, sidecar.Filters}
		}
		return found
	}
	known := func(n int) (count int) {
		for ref := range run(n) {
			if c.byRef[ref] != nil {
				count++
			}
		}
		return count
	}
	for n := range 3 {
		c.putAll(run(n), shared)
	}
	require.Equal(t, c.cfg.CacheBytes, c.bytes)
	for ref := range run(0) {
		_, ok := c.get(ref, sidecar.Filters)
		require.True(t, ok)
		break
	}
	c.putAll(run(3), shared)
	require.Equal(t, []int{4, 0, 4, 4}, []int{known(0), known(1), known(2), known(3)}, "one that was used keeps the others, and the oldest go together")
	require.Equal(t, c.cfg.CacheBytes, c.bytes)
	left := 4
	for ref := range run(2) {
		before := c.bytes
		c.drop(ref)
		c.drop(ref)
		if left--; left > 0 {
			require.Equal(t, before-each, c.bytes, "the others hold the bytes")
		} else {
			require.Equal(t, before-each-shared, c.bytes)
		}
	}
	// Columns of one of them come alone, and its cohort holds the bytes on.
	var of model.ChunkRef
	for of = range run(3) {
		break
	}
	_, parts := c.put(of, run(3)[of].object, sidecar.Columns)
	require.Equal(t, sidecar.Whole, parts)
	require.Equal(t, int64(2*shared+8*each), c.bytes)
	for n := range 4 {
		for ref := range run(n) {
			c.drop(ref)
		}
	}
	require.Zero(t, c.bytes)
	require.Zero(t, c.order.Len())
}
