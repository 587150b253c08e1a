package chunk

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"sync"

	"logstore/pkg/compress"
)

// scratch is memory that Seal uses for the compressed block before its size is known.
type scratch struct{ compressed, plain []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Seal compresses a block that Builder.Cut returned. Entries are brought in order, and what is equal in timestamp, line and
// metadata is stored once. It is a function of the block alone and may run in any goroutine. A block that is compressed already
// is returned as it is if it has that encoding, and compressed anew otherwise.
func Seal(raw Block, enc compress.Encoding) (Block, error) {
	if !raw.raw && raw.enc == enc {
		return raw, nil
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	out := raw
	out.raw, out.ascending, out.shared, out.retry, out.offset, out.enc = false, false, false, nil, 0, enc
	plain := raw.data
	if !raw.raw || !raw.ascending {
		b := GetBatch()
		defer PutBatch(b)
		if err := b.Load(&raw); err != nil {
			return Block{}, err
		}
		if err := b.Walk(); err != nil {
			return Block{}, err
		}
		plain = b.Buf
		if drop := b.repeats(); drop != nil || !b.inOrder() {
			s.plain, out.Entries, out.Size = b.appendUnique(s.plain[:0], drop)
			plain = s.plain
		}
	}
	var err error
	if s.compressed, err = enc.AppendCompress(s.compressed[:0], plain); err != nil {
		return Block{}, fmt.Errorf("cannot seal block: %w", err)
	}
	// The exact size: a sealed block stays in memory until its chunk is flushed.
	out.data = bytes.Clone(s.compressed)
	if out.data == nil {
		out.data = []byte{}
	}
	out.sum = crc32.Checksum(out.data, castagnoli)
	return out, nil
}

// inOrder reports whether the entries stand in Buf in the order of the columns.
func (b *Batch) inOrder() bool {
	for i := 1; i < len(b.Start); i++ {
		if b.Start[i] < b.Start[i-1] {
			return false
		}
	}
	return true
}

// repeats marks the entries that are equal to an earlier one; nil if there are none. Only entries of one instant are compared.
func (b *Batch) repeats() []bool {
	var drop []bool
	for i := 0; i < len(b.Ts); {
		j := i + 1
		for j < len(b.Ts) && b.Ts[j] == b.Ts[i] {
			j++
		}
		if j-i > 1 {
			drop = b.repeatsOf(i, j, drop)
		}
		i = j
	}
	return drop
}

// fewEqual is how many entries of one instant are compared with each other; more are put into a map.
const fewEqual = 16

// repeatsOf marks repeats among the entries [i, j), which have the same timestamp.
func (b *Batch) repeatsOf(i, j int, drop []bool) []bool {
	mark := func(k int) {
		if drop == nil {
			drop = make([]bool, len(b.Ts))
		}
		drop[k] = true
	}
	if j-i <= fewEqual {
		for k := i + 1; k < j; k++ {
			for m := i; m < k; m++ {
				if bytes.Equal(b.Line(m), b.Line(k)) && bytes.Equal(b.metaBytes(m), b.metaBytes(k)) {
					mark(k)
					break
				}
			}
		}
		return drop
	}
	type content struct{ line, meta string }
	seen := make(map[content]struct{}, j-i)
	for k := i; k < j; k++ {
		c := content{string(b.Line(k)), string(b.metaBytes(k))}
		if _, ok := seen[c]; ok {
			mark(k)
			continue
		}
		seen[c] = struct{}{}
	}
	return drop
}

// metaBytes returns the symbol references of entry i as they are stored, the number of pairs first; nil if it has none.
func (b *Batch) metaBytes(i int) []byte {
	if b.Meta == nil || b.Buf[b.Meta[i]] == 0 {
		return nil
	}
	at := b.Meta[i]
	// Walk has checked the length, which stands right behind the line.
	return b.Buf[at : at+uint32(b.metaLen(i))]
}

// metaLen returns the length of the symbol part of entry i.
func (b *Batch) metaLen(i int) int {
	n := uint64(0)
	for k, c := range b.Buf[b.End[i]:b.Meta[i]] {
		n |= uint64(c&0x7f) << (7 * k)
	}
	return int(n)
}

// appendUnique writes the entries that are not dropped in the order of the columns.
func (b *Batch) appendUnique(dst []byte, drop []bool) (out []byte, entries, size int) {
	for i, ts := range b.Ts {
		if drop != nil && drop[i] {
			continue
		}
		line := b.Line(i)
		dst = AppendEntry(dst, ts, line)
		entries++
		size += len(line)
		if !b.pairs {
			continue
		}
		meta := b.metaBytes(i)
		if meta == nil {
			dst = append(dst, noPairs...)
			continue
		}
		dst = append(dst, b.Buf[b.End[i]:b.Meta[i]]...)
		dst = append(dst, meta...)
		size += 8 * b.pairCount(i)
	}
	return dst, entries, size
}

func (b *Batch) pairCount(i int) int {
	n := 0
	for range b.refs(i) {
		n++
	}
	return n
}
