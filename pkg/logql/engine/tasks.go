package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/sidecar"
)

// task is a part of a stream that one worker reads: entries with low < ts <= high of the blocks. Tasks of one stream do
// not share entries, so several blocks are in one task only where they overlap in time and may hold the same entries.
type task struct {
	stream    *stream
	blocks    []span
	low, high int64
}

// span is a block and its bounds. A block that is not read is nil; then the description and the place of it are there.
type span struct {
	block       *chunk.Block
	first, last int64
	aside       *sidecar.Block
	outline     logql.Outline
	number      int
}

// read reads the block if that was not done.
func (s *span) read(ctx context.Context) error {
	if s.block != nil {
		return nil
	}
	c, err := s.outline.Read(ctx, []int{s.number})
	if err != nil {
		return err
	}
	s.block = &c.Blocks[0]
	return nil
}

// assembler makes tasks of the blocks of one stream, whose pieces are opened in the order of their first instants.
type assembler struct {
	stream *stream
	// pending are the blocks that are not in tasks yet, or only a part of which is, by their first instant.
	pending []span
	// low is the instant up to which entries are in tasks.
	low int64
}

// maxTogether is how many overlapping blocks make one task: a longer chain of them is cut in time, and blocks at the cut
// are read twice.
const maxTogether = 32

// add takes the blocks of an opened piece.
func (a *assembler) add(spans []span) {
	a.pending = append(a.pending, spans...)
	slices.SortStableFunc(a.pending, func(x, y span) int { return cmp.Compare(x.first, y.first) })
}

// advance emits tasks for all that ends before frontier: no piece to come holds anything before it. The frontier behind
// the last piece is the largest instant.
func (a *assembler) advance(frontier int64, emit func(task) error) error {
	for len(a.pending) > 0 {
		n, last := a.chain()
		if n > maxTogether {
			if cut, ok := a.cut(frontier); ok {
				if err := emit(a.split(cut)); err != nil {
					return err
				}
				continue
			}
		}
		if last >= frontier && frontier != math.MaxInt64 {
			return nil
		}
		// What is pending grows behind these blocks, and is put in order there: nobody touches them again.
		if err := emit(task{a.stream, a.pending[:n:n], a.low, math.MaxInt64}); err != nil {
			return err
		}
		a.pending = a.pending[n:]
		a.low = math.MinInt64
	}
	return nil
}

// chain returns how many of the pending blocks overlap, each one with some before it, and their last instant.
func (a *assembler) chain() (n int, last int64) {
	last = a.pending[0].last
	for n = 1; n < len(a.pending) && a.pending[n].first <= last; n++ {
		last = max(last, a.pending[n].last)
	}
	return n, last
}

// cut returns an instant at which a chain that is too long may be cut.
func (a *assembler) cut(frontier int64) (int64, bool) {
	for _, s := range a.pending[maxTogether:] {
		if cut := s.first - 1; cut > a.low && cut >= a.pending[0].first {
			return cut, cut < frontier
		}
	}
	return 0, false
}

// split takes the entries up to the cut out of the pending blocks.
func (a *assembler) split(cut int64) task {
	t := task{stream: a.stream, low: a.low, high: cut}
	rest := a.pending[:0:0]
	for _, s := range a.pending {
		if s.first <= cut {
			t.blocks = append(t.blocks, s)
		}
		if s.last > cut {
			rest = append(rest, s)
		}
	}
	a.pending, a.low = rest, cut
	return t
}
