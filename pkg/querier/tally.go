package querier

import (
	"cmp"
	"context"
	"slices"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// tally counts the entries of one stream per step.
type tally struct {
	interval model.Interval
	step     int64
	bytes    []int64
	entries  int64
	pairs    []model.Pair
	columns  columnMemory
	// limits bound what all tallies of a request read.
	limits engine.Limits
	// sized counts the pieces that were taken from the index, opened those that were read; seen are the windows in which
	// pieces of the first kind were met.
	sized, opened int64
	seen          map[int64]bool
}

// streams returns how often the stream counts: once, and in what an index says once a window.
func (t *tally) streams() int64 {
	n := int64(len(t.seen))
	if t.opened > 0 || n == 0 {
		n++
	}
	return n
}

func newTally(interval model.Interval, step int64) *tally {
	n := int64(1)
	if step > 0 {
		n = max(1, (interval.End-interval.Start+step-1)/step)
	}
	return &tally{interval: interval, step: step, bytes: make([]int64, n)}
}

// at returns the step of an instant within the interval.
func (t *tally) at(ts int64) int64 {
	if t.step <= 0 {
		return 0
	}
	return (ts - t.interval.Start) / t.step
}

func (t *tally) add(ts int64, size int) {
	if t.interval.Contains(ts) {
		t.bytes[t.at(ts)] += int64(size)
		t.entries++
	}
}

// read counts bytes that were decompressed.
func (t *tally) read(n int) error {
	if t.limits.Budget == nil {
		return nil
	}
	return t.limits.Budget.Read(int64(n), t.limits)
}

func pairsSize(pairs []model.Pair) int {
	n := 0
	for _, p := range pairs {
		n += len(p.Name) + len(p.Value)
	}
	return n
}

// empty reports whether nothing of the stream is in the interval.
func (t *tally) empty() bool { return t.entries == 0 && t.sized == 0 }

// stream counts a stream, each entry once.
func (t *tally) stream(ctx context.Context, s *logql.Stream) error {
	pieces := make([]logql.Piece, 0, len(s.Pieces))
	for _, p := range s.Pieces {
		if !t.takeSized(p) {
			pieces = append(pieces, p)
		}
	}
	t.opened = int64(len(pieces))
	slices.SortStableFunc(pieces, func(a, b logql.Piece) int {
		x, _ := a.Bounds()
		y, _ := b.Bounds()
		return cmp.Compare(x, y)
	})
	for len(pieces) > 0 {
		n := overlapping(pieces)
		if err := t.run(ctx, pieces[:n]); err != nil {
			return err
		}
		pieces = pieces[n:]
	}
	return nil
}

// overlapping returns how many pieces, from the first on, hang together in time.
func overlapping(pieces []logql.Piece) int {
	_, last := pieces[0].Bounds()
	for n := 1; n < len(pieces); n++ {
		first, through := pieces[n].Bounds()
		if first > last {
			return n
		}
		last = max(last, through)
	}
	return len(pieces)
}

// part is a block of a piece: one that was opened, or one of an outline.
type part struct {
	first, last int64
	// chunk has the block if the piece is open; otherwise outline describes it.
	chunk   *chunk.Chunk
	outline logql.Outline
	number  int
}

// run counts pieces that may share entries. A block that overlaps no other is counted by itself, by its description if that says
// enough; others are read side by side, and what is in several of them counts once.
func (t *tally) run(ctx context.Context, pieces []logql.Piece) error {
	var parts []part
	for _, p := range pieces {
		if first, last := p.Bounds(); !t.interval.Overlaps(first, last) {
			continue
		}
		var err error
		if parts, err = t.parts(ctx, parts, p); err != nil {
			return err
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.first, b.first) })
	var wanted [][]part
	for len(parts) > 0 {
		n, last := 1, parts[0].last
		for ; n < len(parts) && parts[n].first <= last; n++ {
			last = max(last, parts[n].last)
		}
		if group := parts[:n]; n > 1 || !t.described(&group[0]) {
			wanted = append(wanted, group)
		}
		parts = parts[n:]
	}
	if err := open(ctx, wanted); err != nil {
		return err
	}
	for _, group := range wanted {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.group(group); err != nil {
			return err
		}
	}
	return nil
}

// parts appends the blocks of a piece that touch the interval.
func (t *tally) parts(ctx context.Context, dst []part, p logql.Piece) ([]part, error) {
	if o, ok := p.(logql.Outliner); ok {
		outline, err := o.Outline(ctx, sidecar.Columns)
		if err != nil {
			return dst, err
		}
		if outline != nil {
			blocks := outline.Blocks()
			for i := range blocks {
				if b := &blocks[i]; b.Entries > 0 && t.interval.Overlaps(b.MinTime, b.MaxTime) {
					dst = append(dst, part{first: b.MinTime, last: b.MaxTime, outline: outline, number: i})
				}
			}
			return dst, nil
		}
	}
	c, err := p.Open(ctx)
	if err != nil {
		return dst, err
	}
	for i := range c.Blocks {
		if b := &c.Blocks[i]; b.Entries > 0 && t.interval.Overlaps(b.MinTime, b.MaxTime) {
			dst = append(dst, part{first: b.MinTime, last: b.MaxTime, chunk: c, number: i})
		}
	}
	return dst, nil
}

// open reads the blocks of outlines, those of each in one go.
func open(ctx context.Context, groups [][]part) error {
	numbers := map[logql.Outline][]int{}
	for _, group := range groups {
		for _, p := range group {
			if p.chunk == nil {
				numbers[p.outline] = append(numbers[p.outline], p.number)
			}
		}
	}
	chunks := make(map[logql.Outline]*chunk.Chunk, len(numbers))
	for outline, list := range numbers {
		slices.Sort(list)
		c, err := outline.Read(ctx, list)
		if err != nil {
			return err
		}
		chunks[outline] = c
	}
	for _, group := range groups {
		for k := range group {
			if p := &group[k]; p.chunk == nil {
				p.number, _ = slices.BinarySearch(numbers[p.outline], p.number)
				p.chunk = chunks[p.outline]
			}
		}
	}
	return nil
}

// group counts blocks that are open and hang together in time.
func (t *tally) group(parts []part) error {
	if len(parts) == 1 {
		return t.block(&parts[0].chunk.Blocks[parts[0].number])
	}
	byChunk := map[*chunk.Chunk]*chunk.Chunk{}
	var chunks []*chunk.Chunk
	for _, p := range parts {
		c := byChunk[p.chunk]
		if c == nil {
			some := *p.chunk
			some.Blocks = nil
			c = &some
			byChunk[p.chunk] = c
			chunks = append(chunks, c)
		}
		c.Blocks = append(c.Blocks, p.chunk.Blocks[p.number])
	}
	it := chunk.Iterate(chunks...)
	defer it.Close()
	for it.Next() {
		size := len(it.Line()) + pairsSize(it.Metadata())
		if err := t.read(size); err != nil {
			return err
		}
		t.add(it.Timestamp(), size)
	}
	return it.Err()
}

// block counts a block whose entries stand in no other. If it lies in one step and has no metadata, its table of contents
// is enough.
func (t *tally) block(blk *chunk.Block) error {
	if !t.interval.Overlaps(blk.MinTime, blk.MaxTime) {
		return nil
	}
	if blk.Symbols == nil && t.interval.Contains(blk.MinTime) && t.interval.Contains(blk.MaxTime) && t.at(blk.MinTime) == t.at(blk.MaxTime) && blk.Size > 0 {
		t.bytes[t.at(blk.MinTime)] += int64(blk.Size)
		t.entries += int64(blk.Entries)
		return nil
	}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	if err := b.Load(blk); err != nil {
		return err
	}
	if err := t.read(len(b.Buf)); err != nil {
		return err
	}
	if err := b.Walk(); err != nil {
		return err
	}
	for i, ts := range b.Ts {
		size := int(b.End[i] - b.Start[i])
		if b.Meta != nil {
			t.pairs = b.Metadata(i, t.pairs[:0])
			size += pairsSize(t.pairs)
		}
		t.add(ts, size)
	}
	return nil
}

// columnMemory is used again for each described block.
type columnMemory struct {
	times   sidecar.Times
	lengths []uint64
	steps   []int64
}

// described counts a block that overlaps no other by its description. It reports false, having counted nothing, if that does not
// say enough.
func (t *tally) described(p *part) bool {
	if p.outline == nil {
		return false
	}
	b := &p.outline.Blocks()[p.number]
	switch {
	case !b.Unique:
		return false
	case t.within(b.MinTime, b.MaxTime):
		t.bytes[t.at(b.MinTime)] += b.LineBytes + b.MetaBytes
		t.entries += int64(b.Entries)
		return true
	}
	m := &t.columns
	var ok bool
	if !b.Times(&m.times) || !t.place() {
		return false
	}
	if m.lengths, ok = b.Lengths(m.lengths[:0]); !ok {
		return false
	}
	if b.MetaBytes > 0 {
		columns, complete := b.Columns(nil)
		if !complete {
			return false
		}
		for k := range columns {
			c := &columns[k]
			for i, value := range c.Index {
				if value > 0 {
					m.lengths[i] += uint64(len(c.Name) + len(c.Values[value-1]))
				}
			}
		}
	}
	for i, step := range m.steps {
		if step >= 0 {
			t.bytes[step] += int64(m.lengths[i])
			t.entries++
		}
	}
	return true
}

// within reports whether two instants and what is between them lie in one step of the interval.
func (t *tally) within(first, last int64) bool {
	return t.interval.Contains(first) && t.interval.Contains(last) && t.at(first) == t.at(last)
}

// place finds the step of each entry of the described block, -1 for those outside of the interval. It reports false if the rounding
// of the timestamps hides on which side of a bound one of them is.
func (t *tally) place() bool {
	m := &t.columns
	m.steps = m.steps[:0]
	for _, tick := range m.times.Ticks {
		last := tick * m.times.Unit
		first := last
		if !m.times.Exact {
			first = last - m.times.Unit + 1
		}
		switch {
		case t.within(first, last):
			m.steps = append(m.steps, t.at(first))
		case last < t.interval.Start || first >= t.interval.End:
			m.steps = append(m.steps, -1)
		default:
			return false
		}
	}
	return true
}
