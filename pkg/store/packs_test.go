package store

import (
	"context"
	"fmt"
	"slices"
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
	data, middle := w.Bytes()
	n := PackName{Tenant: "acme", Table: d.store.tableOf(refs[0]).table, State: "feed", Part: part, First: w.First(), Last: w.Last(), Middle: middle}
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
	middle := name.Middle
	f("empty", func([]byte) []byte { return nil }, 0) // Its key says that there must be more.
	f("foreign", func(b []byte) []byte { copy(b[middle.From:], foreign); return b }, 1)
	f("another version", func(b []byte) []byte { b[middle.From+4]++; return b }, 1)
	f("longer", func(b []byte) []byte { return append(b, "behind"...) }, 1)
	f("without columns", func(b []byte) []byte { return append(b[middle.From:], b[:middle.From]...) }, 1)
	f("the middle alone", func(b []byte) []byte { return b[middle.From:middle.To] }, 0)
	f("without filters", func(b []byte) []byte { return b[:middle.To] }, 1)
	f("cut off", func(b []byte) []byte { return b[:len(b)-1] }, 1)
	f("a bit of the directory", func(b []byte) []byte { b[middle.From+20] ^= 4; return b }, 1)
	// A key that says something else of the middle than the pack is that of another one.
	wrong := name
	wrong.Middle.To++
	require.NoError(t, d.Delete(d.ctx, name.Key()))
	require.NoError(t, d.Put(d.ctx, wrong.Key(), sound))
	for i, q := range queries {
		d.open()
		require.Equal(t, want[i], d.run(q, 5000), q)
		require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.packsFailed), q)
	}
	require.NoError(t, d.Delete(d.ctx, wrong.Key()))
	// A sidecar that was exchanged for another says so itself.
	d.open()
	p, err := sidecar.OpenPack(sound[middle.From:], "acme")
	require.NoError(t, err)
	for _, ref := range []model.ChunkRef{d.refs[0], d.refs[5]} {
		at, ok := p.Find(ref)
		require.True(t, ok)
		for part, e := range []sidecar.Extent{at.Head, at.Columns, at.Filters} {
			mid := e.From + e.Len()/3
			require.NoError(t, d.Put(d.ctx, name.Key(), slices.Concat(sound[:mid], []byte{sound[mid] ^ 1}, sound[mid+1:])))
			for i, q := range queries {
				d.open()
				require.Equal(t, want[i], d.run(q, 5000), q)
				if reads := map[int]int{0: 2, 3: 1}[i]; reads > 0 {
					alone := 0
					if part == 0 || part == reads {
						alone = 1
					}
					require.Equal(t, alone, d.sidecars, "the spoiled one is read alone")
					require.Equal(t, float64(alone), testutil.ToFloat64(d.store.metrics.packsFailed))
				}
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
	o, err := d.store.sidecarOf(d.ctx, schema.ChunkName{ChunkRef: d.refs[0]}, sidecar.Whole, nil)
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

// TestPacksOfToday are not looked for, unlike those of a few chunks of another day.
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
	for _, ref := range d.refs {
		require.NoError(t, d.store.DeleteSidecar(d.ctx, ref))
	}
	d.open()
	few := d.refs[5:7]
	streams, err := d.store.Select(d.ctx, logql.Selection{Interval: model.Interval{Start: few[0].From * 1e6, End: few[0].From*1e6 + 1}})
	require.NoError(t, err)
	asked := 0
	for _, s := range streams {
		for _, p := range s.Pieces {
			asked++
			o, err := p.(logql.Outliner).Outline(d.ctx, sidecar.Filters)
			require.NoError(t, err)
			require.NotNil(t, o)
		}
	}
	require.Positive(t, asked)
	require.Less(t, asked, MinPacked)
	require.Equal(t, 1, d.lists)
	require.Zero(t, d.sidecars)
	require.LessOrEqual(t, d.packRequests("directory")+d.packRequests("sidecars"), 2.0)
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
	// While lists fail the last one that did not is used, and it is tried again before long.
	bucket := d.Bucket
	d.requests.Bucket = failingLists{bucket}
	now = now.Add(negativeFor + time.Second)
	for range 2 {
		forget()
		require.Equal(t, want, d.run(queries[0], 10))
		require.Zero(t, d.sidecars)
	}
	d.requests.Bucket = bucket
	now = now.Add(failedFor + time.Second)
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, 1, d.lists)
	// So it is when a pack cannot be read, as there are others by then.
	data, err := d.Get(d.ctx, name.Key())
	require.NoError(t, err)
	require.NoError(t, d.Delete(d.ctx, name.Key()))
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, len(d.refs), d.sidecars)
	name.State = "beef"
	require.NoError(t, d.Put(d.ctx, name.Key(), data))
	now = now.Add(failedFor + time.Second)
	forget()
	require.Equal(t, want, d.run(queries[0], 10))
	require.Equal(t, 1, d.lists)
	require.Zero(t, d.sidecars)
	_, ok := ParsePackKey(name.Key())
	require.True(t, ok)
}

type failingLists struct{ objstore.Bucket }

func (failingLists) List(context.Context, string, func(objstore.ObjectInfo) error) error {
	return fmt.Errorf("no list today")
}

// largePack stores a pack that is not read whole, and returns its name, its bytes and its chunks.
func (d *described) largePack() (PackName, []byte, []model.ChunkRef) {
	d.t.Helper()
	day := midnight / int64(time.Millisecond)
	var refs []model.ChunkRef
	in := sidecar.Input{Buf: make([]byte, 0, 1<<14)}
	for i := range 400 {
		in.Ts, in.Start = append(in.Ts, midnight+int64(i)*int64(i)*1e9), append(in.Start, uint32(len(in.Buf)))
		in.Buf = fmt.Appendf(in.Buf, "line%d id=%x ", i*i, i*1e9)
		in.End = append(in.End, uint32(len(in.Buf)))
	}
	b := sidecar.Build(in, sidecar.Options{BitsPerKey: 24, MaxBytes: 1 << 20})
	w := &sidecar.PackWriter{Tenant: "acme"}
	for i := range 600 {
		ref := model.ChunkRef{Tenant: "acme", Fingerprint: uint64(i), From: day + int64(i)*60_000, Through: day + int64(i+1)*60_000, Checksum: 7}
		refs = append(refs, ref)
		o := &sidecar.Object{Ref: ref, Size: 1 << 20, Places: make([]sidecar.Place, 4), Blocks: []sidecar.Block{b, b, b, b}}
		w.Add(ref, o.Append(nil))
	}
	data, middle := w.Bytes()
	n := PackName{Tenant: "acme", Table: d.store.tableOf(refs[0]).table, State: "feed", First: w.First(), Last: w.Last(), Middle: middle}
	require.NoError(d.t, d.Put(d.ctx, n.Key(), data))
	return n, data, refs
}

// asker asks for sidecars of a large pack in goroutines.
type asker struct {
	*described
	refs   []model.ChunkRef
	atOnce int
	// none says that nothing needs to be found.
	none bool
}

// again asks the store for parts of the sidecars of chunks.
func (a *asker) again(parts sidecar.Parts, want ...int) {
	a.t.Helper()
	family := &siblings{store: a.store}
	var list []piece
	for _, i := range want {
		list = append(list, piece{store: a.store, name: schema.ChunkName{ChunkRef: a.refs[i]}})
	}
	family.pieces = [][]piece{list}
	var g errgroup.Group
	g.SetLimit(a.atOnce)
	for _, i := range want {
		g.Go(func() error {
			o, err := a.store.sidecarOf(a.ctx, schema.ChunkName{ChunkRef: a.refs[i]}, parts, family)
			if err != nil || !a.none && (o == nil || o.Ref != a.refs[i]) {
				return fmt.Errorf("chunk %d: %w", i, err)
			}
			if !a.none && !sound(o, parts) {
				return fmt.Errorf("chunk %d lacks parts", i)
			}
			return nil
		})
	}
	require.NoError(a.t, g.Wait())
}

// sound reports whether an object has parts.
func sound(o *sidecar.Object, parts sidecar.Parts) bool {
	for i := range o.Blocks {
		absent := []sidecar.Demand{{sidecar.Text("quetzalcoatlus", false)}}
		if parts.Has(sidecar.Columns) && !o.Blocks[i].HasTimes() || parts.Has(sidecar.Filters) && o.Blocks[i].MayMeet(absent) {
			return false
		}
	}
	return true
}

// TestPackParts reads the middle of a large pack, and of the sidecars those that are wanted, in runs.
func TestPackParts(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	n, data, refs := d.largePack()
	require.Greater(t, n.Middle.From, maxRun)
	require.Greater(t, len(data)-n.Middle.To, 2*maxRun)
	require.Less(t, n.Middle.Len(), maxRun)
	a := &asker{described: d, refs: refs, atOnce: len(refs)}
	ask := func(cache int64, parts sidecar.Parts, want ...int) {
		t.Helper()
		d.cfg.CacheBytes = cache
		d.open()
		a.again(parts, want...)
	}
	all := make([]int, len(refs))
	for i := range all {
		all[i] = i
	}
	inRuns := func(n int) float64 { return float64(n/maxRun) + 1 }
	columns, filters := inRuns(n.Middle.From), inRuns(len(data)-n.Middle.To)
	ask(64<<20, sidecar.Filters, all...)
	require.Equal(t, 1.0, d.packRequests("directory"))
	require.Equal(t, filters, d.packRequests("sidecars"))
	require.Equal(t, float64(len(refs)), d.results("packed"))
	require.Equal(t, float64(len(data)-n.Middle.From), testutil.ToFloat64(d.store.metrics.packBytes))
	a.again(sidecar.Columns, all...)
	require.Equal(t, 2.0, d.packRequests("directory"), "the heads")
	require.Equal(t, columns+filters, d.packRequests("sidecars"), "the other half")
	a.again(sidecar.Whole, all...)
	require.Equal(t, columns+filters, d.packRequests("sidecars"), "both are in memory")
	ask(64<<20, sidecar.Columns, all...)
	require.Equal(t, columns, d.packRequests("sidecars"))
	a.again(sidecar.Whole, all...)
	require.Equal(t, columns+filters, d.packRequests("sidecars"), "only filters were lacking")
	ask(64<<20, sidecar.Whole, all...)
	require.Equal(t, 2*inRuns(n.Middle.From+len(data)-n.Middle.To), d.packRequests("sidecars"))
	ask(64<<20, 0, all...)
	require.Zero(t, d.packRequests("directory"))
	require.Equal(t, 1.0, d.packRequests("sidecars"), "the middle")
	require.Equal(t, float64(n.Middle.Len()), testutil.ToFloat64(d.store.metrics.packBytes))
	ask(0, sidecar.Filters, all...)
	require.LessOrEqual(t, d.packRequests("sidecars"), filters+float64(len(refs)), "nothing stays in memory: who comes late reads one alone")
	require.Empty(t, d.store.sidecars.byRef)

	spoiled := slices.Clone(data)
	clear(spoiled[n.Middle.To:])
	require.NoError(t, d.Put(d.ctx, n.Key(), spoiled))
	a.atOnce, a.none = 1, true
	ask(1, sidecar.Filters, all...)
	require.Equal(t, 1.0, testutil.ToFloat64(d.store.metrics.packsFailed), "it is damaged once")
	require.Less(t, d.packRequests("sidecars"), filters, "and not asked any more")
	require.Zero(t, d.results("packed"))
	require.NoError(t, d.Put(d.ctx, n.Key(), data))
	a.none = false

	gap := maxGap/((len(data)-n.Middle.To)/len(refs)) + 2
	ask(64<<20, sidecar.Filters, 10, 11, 12, 12+gap, 13+gap)
	require.Equal(t, 1.0, d.packRequests("directory"))
	require.Equal(t, 2.0, d.packRequests("sidecars"), "two places")
	require.Less(t, testutil.ToFloat64(d.store.metrics.packBytes), float64(n.Middle.Len()+len(data)/10))
	require.Equal(t, 5.0, d.results("packed"))
	require.Len(t, d.store.sidecars.byRef, 5, "only what was wanted is in memory")
	read := testutil.ToFloat64(d.store.metrics.packBytes)
	a.again(sidecar.Filters, 100, 101, 102, 103)
	require.Less(t, testutil.ToFloat64(d.store.metrics.packBytes)-read, float64(10*len(data)/len(refs)), "the directory is in memory, and few heads are wanted")
}

// TestHalvesOfPacks counts and looks for a needle in either order: each reads its half with one request, and no half answers for the other.
func TestHalvesOfPacks(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.open()
	needle, count, both := queries[0], queries[3], `sum(count_over_time({app=~".+"} | user="user-7" [5m]))`
	want := map[string]string{}
	for _, q := range []string{needle, count, both} {
		want[q] = d.run(q, 5000)
	}
	n := d.pack(0, d.refs...)
	info, err := d.Bucket.Stat(d.ctx, n.Key())
	require.NoError(t, err)
	size := map[string]int{needle: int(info.Size) - n.Middle.From, count: n.Middle.To, both: int(info.Size)}
	for _, order := range [][]string{{needle, count, both}, {count, needle, both}} {
		d.open()
		read := 0
		for i, q := range order {
			d.reset()
			require.Equal(t, want[q], d.run(q, 5000), q)
			if q != both {
				read += size[q]
			}
			require.Equal(t, float64(min(i+1, 2)), d.packRequests("sidecars"), q)
			require.Equal(t, float64(read), testutil.ToFloat64(d.store.metrics.packBytes), q)
			if q != needle {
				require.Zero(t, d.whole, "columns answer it: %s", q)
			}
			require.Zero(t, d.sidecars)
		}
	}
	for _, q := range []string{needle, count} {
		d.open()
		require.Equal(t, want[q], d.run(q, 5000), q)
		d.reset()
		require.Equal(t, want[both], d.run(both, 5000), q)
		require.Zero(t, d.whole)
		require.Equal(t, float64(size[needle]+size[count]), testutil.ToFloat64(d.store.metrics.packBytes), "only the other half is read after %s", q)
	}
	d.open()
	require.Equal(t, want[both], d.run(both, 5000))
	require.Equal(t, float64(size[both]), testutil.ToFloat64(d.store.metrics.packBytes))
	require.Equal(t, 1.0, d.packRequests("sidecars"))
}

// TestPackDirectoriesAreBounded forgets directories before they are too many.
func TestPackDirectoriesAreBounded(t *testing.T) {
	var p packs
	w := &sidecar.PackWriter{Tenant: "acme"}
	for i := range maxPackRows / 4 {
		w.Add(model.ChunkRef{Tenant: "acme", From: int64(i)}, nil)
	}
	data, middle := w.Bytes()
	d, err := sidecar.OpenPack(data[middle.From:], "acme")
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
					o, err := p.(logql.Outliner).Outline(ctx, sidecar.Whole)
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
	n := PackName{Tenant: "a-b", Table: "index-_19000", State: "00ff", Part: 17, First: 1767225600000, Last: 1767225600001, Middle: sidecar.Extent{From: 900, To: 1200}}
	got, ok := ParsePackKey(n.Key())
	require.True(t, ok)
	require.Equal(t, n, got)
	for _, key := range []string{"", PackPrefix, PackPrefix + "a/b/c", PackPrefix + "a/b/00-1-2-3-4-5x", PackPrefix + "a/b/00-01-2-3-4-5", PackPrefix + "a/b/00-1-2-3-4", "a/b/00-1-2-3-4-5", PackPrefix + "a/b/00-1-2-3-4-5/6"} {
		_, ok := ParsePackKey(key)
		require.False(t, ok, key)
	}
}
