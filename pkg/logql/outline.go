package logql

import (
	"context"

	"logstore/pkg/chunk"
	"logstore/pkg/sidecar"
)

// Outliner is a Piece that may know something of its blocks before they are read. What wraps a piece to change its entries must not be
// one.
type Outliner interface {
	Piece
	// Outline returns what is known, or nil if nothing is. It has the parts of the blocks' descriptions that are wanted if there are any, and
	// may lack the others. Like Open it may fetch.
	Outline(ctx context.Context, want sidecar.Parts) (Outline, error)
}

// Rememberer is an Outliner that may have at hand what Outline would return. It spares the caller a goroutine for what takes no time.
type Rememberer interface {
	Outliner
	// Remembered returns what Outline would, or nil if that is not known at once: it neither fetches nor waits.
	Remembered(want sidecar.Parts) Outline
}

// Totaler is a Piece that may have at hand the numbers of all its entries. What wraps a piece to change its entries must not be one.
type Totaler interface {
	Piece
	// Totals returns the numbers, with the exact times of the first and the last entry. ok is false if they are not known at once, or if the
	// piece may hold an entry twice. It neither fetches nor waits.
	Totals() (t sidecar.Totals, ok bool)
}

// Outline shows the blocks of a piece as they were when it was asked for, and reads some of them. It is safe for concurrent use.
type Outline interface {
	// Blocks has one element for each block, in no particular order. They belong to the outline. Blocks of which only the bounds are
	// known are among them.
	Blocks() []sidecar.Block
	// Read returns a chunk of the blocks with the given numbers, ascending, in that order.
	Read(ctx context.Context, blocks []int) (*chunk.Chunk, error)
}

// Describe makes the description of a block that was loaded and walked.
func Describe(b *chunk.Batch, opts sidecar.Options) sidecar.Block {
	in := sidecar.Input{Repeats: b.Repeats(), Buf: b.Buf, Ts: b.Ts, Start: b.Start, End: b.End}
	if b.Meta != nil {
		in.Metadata = b.Metadata
	}
	return sidecar.Build(in, opts)
}
