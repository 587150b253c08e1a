package chunk

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// An entry within a block:
//
//	sv timestamp (ns), uv length of the line, the line
//
// and in version 4 behind it
//
//	uv length of the rest, uv number of pairs, and per pair: uv symbol of the name, uv symbol of the value

// noPairs is what version 4 has behind an entry without metadata.
const noPairs = "\x01\x00"

// AppendEntry appends an entry without metadata as a block has it in versions 1 to 3. Builder.AppendEncoded takes a run of
// such entries as it is.
func AppendEntry(dst []byte, ts int64, line []byte) []byte {
	dst = slices.Grow(dst, EntryBound+len(line))
	n := len(dst)
	out := dst[n : n+EntryBound+len(line)]
	at := putUvarint(out, uint64(ts)<<1^uint64(ts>>63))
	if l := len(line); l < 0x80 {
		out[at] = byte(l)
		at++
	} else {
		at += binary.PutUvarint(out[at:], uint64(l))
	}
	at += copy(out[at:], line)
	return dst[:n+at]
}

// putUvarint writes u at the beginning of b, which has room for ten bytes. Times of our days take nine: eight are written at once.
func putUvarint(b []byte, u uint64) int {
	if u>>56 == 0 {
		return binary.PutUvarint(b, u)
	}
	binary.LittleEndian.PutUint64(b, spread(u)|continued)
	if u>>63 == 0 {
		b[8] = byte(u >> 56)
		return 9
	}
	b[8], b[9] = byte(u>>56), 1
	return 10
}

// EntryBound is an upper bound of the bytes that AppendEntry writes beside the line.
const EntryBound = binary.MaxVarintLen64 + binary.MaxVarintLen32

// ReadEntry reads the first entry of what AppendEntry wrote. The line is a part of b.
func ReadEntry(b []byte) (ts int64, line, rest []byte, err error) {
	ts, start, end := entryAt(b, 0)
	if end < 0 {
		return 0, nil, b, fmt.Errorf("%w: bad entry", ErrCorrupt)
	}
	return ts, b[start:end:end], b[end:], nil
}

// entryAt reads the timestamp and the bounds of the line of the entry at pos. The end is negative if the entry is bad.
func entryAt(b []byte, pos int) (ts int64, start, end int) {
	if len(b)-pos >= wideEntry {
		// Nearly every timestamp takes nine bytes, and nearly every length one or two.
		p := (*[wideEntry]byte)(b[pos:])
		x := binary.LittleEndian.Uint64(p[:8])
		if x&continued == continued && p[8] < 0x80 {
			c, d := p[9], p[10]
			l := int(c)
			start = pos + 10
			if c >= 0x80 {
				l = l&0x7f | int(d)<<7
				start++
			}
			if c < 0x80 || d < 0x80 {
				if l > len(b)-start {
					return 0, 0, -1
				}
				return unzigzag(gather(x) | uint64(p[8])<<56), start, start + l
			}
		}
	}
	return oddEntryAt(b, pos)
}

// oddEntryAt is entryAt for entries near the end, old or very long.
func oddEntryAt(b []byte, pos int) (ts int64, start, end int) {
	u, n := binary.Uvarint(b[pos:])
	if n <= 0 {
		return 0, 0, -1
	}
	l, m := binary.Uvarint(b[pos+n:])
	if start = pos + n + m; m <= 0 || l > uint64(len(b)-start) {
		return 0, 0, -1
	}
	return unzigzag(u), start, start + int(l)
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

const (
	continued = 0x8080808080808080
	// wideEntry is how many bytes must be left for the fast way through an entry's numbers: nine of the timestamp, two of the length.
	wideEntry = 11
)

// spread puts the low 56 bits of x into eight bytes of seven bits; gather is its inverse.
func spread(x uint64) uint64 {
	x = x&0x000000000fffffff | x&0x00fffffff0000000<<4
	x = x&0x00003fff00003fff | x&0x0fffc0000fffc000<<2
	return x&0x007f007f007f007f | x&0x3f803f803f803f80<<1
}

// gather packs the low seven bits of eight bytes together.
func gather(x uint64) uint64 {
	x &= 0x7f7f7f7f7f7f7f7f
	x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1
	x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
	return x&0x000000000fffffff | x&0x0fffffff00000000>>4
}
