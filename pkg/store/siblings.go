package store

import (
	"context"
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
	// want are the parts of the sidecars.
	want sidecar.Parts

	planning flight[struct{}]
	planned  atomic.Bool
	runs     []*packRun
	// directory is that of the pack, and heads are bytes that have the heads of the wanted sidecars, unless runs have both.
	directory *sidecar.Pack
	heads     packBytes
}

// packRun are parts of a pack that are read at once, for chunks that lie in it.
type packRun struct {
	refs []model.ChunkRef
	// columns and filters are what is read of each. With whole it is one range instead, which has also the middle of the pack; which of the
	// chunks lie in it is seen then.
	columns, filters, whole sidecar.Extent

	reading flight[map[model.ChunkRef]foundSidecar]
	read    atomic.Bool
}

// foundSidecar is a sidecar, with the parts of it that are known.
type foundSidecar struct {
	object *sidecar.Object
	parts  sidecar.Parts
}

// packBytes are bytes of a pack from an offset on.
type packBytes struct {
	from int
	data []byte
}

// cut returns the bytes of an extent, which must lie within.
func (b packBytes) cut(e sidecar.Extent) []byte {
	if e.From < b.from || e.To-b.from > len(b.data) {
		return nil
	}
	return b.data[e.From-b.from : e.To-b.from]
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

// of returns the siblings that may be in the same packs as a chunk.
func (b *siblings) of(ref model.ChunkRef) *wantedTable {
	b.once.Do(func() {
		b.tables = map[packTable]*wantedTable{}
		for _, list := range b.pieces {
			for i := range list {
				b.add(list[i].name.ChunkRef)
			}
		}
		b.pieces = nil
		for _, t := range b.tables {
			t.refs = sortRefs(t.refs)
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
func (s *Store) packedSidecar(ctx context.Context, name schema.ChunkName, want sidecar.Parts, b *siblings) (*sidecar.Object, error) {
	if !s.settledDay(name.ChunkRef) {
		return nil, nil
	}
	if b != nil {
		if o, err := s.packedWithSiblings(ctx, name, want, b); o != nil || err != nil {
			return o, err
		}
	}
	return s.packedAlone(ctx, name, want)
}

// packedWithSiblings is packedSidecar of one that is read with those that the query wants too. It finds none that was in memory when that
// was planned, or that was read and is forgotten since.
func (s *Store) packedWithSiblings(ctx context.Context, name schema.ChunkName, want sidecar.Parts, b *siblings) (*sidecar.Object, error) {
	t := b.of(name.ChunkRef)
	if t == nil {
		return nil, nil
	}
	s.readAhead(ctx, b, t, want)
	parts, err := s.planTable(ctx, t, want)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if !part.holds(name.ChunkRef) {
			continue
		}
		o, err := s.fromPart(ctx, part, name.ChunkRef, want)
		if o != nil || err != nil {
			return o, err
		}
	}
	return nil, nil
}

// planTable finds out which packs of a table have wanted chunks, and which parts of their sidecars are not in memory. The first one who
// asks says what all want.
func (s *Store) planTable(ctx context.Context, t *wantedTable, want sidecar.Parts) ([]*wantedPart, error) {
	if !t.planned.Load() {
		_, err := t.planning.do(ctx, func() (struct{}, error) {
			if t.planned.Load() {
				return struct{}{}, nil
			}
			var lacking sidecar.Parts
			missing := slices.DeleteFunc(slices.Clone(t.refs), func(ref model.ChunkRef) bool {
				parts, known := s.sidecars.lacks(ref, want)
				if !known {
					lacking |= parts
				}
				return known
			})
			if len(missing) > 0 {
				parts, err := s.partsOf(ctx, t.packOwner, t.table)
				if err != nil {
					return struct{}{}, err
				}
				t.parts = wantedParts(parts, t.bucket, missing, lacking)
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
func wantedParts(parts []*packPart, bucket objstore.Bucket, refs []model.ChunkRef, want sidecar.Parts) (out []*wantedPart) {
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
			out = append(out, &wantedPart{packPart: p, bucket: bucket, refs: refs[from:to], want: want})
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
func (s *Store) fromPart(ctx context.Context, p *wantedPart, ref model.ChunkRef, want sidecar.Parts) (*sidecar.Object, error) {
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
		if f := found[ref]; f.object != nil && f.parts.Has(want) {
			return f.object, nil
		}
		o, _ := s.sidecars.get(ref, want)
		return o, nil
	}
	return nil, nil
}

// runOf reads a run if nobody has, and returns what it or who reads it at the time found; what was read before is in memory.
func (s *Store) runOf(ctx context.Context, p *wantedPart, run *packRun) (map[model.ChunkRef]foundSidecar, error) {
	if run.read.Load() {
		return nil, nil
	}
	return run.reading.do(ctx, func() (map[model.ChunkRef]foundSidecar, error) { return s.readRun(ctx, p, run) })
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

// planPart finds out what is read of a pack at once. If the wanted parts of all its sidecars are small for what is wanted of them, that is
// one range: the parts lie beside the middle.
func (s *Store) planPart(ctx context.Context, p *wantedPart) error {
	if p.planned.Load() {
		return nil
	}
	whole := p.Middle
	if p.want.Has(sidecar.Columns) {
		whole.From = 0
	}
	if p.want.Has(sidecar.Filters) {
		whole.To = int(p.size)
	}
	if whole.Len() <= min(maxRun, maxPerWanted*len(p.refs)) {
		p.runs = []*packRun{{refs: p.refs, whole: whole}}
		p.planned.Store(true)
		return nil
	}
	err := s.readHeads(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		p.runs = runsOf(p.directory, p.refs, p.want)
	}
	p.planned.Store(true)
	return nil
}

// readHeads reads the heads of the wanted sidecars, and the directory before them if it is not in memory.
func (s *Store) readHeads(ctx context.Context, p *wantedPart) (err error) {
	if p.directory = s.sidecars.packs.directory(p.key); p.directory == nil {
		opened, err := s.openPack(ctx, p.bucket, p.packPart)
		p.directory, p.heads = opened.directory, packBytes{p.Middle.From, opened.middle}
		return err
	}
	var heads sidecar.Extent
	for _, ref := range p.refs {
		if at, ok := p.directory.Find(ref); ok {
			if heads.To == 0 {
				heads.From = at.Head.From
			}
			heads.To = at.Head.To
		}
	}
	if heads.Len() > 0 {
		p.heads.from = heads.From
		p.heads.data, err = s.readPack(ctx, p.bucket, p.packPart, heads, "directory")
	}
	return err
}

// runsOf joins the sidecars of the chunks, which are in order, the wanted parts of which lie near each other in a pack.
func runsOf(d *sidecar.Pack, refs []model.ChunkRef, want sidecar.Parts) (out []*packRun) {
	var last *packRun
	begin := 0
	for i, ref := range refs {
		at, ok := d.Find(ref)
		if !ok {
			continue
		}
		if !want.Has(sidecar.Columns) {
			at.Columns = sidecar.Extent{}
		}
		if !want.Has(sidecar.Filters) {
			at.Filters = sidecar.Extent{}
		}
		if last == nil || at.Columns.From-last.columns.To+at.Filters.From-last.filters.To > maxGap || last.columns.Len()+last.filters.Len() > maxRun {
			last, begin = &packRun{columns: at.Columns, filters: at.Filters}, i
			out = append(out, last)
		}
		last.columns.To, last.filters.To, last.refs = at.Columns.To, at.Filters.To, refs[begin:i+1]
	}
	return out
}

// readRun reads the sidecars of a run and puts them into memory. It returns them too, for who waits for them; nothing else keeps them.
func (s *Store) readRun(ctx context.Context, p *wantedPart, run *packRun) (map[model.ChunkRef]foundSidecar, error) {
	if run.read.Load() || p.damaged.Load() {
		return nil, nil
	}
	ranges := [...]sidecar.Extent{run.whole, run.columns, run.filters}
	var read [len(ranges)]packBytes
	var err error
	for i, e := range ranges {
		if e.Len() > 0 && err == nil {
			read[i].from = e.From
			read[i].data, err = s.readPack(ctx, p.bucket, p.packPart, e, "sidecars")
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	defer run.read.Store(true)
	if err != nil {
		return nil, nil //nolint:nilerr // it was counted, and the query does without
	}
	if p.directory != nil {
		return s.unpack(p, run, p.directory, p.heads, read[1], read[2]), nil
	}
	d, whole := s.sidecars.packs.directory(p.key), read[0]
	if d == nil {
		if d, err = s.takeDirectory(p.packPart, whole.data[p.Middle.From-whole.from:]); err != nil {
			return nil, nil //nolint:nilerr // the same
		}
	}
	return s.unpack(p, run, d, whole, whole, whole), nil
}

// unpack opens the sidecars of a run, the parts of which are in the given bytes. They share these if most of them are theirs; else they keep
// copies, lest few sidecars hold all of a run.
func (s *Store) unpack(p *wantedPart, run *packRun, d *sidecar.Pack, heads, columns, filters packBytes) map[model.ChunkRef]foundSidecar {
	found, used := make(map[model.ChunkRef]foundSidecar, len(run.refs)), 0
	for _, ref := range run.refs {
		at, ok := d.Find(ref)
		if !ok {
			continue
		}
		o, err := sidecar.OpenParts(heads.cut(at.Head), columns.cut(at.Columns), filters.cut(at.Filters), p.want, ref)
		if err != nil {
			s.spoiled(p.packPart)
			continue
		}
		for i := range o.Blocks {
			used += o.Blocks[i].Bytes()
		}
		found[ref] = foundSidecar{o, p.want}
	}
	s.metrics.sidecarsRead.WithLabelValues("packed").Add(float64(len(found)))
	if read := run.whole.Len() + run.columns.Len() + run.filters.Len(); used >= read-read/4 {
		s.sidecars.putAll(found, int64(read))
		return found
	}
	for ref, f := range found {
		o, parts := s.sidecars.put(ref, f.object.Clone(), f.parts)
		found[ref] = foundSidecar{o, parts}
	}
	return found
}
