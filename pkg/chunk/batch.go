package chunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// Batch is one decoded block as columns over one buffer. It is reused: what it returned is valid until it is filled again.
// A Batch is not safe for concurrent use. Its zero value is ready; GetBatch gives one that has its memory already.
type Batch struct {
	// Buf holds the uncompressed block; lines are slices of it. It must not be written to: the buffer may be that of a live
	// block or of a cached chunk.
	Buf []byte
	// Ts holds the timestamps in nanoseconds, ascending, equal ones in the order of arrival.
	Ts []int64
	// Start and End bound line i as Buf[Start[i]:End[i]].
	Start, End []uint32
	// Meta is the offset in Buf of entry i's symbol references; nil if no entry of the block has metadata.
	Meta    []uint32
	Symbols *Symbols

	// own is the batch's buffer, kept over blocks whose bytes need no decompression.
	own []byte
	// meta keeps Meta's memory over blocks without metadata.
	meta    []uint32
	rows    []row
	entries int
	offset  int
	pairs   bool
	// rich tells that some entry has metadata.
	rich bool
}

// row is an entry while a block is being sorted.
type row struct {
	ts               int64
	start, end, meta uint32
}

// keptBatch is the largest buffer that goes back into the pool.
const keptBatch = 8 << 20

var batches = sync.Pool{New: func() any { return new(Batch) }}

// GetBatch returns an empty batch from a pool.
func GetBatch() *Batch { return batches.Get().(*Batch) }

// PutBatch gives a batch back. Neither it nor anything it returned may be used afterwards.
func PutBatch(b *Batch) {
	b.Buf, b.Symbols, b.Meta = nil, nil, nil
	b.Ts, b.Start, b.End = b.Ts[:0], b.Start[:0], b.End[:0]
	if cap(b.own) > keptBatch || cap(b.Ts) > keptBatch/16 {
		return
	}
	batches.Put(b)
}

// Load decompresses the block into b.Buf and leaves the columns empty: enough to search the block as a whole.
//
// The block's checksum is tested first. If it fails, the bytes right behind the block before it are tried, since there are chunks
// whose table of blocks gives a wrong place; only if they fail as well is the block lost.
func (b *Batch) Load(blk *Block) error {
	b.Ts, b.Start, b.End, b.Meta = b.Ts[:0], b.Start[:0], b.End[:0], nil
	b.Buf, b.Symbols = nil, blk.Symbols
	b.entries, b.offset, b.pairs = blk.Entries, blk.offset, blk.pairs
	data := blk.data
	if !blk.raw {
		if crc32.Checksum(data, castagnoli) != blk.sum {
			if data = blk.retry; data == nil || crc32.Checksum(data[:len(data)-4], castagnoli) != binary.BigEndian.Uint32(data[len(data)-4:]) {
				return fmt.Errorf("cannot load block at offset %d: %w", blk.offset, ErrChecksum)
			}
			data = data[:len(data)-4]
		}
	}
	if blk.raw || blk.enc == compress.None {
		if len(data) > MaxBlockBytes {
			return fmt.Errorf("cannot load block at offset %d: %w: block of %d bytes", blk.offset, ErrCorrupt, len(data))
		}
		b.Buf = data[:len(data):len(data)]
		return nil
	}
	var err error
	if b.own, err = blk.enc.AppendDecompress(b.own[:0], data, blk.sizeHint(), MaxBlockBytes); err != nil {
		return fmt.Errorf("cannot load block at offset %d: %w: %w", blk.offset, ErrCorrupt, err)
	}
	b.Buf = b.own
	return nil
}

// sizeHint is how many bytes the block will have, at most, if its numbers are true and usual.
func (b *Block) sizeHint() int {
	if b.Size <= 0 || b.Size > MaxBlockBytes || b.Entries > MaxBlockBytes {
		return 0
	}
	n := b.Size + 13*b.Entries + 64
	if b.pairs {
		n += 4 * b.Entries
	}
	return n
}

// Walk fills the columns from b.Buf.
func (b *Batch) Walk() error {
	if b.pairs && b.Symbols != nil {
		if err := b.Symbols.load(); err != nil {
			return err
		}
	}
	// An entry takes two bytes at least, so that the number of them is bounded by what is there.
	n := min(b.entries, len(b.Buf)/2+1)
	b.Ts, b.Start, b.End = slices.Grow(b.Ts[:0], n), slices.Grow(b.Start[:0], n), slices.Grow(b.End[:0], n)
	b.Meta, b.rich = nil, false
	if b.pairs && b.Symbols != nil {
		b.Meta = slices.Grow(b.meta[:0], n)
	}
	var pos int
	var sorted bool
	if b.pairs {
		pos, sorted = b.walkPairs()
	} else {
		pos, sorted = b.walkPlain()
	}
	if b.Meta != nil {
		b.meta = b.Meta
		if !b.rich {
			b.Meta = nil
		}
	}
	if pos < 0 {
		b.Ts, b.Start, b.End, b.Meta = b.Ts[:0], b.Start[:0], b.End[:0], nil
		return fmt.Errorf("cannot read block at offset %d: %w: bad entry at byte %d", b.offset, ErrCorrupt, -pos-1)
	}
	if !sorted {
		b.sort()
	}
	return nil
}

// walkPlain reads entries without symbol references. It returns where it stopped, and whether timestamps ascend;
// a bad entry at position p is -p-1.
func (b *Batch) walkPlain() (pos int, sorted bool) {
	buf := b.Buf
	ts, start, end := b.Ts, b.Start, b.End
	sorted = true
	last := int64(math.MinInt64)
	for pos < len(buf) {
		t, from, to := entryAt(buf, pos)
		if to < 0 {
			return -pos - 1, sorted
		}
		if t < last {
			sorted = false
		}
		last = t
		ts, start, end = append(ts, t), append(start, uint32(from)), append(end, uint32(to))
		pos = to
	}
	b.Ts, b.Start, b.End = ts, start, end
	return pos, sorted
}

// walkPairs is walkPlain for entries with symbol references, whose places it notes if any entry of the block has some.
func (b *Batch) walkPairs() (pos int, sorted bool) {
	buf := b.Buf
	known := uint64(0)
	if b.Symbols != nil {
		known = uint64(len(b.Symbols.strings))
	}
	sorted = true
	last := int64(math.MinInt64)
	for pos < len(buf) {
		t, from, to := entryAt(buf, pos)
		if to < 0 {
			return -pos - 1, sorted
		}
		if t < last {
			sorted = false
		}
		last = t
		begin, next := to+1, to+2
		if len(buf) < next || buf[to] != 1 || buf[to+1] != 0 {
			if begin, next = pairsAt(buf, to, known); next < 0 {
				return -pos - 1, sorted
			}
			b.rich = true
		}
		b.Ts, b.Start, b.End = append(b.Ts, t), append(b.Start, uint32(from)), append(b.End, uint32(to))
		if b.Meta != nil {
			b.Meta = append(b.Meta, uint32(begin))
		}
		pos = next
	}
	return pos, sorted
}

// pairsAt checks an entry's symbol part at pos, whose references must be below known. It returns where the number of pairs
// stands and where the part ends; the end is negative if the part is bad.
func pairsAt(buf []byte, pos int, known uint64) (begin, end int) {
	size, n := binary.Uvarint(buf[pos:])
	if n <= 0 || size > uint64(len(buf)-pos-n) {
		return 0, -1
	}
	begin = pos + n
	end = begin + int(size)
	part := buf[begin:end]
	pairs, at := binary.Uvarint(part)
	if at <= 0 || pairs > size {
		return 0, -1
	}
	// Every number ends with a byte below 0x80: the references are counted while their values are put together.
	refs, shift, value := uint64(0), 0, uint64(0)
	for _, c := range part[at:] {
		value |= uint64(c&0x7f) << shift
		if shift += 7; c >= 0x80 {
			if shift > 28 {
				return 0, -1
			}
			continue
		}
		if value >= known {
			return 0, -1
		}
		refs, shift, value = refs+1, 0, 0
	}
	if refs != 2*pairs || shift != 0 {
		return 0, -1
	}
	return begin, end
}

// sort brings the entries in the order of time and keeps those of one instant in the order of arrival.
func (b *Batch) sort() {
	b.rows = slices.Grow(b.rows[:0], len(b.Ts))[:len(b.Ts)]
	for i := range b.rows {
		b.rows[i] = row{ts: b.Ts[i], start: b.Start[i], end: b.End[i]}
		if b.Meta != nil {
			b.rows[i].meta = b.Meta[i]
		}
	}
	slices.SortStableFunc(b.rows, func(x, y row) int {
		switch {
		case x.ts < y.ts:
			return -1
		case x.ts > y.ts:
			return 1
		}
		return 0
	})
	for i, r := range b.rows {
		b.Ts[i], b.Start[i], b.End[i] = r.ts, r.start, r.end
		if b.Meta != nil {
			b.Meta[i] = r.meta
		}
	}
}

// Len returns the number of entries that Walk found.
func (b *Batch) Len() int { return len(b.Ts) }

// Line returns line i, a part of Buf.
func (b *Batch) Line(i int) []byte { return b.Buf[b.Start[i]:b.End[i]:b.End[i]] }

// Metadata appends entry i's structured metadata to dst, names made valid label names, sorted by name.
// If two names become the same, the pair that was stored last counts.
// The strings belong to the chunk's symbol table and stay valid as long as it does.
func (b *Batch) Metadata(i int, dst []model.Pair) []model.Pair {
	if b.Meta == nil || b.Buf[b.Meta[i]] == 0 {
		return dst
	}
	begin := len(dst)
	for name, value := range b.refs(i) {
		p := model.Pair{Name: b.Symbols.name(name), Value: b.Symbols.strings[value]}
		at := len(dst)
		for at > begin && dst[at-1].Name > p.Name {
			at--
		}
		if at > begin && dst[at-1].Name == p.Name {
			dst[at-1] = p
			continue
		}
		dst = slices.Insert(dst, at, p)
	}
	return dst
}

// stored appends entry i's metadata to dst as it was written.
func (b *Batch) stored(i int, dst []model.Pair) []model.Pair {
	if b.Meta == nil {
		return dst
	}
	for name, value := range b.refs(i) {
		dst = append(dst, model.Pair{Name: b.Symbols.strings[name], Value: b.Symbols.strings[value]})
	}
	return dst
}

// refs yields the symbol references of entry i, which Walk has checked.
func (b *Batch) refs(i int) func(func(name, value uint64) bool) {
	return func(yield func(name, value uint64) bool) {
		buf := b.Buf[b.Meta[i]:]
		pairs, at := binary.Uvarint(buf)
		for range pairs {
			name, n := binary.Uvarint(buf[at:])
			value, m := binary.Uvarint(buf[at+n:])
			at += n + m
			if !yield(name, value) {
				return
			}
		}
	}
}
