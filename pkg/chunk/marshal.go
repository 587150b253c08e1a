package chunk

import (
	"encoding/binary"
	"fmt"
	"slices"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// DefaultBlockSize is Loki's chunk_block_size.
const DefaultBlockSize = 256 << 10

// Options say how Marshal writes a chunk.
type Options struct {
	// Encoding is the codec of the blocks and the symbols.
	Encoding compress.Encoding
	// Version4 forces version 4 for chunks without metadata, which otherwise are of version 3.
	Version4 bool
	// BlockSize is the uncompressed size of a block when blocks have to be built anew; 0 is DefaultBlockSize.
	BlockSize int
	// Buffer is memory that the object may be written into if there is enough of it; nil means new memory.
	Buffer []byte
}

// Marshal writes a chunk as an object of the bucket and returns its bytes and its key. Tenant, Fingerprint and Labels of the chunk
// go into its header; From, Through and Version are found from the blocks.
//
// Blocks that are sealed in the wanted encoding are copied as they are. Raw ones are sealed first. If blocks overlap, differ in
// their layout or are much smaller than BlockSize, the chunk is built anew from its entries.
func Marshal(c *Chunk, opts Options) ([]byte, model.ChunkRef, error) {
	blocks, symbols, err := finished(c, opts)
	if err != nil {
		return nil, model.ChunkRef{}, err
	}
	h := c.header()
	first, last := blocks[0].MinTime, blocks[0].MaxTime
	size := 0
	for i := range blocks {
		first, last = min(first, blocks[i].MinTime), max(last, blocks[i].MaxTime)
		size += len(blocks[i].data) + 64
	}
	h.From, h.Through = roundBounds(first, last)
	out, err := appendEnvelope(slices.Grow(opts.Buffer[:0], size+1024+64*c.Labels.Len()), h)
	if err != nil {
		return nil, model.ChunkRef{}, err
	}
	length := len(out)
	out = append(out, 0, 0, 0, 0)
	version := byte(Version3)
	if blocks[0].pairs {
		version = Version4
	}
	if out, err = appendPayload(out, version, opts.Encoding, blocks, symbols); err != nil {
		return nil, model.ChunkRef{}, err
	}
	if uint64(len(out)-length-4) > 1<<32-1 {
		return nil, model.ChunkRef{}, fmt.Errorf("%w: chunk of %d bytes", ErrTooLarge, len(out))
	}
	binary.BigEndian.PutUint32(out[length:], uint32(len(out)-length-4))
	return out, model.ChunkRef{Tenant: h.Tenant, Fingerprint: h.Fingerprint, From: h.From, Through: h.Through, Checksum: Sum(out)}, nil
}

// finished returns the chunk's blocks as a payload may have them, and their symbols.
func finished(c *Chunk, opts Options) ([]Block, []string, error) {
	blocks := make([]Block, 0, len(c.Blocks))
	for i := range c.Blocks {
		if c.Blocks[i].Entries == 0 {
			continue
		}
		b, err := Seal(c.Blocks[i], opts.Encoding)
		if err != nil {
			return nil, nil, err
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		return nil, nil, ErrEmpty
	}
	slices.SortStableFunc(blocks, func(a, b Block) int {
		// Blocks that share an instant keep their order.
		switch {
		case a.MaxTime < b.MinTime:
			return -1
		case b.MaxTime < a.MinTime:
			return 1
		}
		return 0
	})
	list, same, err := commonSymbols(blocks)
	if err != nil {
		return nil, nil, err
	}
	if same && !needRebuild(blocks, opts) {
		return blocks, list, nil
	}
	return rebuild(blocks, opts)
}

// commonSymbols returns the longest of the blocks' tables; same reports whether the others are its beginning, as the views of
// one growing table are.
func commonSymbols(blocks []Block) (list []string, same bool, err error) {
	for i := range blocks {
		s := blocks[i].Symbols
		if s == nil {
			continue
		}
		if err := s.load(); err != nil {
			return nil, false, err
		}
		if len(s.strings) > len(list) {
			list = s.strings
		}
	}
	var last *Symbols
	for i := range blocks {
		s := blocks[i].Symbols
		if s == nil || s == last {
			continue
		}
		if !slices.Equal(s.strings, list[:len(s.strings)]) {
			return nil, false, nil
		}
		last = s
	}
	return list, true, nil
}

// needRebuild reports whether the blocks cannot or should not stand in one payload as they are.
func needRebuild(blocks []Block, opts Options) bool {
	size := 0
	for i := range blocks {
		if blocks[i].pairs != (blocks[0].pairs || opts.Version4) {
			return true
		}
		if i > 0 && blocks[i].MinTime < blocks[i-1].MaxTime {
			return true
		}
		size += blocks[i].Size
	}
	return len(blocks) > 1 && size/len(blocks) < opts.blockSize()/4
}

func (o Options) blockSize() int {
	if o.BlockSize > 0 {
		return o.BlockSize
	}
	return DefaultBlockSize
}

// rebuild writes the entries of the blocks into new ones, in order and each once.
func rebuild(blocks []Block, opts Options) ([]Block, []string, error) {
	version := byte(Version3)
	for i := range blocks {
		if blocks[i].pairs || opts.Version4 {
			version = Version4
		}
	}
	b := NewBuilder(version)
	it := Iterate(&Chunk{Blocks: blocks})
	defer it.Close()
	var done []Block
	var err error
	closeBlock := func() {
		if i, raw, ok := b.Cut(); ok && err == nil {
			var sealed Block
			if sealed, err = Seal(raw, opts.Encoding); err == nil {
				b.Replace(i, sealed)
				done = append(done, sealed)
			}
		}
	}
	for err == nil && it.Next() {
		if b.HeadSize() >= opts.blockSize() {
			closeBlock()
		}
		if err == nil {
			err = b.Append(it.Timestamp(), it.Line(), it.stored())
		}
	}
	closeBlock()
	if err == nil {
		err = it.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot rebuild chunk: %w", err)
	}
	for i := 1; i < len(done); i++ {
		if done[i].MinTime < done[i-1].MaxTime {
			// A foreign block began earlier than its bounds said. The new ones tell the truth, so that the next pass ends it.
			return rebuild(done, opts)
		}
	}
	var list []string
	if s := b.table.symbols(); s != nil {
		list = s.strings
	}
	return done, list, nil
}
