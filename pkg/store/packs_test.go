package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

// packRequests counts what is asked of packs and of single sidecars, by what it was.
func (d *described) packRequests(part string) float64 {
	return testutil.ToFloat64(d.store.metrics.packRequests.WithLabelValues(part))
}

func (d *described) results(result string) float64 {
	return testutil.ToFloat64(d.store.metrics.sidecarsRead.WithLabelValues(result))
}

// packed packs the sidecars of chunks and returns the name of the pack. part is its number.
func (d *described) pack(part int, refs ...model.ChunkRef) PackName {
	d.t.Helper()
	refs = sortRefs(slices.Clone(refs))
	w := &sidecar.PackWriter{Tenant: "acme"}
	for _, ref := range refs {
		_, err := d.Bucket.Stat(d.ctx, sidecarKey(ref))
		data, err := d.store.SidecarToPack(d.ctx, schema.ChunkName{ChunkRef: ref, Layout: schema.Nested}, err == nil)
		require.NoError(d.t, err)
		require.NotNil(d.t, data)
		w.Add(ref, data)
	}
	data, directory := w.Bytes()
	n := PackName{Tenant: "acme", Table: d.store.tableOf(refs[0]).table, State: "feed", Part: part, First: w.First(), Last: w.Last(), Directory: directory}
	require.NoError(d.t, d.Put(d.ctx, n.Key(), data))
	return n
}

// TestPacksAnswer wants the answers of single sidecars with a request for the list and one for the pack.
func TestPacksAnswer(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	var want []string
	for _, q := range queries {
		d.open()
		want = append(want, d.run(q, 5000))
	}
	d.pack(0, d.refs...)
	for i, q := range queries {
		d.open()
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Zero(t, d.sidecars, q)
		require.Equal(t, 1, d.lists, q)
		require.Equal(t, 1.0, d.packRequests("list"), q)
		require.Equal(t, 1.0, d.packRequests("sidecars"), q)
		require.Zero(t, d.packRequests("directory"), q)
		read := d.results("packed")
		require.GreaterOrEqual(t, read, float64(len(d.refs)/2), q)
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Equal(t, 1.0, d.packRequests("sidecars"), "they are in memory: %s", q)
		require.Equal(t, read, d.results("packed"), q)
		require.Zero(t, testutil.ToFloat64(d.store.metrics.packsFailed))
	}
}

// TestPackOfSmallChunks reads no chunk that is too small for a sidecar of its own and does not hold what is looked for.
func TestPackOfSmallChunks(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	for _, ref := range d.refs {
		require.NoError(t, d.store.DeleteSidecar(d.ctx, ref))
	}
	d.cfg.MinChunk = 1 << 20
	d.open()
	want := d.run(queries[0], 10)
	require.Positive(t, d.chunkBytes)
	d.pack(0, d.refs...)
	d.open()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Zero(t, d.whole)
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.blocksFetched))
	require.Equal(t, float64(len(d.refs)), d.results("packed"))
}

// TestSpoiledPacks spoils packs in every way: no answer changes, one failure is counted, and single sidecars are read.
func TestSpoiledPacks(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	var want []string
	for _, q := range queries {
		d.open()
		want = append(want, d.run(q, 5000))
	}
	name := d.pack(0, d.refs...)
	sound, err := d.Bucket.Get(d.ctx, name.Key())
	require.NoError(t, err)
	var other sidecar.PackWriter
	foreign, _ := other.Bytes()
	f := func(what string, spoil func(b []byte) []byte, failures float64) {
		t.Helper()
		require.NoError(t, d.Put(d.ctx, name.Key(), spoil(slices.Clone(sound))))
		for i, q := range queries {
			d.open()
			require.Equal(t, want[i], d.run(q, 5000), "%s: %s", what, q)
			require.Equal(t, failures, testutil.ToFloat64(d.store.metrics.packsFailed), "%s: %s", what, q)
			require.Positive(t, d.sidecars, "%s: %s", what, q)
			require.Positive(t, d.results("read"), "%s: %s", what, q)
		}
	}
	f("empty", func([]byte) []byte { return nil }, 0) // Its key says that there must be more.
	f("foreign", func([]byte) []byte { return append(foreign, sound...) }, 1)
	f("another version", func(b []byte) []byte { b[4]++; return b }, 1)
	f("longer", func(b []byte) []byte { return append(b, "behind"...) }, 1)
	f("the directory alone", func(b []byte) []byte { return b[:name.Directory] }, 1)
	f("cut off", func(b []byte) []byte { return b[:len(b)-1] }, 1)
	f("a bit of the directory", func(b []byte) []byte { b[name.Directory-20] ^= 4; return b }, 1)
	// A sidecar that was exchanged for another says so itself.
	d.open()
	p, err := sidecar.OpenPack(sound, "acme")
	require.NoError(t, err)
	for _, ref := range []model.ChunkRef{d.refs[0], d.refs[5]} {
		from, to, ok := p.Find(ref)
		require.True(t, ok)
		mid := from + (to-from)/3
		require.NoError(t, d.Put(d.ctx, name.Key(), slices.Concat(sound[:mid], []byte{sound[mid] ^ 1}, sound[mid+1:])))
		for i, q := range queries {
			d.open()
			require.Equal(t, want[i], d.run(q, 5000), q)
			if i == 0 {
				require.Equal(t, 1, d.sidecars, "the spoiled one is read alone")
				require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.packsFailed))
			}
		}
	}
	require.NoError(t, d.Delete(d.ctx, name.Key()))
	d.open()
	require.Equal(t, want[0], d.run(queries[0], 5000))
	require.Positive(t, d.sidecars)
}

// TestPackThatWentMissing lists a pack that is gone when it is read.
func TestPackThatWentMissing(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.open()
	want := d.run(queries[0], 10)
	name := d.pack(0, d.refs...)
	d.open()
	_, err := d.store.partsOf(d.ctx, d.store.tableOf(d.refs[0]).packOwner, name.Table)
	require.NoError(t, err)
	require.NoError(t, d.Delete(d.ctx, name.Key()))
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, len(d.refs), d.sidecars)
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.packsFailed))
	require.Equal(t, 1.0, d.packRequests("sidecars"), "it is not asked again")
}

// TestChunksBesidePacks asks for chunks that no pack has, one by one, and for none that is gone.
func TestChunksBesidePacks(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.open()
	want := d.run(queries[0], 10)
	stray := d.refs[0]
	stray.Checksum++
	o, err := d.store.sidecarOf(d.ctx, schema.ChunkName{ChunkRef: d.refs[0]}, true, nil)
	require.NoError(t, err)
	moved := *o
	moved.Ref = stray
	require.NoError(t, d.store.PutSidecar(d.ctx, &moved))
	d.pack(0, append(slices.Clone(d.refs[:5]), stray)...)
	d.open()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, len(d.refs)-5, d.sidecars)
	require.Equal(t, 5.0, d.results("packed"), "not the one of a chunk that is gone")
}

// TestPacksOfToday are not looked for, and neither are those of a few chunks.
func TestPacksOfToday(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.pack(0, d.refs...)
	d.open()
	day := time.Unix(0, midnight).Add(24 * time.Hour)
	now := day.Add(Settled - time.Minute)
	d.store.sidecars.now = func() time.Time { return now }
	want := d.run(queries[0], 10)
	require.Zero(t, d.lists)
	require.Equal(t, len(d.refs), d.sidecars)
	d.open()
	now = day.Add(Settled + time.Minute)
	d.store.sidecars.now = func() time.Time { return now }
	require.Equal(t, want, d.run(queries[0], 10))
	require.Zero(t, d.sidecars)
	d.open()
	d.run(strings.Replace(queries[0], ".+", "1", 1), 10)
	require.Zero(t, d.sidecars, "%d chunks", MinPacked)
	for _, ref := range d.refs[:5] {
		d.store.sidecars.drop(ref)
	}
	d.store.sidecars.drop(d.refs[7])
	d.store.sidecars.packs = packs{}
	d.reset()
	d.run(strings.Replace(queries[0], ".+", "1", 1), 10)
	require.Zero(t, d.lists)
	require.Equal(t, 2, d.sidecars, "too few for a pack")
}

// TestPackLists lists once in a while, whatever there is.
func TestPackLists(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.open()
	now := time.Now()
	d.store.sidecars.now = func() time.Time { return now }
	forget := func() {
		for _, ref := range d.refs {
			d.store.sidecars.drop(ref)
		}
		d.reset()
	}
	want := d.run(queries[0], 10)
	require.Equal(t, 1, d.lists)
	name := d.pack(0, d.refs...)
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Zero(t, d.lists)
	now = now.Add(negativeFor + time.Second)
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, 1, d.lists)
	require.Zero(t, d.sidecars)
	// A list that fails is an empty one.
	d.requests.Bucket = failingLists{d.Bucket}
	now = now.Add(negativeFor + time.Second)
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, len(d.refs), d.sidecars)
	_, ok := ParsePackKey(name.Key())
	require.True(t, ok)
}

type failingLists struct{ objstore.Bucket }

func (failingLists) List(context.Context, string, func(objstore.ObjectInfo) error) error {
	return fmt.Errorf("no list today")
}

// TestPackParts reads the directory of a large pack, and of the sidecars those that are wanted, in runs.
func TestPackParts(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	day := midnight / int64(time.Millisecond)
	var refs []model.ChunkRef
	w := &sidecar.PackWriter{Tenant: "acme"}
	for i := range 600 {
		ref := model.ChunkRef{Tenant: "acme", Fingerprint: uint64(i), From: day + int64(i)*60_000, Through: day + int64(i+1)*60_000, Checksum: 7}
		refs = append(refs, ref)
		o := &sidecar.Object{Ref: ref, Size: 1 << 20, Places: make([]sidecar.Place, 150), Blocks: make([]sidecar.Block, 150)}
		w.Add(ref, o.Append(nil))
	}
	data, directory := w.Bytes()
	require.Greater(t, len(data), 2*maxRun)
	n := PackName{Tenant: "acme", Table: d.store.tableOf(refs[0]).table, State: "feed", First: w.First(), Last: w.Last(), Directory: directory}
	require.NoError(t, d.Put(d.ctx, n.Key(), data))
	atOnce := len(refs)
	ask := func(cache int64, want ...int) {
		t.Helper()
		d.cfg.CacheBytes = cache
		d.open()
		family := &siblings{store: d.store}
		var list []piece
		for _, i := range want {
			list = append(list, piece{store: d.store, name: schema.ChunkName{ChunkRef: refs[i]}})
		}
		family.pieces = [][]piece{list}
		var g errgroup.Group
		g.SetLimit(atOnce)
		for _, i := range want {
			g.Go(func() error {
				o, err := d.store.sidecarOf(d.ctx, schema.ChunkName{ChunkRef: refs[i]}, true, family)
				if err != nil || cache > 1<<20 && (o == nil || o.Ref != refs[i]) {
					return fmt.Errorf("chunk %d: %w", i, err)
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
	}
	all := make([]int, len(refs))
	for i := range all {
		all[i] = i
	}
	runs := float64(len(data)/maxRun) + 1
	ask(64<<20, all...)
	require.Equal(t, 1.0, d.packRequests("directory"))
	require.Equal(t, runs, d.packRequests("sidecars"))
	require.Equal(t, float64(len(refs)), d.results("packed"))
	ask(0, all...)
	require.Equal(t, runs, d.packRequests("sidecars"), "each run once, though nothing stays in memory")
	require.Empty(t, d.store.sidecars.byRef)

	require.NoError(t, d.Put(d.ctx, n.Key(), append(slices.Clone(data[:directory]), make([]byte, len(data)-directory)...)))
	atOnce = 1
	ask(1, all...)
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.packsFailed), "it is damaged once")
	require.Less(t, d.packRequests("sidecars"), runs, "and not asked any more")
	require.Zero(t, d.results("packed"))
	require.NoError(t, d.Put(d.ctx, n.Key(), data))

	gap := maxGap/(len(data)/len(refs)) + 2
	ask(64<<20, 10, 11, 12, 12+gap, 13+gap)
	require.Equal(t, 1.0, d.packRequests("directory"))
	require.Equal(t, 2.0, d.packRequests("sidecars"), "two places")
	require.Less(t, testutil.ToFloat64(d.store.metrics.packBytes), float64(len(data)/10))
	require.Equal(t, 5.0, d.results("packed"))
	require.Len(t, d.store.sidecars.byRef, 5, "only what was wanted is in memory")
}

// TestPackDirectoriesAreBounded forgets directories before they are too many.
func TestPackDirectoriesAreBounded(t *testing.T) {
	var p packs
	w := &sidecar.PackWriter{Tenant: "acme"}
	for i := range maxPackRows / 4 {
		w.Add(model.ChunkRef{Tenant: "acme", From: int64(i)}, nil)
	}
	data, _ := w.Bytes()
	d, err := sidecar.OpenPack(data, "acme")
	require.NoError(t, err)
	for i := range 20 {
		p.keepDirectory(fmt.Sprint(i), d)
		require.NotNil(t, p.directory(fmt.Sprint(i)))
		require.LessOrEqual(t, p.rows, maxPackRows)
		require.LessOrEqual(t, len(p.directories), 4)
	}
	for i := range 3 * maxPackLists {
		p.listOf(packOwner{nil, fmt.Sprint(i)})
		require.LessOrEqual(t, len(p.lists), maxPackLists)
	}
}

// TestPacksAtOnce runs queries at once that want the same packs, some of which are called off.
func TestPacksAtOnce(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.pack(0, d.refs[:5]...)
	d.pack(1, d.refs[4:]...)
	d.open()
	selected := func(ctx context.Context) []logql.Stream {
		streams, err := d.store.Select(ctx, logql.Selection{Interval: model.Interval{Start: midnight, End: at(describedLines)}})
		require.NoError(t, err)
		return streams
	}
	require.Len(t, selected(d.ctx), 2)
	var wg sync.WaitGroup
	for i := range 8 {
		streams := selected(d.ctx)
		ctx, cancel := context.WithCancel(d.ctx)
		for _, s := range streams {
			for _, p := range s.Pieces {
				wg.Go(func() {
					o, err := p.(logql.Outliner).Outline(ctx, true)
					if i%4 > 0 && (err != nil || o == nil) {
						t.Errorf("%v, %v", o, err)
					}
				})
			}
		}
		if i%4 == 0 {
			cancel()
		}
		defer cancel()
	}
	wg.Wait()
	require.LessOrEqual(t, d.packRequests("list"), 3.0, "those that are called off may have begun one")
}

// TestPackKey reads what it writes.
func TestPackKey(t *testing.T) {
	n := PackName{Tenant: "a-b", Table: "index-_19000", State: "00ff", Part: 17, First: 1767225600000, Last: 1767225600001, Directory: 300}
	got, ok := ParsePackKey(n.Key())
	require.True(t, ok)
	require.Equal(t, n, got)
	for _, key := range []string{"", PackPrefix, PackPrefix + "a/b/c", PackPrefix + "a/b/00-1-2-3-4x", PackPrefix + "a/b/00-01-2-3-4", PackPrefix + "a/b/00-1-2-3", "a/b/00-1-2-3-4", PackPrefix + "a/b/00-1-2-3-4/5"} {
		_, ok := ParsePackKey(key)
		require.False(t, ok, key)
	}
}
