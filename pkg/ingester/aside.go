package ingester

import (
	"context"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// describesAtOnce reports whether blocks of the stream are described when they are sealed. Of the members that hold a stream the first
// does that, since it stores the chunks and their sidecars. The others describe what queries read (late.go), and what they store because
// the first did not.
func (i *Ingester) describesAtOnce(s *stream) bool {
	if i.asides == nil {
		return false
	}
	if i.holdsSecond(s) {
		i.metrics.undescribed.Inc()
		return false
	}
	i.metrics.describedSealed.Inc()
	return true
}

// describe makes the description of a block that was just sealed, while its text is at hand. It knows nothing if that fails.
func (i *Ingester) describe(raw, sealed *chunk.Block) sidecar.Block {
	source := raw
	if raw.Entries != sealed.Entries {
		source = sealed // entries that were there twice are gone
	}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	if err := b.Load(source); err != nil {
		return sidecar.Block{}
	}
	if err := b.Walk(); err != nil {
		return sidecar.Block{}
	}
	return i.asides.DescribeBlock(b, sealed.Bytes())
}

// setAsideLocked keeps the description of a closed block of the builder.
func (p *piece) setAsideLocked(index int, aside sidecar.Block) {
	if aside.Entries == 0 {
		return
	}
	// Readers hold the slice as it was.
	grown := make([]sidecar.Block, max(index+1, len(p.asides)))
	copy(grown, p.asides)
	p.asides = grown
	p.asides[index] = aside
	p.asideBytes += aside.Bytes()
}

// storeSidecar stores what is known of a chunk's blocks beside it. Nothing depends on it: queries read the chunk instead.
// The replica that found the chunk stored stores what the one that wrote it may not have lived to.
func (i *Ingester) storeSidecar(ctx context.Context, p *piece, ref model.ChunkRef, object []byte, written bool) {
	if i.asides == nil || !written && !i.asides.LacksSidecar(ctx, ref, object) {
		return
	}
	known := p.knownBlocks()
	err := i.asides.StoreSidecar(ctx, ref, object, func(b *chunk.Block) (sidecar.Block, bool) {
		aside, ok := known[blockID{b.Sum(), b.Bytes(), b.Entries, b.MinTime, b.MaxTime}]
		return aside, ok
	})
	if err != nil && ctx.Err() == nil {
		i.metrics.sidecarFailures.Inc()
		i.log.Warn("cannot store the sidecar of a chunk; queries do without", "stream", p.stream.labels.String(), "tenant", p.stream.tenant.name, "err", err)
	}
}

// blockID tells the sealed blocks of a piece apart.
type blockID struct {
	sum              uint32
	bytes, entries   int
	minTime, maxTime int64
}

// knownBlocks returns the descriptions of the piece's sealed blocks.
func (p *piece) knownBlocks() map[blockID]sidecar.Block {
	p.stream.mu.Lock()
	asides := p.asides
	var blocks []chunk.Block
	if p.b != nil {
		blocks = p.b.Chunk().Blocks
	}
	p.stream.mu.Unlock()
	known := make(map[blockID]sidecar.Block, len(asides))
	for k := range asides {
		if b := &blocks[k]; asides[k].Entries > 0 && b.Compressed() {
			known[blockID{b.Sum(), b.Bytes(), b.Entries, b.MinTime, b.MaxTime}] = asides[k]
		}
	}
	return known
}

var _ logql.Outliner = (*pieceView)(nil)

// memoryOutline is a piece as it was at a moment.
type memoryOutline struct {
	i      *Ingester
	p      *piece
	all    assembled
	blocks []sidecar.Block
}

// Outline implements logql.Outliner. Blocks that are not described are shown by their bounds.
func (v *pieceView) Outline(ctx context.Context, _ sidecar.Parts) (logql.Outline, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if v.i.asides == nil || !v.p.hasSealed() {
		return nil, nil
	}
	all, err := v.i.assemble(v.p)
	if err != nil {
		return nil, err
	}
	o := &memoryOutline{i: v.i, p: v.p, all: all, blocks: make([]sidecar.Block, len(all.Blocks))}
	for k := range all.Blocks {
		b, n := &all.Blocks[k], k-all.small
		if n >= 0 && n < len(all.asides) && all.asides[n].Entries > 0 && b.Compressed() {
			o.blocks[k] = all.asides[n]
		} else {
			o.blocks[k] = sidecar.Block{MinTime: b.MinTime, MaxTime: b.MaxTime, Entries: b.Entries}
		}
	}
	return o, nil
}

// hasSealed reports whether a block of the piece is compressed.
func (p *piece) hasSealed() bool {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	return p.b != nil && p.b.Blocks() > p.sealing
}

// Blocks implements logql.Outline.
func (o *memoryOutline) Blocks() []sidecar.Block { return o.blocks }

// Read implements logql.Outline. Sealed blocks that nothing is known of are described behind its back, for the next query.
func (o *memoryOutline) Read(_ context.Context, blocks []int) (*chunk.Chunk, error) {
	out := *o.all.Chunk
	out.Blocks = make([]chunk.Block, len(blocks))
	for k, i := range blocks {
		out.Blocks[k] = o.all.Blocks[i]
		if n := i - o.all.small; n >= 0 && out.Blocks[k].Compressed() && (n >= len(o.all.asides) || o.all.asides[n].Entries == 0) {
			o.i.late.put(lateBlock{o.p, n}, out.Blocks[k])
		}
	}
	return &out, nil
}
