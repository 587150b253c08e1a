package store

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

// siblings are the pieces that one Select found. The first one that lacks its sidecar finds out which packs have those of all, and each
// reads what it and its neighbours want.
type siblings struct {
	store  *Store
	pieces [][]piece

	once   sync.Once
	tables map[packTable]*wantedTable

	mu    sync.Mutex
	ahead ahead
}

type packTable struct {
	packOwner
	table string
}

// wantedTable are the chunks of a Select that begin on the day of a table, in the order of packs.
type wantedTable struct {
	packTable
	refs []model.ChunkRef
	// number counts the tables, oldest first.
	number int
	// asked is set once the query wanted something of the table, ahead once it is read ahead; the siblings' lock guards them.
	asked, ahead bool

	planning flight[struct{}]
	planned  atomic.Bool
	parts    []*wantedPart
}

// wantedPart is what a Select wants of a pack.
type wantedPart struct {
	*packPart
	bucket objstore.Bucket
	refs   []model.ChunkRef

	planning flight[struct{}]
	planned  atomic.Bool
	runs     []*packRun
}

// packRun is a part of a pack that is read at once, for chunks that lie in it; with whole it is the pack, and which of the chunks lie in
// it is seen then.
type packRun struct {
	refs     []model.ChunkRef
	from, to int
	whole    bool

	reading flight[map[model.ChunkRef]*sidecar.Object]
	read    atomic.Bool
}

const (
	// maxRun is the most that is read of a pack at once, but for a single sidecar, and maxGap what may lie between two that are read together.
	maxRun, maxGap = 1 << 20, 64 << 10
	// maxPerWanted is how many bytes of a small pack may be read for each sidecar that is wanted.
	maxPerWanted = MaxPacked
)

// tableOf returns of which table's packs a chunk may be.
func (s *Store) tableOf(ref model.ChunkRef) packTable {
	p := s.periods.At(ref.From)
	return packTable{packOwner{s.stores[p].Bucket, ref.Tenant}, s.periods[p].Table(schema.Day(ref.From))}
}

// settledDay reports whether a chunk begins on a day of which there may be packs.
func (s *Store) settledDay(ref model.ChunkRef) bool {
	return ref.From >= 0 && schema.Day(ref.From) < schema.Day(s.sidecars.now().Add(-Settled).UnixMilli())
}

// of returns the siblings that may be in the same packs as a chunk, nil if they are too few to be worth it.
func (b *siblings) of(ref model.ChunkRef) *wantedTable {
	b.once.Do(func() {
		b.tables = map[packTable]*wantedTable{}
		for _, list := range b.pieces {
			for i := range list {
				b.add(list[i].name.ChunkRef)
			}
		}
		b.pieces = nil
		for key, t := range b.tables {
			if t.refs = sortRefs(t.refs); len(t.refs) < MinPacked {
				delete(b.tables, key)
			}
		}
		b.ahead.begin(b.tables)
	})
	return b.tables[b.store.tableOf(ref)]
}

func (b *siblings) add(ref model.ChunkRef) {
	if !b.store.settledDay(ref) {
		return
	}
	key := b.store.tableOf(ref)
	t := b.tables[key]
	if t == nil {
		t = &wantedTable{packTable: key}
		b.tables[key] = t
	}
	t.refs = append(t.refs, ref)
}

// packedSidecar returns a sidecar from a pack, nil if none has it. What is wrong with packs is no error of the query.
func (s *Store) packedSidecar(ctx context.Context, name schema.ChunkName, filters bool, b *siblings) (*sidecar.Object, error) {
	if b == nil || !s.settledDay(name.ChunkRef) {
		return nil, nil
	}
	t := b.of(name.ChunkRef)
	if t == nil {
		return nil, nil
	}
	if filters {
		s.readAhead(ctx, b, t)
	}
	parts, err := s.planTable(ctx, t, filters)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if !part.holds(name.ChunkRef) {
			continue
		}
		o, err := s.fromPart(ctx, part, name.ChunkRef, filters)
		if o != nil || err != nil {
			return o, err
		}
	}
	return nil, nil
}

// planTable finds out which packs of a table have wanted chunks.
func (s *Store) planTable(ctx context.Context, t *wantedTable, filters bool) ([]*wantedPart, error) {
	if !t.planned.Load() {
		_, err := t.planning.do(ctx, func() (struct{}, error) {
			if t.planned.Load() {
				return struct{}{}, nil
			}
			missing := slices.DeleteFunc(slices.Clone(t.refs), func(ref model.ChunkRef) bool { _, known := s.sidecars.get(ref, filters); return known })
			if len(missing) >= MinPacked {
				parts, err := s.partsOf(ctx, t.packOwner, t.table)
				if err != nil {
					return struct{}{}, err
				}
				t.parts = wantedParts(parts, t.bucket, missing)
			}
			t.refs = nil
			t.planned.Store(true)
			return struct{}{}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t.parts, nil
}

// wantedParts returns the packs that may have some of the chunks, which are in order.
func wantedParts(parts []*packPart, bucket objstore.Bucket, refs []model.ChunkRef) (out []*wantedPart) {
	begin := func(ms int64) int {
		i, _ := slices.BinarySearchFunc(refs, ms, func(ref model.ChunkRef, ms int64) int {
			if ref.From < ms {
				return -1
			}
			return 1
		})
		return i
	}
	for _, p := range parts {
		if from, to := begin(p.First), begin(p.Last+1); from < to && !p.damaged.Load() {
			out = append(out, &wantedPart{packPart: p, bucket: bucket, refs: refs[from:to]})
		}
	}
	return out
}

// holds reports whether a chunk is one of those that are wanted of the pack.
func (p *wantedPart) holds(ref model.ChunkRef) bool {
	_, ok := slices.BinarySearchFunc(p.refs, ref, sidecar.ComparePacked)
	return ok
}

// fromPart returns a sidecar from a pack, nil if it is not there or was read and is forgotten since.
func (s *Store) fromPart(ctx context.Context, p *wantedPart, ref model.ChunkRef, filters bool) (*sidecar.Object, error) {
	runs, err := s.plannedRuns(ctx, p)
	if err != nil {
		return nil, ctx.Err()
	}
	for _, run := range runs {
		if _, ok := slices.BinarySearchFunc(run.refs, ref, sidecar.ComparePacked); !ok {
			continue
		}
		found, err := s.runOf(ctx, p, run)
		if err != nil {
			return nil, ctx.Err()
		}
		o := found[ref]
		if o == nil {
			o, _ = s.sidecars.get(ref, filters)
		}
		return o, nil
	}
	return nil, nil
}

// runOf reads a run if nobody has, and returns what it or who reads it at the time found; what was read before is in memory.
func (s *Store) runOf(ctx context.Context, p *wantedPart, run *packRun) (map[model.ChunkRef]*sidecar.Object, error) {
	if run.read.Load() {
		return nil, nil
	}
	return run.reading.do(ctx, func() (map[model.ChunkRef]*sidecar.Object, error) { return s.readRun(ctx, p, run) })
}

// plannedRuns returns what is read of a pack at once.
func (s *Store) plannedRuns(ctx context.Context, p *wantedPart) ([]*packRun, error) {
	if !p.planned.Load() {
		_, err := p.planning.do(ctx, func() (struct{}, error) { return struct{}{}, s.planPart(ctx, p) })
		if err != nil {
			return nil, err
		}
	}
	return p.runs, nil
}

// planPart finds out what is read of a pack at once. A pack that is small for what is wanted of it is read whole.
func (s *Store) planPart(ctx context.Context, p *wantedPart) error {
	if p.planned.Load() {
		return nil
	}
	if p.size <= int64(min(maxRun, maxPerWanted*len(p.refs))) {
		p.runs = []*packRun{{refs: p.refs, to: int(p.size), whole: true}}
		p.planned.Store(true)
		return nil
	}
	d, err := s.openPack(ctx, p.bucket, p.packPart)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		p.runs = runsOf(d, p.refs)
	}
	p.planned.Store(true)
	return nil
}

// runsOf joins the sidecars of the chunks, which are in order, that lie near each other in a pack.
func runsOf(d *sidecar.Pack, refs []model.ChunkRef) (out []*packRun) {
	var last *packRun
	begin := 0
	for i, ref := range refs {
		from, to, ok := d.Find(ref)
		if !ok {
			continue
		}
		if last == nil || from > last.to+maxGap || to-last.from > maxRun {
			last, begin = &packRun{from: from}, i
			out = append(out, last)
		}
		last.to, last.refs = to, refs[begin:i+1]
	}
	return out
}

// readRun reads the sidecars of a run and puts them into memory. It returns them too, for who waits for them; nothing else keeps them.
func (s *Store) readRun(ctx context.Context, p *wantedPart, run *packRun) (map[model.ChunkRef]*sidecar.Object, error) {
	if run.read.Load() || p.damaged.Load() {
		return nil, nil
	}
	data, err := s.readPack(ctx, p.bucket, p.packPart, run.from, run.to, "sidecars")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	defer run.read.Store(true)
	if err != nil {
		return nil, nil //nolint:nilerr // it was counted, and the query does without
	}
	d := s.sidecars.packs.directory(p.key)
	if d == nil && run.whole {
		d, err = s.takeDirectory(p.packPart, data)
	} else if d == nil {
		d, err = s.openPack(ctx, p.bucket, p.packPart)
	}
	if err != nil {
		return nil, ctx.Err()
	}
	return s.unpack(p, run, d, data), nil
}

// unpack opens the sidecars of a run, the bytes of which are data. They keep copies, lest one of them holds all of the run.
func (s *Store) unpack(p *wantedPart, run *packRun, d *sidecar.Pack, data []byte) map[model.ChunkRef]*sidecar.Object {
	found := make(map[model.ChunkRef]*sidecar.Object, len(run.refs))
	for _, ref := range run.refs {
		from, to, ok := d.Find(ref)
		if !ok || from < run.from || to > run.to {
			continue
		}
		o, err := openSidecar(slices.Clone(data[from-run.from:to-run.from]), schema.ChunkName{ChunkRef: ref})
		if err != nil {
			s.spoiled(p.packPart)
			continue
		}
		found[ref] = o
		s.sidecars.put(ref, o, math.MaxInt)
		s.metrics.sidecarsRead.WithLabelValues("packed").Inc()
	}
	return found
}
