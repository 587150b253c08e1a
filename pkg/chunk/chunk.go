package chunk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// The versions of the payload.
const (
	// Version1 is gzip only and says neither its encoding nor its uncompressed size.
	Version1 = 1
	// Version2 names its encoding.
	Version2 = 2
	// Version3 also has the uncompressed sizes. It is written for entries without metadata.
	Version3 = 3
	// Version4 holds structured metadata.
	Version4 = 4
)

// MaxBlockBytes is the largest block, uncompressed, that is read or written. Offsets within a block are 32 bits wide.
const MaxBlockBytes = 256 << 20

// The errors of this package.
var (
	// ErrCorrupt is returned for bytes that are not what the format says; the text tells where.
	ErrCorrupt = errors.New("corrupt chunk")
	// ErrChecksum is returned when bytes differ from their checksum. It is an ErrCorrupt too.
	ErrChecksum = fmt.Errorf("%w: checksum mismatch", ErrCorrupt)
	// ErrForeign is returned when a sound chunk is not the one that its key says.
	ErrForeign = errors.New("chunk belongs to another key")
	// ErrEmpty is returned when a chunk without entries is to be written.
	ErrEmpty = errors.New("chunk has no entries")
	// ErrTooLarge is returned when an entry would not fit into a block.
	ErrTooLarge = errors.New("entry is too large for a block")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what the envelope of a chunk object says about it.
type Header struct {
	Tenant string
	// Fingerprint is the one of the object's key. It is never recomputed from the labels.
	Fingerprint uint64
	// From and Through bound the entries in milliseconds, both inclusive.
	From, Through int64
	// Labels are the stream's, sorted, without __name__.
	Labels labels.Labels
}

// Chunk is a sealed or live run of blocks of one stream. It is immutable and safe for concurrent use.
type Chunk struct {
	// Labels are the stream's, without __name__.
	Labels labels.Labels
	// Blocks may overlap in time and need not be in order: chunks written long ago and live ones may be so.
	Blocks []Block
	// Tenant and Fingerprint are those of the key; both may be empty in a chunk that was not read from the bucket.
	Tenant      string
	Fingerprint uint64
	// From and Through bound the entries in milliseconds, both inclusive, as the envelope has them.
	From, Through int64
	// Version is that of the payload, 0 for a chunk that is still being built.
	Version byte
	// Encoding is the codec of the blocks of a chunk that was opened.
	Encoding compress.Encoding

	// payloadAt is where the payload begins in the object, 0 in a chunk that was not opened from one, and symbols where its symbols
	// stand.
	payloadAt int
	symbols   Extent
}

// Block is a run of entries that is decompressed as a whole.
type Block struct {
	// MinTime and MaxTime bound the entries in nanoseconds, both inclusive.
	// Loki's own blocks that begin with empty lines may start earlier than their MinTime.
	MinTime, MaxTime int64
	// Entries is the number of entries.
	Entries int
	// Size is the number of uncompressed bytes as the format counts them: those of the lines, plus 8 for each pair of
	// metadata. It is 0 in chunks of version 1 and 2, which do not say.
	Size int
	// Symbols is nil if no entry has metadata.
	Symbols *Symbols

	// data is the compressed block, or the block itself if raw.
	data []byte
	// retry is where the block may be if its checksum fails at the place that the chunk gives (see Batch.Load).
	retry []byte
	// offset is the block's place in the payload, for error texts.
	offset int
	sum    uint32
	enc    compress.Encoding
	// raw marks a block of a live chunk: not compressed, no checksum.
	raw bool
	// pairs tells that entries carry symbol references (version 4).
	pairs bool
	// ascending tells that each entry of a raw block is later than the one before it.
	ascending bool
	// shared tells that a raw block's bytes were handed out, so that the buffer may not be used again.
	shared bool
}

// Compressed reports whether the block is sealed.
func (b *Block) Compressed() bool { return !b.raw }

// Bytes returns how many bytes of memory the block's data takes.
func (b *Block) Bytes() int { return len(b.data) }

// Entries returns the number of entries in all blocks.
func (c *Chunk) Entries() int {
	n := 0
	for i := range c.Blocks {
		n += c.Blocks[i].Entries
	}
	return n
}

// Bytes returns how many bytes of memory the blocks take together.
func (c *Chunk) Bytes() int {
	n := 0
	for i := range c.Blocks {
		n += len(c.Blocks[i].data)
	}
	return n
}

// Bounds returns the span of the entries in nanoseconds, both ends inclusive, as the blocks tell it.
// ok is false if there is no block.
func (c *Chunk) Bounds() (first, last int64, ok bool) {
	first, last = math.MaxInt64, math.MinInt64
	for i := range c.Blocks {
		first, last = min(first, c.Blocks[i].MinTime), max(last, c.Blocks[i].MaxTime)
	}
	return first, last, len(c.Blocks) > 0
}

// Ordered reports whether the blocks are in order and do not overlap; they may share an instant.
func (c *Chunk) Ordered() bool {
	for i := 1; i < len(c.Blocks); i++ {
		if c.Blocks[i].MinTime < c.Blocks[i-1].MaxTime {
			return false
		}
	}
	return true
}

// Sum returns the checksum that a chunk object's key carries.
func Sum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Verify checks the whole object against the checksum of its key.
func Verify(data []byte, sum uint32) error {
	if got := Sum(data); got != sum {
		return fmt.Errorf("%w: the object's is %x, its key says %x", ErrChecksum, got, sum)
	}
	return nil
}

// Check compares the chunk with the key under which it was found.
func (h *Header) Check(ref model.ChunkRef) error {
	switch {
	case h.Tenant != ref.Tenant:
		return fmt.Errorf("%w: its tenant is %q", ErrForeign, h.Tenant)
	case h.Fingerprint != ref.Fingerprint:
		return fmt.Errorf("%w: its fingerprint is %x", ErrForeign, h.Fingerprint)
	case h.From != ref.From || h.Through != ref.Through:
		return fmt.Errorf("%w: its bounds are %x:%x", ErrForeign, h.From, h.Through)
	}
	return nil
}
