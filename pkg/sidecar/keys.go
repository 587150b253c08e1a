package sidecar

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// What the filter of a block knows of its lines are keys, numbers of 64 bits:
//
//   - every word, but those below; its key is that of its bytes;
//   - of a word with digits of at least tailWord bytes, an id or a part of one, its last tailSize bytes: whoever looks for an id by
//     itself does not say what stands before it;
//   - every gram: four letters in a row within a word, in lower case;
//   - of a word with digits of at least longWord bytes samples besides: of every stretch of sampleWindow runs of
//     sampleSize bytes, one after the other, the run whose hash is the least. Whatever has longWord bytes of the word contains one
//     of them, and which ones they are does not depend on the bytes around.
//   - every pair of metadata.
//
// Numbers of less than minNumber digits are left out: there are too many of them, and each says too little.
const (
	longWord     = 16
	sampleSize   = 8
	sampleWindow = longWord - sampleSize + 1
	tailSize     = 8
	tailWord     = tailSize
	minNumber    = 5
	gramSize     = 4
)

// The kinds of keys keep equal bytes of different meaning apart.
const (
	gramKind   = 0x9e3779b97f4a7c15
	sampleKind = 0xc2b2ae3d27d4eb4f
	tailKind   = 0x27d4eb2f165667c5
	pairKind   = 0x165667b19e3779f9
)

// mix scatters the bits of a number.
func mix(x uint64) uint64 {
	high, low := bits.Mul64(x^0xa0761d6478bd642f, 0xe7037ed1a0b428db)
	return high ^ low
}

func wordKey(word []byte) uint64 { return xxhash.Sum64(word) }

// gramKey is the key of four letters, lower case, the first in the lowest byte.
func gramKey(gram uint32) uint64 { return mix(uint64(gram) ^ gramKind) }

func sampleKey(run uint64) uint64 { return mix(run ^ sampleKind) }

// tailKey is the key of the end of a word of at least tailWord bytes.
func tailKey(word []byte) uint64 {
	return mix(binary.LittleEndian.Uint64(word[len(word)-tailSize:]) ^ tailKind)
}

func pairKey(name, value string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(name) // never fails
	_, _ = d.Write([]byte{0xff})
	_, _ = d.WriteString(value)
	return mix(d.Sum64() ^ pairKind)
}

// shape says what a word consists of.
func shape(word []byte) (digits bool, onlyDigits bool) {
	or, and := uint8(0), uint8(classDigit)
	for _, c := range word {
		or |= class[c]
		and &= class[c]
	}
	return or&classDigit != 0, and != 0
}

// eachGram calls fn for each four letters in a row. It looks at eight bytes at a time, in five of which a gram may begin.
func eachGram(word []byte, fn func(gram uint32)) {
	for at := 0; at+gramSize <= len(word); at += 5 {
		x := firstEight(word[at:], len(word)-at)
		m := letters(x)
		m &= m >> 16
		m &= m >> 8
		for ; m != 0; m &= m - 1 {
			fn(uint32(x>>(bits.TrailingZeros64(m)-7)) | 0x20202020)
		}
	}
}

// letters sets the highest bit of each of eight bytes that is a letter of ASCII.
func letters(x uint64) uint64 {
	const ones = 0x0101010101010101
	low := x&(0x7f*ones) | 0x20*ones
	return (low + (0x80-'a')*ones) &^ (low + (0x7f-'z')*ones) &^ x & (0x80 * ones)
}

// eachSample calls fn for the samples of an id of at least longWord bytes, each run of equal ones once.
func eachSample(word []byte, fn func(key uint64)) {
	n := len(word) - sampleSize + 1
	var ring [sampleWindow]uint64
	last, lastAt := uint64(0), -1
	for i := range n {
		ring[i%sampleWindow] = sampleKey(binary.LittleEndian.Uint64(word[i:]))
		if i < sampleWindow-1 {
			continue
		}
		if k := ring[i%sampleWindow]; lastAt > i-sampleWindow && lastAt >= 0 {
			// The least of the window before is still in this one.
			if k < last {
				last, lastAt = k, i
				fn(k)
			}
			continue
		}
		last, lastAt = ring[(i+1)%sampleWindow], i-sampleWindow+1
		for j := lastAt + 1; j <= i; j++ {
			if k := ring[j%sampleWindow]; k < last {
				last, lastAt = k, j
			}
		}
		fn(last)
	}
}

// keyer collects the keys of one block, each about once. Its memory is used again.
type keyer struct {
	mask []uint64
	// short is a hash table of the words of at most eight bytes as firstEight has them, long one of the others.
	short      []uint64
	shortCount int
	long       []longSlot
	longCount  int
	// grams has a bit for each gram.
	grams [26*26*26*26/64 + 1]uint64
	keys  []uint64
	// numbers are the keys of words of less than tailWord digits and nothing else, which are left out where there is little room.
	numbers []uint64
}

// longSlot is a word of more than eight bytes; n is 0 in an empty slot.
type longSlot struct {
	hash     uint64
	from, to uint32
}

func (k *keyer) reset() {
	if k.short == nil || len(k.short) > 1<<16 {
		k.short, k.long = make([]uint64, 1<<13), make([]longSlot, 1<<11)
	}
	clear(k.short)
	clear(k.long)
	clear(k.grams[:])
	k.shortCount, k.longCount, k.keys, k.numbers = 0, 0, k.keys[:0], k.numbers[:0]
}

// text adds the keys of the lines, which are buf[start[i]:end[i]] in any order.
func (k *keyer) text(buf []byte, start, end []uint32) {
	k.mask = wordMask(k.mask, buf)
	before := uint32(0)
	for i := range start {
		if start[i] < before { // the lines are not in order: what is between them is found another way
			k.unordered(buf, start, end)
			return
		}
		clearBits(k.mask, before, start[i])
		before = end[i]
	}
	clearBits(k.mask, before, uint32(len(buf)))
	eachWord(k.mask, func(from, to int) { k.word(buf, from, to) })
}

func (k *keyer) unordered(buf []byte, start, end []uint32) {
	for i := range start {
		line := buf[:end[i]]
		k.mask = wordMask(k.mask, line[start[i]:])
		eachWord(k.mask, func(from, to int) { k.word(line, int(start[i])+from, int(start[i])+to) })
	}
}

// word adds the keys of buf[from:to], unless it was there before.
func (k *keyer) word(buf []byte, from, to int) {
	if to-from > 8 {
		if k.newLong(buf, from, to) {
			k.add(buf[from:to])
		}
		return
	}
	x := firstEight(buf[from:], to-from)
	mask := uint64(len(k.short) - 1)
	at := x * 0x9fb21c651e98df25 >> 40 & mask
	for ; k.short[at] != 0; at = (at + 1) & mask {
		if k.short[at] == x {
			return
		}
	}
	k.short[at] = x
	if k.shortCount++; 2*k.shortCount > len(k.short) {
		k.growShort()
	}
	k.add(buf[from:to])
}

func (k *keyer) growShort() {
	old := k.short
	k.short = make([]uint64, 2*len(old))
	mask := uint64(len(k.short) - 1)
	for _, x := range old {
		if x == 0 {
			continue
		}
		at := x * 0x9fb21c651e98df25 >> 40 & mask
		for k.short[at] != 0 {
			at = (at + 1) & mask
		}
		k.short[at] = x
	}
}

func (k *keyer) newLong(buf []byte, from, to int) bool {
	word := buf[from:to]
	h := xxhash.Sum64(word)
	mask := uint64(len(k.long) - 1)
	at := h & mask
	for ; k.long[at].to != 0; at = (at + 1) & mask {
		if s := &k.long[at]; s.hash == h && bytes.Equal(buf[s.from:s.to], word) {
			return false
		}
	}
	k.long[at] = longSlot{h, uint32(from), uint32(to)}
	if k.longCount++; 2*k.longCount > len(k.long) {
		old := k.long
		k.long = make([]longSlot, 2*len(old))
		mask = uint64(len(k.long) - 1)
		for _, s := range old {
			if s.to == 0 {
				continue
			}
			for at = s.hash & mask; k.long[at].to != 0; {
				at = (at + 1) & mask
			}
			k.long[at] = s
		}
	}
	return true
}

// add takes the keys of a word that is new.
func (k *keyer) add(word []byte) {
	digits, only := shape(word)
	if !only {
		eachGram(word, k.gram)
	}
	switch {
	case digits && len(word) >= tailWord:
		k.keys = append(k.keys, tailKey(word))
		if len(word) >= longWord {
			eachSample(word, func(key uint64) { k.keys = append(k.keys, key) })
		}
	case only && len(word) < minNumber:
	case only:
		k.numbers = append(k.numbers, wordKey(word))
	default:
		k.keys = append(k.keys, wordKey(word))
	}
}

func (k *keyer) gram(gram uint32) {
	n := uint32(0)
	for s := 0; s < 32; s += 8 {
		n = n*26 + gram>>s&0xff - 'a'
	}
	if w := &k.grams[n/64]; *w>>(n%64)&1 == 0 {
		*w |= 1 << (n % 64)
		k.keys = append(k.keys, gramKey(gram))
	}
}
