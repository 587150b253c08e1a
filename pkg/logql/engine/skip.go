package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/sidecar"
)

// skipping says which blocks of a range aggregation need not be read.
type skipping struct {
	// columns says that blocks may be answered by their descriptions, lengths that these must have the lengths of the lines.
	columns, lengths bool
	// filters says that blocks may be ruled out by what they hold.
	filters bool
	// bound is one of the buckets' bounds: the one that rounded timestamps answer worst.
	bound int64
	// first and last bound what the query wants.
	first, last int64
}

func newSkipping(p *rangePlan, b *buckets) skipping {
	k := skipping{
		columns: p.additive && p.pipe.MetadataOnly() && !p.pipe.NeedsLines(), lengths: p.pipe.ValueIsLength(), filters: p.pipe.Demanding(),
	}
	k.first, k.last = b.span()
	k.bound = b.bounds[0]
	for _, bound := range b.bounds {
		if bound%int64(time.Millisecond) != 0 {
			k.bound = bound
			break
		}
	}
	return k
}

// useful reports whether the outline of a piece could spare something.
func (k *skipping) useful(p *piece) bool {
	return k.columns || k.filters || p.first < k.first || p.last > k.last
}

// parts returns what is wanted of the descriptions of blocks.
func (k *skipping) parts() (want sidecar.Parts) {
	if k.columns {
		want |= sidecar.Columns
	}
	if k.filters {
		want |= sidecar.Filters
	}
	return want
}

// openPiece opens a piece, or its outline, and returns the blocks that matter: ones that their descriptions answer, and others, which
// are read. shared are the spans of time that the piece may share with others of the stream.
func (s *scan) openPiece(ctx context.Context, st *stream, p piece, shared []closedSpan) ([]span, error) {
	if o, ok := p.Piece.(logql.Outliner); ok && s.skip.useful(&p) {
		outline, err := o.Outline(ctx, s.skip.parts())
		if err != nil {
			return nil, err
		}
		if outline != nil {
			described, wanted := s.choose(st, outline, shared)
			return s.readBlocks(ctx, outline, described, wanted)
		}
	}
	c, err := p.Open(ctx)
	if err != nil {
		return nil, err
	}
	return blockSpans(nil, c, s.buckets.touches), nil
}

// blockSpans appends the blocks that keep accepts.
func blockSpans(dst []span, c *chunk.Chunk, keep func(first, last int64) bool) []span {
	for i := range c.Blocks {
		b := &c.Blocks[i]
		if b.Entries > 0 && keep(b.MinTime, b.MaxTime) {
			dst = append(dst, span{block: b, first: b.MinTime, last: b.MaxTime})
		}
	}
	return dst
}

// remembered returns what is known of a piece without waiting for anything, nil if that is nothing or would not help.
func (s *scan) remembered(p *piece) logql.Outline {
	if r, ok := p.Piece.(logql.Rememberer); ok && s.skip.useful(p) {
		return r.Remembered(s.skip.parts())
	}
	return nil
}

// choose returns the blocks that their descriptions answer, and the numbers of those that are to be read.
func (s *scan) choose(st *stream, outline logql.Outline, shared []closedSpan) (out []span, wanted []int) {
	demands := s.plan.pipe.Demands(st.labels)
	blocks := outline.Blocks()
	for i := range blocks {
		b := &blocks[i]
		switch {
		case b.Entries == 0 || !s.buckets.touches(b.MinTime, b.MaxTime):
		case !b.MayMeet(demands):
			s.q.acct.skipped.Add(1)
		default:
			a := span{first: b.MinTime, last: b.MaxTime, aside: b, outline: outline, number: i}
			if s.skip.columns && s.answers(st, &a) && !touchesAny(shared, b.MinTime, b.MaxTime) {
				if out == nil {
					out = make([]span, 0, len(blocks)-i)
				}
				out = append(out, a)
			} else {
				wanted = append(wanted, i)
			}
		}
	}
	return out, wanted
}

// readBlocks appends the wanted blocks, having read them.
func (s *scan) readBlocks(ctx context.Context, outline logql.Outline, out []span, wanted []int) ([]span, error) {
	if len(wanted) == 0 {
		return out, nil
	}
	c, err := outline.Read(ctx, wanted)
	if err != nil {
		return nil, err
	}
	return blockSpans(out, c, s.buckets.touches), nil
}

// answers reports whether the description of a block suffices.
func (s *scan) answers(st *stream, a *span) bool {
	b := a.aside
	if !b.Unique {
		return false
	}
	fixed := s.plan.fixed(st.labels, b.MetaBytes > 0)
	if fixed && s.buckets.index(a.first) == s.buckets.index(a.last) {
		return true
	}
	return b.HasTimes() && b.Clean(s.skip.bound) && (!s.skip.lengths || b.HasLengths()) && (fixed || b.HasColumns(s.plan.pipe.WantsMetadata))
}

// entries is the number of entries in the block.
func (s *span) entries() int {
	if s.block != nil {
		return s.block.Entries
	}
	return 1 // it is answered by its description, which takes little time
}

// closedSpan is a span of time, both ends inclusive.
type closedSpan struct{ first, last int64 }

// sharedSpans returns where pieces, which are ordered by their first instants, overlap by more than the millisecond to which their
// bounds are rounded: most likely they are replicas there and hold the same entries.
func sharedSpans(pieces []piece) (out []closedSpan) {
	const rounding = int64(time.Millisecond)
	end := int64(math.MinInt64)
	for _, p := range pieces {
		first, last := p.first+rounding, p.last-rounding
		if last < first {
			first, last = p.first, p.last
		}
		if first <= end {
			c := closedSpan{first, min(last, end)}
			if n := len(out); n > 0 && c.first <= out[n-1].last {
				out[n-1].last = max(out[n-1].last, c.last)
			} else {
				out = append(out, c)
			}
		}
		end = max(end, last)
	}
	return out
}

// touchesAny reports whether one of the spans, which are in order and apart, shares an instant with [first, last].
func touchesAny(spans []closedSpan, first, last int64) bool {
	i, _ := slices.BinarySearchFunc(spans, first, func(c closedSpan, first int64) int { return cmp.Compare(c.last, first) })
	return i < len(spans) && spans[i].first <= last
}
