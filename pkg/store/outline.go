package store

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/sidecar"
)

// outline shows a chunk in the bucket by its sidecar.
type outline struct {
	piece  *piece
	object *sidecar.Object
}

// Blocks implements logql.Outline.
func (o *outline) Blocks() []sidecar.Block { return o.object.Blocks }

const (
	// nearby is how far apart blocks may stand that are read with one request.
	nearby = 32 << 10
	// rangesAtOnce bounds the requests for one chunk at a time.
	rangesAtOnce = 4
)

// Read implements logql.Outline. A few blocks are read by themselves, most of them by reading the chunk, and so is one whose
// sidecar turns out to be wrong.
func (o *outline) Read(ctx context.Context, blocks []int) (*chunk.Chunk, error) {
	if o.few(blocks) {
		c, err := o.readRanges(ctx, blocks)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		o.piece.store.metrics.rangesFailed.Inc()
	}
	c, err := o.piece.Open(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.Blocks) != len(o.object.Blocks) {
		return nil, fmt.Errorf("cannot read chunk %s: it has %d blocks, its sidecar %d", o.piece.name.Key(), len(c.Blocks), len(o.object.Blocks))
	}
	out := *c
	out.Blocks = make([]chunk.Block, len(blocks))
	for k, i := range blocks {
		out.Blocks[k] = c.Blocks[i]
	}
	return &out, nil
}

// few reports whether the blocks are at most half of the chunk.
func (o *outline) few(blocks []int) bool {
	size := 0
	for _, i := range blocks {
		size += o.object.Places[i].Length
	}
	return 2*size <= o.object.Size
}

// byteRange is a part of the object that is read at once.
type byteRange struct{ offset, end int }

// readRanges reads the blocks, and the symbols, with as few requests as their places allow.
func (o *outline) readRanges(ctx context.Context, blocks []int) (*chunk.Chunk, error) {
	co := chunk.Outline{
		Version: o.object.Version, Encoding: compress.Encoding(o.object.Encoding),
		Symbols: chunk.Extent{Offset: o.object.SymbolsOffset, Length: o.object.SymbolsLength}, Blocks: make([]chunk.Place, len(o.object.Blocks)),
	}
	extents := make([]chunk.Extent, 0, len(blocks)+1)
	for _, i := range blocks {
		p, b := &o.object.Places[i], &o.object.Blocks[i]
		e := chunk.Extent{Offset: p.Offset, Length: p.Length}
		co.Blocks[i] = chunk.Place{Extent: e, Sum: p.Sum, MinTime: b.MinTime, MaxTime: b.MaxTime, Entries: b.Entries, Size: p.Size}
		extents = append(extents, e)
	}
	if co.Symbols.Length > 0 {
		extents = append(extents, co.Symbols)
	}
	parts, err := o.fetch(ctx, extents)
	if err != nil {
		return nil, err
	}
	var symbols []byte
	if co.Symbols.Length > 0 {
		symbols = parts[len(blocks)]
	}
	c, err := co.Open(blocks, parts[:len(blocks)], symbols)
	if err == nil {
		o.piece.store.metrics.blocksFetched.Add(float64(len(blocks)))
	}
	return c, err
}

// fetch returns the bytes of the extents.
func (o *outline) fetch(ctx context.Context, extents []chunk.Extent) ([][]byte, error) {
	ranges := rangesOf(extents)
	data := make([][]byte, len(ranges))
	s := o.piece.store
	where := s.storeOf(o.piece.name)
	key := where.ChunkKey(o.piece.name)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(rangesAtOnce)
	for k, r := range ranges {
		g.Go(func() error {
			var err error
			data[k], err = where.Bucket.GetRange(ctx, key, int64(r.offset), int64(r.end-r.offset))
			s.metrics.fetchedBytes.Add(float64(len(data[k])))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([][]byte, len(extents))
	for i, e := range extents {
		k := slices.IndexFunc(ranges, func(r byteRange) bool { return r.offset <= e.Offset && e.Offset+e.Length <= r.end })
		from := e.Offset - ranges[k].offset
		if from+e.Length > len(data[k]) {
			return nil, fmt.Errorf("%w: object ends within a block at offset %d", chunk.ErrCorrupt, e.Offset)
		}
		out[i] = data[k][from : from+e.Length : from+e.Length]
	}
	return out, nil
}

// rangesOf joins extents that are near each other.
func rangesOf(extents []chunk.Extent) []byteRange {
	sorted := slices.Clone(extents)
	slices.SortFunc(sorted, func(a, b chunk.Extent) int { return a.Offset - b.Offset })
	var out []byteRange
	for _, e := range sorted {
		if n := len(out); n > 0 && e.Offset <= out[n-1].end+nearby {
			out[n-1].end = max(out[n-1].end, e.Offset+e.Length)
			continue
		}
		out = append(out, byteRange{e.Offset, e.Offset + e.Length})
	}
	return out
}
