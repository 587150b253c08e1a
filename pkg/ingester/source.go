package ingester

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

var _ logql.Source = (*Ingester)(nil)

// pieceView shows a piece to a query.
type pieceView struct {
	i           *Ingester
	p           *piece
	key         string
	first, last int64
	size        int
}

// Key is set once the chunk's object is known.
func (v *pieceView) Key() string { return v.key }

// Bounds are those of the entries at the time of the Select.
func (v *pieceView) Bounds() (first, last int64) { return v.first, v.last }

// Size is about how many bytes the entries take.
func (v *pieceView) Size() int { return v.size }

// Open returns the piece as it is now. Lines of blocks are not copied; those of a small piece are.
func (v *pieceView) Open(ctx context.Context) (*chunk.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := v.i.assemble(v.p)
	return c.Chunk, err
}

// find returns the streams of the context's tenant that the selection asks for, without regard to time.
func (i *Ingester) find(ctx context.Context, sel logql.Selection) ([]*stream, error) {
	if i.State() == Starting {
		return nil, i.Ready()
	}
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, err
	}
	t := i.streams.tenant(id)
	if t == nil {
		return nil, ctx.Err()
	}
	found := t.index.find(sel.Matchers)
	if sel.ShardCount > 0 {
		found = slices.DeleteFunc(found, func(s *stream) bool { return s.hash%sel.ShardCount != sel.ShardIndex })
	}
	// Streams of one shard are in the same pages.
	slices.SortFunc(found, func(a, b *stream) int {
		return cmp.Or(cmp.Compare(a.hash%shardCount, b.hash%shardCount), cmp.Compare(a.hash, b.hash))
	})
	return found, ctx.Err()
}

// Select returns the streams with entries in memory: finished chunks and those that still grow.
func (i *Ingester) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	ctx, span := trace.Start(ctx, "ingester select")
	found, err := i.find(ctx, sel)
	span.Int("logstore.streams", int64(len(found)))
	span.End(err)
	if err != nil {
		return nil, err
	}
	out := make([]logql.Stream, 0, len(found))
	for _, s := range found {
		if pieces := i.views(s, sel); len(pieces) > 0 {
			out = append(out, logql.Stream{Labels: s.labels, Pieces: pieces})
		}
	}
	return out, nil
}

// views returns the pieces that may hold entries of the interval.
func (i *Ingester) views(s *stream, sel logql.Selection) []logql.Piece {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []logql.Piece
	add := func(p *piece) {
		if sel.Interval.Overlaps(p.first, p.last) {
			out = append(out, &pieceView{i: i, p: p, key: p.key, first: p.first, last: p.last, size: p.size})
		}
	}
	for _, p := range s.closed {
		add(p)
	}
	if s.open != nil {
		add(s.open)
	}
	return out
}

// overlaps reports whether the stream may have entries in the interval in memory.
func (s *stream) overlaps(sel logql.Selection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.closed {
		if sel.Interval.Overlaps(p.first, p.last) {
			return true
		}
	}
	return s.open != nil && sel.Interval.Overlaps(s.open.first, s.open.last)
}

// LabelNames returns the label names of the matching streams.
func (i *Ingester) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	found, err := i.find(ctx, sel)
	if err != nil {
		return nil, err
	}
	names := map[string]struct{}{}
	for _, s := range found {
		if s.overlaps(sel) {
			s.labels.Range(func(l labels.Label) { names[l.Name] = struct{}{} })
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// LabelValues returns the values that the matching streams have under a name.
func (i *Ingester) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	found, err := i.find(ctx, sel)
	if err != nil {
		return nil, err
	}
	values := map[string]struct{}{}
	for _, s := range found {
		v := s.labels.Get(name)
		if _, known := values[v]; v != "" && !known && s.overlaps(sel) {
			values[v] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(values)), nil
}

// Series returns the label sets of the matching streams.
func (i *Ingester) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	found, err := i.find(ctx, sel)
	if err != nil {
		return nil, err
	}
	out := make([]labels.Labels, 0, len(found))
	for _, s := range found {
		if s.overlaps(sel) {
			out = append(out, s.labels)
		}
	}
	return out, nil
}
