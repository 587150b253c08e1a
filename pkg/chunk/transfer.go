package chunk

import (
	"encoding/binary"
	"fmt"
	"math"

	"logstore/pkg/compress"
	"logstore/pkg/decbuf"
)

// How a member sends a chunk that it holds in memory to another one: blocks as they are, raw or sealed, so that neither side
// compresses anything. It is not a format of the bucket. Numbers are uv (unsigned varints), times sv (zigzag ones).
//
//	u8 transferVersion
//	uv number of symbol tables, each: uv number of strings, (uv length, bytes) each
//	uv number of blocks, each: sv oldest, uv newest - oldest, uv entries, uv size, u8 flags, uv encoding, u32 checksum (little-endian),
//	    uv symbol table counted from 1 or 0, uv length, bytes

const transferVersion = 1

const (
	transferRaw = 1 << iota
	transferPairs
	transferAscending
)

// AppendTransfer appends the blocks of a chunk. Labels, tenant and fingerprint are left out: the receiver asked for them.
func AppendTransfer(dst []byte, c *Chunk) ([]byte, error) {
	tables, of, err := transferTables(c)
	if err != nil {
		return dst, err
	}
	dst = append(dst, transferVersion)
	dst = binary.AppendUvarint(dst, uint64(len(tables)))
	for _, t := range tables {
		dst = binary.AppendUvarint(dst, uint64(len(t)))
		for _, s := range t {
			dst = binary.AppendUvarint(dst, uint64(len(s)))
			dst = append(dst, s...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Blocks)))
	for i := range c.Blocks {
		b := &c.Blocks[i]
		dst = binary.AppendVarint(dst, b.MinTime)
		dst = binary.AppendUvarint(dst, uint64(b.MaxTime-b.MinTime))
		dst = binary.AppendUvarint(dst, uint64(b.Entries))
		dst = binary.AppendUvarint(dst, uint64(b.Size))
		flags := byte(0)
		for bit, set := range map[byte]bool{transferRaw: b.raw, transferPairs: b.pairs, transferAscending: b.ascending} {
			if set {
				flags |= bit
			}
		}
		dst = append(dst, flags)
		dst = binary.AppendUvarint(dst, uint64(b.enc))
		dst = binary.LittleEndian.AppendUint32(dst, b.sum)
		dst = binary.AppendUvarint(dst, uint64(of[i]))
		dst = binary.AppendUvarint(dst, uint64(len(b.data)))
		dst = append(dst, b.data...)
	}
	return dst, nil
}

// transferTables returns the symbol tables and for each block the number of its own, from 1; 0 is none. Views of one growing table
// are sent once.
func transferTables(c *Chunk) (tables [][]string, of []int, err error) {
	of = make([]int, len(c.Blocks))
	list, same, err := commonSymbols(c.Blocks)
	if err != nil {
		return nil, nil, err
	}
	if same && len(list) > 0 {
		tables = append(tables, list)
	}
	known := map[*Symbols]int{}
	for i := range c.Blocks {
		s := c.Blocks[i].Symbols
		switch {
		case s == nil || s.Len() == 0:
		case same:
			of[i] = 1
		default:
			if known[s] == 0 {
				tables = append(tables, s.strings)
				known[s] = len(tables)
			}
			of[i] = known[s]
		}
	}
	return tables, of, nil
}

// OpenTransfer reads what AppendTransfer wrote. The blocks alias b.
func OpenTransfer(b []byte) (*Chunk, error) {
	r := transferReader{decbuf.Buf{B: b}}
	if v := r.Byte(); v != transferVersion {
		return nil, fmt.Errorf("%w: transfer of version %d", ErrCorrupt, v)
	}
	tables := make([]*Symbols, r.Count(1))
	for i := range tables {
		t := &Symbols{strings: make([]string, r.Count(1))}
		for k := range t.strings {
			t.strings[k] = r.Text()
		}
		tables[i] = t
	}
	c := &Chunk{Blocks: make([]Block, 0, r.Count(1))}
	for range cap(c.Blocks) {
		c.Blocks = append(c.Blocks, r.block(tables))
	}
	if !r.Whole() {
		return nil, fmt.Errorf("%w: transfer of %d bytes", ErrCorrupt, len(b))
	}
	return c, nil
}

// transferReader reads numbers and blocks.
type transferReader struct{ decbuf.Buf }

func (r *transferReader) size() int { return int(r.Upto(math.MaxInt32)) }

func (r *transferReader) block(tables []*Symbols) Block {
	b := Block{MinTime: r.Varint()}
	b.MaxTime = b.MinTime + int64(r.Uvarint())
	b.Entries, b.Size = r.size(), r.size()
	flags := r.Byte()
	b.raw, b.pairs, b.ascending = flags&transferRaw != 0, flags&transferPairs != 0, flags&transferAscending != 0
	b.enc = compress.Encoding(r.size())
	b.sum = r.Le32()
	if t := r.Uvarint(); t > uint64(len(tables)) {
		r.Fail("bad block")
	} else if t > 0 {
		b.Symbols = tables[t-1]
	}
	b.data = r.Section()
	// A raw block is handed out: nobody may use its buffer again.
	b.shared = b.raw
	if b.MaxTime < b.MinTime || !b.raw && !b.enc.Valid() || flags >= 2*transferAscending {
		r.Fail("bad block")
	}
	return b
}
