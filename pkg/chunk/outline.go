package chunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"logstore/pkg/compress"
)

// Extent is a part of a chunk object.
type Extent struct{ Offset, Length int }

// Outline says where the blocks of a chunk object stand, so that some of them can be read without the rest.
type Outline struct {
	Version  byte
	Encoding compress.Encoding
	// Symbols is the section of symbols and its checksum; its length is 0 if there is none.
	Symbols Extent
	Blocks  []Place
}

// Place says where a block stands and what the table of blocks says about it.
type Place struct {
	Extent
	Sum              uint32
	MinTime, MaxTime int64
	Entries, Size    int
}

// Outline returns the outline of a chunk that was opened from an object, and an empty one for others.
func (c *Chunk) Outline() Outline {
	o := Outline{Version: c.Version, Encoding: c.Encoding, Symbols: c.symbols}
	if c.payloadAt == 0 {
		return Outline{}
	}
	o.Blocks = make([]Place, len(c.Blocks))
	for i := range c.Blocks {
		b := &c.Blocks[i]
		o.Blocks[i] = Place{
			Extent: Extent{c.payloadAt + b.offset, len(b.data)}, Sum: b.sum, MinTime: b.MinTime, MaxTime: b.MaxTime, Entries: b.Entries, Size: b.Size,
		}
	}
	return o
}

// Sum returns the checksum of a sealed block.
func (b *Block) Sum() uint32 { return b.sum }

// Open returns a chunk of the blocks with the given numbers. data are the bytes of their extents, symbols those of the symbols' extent,
// which may be nil if it is empty. The chunk points into them. Checksums are tested when a block is loaded.
func (o *Outline) Open(blocks []int, data [][]byte, symbols []byte) (*Chunk, error) {
	c := &Chunk{Version: o.Version, Encoding: o.Encoding, Blocks: make([]Block, len(blocks))}
	if !o.Encoding.Valid() || o.Version < Version1 || o.Version > Version4 {
		return nil, fmt.Errorf("%w: outline of version %d, encoding %d", ErrCorrupt, o.Version, o.Encoding)
	}
	var table *Symbols
	if o.Symbols.Length > 0 {
		if len(symbols) != o.Symbols.Length || len(symbols) < 4 {
			return nil, fmt.Errorf("%w: symbols of %d bytes", ErrCorrupt, len(symbols))
		}
		end := len(symbols) - 4
		table = &Symbols{section: symbols[:end:end], sum: binary.BigEndian.Uint32(symbols[end:]), enc: o.Encoding}
	}
	for k, i := range blocks {
		p := &o.Blocks[i]
		if len(data[k]) != p.Length || crc32.Checksum(data[k], castagnoli) != p.Sum {
			return nil, fmt.Errorf("cannot read block at offset %d: %w", p.Offset, ErrChecksum)
		}
		c.Blocks[k] = Block{
			MinTime: p.MinTime, MaxTime: p.MaxTime, Entries: p.Entries, Size: p.Size, Symbols: table,
			data: data[k], offset: p.Offset, sum: p.Sum, enc: o.Encoding, pairs: o.Version >= Version4,
		}
	}
	return c, nil
}

// Repeats reports whether a walked batch holds an entry twice.
func (b *Batch) Repeats() bool { return b.repeats() != nil }
