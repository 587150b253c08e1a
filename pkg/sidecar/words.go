package sidecar

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A word is a maximal run of letters, digits, underscores and bytes from 0x80 on. Shorter ones than minWord are not looked
// at: they are in nearly every block.
const minWord = 4

// Classes of bytes.
const (
	classLetter = 1 << iota
	classDigit
	classWord
)

var class = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			t[i] = classWord | classLetter
		case c >= '0' && c <= '9':
			t[i] = classWord | classDigit
		case c == '_' || c >= 0x80:
			t[i] = classWord
		}
	}
	return t
}()

// wordMask sets bit i%64 of the result's word i/64 if src[i] is a byte of words. The mask has a zero word more than it needs.
func wordMask(dst []uint64, src []byte) []uint64 {
	full := len(src) / 64
	dst = slices.Grow(dst[:0], full+2)[:full+2]
	if wideVectors && full > 0 {
		wordMaskWide(&dst[0], &src[0], full)
	} else {
		for w := range full {
			dst[w] = plainMask(src[64*w : 64*w+64])
		}
	}
	dst[full], dst[full+1] = plainMask(src[64*full:]), 0
	return dst
}

func plainMask(src []byte) (m uint64) {
	for i, c := range src {
		m |= uint64(class[c]>>2&1) << i
	}
	return m
}

// clearBits clears the bits [from, to) of the mask.
func clearBits(mask []uint64, from, to uint32) {
	for from < to {
		w, low := from/64, from%64
		n := min(64-low, to-from)
		mask[w] &^= (1<<n - 1) << low // n is 64 only where low is 0: then all bits go
		from += n
	}
}

// eachWord calls fn for each word of at least minWord bytes that the mask shows. The mask ends with a zero word.
func eachWord(mask []uint64, fn func(from, to int)) {
	before := uint64(0)
	for w := 0; w+1 < len(mask); w++ {
		m, next := mask[w], mask[w+1]
		starts := m &^ (m<<1 | before)
		before = m >> 63
		starts &= m>>1 | next<<63
		starts &= m>>2 | next<<62
		starts &= m>>3 | next<<61
		for ; starts != 0; starts &= starts - 1 {
			low := bits.TrailingZeros64(starts)
			n := bits.TrailingZeros64(^(m >> low))
			if low+n >= 64 {
				n = 64 - low
				for k := w + 1; k < len(mask); k++ {
					more := bits.TrailingZeros64(^mask[k])
					n += more
					if more < 64 {
						break
					}
				}
			}
			from := 64*w + low
			fn(from, from+n)
		}
	}
}

// firstEight returns the first n bytes of b, at most eight, as a number whose other bytes are zero.
func firstEight(b []byte, n int) uint64 {
	if len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		if n >= 8 {
			return x
		}
		return x & (1<<(8*n) - 1)
	}
	x := uint64(0)
	for i := range min(n, len(b)) {
		x |= uint64(b[i]) << (8 * i)
	}
	return x
}
