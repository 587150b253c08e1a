package deletes

import (
	"context"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
)

// Hide returns a source without the entries that are still to be deleted. filters returns those of a tenant; it is called
// once for each Select.
func Hide(src logql.Source, filters func(tenant string) []*Filter) logql.Source {
	return &hidden{Source: src, filters: filters}
}

type hidden struct {
	logql.Source
	filters func(tenant string) []*Filter
}

// Select implements logql.Source. Streams without anything to hide are passed on as they are.
func (h *hidden) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	var filters []*Filter
	for _, f := range h.filters(id) {
		if sel.Interval.Overlaps(f.First, f.Last) {
			filters = append(filters, f)
		}
	}
	streams, err := h.Source.Select(ctx, sel)
	if err != nil || len(filters) == 0 {
		return streams, err
	}
	kept := streams[:0]
	for _, s := range streams {
		if s.Pieces = hidePieces(s, filters); len(s.Pieces) > 0 {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// hidePieces drops the pieces of which nothing is left and wraps those of which something is.
func hidePieces(s logql.Stream, filters []*Filter) []logql.Piece {
	var own []*Filter
	for _, f := range filters {
		if f.MatchStream(s.Labels) {
			own = append(own, f)
		}
	}
	if len(own) == 0 {
		return s.Pieces
	}
	out := make([]logql.Piece, 0, len(s.Pieces))
next:
	for _, p := range s.Pieces {
		first, last := p.Bounds()
		var touching []*Filter
		for _, f := range own {
			if f.Covers(first, last) {
				continue next
			}
			if f.Overlaps(first, last) {
				touching = append(touching, f)
			}
		}
		if len(touching) > 0 {
			p = &hiddenPiece{inner: p, filters: touching}
		}
		out = append(out, p)
	}
	return out
}

// hiddenPiece is a piece some of whose entries are to go.
type hiddenPiece struct {
	inner   logql.Piece
	filters []*Filter
}

// Key implements logql.Piece. What is left of a chunk is not the chunk that its key names, so that nobody may answer from
// what he knows about that.
func (p *hiddenPiece) Key() string { return "" }

// Bounds implements logql.Piece.
func (p *hiddenPiece) Bounds() (first, last int64) { return p.inner.Bounds() }

// Open implements logql.Piece. Blocks outside of all filters are left as they are, compressed.
func (p *hiddenPiece) Open(ctx context.Context) (*chunk.Chunk, error) {
	c, err := p.inner.Open(ctx)
	if err != nil {
		return nil, err
	}
	var touched, rest []chunk.Block
	for _, b := range c.Blocks {
		if overlapsAny(p.filters, b.MinTime, b.MaxTime) {
			touched = append(touched, b)
		} else {
			rest = append(rest, b)
		}
	}
	if len(touched) == 0 {
		return c, nil
	}
	m := NewMatcher(p.filters, c.Labels)
	b, err := chunk.Merge(chunk.MergeOptions{Keep: func(ts int64, line []byte, metadata []model.Pair) bool {
		return !m.Match(ts, line, metadata)
	}}, &chunk.Chunk{Labels: c.Labels, Blocks: touched})
	if err != nil {
		return nil, err
	}
	out := *c
	out.Blocks = append(rest, b.Chunk().Blocks...)
	return &out, nil
}

func overlapsAny(filters []*Filter, first, last int64) bool {
	for _, f := range filters {
		if f.Overlaps(first, last) {
			return true
		}
	}
	return false
}
