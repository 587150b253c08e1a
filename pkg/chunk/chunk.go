package chunk

import (
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/model"
)

// Chunk is a sealed or live run of blocks of one stream. It is immutable and safe for concurrent use.
type Chunk struct {
	// Labels are the stream's, without __name__.
	Labels labels.Labels
	Blocks []Block
}

// Block is a run of entries that is decompressed as a whole.
type Block struct {
	// MinTime and MaxTime bound the entries in nanoseconds, both inclusive.
	MinTime, MaxTime int64
	// Entries is the number of entries.
	Entries int
	// Size is the number of uncompressed bytes.
	Size int
	// Symbols is nil if no entry has metadata.
	Symbols *Symbols
}

// Symbols is the table of a chunk's metadata names and values.
type Symbols struct{}

// Batch is one decoded block as columns over one buffer. It is reused: what it returned is valid until it is filled again.
// A Batch is not safe for concurrent use.
type Batch struct {
	// Buf holds the uncompressed block; lines are slices of it.
	Buf []byte
	// Ts holds the timestamps in nanoseconds, ascending, equal ones in the order of arrival.
	Ts []int64
	// Start and End bound line i as Buf[Start[i]:End[i]].
	Start, End []uint32
	// Meta is the offset in Buf of entry i's symbol references; nil if no entry of the block has metadata.
	Meta    []uint32
	Symbols *Symbols
}

// Load decompresses the block into b.Buf and leaves the columns empty: enough to search the block as a whole.
func (b *Batch) Load(blk *Block) error { panic("skeleton") }

// Walk fills the columns from b.Buf.
func (b *Batch) Walk() error { panic("skeleton") }

// Len returns the number of entries that Walk found.
func (b *Batch) Len() int { return len(b.Ts) }

// Line returns line i, a part of Buf.
func (b *Batch) Line(i int) []byte { return b.Buf[b.Start[i]:b.End[i]:b.End[i]] }

// Metadata appends entry i's structured metadata to dst, names made valid label names, sorted by name.
// The strings belong to the chunk's symbol table and stay valid as long as it does.
func (b *Batch) Metadata(i int, dst []model.Pair) []model.Pair { panic("skeleton") }
