package chunk

import (
	"encoding/binary"
	"fmt"
	"math/bits"
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
	dst = binary.AppendVarint(dst, ts)
	dst = binary.AppendUvarint(dst, uint64(len(line)))
	return append(dst, line...)
}

// EntryBound is an upper bound of the bytes that AppendEntry writes beside the line.
const EntryBound = binary.MaxVarintLen64 + binary.MaxVarintLen32

// ReadEntry reads the first entry of what AppendEntry wrote. The line is a part of b.
func ReadEntry(b []byte) (ts int64, line, rest []byte, err error) {
	u, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, b, fmt.Errorf("%w: bad timestamp", ErrCorrupt)
	}
	l, m := binary.Uvarint(b[n:])
	if m <= 0 || l > uint64(len(b)-n-m) {
		return 0, nil, b, fmt.Errorf("%w: bad length of a line", ErrCorrupt)
	}
	end := n + m + int(l)
	return unzigzag(u), b[n+m : end : end], b[end:], nil
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

const (
	continued = 0x8080808080808080
	// wideEntry is how many bytes must be left for the fast way through an entry's numbers: ten of the timestamp, five of the
	// length and one more, so that eight bytes can be read at once behind the timestamp.
	wideEntry = 18
)

// gather packs the low seven bits of eight bytes together.
func gather(x uint64) uint64 {
	x &= 0x7f7f7f7f7f7f7f7f
	x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1
	x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
	return x&0x000000000fffffff | x&0x0fffffff00000000>>4
}

// uvarintAt reads an unsigned varint of up to ten bytes at pos, where at least ten are. It returns the position behind it,
// or a negative one if the number does not fit into 64 bits.
func uvarintAt(b []byte, pos int) (uint64, int) {
	x := binary.LittleEndian.Uint64(b[pos:])
	stop := ^x & continued
	if stop != 0 {
		n := bits.TrailingZeros64(stop) + 1
		return gather(x << (64 - n) >> (64 - n)), pos + n/8
	}
	u := gather(x)
	c := uint64(b[pos+8])
	if c < 0x80 {
		return u | c<<56, pos + 9
	}
	d := uint64(b[pos+9])
	if d > 1 {
		return 0, -1
	}
	return u | c&0x7f<<56 | d<<63, pos + 10
}
