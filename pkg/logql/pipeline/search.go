package pipeline

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// searcher finds a literal in text, with fold set in any case. It looks for the two rarest bytes of the literal at their
// distance, many positions at a time, and compares the rest only where both are.
type searcher struct {
	lit  string
	fold bool
	pair bytePair
	// anchor is the offset of the pair in the literal; with fold only bytes without multi-byte variants stand in for it.
	anchor int
	// slow is set for folded literals without two such bytes: they are compared at every position.
	slow bool
}

// bytePair is two bytes at a distance. A mask of 0x20 makes a letter match in either case.
type bytePair struct {
	c0, c1 uint64
	m0, m1 uint64
	dist   int
}

// byteRank is how often a byte occurs in log lines, from 0 (hardly ever) to 255.
var byteRank = func() (t [256]uint8) {
	// In descending order of frequency; other bytes are rare.
	const common = "\" e0:1tsar2.i=no,l5u3/m64dc-p7g8T9hbykzvf{}[]PqE\\xB+wZHGJ_ML?OSCKRAUj&%()|;@#<>$!*`~^"
	for i := range t {
		t[i] = 2
		if i >= 0x80 {
			t[i] = 1
		}
	}
	for i := 0; i < len(common); i++ {
		t[common[i]] = uint8(255 - 2*i)
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = max(t[c], 60)
	}
	t['\n'], t['\t'] = 40, 30
	return t
}()

func newSearcher(lit string) *searcher {
	s := &searcher{lit: lit}
	s.choose(0, len(lit))
	return s
}

// newFoldSearcher returns a searcher for the literal in any case.
func newFoldSearcher(lit string) *searcher {
	s := &searcher{lit: lit, fold: true}
	from, to := foldRun(lit)
	if s.slow = to-from < 1; s.slow {
		return s
	}
	s.choose(from, to)
	for i, c := range []byte{byte(s.pair.c0), byte(s.pair.c1)} {
		if !isLetter(c) {
			continue
		}
		if i == 0 {
			s.pair.c0, s.pair.m0 = uint64(c|0x20)*lowBits, 0x20*lowBits
		} else {
			s.pair.c1, s.pair.m1 = uint64(c|0x20)*lowBits, 0x20*lowBits
		}
	}
	return s
}

// foldRun returns the longest run of bytes of the literal that all case variants share or have as one byte.
func foldRun(lit string) (from, to int) {
	start := 0
	for i := 0; i <= len(lit); i++ {
		if i < len(lit) && lit[i] < utf8.RuneSelf && lit[i]|0x20 != 'k' && lit[i]|0x20 != 's' {
			continue
		}
		if i-start > to-from {
			from, to = start, i
		}
		start = i + 1
	}
	return from, to
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// choose picks the two rarest bytes of lit[from:to].
func (s *searcher) choose(from, to int) {
	if from == to {
		return
	}
	rank := func(i int) int {
		c := s.lit[i]
		if s.fold && isLetter(c) {
			return int(byteRank[c|0x20]) + int(byteRank[c&^0x20])
		}
		return int(byteRank[c])
	}
	a, b := from, -1
	for i := from + 1; i < to; i++ {
		switch {
		case rank(i) < rank(a):
			a, b = i, a
		case b < 0 || rank(i) < rank(b):
			b = i
		}
	}
	if b < 0 {
		b = a
	}
	first, second := min(a, b), max(a, b)
	s.anchor = first
	s.pair = bytePair{c0: uint64(s.lit[first]) * lowBits, c1: uint64(s.lit[second]) * lowBits, dist: second - first}
}

// index returns the position of the first occurrence, -1 if there is none.
func (s *searcher) index(b []byte) int {
	at, _ := s.find(b, 0)
	return at
}

// find returns the bounds of the first occurrence that begins at from or later; start is -1 if there is none.
func (s *searcher) find(b []byte, from int) (start, end int) {
	if s.fold {
		return s.findFold(b, from)
	}
	n := len(s.lit)
	if n == 0 {
		return from, from
	}
	for i := from + s.anchor; ; i++ {
		if i = s.pair.index(b, i); i < 0 {
			return -1, -1
		}
		if at := i - s.anchor; at+n <= len(b) && string(b[at:at+n]) == s.lit {
			return at, at + n
		}
	}
}

func (s *searcher) findFold(b []byte, from int) (start, end int) {
	if s.slow {
		for i := from; i < len(b); i++ {
			if n := foldPrefix(b[i:], s.lit); n >= 0 {
				return i, i + n
			}
		}
		return -1, -1
	}
	for i := from; ; i++ {
		if i = s.pair.index(b, i); i < 0 {
			return -1, -1
		}
		tail := foldPrefix(b[i:], s.lit[s.anchor:])
		if tail < 0 {
			continue
		}
		head := foldSuffix(b[from:i], s.lit[:s.anchor])
		if head >= 0 {
			return i - head, i + tail
		}
	}
}

// foldPrefix returns the length of the prefix of b that equals lit but for the case, -1 if there is none.
func foldPrefix(b []byte, lit string) int {
	n := 0
	for i := 0; i < len(lit); {
		if n >= len(b) {
			return -1
		}
		c, d := lit[i], b[n]
		if c < utf8.RuneSelf && d < utf8.RuneSelf {
			if c != d && (c|0x20 != d|0x20 || !isLetter(c)) {
				return -1
			}
			i++
			n++
			continue
		}
		r, rn := utf8.DecodeRuneInString(lit[i:])
		q, qn := utf8.DecodeRune(b[n:])
		if !foldEqual(r, q) || q == utf8.RuneError && qn == 1 && rn > 1 {
			return -1
		}
		i += rn
		n += qn
	}
	return n
}

// foldSuffix is foldPrefix for the end of b.
func foldSuffix(b []byte, lit string) int {
	n := len(b)
	for i := len(lit); i > 0; {
		if n <= 0 {
			return -1
		}
		r, rn := utf8.DecodeLastRuneInString(lit[:i])
		q, qn := utf8.DecodeLastRune(b[:n])
		if !foldEqual(r, q) || q == utf8.RuneError && qn == 1 && rn > 1 {
			return -1
		}
		i -= rn
		n -= qn
	}
	return len(b) - n
}

func foldEqual(a, b rune) bool {
	if a == b {
		return true
	}
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}

// index returns the first position, i or later, of the pair's first byte with the second one behind it at its distance.
func (p *bytePair) index(b []byte, i int) int {
	if n := len(b) - p.dist - i; wideVectors && n >= 32 {
		at := indexPairWide(&b[i], n, p.dist, byte(p.c0), byte(p.c1), byte(p.m0), byte(p.m1))
		if at < 0 {
			return -1
		}
		return i + at
	}
	return p.indexWords(b, i)
}

// indexWords is index by eight bytes at a time.
func (p *bytePair) indexWords(b []byte, i int) int {
	c0, c1, m0, m1, d := p.c0, p.c1, p.m0, p.m1, p.dist
	last := len(b) - d
	for ; i+32 <= last; i += 32 {
		x, y := b[i:i+32:i+32], b[i+d:i+d+32:i+d+32]
		z0 := ((binary.LittleEndian.Uint64(x) | m0) ^ c0) | ((binary.LittleEndian.Uint64(y) | m1) ^ c1)
		z1 := ((binary.LittleEndian.Uint64(x[8:]) | m0) ^ c0) | ((binary.LittleEndian.Uint64(y[8:]) | m1) ^ c1)
		z2 := ((binary.LittleEndian.Uint64(x[16:]) | m0) ^ c0) | ((binary.LittleEndian.Uint64(y[16:]) | m1) ^ c1)
		z3 := ((binary.LittleEndian.Uint64(x[24:]) | m0) ^ c0) | ((binary.LittleEndian.Uint64(y[24:]) | m1) ^ c1)
		t0, t1, t2, t3 := (z0-lowBits)&^z0, (z1-lowBits)&^z1, (z2-lowBits)&^z2, (z3-lowBits)&^z3
		if (t0|t1|t2|t3)&highBits == 0 {
			continue
		}
		switch {
		case t0&highBits != 0:
			return i + trailingBytes(t0&highBits)
		case t1&highBits != 0:
			return i + 8 + trailingBytes(t1&highBits)
		case t2&highBits != 0:
			return i + 16 + trailingBytes(t2&highBits)
		}
		return i + 24 + trailingBytes(t3&highBits)
	}
	for ; i+8 <= last; i += 8 {
		z := ((binary.LittleEndian.Uint64(b[i:]) | m0) ^ c0) | ((binary.LittleEndian.Uint64(b[i+d:]) | m1) ^ c1)
		if t := (z - lowBits) &^ z & highBits; t != 0 {
			return i + trailingBytes(t)
		}
	}
	for ; i < last; i++ {
		if b[i]|byte(m0) == byte(c0) && b[i+d]|byte(m1) == byte(c1) {
			return i
		}
	}
	return -1
}

// maxLiterals bounds the literals that are searched for together.
const maxLiterals = 16

// scan looks for the first of several literals.
type scan struct{ items []*searcher }

// scanRun is a scan over one text. Each literal's next occurrence is remembered, so that the text is read once for each.
type scanRun struct {
	s    *scan
	next [maxLiterals][2]int
	init bool
}

// find returns the bounds of the first occurrence that begins at from or later; start is -1 if there is none. from must not
// be less than in the call before.
func (r *scanRun) find(b []byte, from int) (start, end int) {
	if len(r.s.items) == 1 {
		return r.s.items[0].find(b, from)
	}
	start, end = -1, -1
	for i, it := range r.s.items {
		n := &r.next[i]
		if !r.init || n[0] >= 0 && n[0] < from {
			n[0], n[1] = it.find(b, from)
		}
		if n[0] >= 0 && (start < 0 || n[0] < start) {
			start, end = n[0], n[1]
		}
	}
	r.init = true
	return start, end
}

// newScan returns nil if there are too many literals or an empty one.
func newScan(lits []literal) *scan {
	if len(lits) == 0 || len(lits) > maxLiterals {
		return nil
	}
	s := &scan{}
	for _, l := range lits {
		if l.text == "" {
			return nil
		}
		it := newSearcher(l.text)
		if l.fold && strings.ToLower(l.text) != strings.ToUpper(l.text) {
			it = newFoldSearcher(l.text)
		}
		s.items = append(s.items, it)
	}
	return s
}
