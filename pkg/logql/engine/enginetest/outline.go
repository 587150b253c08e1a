package enginetest

import (
	"context"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/sidecar"
)

// describedPiece is a piece that shows an outline.
type describedPiece struct {
	*piece
	blocks []sidecar.Block
}

var (
	_ logql.Outliner = (*describedPiece)(nil)
	_ logql.Totaler  = (*describedPiece)(nil)
)

func describe(p *piece, opts sidecar.Options) (*describedPiece, error) {
	d := &describedPiece{piece: p}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	for i := range p.chunk.Blocks {
		block := &p.chunk.Blocks[i]
		if !block.Compressed() {
			d.blocks = append(d.blocks, sidecar.Block{MinTime: block.MinTime, MaxTime: block.MaxTime, Entries: block.Entries})
			continue
		}
		if err := b.Load(block); err != nil {
			return nil, err
		}
		if err := b.Walk(); err != nil {
			return nil, err
		}
		d.blocks = append(d.blocks, logql.Describe(b, opts))
	}
	return d, nil
}

// Totals implements logql.Totaler.
func (d *describedPiece) Totals() (sidecar.Totals, bool) { return sidecar.TotalsOf(d.blocks) }

// Outline implements logql.Outliner.
func (d *describedPiece) Outline(ctx context.Context, _ sidecar.Parts) (logql.Outline, error) {
	d.source.Outlined.Add(1)
	return d, ctx.Err()
}

// Blocks implements logql.Outline.
func (d *describedPiece) Blocks() []sidecar.Block { return d.blocks }

// Read implements logql.Outline.
func (d *describedPiece) Read(ctx context.Context, blocks []int) (*chunk.Chunk, error) {
	d.source.Read.Add(int64(len(blocks)))
	out := *d.chunk
	out.Blocks = make([]chunk.Block, len(blocks))
	for k, i := range blocks {
		out.Blocks[k] = d.chunk.Blocks[i]
	}
	return &out, ctx.Err()
}
