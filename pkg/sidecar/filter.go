package sidecar

import (
	"math"
)

// filter is a Bloom filter as it is stored: u8 flags, u8 number of probes, and the bits in words of 64, little-endian.
type filter []byte

const (
	// flagFolds says that lines hold characters beyond ASCII that are equal to ASCII letters but for case.
	flagFolds = 1 << 0
	// flagNoNumbers says that the filter lacks the keys of short numbers.
	flagNoNumbers = 1 << 1

	filterFront = 2
	maxProbes   = 16
	// leastBits is the number of bits for each key below which a filter is not worth its room.
	leastBits = 2
	// numbersBits is the number of bits for each key below which short numbers are left out.
	numbersBits = 4
)

// appendFilter writes a filter of size bytes at most over the keys, and over the numbers, which it adds to them, if there is room; nothing
// if there is too little.
func appendFilter(dst []byte, k *keyer, bitsPerKey float64, size int, folds bool) []byte {
	flags := byte(0)
	if folds {
		flags |= flagFolds
	}
	if float64(8*size) < min(numbersBits, bitsPerKey)*float64(len(k.keys)+len(k.numbers)) {
		flags |= flagNoNumbers
	} else {
		k.keys = append(k.keys, k.numbers...)
	}
	keys := k.keys
	want := bitsPerKey * float64(len(keys))
	words := int(math.Ceil(want / 64))
	if most := (size - filterFront) / 8; words > most {
		words = most
	}
	if words <= 0 || words > math.MaxUint32/64 || float64(words*64) < leastBits*float64(len(keys)) {
		return dst
	}
	probes := max(1, min(maxProbes, int(math.Round(math.Ln2*float64(words*64)/float64(len(keys))))))
	dst = append(dst, flags, byte(probes))
	begin := len(dst)
	dst = append(dst, make([]byte, 8*words)...)
	table := dst[begin:]
	n := uint64(words) * 64
	for _, key := range keys {
		at, step := uint32(key), uint32(key>>32)|1
		for range probes {
			bit := uint64(at) * n >> 32
			table[bit>>3] |= 1 << (bit & 7)
			at += step
		}
	}
	return dst
}

// valid reports whether the bytes have the form of a filter.
func (f filter) valid() bool {
	return len(f) >= filterFront+8 && (len(f)-filterFront)%8 == 0 && f[0] <= flagFolds|flagNoNumbers && f[1] >= 1 && f[1] <= maxProbes
}

// has reports whether all keys of the needle may be there.
func (f filter) has(n *Needle) bool {
	if n.folded && f[0]&flagFolds != 0 {
		return true
	}
	return f.hasAll(n.keys) && (f[0]&flagNoNumbers != 0 || f.hasAll(n.numbers))
}

func (f filter) hasAll(keys []uint64) bool {
	table := f[filterFront:]
	size := uint64(len(table)) * 8
	for _, key := range keys {
		at, step := uint32(key), uint32(key>>32)|1
		for range f[1] {
			bit := uint64(at) * size >> 32
			if table[bit>>3]>>(bit&7)&1 == 0 {
				return false
			}
			at += step
		}
	}
	return true
}
