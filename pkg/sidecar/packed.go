package sidecar

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// packedGroup is how many numbers share a minimum and a width.
const packedGroup = 128

// appendPacked writes numbers in groups: uv least number, u8 width in bits, and the differences to the least as a stream of bits,
// lowest first, that ends with a whole byte.
func appendPacked(dst []byte, v []uint64) []byte {
	for len(v) > 0 {
		g := v[:min(packedGroup, len(v))]
		v = v[len(g):]
		low, high := g[0], g[0]
		for _, x := range g[1:] {
			low, high = min(low, x), max(high, x)
		}
		width := bits.Len64(high - low)
		dst = binary.AppendUvarint(dst, low)
		dst = append(dst, byte(width))
		dst = appendBits(dst, g, low, width)
	}
	return dst
}

func appendBits(dst []byte, g []uint64, low uint64, width int) []byte {
	size := (len(g)*width + 7) / 8
	dst = slices.Grow(dst, size)
	acc, have := uint64(0), 0
	end := len(dst) + size
	for _, x := range g {
		x -= low
		acc |= x << have
		if have+width < 64 {
			have += width
			continue
		}
		dst = binary.LittleEndian.AppendUint64(dst, acc)
		acc = x >> (64 - have) // nothing is left of it if have is 0
		have = have + width - 64
	}
	for ; len(dst) < end; acc >>= 8 {
		dst = append(dst, byte(acc))
	}
	return dst[:end]
}

// readPacked appends n numbers that appendPacked wrote to dst. ok is false if src does not hold just them.
func readPacked(dst []uint64, src []byte, n int) (out []uint64, ok bool) {
	// A group takes two bytes at least.
	if n < 0 || n > len(src)/2*packedGroup {
		return dst, false
	}
	dst = slices.Grow(dst, n)
	for n > 0 {
		low, k := binary.Uvarint(src)
		if k <= 0 || k >= len(src) {
			return dst, false
		}
		width := int(src[k])
		count := min(n, packedGroup)
		size := (count*width + 7) / 8
		if src = src[k+1:]; width > 64 || size > len(src) {
			return dst, false
		}
		dst = readBits(dst, src, count, low, width)
		src, n = src[size:], n-count
	}
	return dst, len(src) == 0
}

func readBits(dst []uint64, src []byte, count int, low uint64, width int) []uint64 {
	out := dst[len(dst) : len(dst)+count]
	if width == 0 {
		for i := range out {
			out[i] = low
		}
		return dst[:len(dst)+count]
	}
	mask := uint64(1)<<width - 1 // all bits for 64
	i := 0
	if width <= 56 {
		for bit := 0; i < count && bit>>3+8 <= len(src); i++ {
			out[i] = low + binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask
			bit += width
		}
	}
	for ; i < count; i++ {
		x := uint64(0)
		for b := 0; b < width; b++ {
			at := i*width + b
			x |= uint64(src[at>>3]>>(at&7)&1) << b
		}
		out[i] = low + x
	}
	return dst[:len(dst)+count]
}
