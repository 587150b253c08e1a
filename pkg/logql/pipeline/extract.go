package pipeline

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// verdict says how a parser goes on after it extracted a label.
type verdict uint8

const (
	goOn verdict = iota
	// enough: every label that the query needs is there.
	enough
	// giveUp: a later filter will drop the line.
	giveUp
	// broken: the line has a syntax error.
	broken
)

// key is a name that a parser met, and what becomes of its value.
type key struct {
	// skip says that nobody wants the value.
	skip bool
	// plain is the label of that name, extracted the one with the suffix, which is filled instead while stream or
	// metadata have the name.
	plain, extracted *slot
	conflict         bool
	wantPlain        bool
	wantExtracted    bool
	tryPlain         []try
	tryExtracted     []try
}

// extractor fills labels from what a parser reads.
type extractor struct {
	s     *Stream
	hints *parserHints
}

// key prepares a label name.
func (x *extractor) key(name string) key {
	h := x.hints
	ext := name + extractedSuffix
	k := key{wantPlain: h.want.has(name), wantExtracted: h.want.has(ext)}
	if sl := x.s.byName[name]; sl != nil && sl.inBase {
		k.conflict = true
		k.wantPlain = false
	}
	if k.skip = !k.wantPlain && !k.wantExtracted; k.skip {
		return k
	}
	k.plain = x.s.slotFor(name)
	if k.wantExtracted {
		k.extracted = x.s.slotFor(ext)
	}
	for _, t := range h.try {
		switch t.name {
		case name:
			k.tryPlain = append(k.tryPlain, t.ok)
		case ext:
			k.tryExtracted = append(k.tryExtracted, t.ok)
		}
	}
	return k
}

// target returns the label that the key fills in this line, nil if nobody wants it.
func (x *extractor) target(k *key) (*slot, []try) {
	if k.skip {
		return nil, nil
	}
	if k.conflict || x.s.inMetadata(k.plain) {
		if k.wantExtracted {
			return k.extracted, k.tryExtracted
		}
		return nil, nil
	}
	if k.wantPlain {
		return k.plain, k.tryPlain
	}
	return nil, nil
}

// put fills the key's label, unless a parser did so before.
func (x *extractor) put(k *key, val string) verdict {
	sl, tries := x.target(k)
	if sl == nil || sl.extracted == x.s.seq {
		return goOn
	}
	return x.fill(sl, tries, val)
}

// replace fills the key's label even if a parser did so before.
func (x *extractor) replace(k *key, val string) verdict {
	sl, tries := x.target(k)
	if sl == nil {
		return goOn
	}
	if sl.extracted == x.s.seq {
		x.s.set(sl, catParsed, val)
		return goOn
	}
	return x.fill(sl, tries, val)
}

func (x *extractor) fill(sl *slot, tries []try, val string) verdict {
	s := x.s
	sl.extracted = s.seq
	s.set(sl, catParsed, val)
	for _, ok := range tries {
		if !ok(&s.lineState, val) {
			return giveUp
		}
	}
	if x.hints.stop > 0 {
		s.found++
		if s.found >= x.hints.stop {
			return enough
		}
	}
	return goOn
}

// sanitize turns a key into a label name: blanks around it go, every other character becomes one underscore, and one
// precedes a leading digit unless something precedes the key. A blank key has no name.
func sanitize(key string, first bool) string {
	key = strings.TrimSpace(key)
	clean := key != "" && !(first && key[0] >= '0' && key[0] <= '9')
	for i := 0; clean && i < len(key); i++ {
		clean = nameByte[key[i]]
	}
	if clean || key == "" {
		return key
	}
	var b strings.Builder
	if first && key[0] >= '0' && key[0] <= '9' {
		b.WriteByte('_')
	}
	for _, r := range key {
		if r < utf8.RuneSelf && nameByte[byte(r)] {
			b.WriteByte(byte(r))
		} else {
			b.WriteByte('_')
		}
	}
	return b.String()
}

// nameByte holds the bytes that a label name may consist of.
var nameByte = func() (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = b == '_' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
	}
	return t
}()

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// scanString returns the index of the quote that closes a string whose content begins at i, and whether there are escapes
// in it; the index is -1 if nothing closes the string.
func scanString(b []byte, i int) (end int, escaped bool) {
	const quotes, slashes = '"' * lowBits, '\\' * lowBits
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		q, s := w^quotes, w^slashes
		m := ((q-lowBits)&^q | (s-lowBits)&^s) & highBits
		if m == 0 {
			i += 8
			continue
		}
		i += trailingBytes(m)
		if b[i] == '"' {
			return i, escaped
		}
		escaped = true
		i += 2
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i++
		}
	}
	return -1, escaped
}

// ascii reports whether no byte is beyond ASCII.
func ascii(b []byte) bool {
	var w uint64
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w |= binary.LittleEndian.Uint64(b[i:])
	}
	for ; i < len(b); i++ {
		w |= uint64(b[i])
	}
	return w&highBits == 0
}

// cleanText returns the value without invalid characters. The result shares memory with the line or the arena.
func (s *lineState) cleanText(v []byte) string {
	if ascii(v) || !slices.Contains(v, 0xef) && utf8.Valid(v) {
		return text(v)
	}
	start := len(s.arena)
	for i := 0; i < len(v); {
		r, n := utf8.DecodeRune(v[i:])
		if r != utf8.RuneError {
			s.arena = append(s.arena, v[i:i+n]...)
		}
		i += n
	}
	return text(s.arena[start:len(s.arena):len(s.arena)])
}

// unescapeText returns the value of a JSON string with escapes, the empty one if an escape is invalid.
func (s *lineState) unescapeText(v []byte) string {
	start := len(s.arena)
	arena, ok := appendUnescaped(s.arena, v)
	s.arena = arena
	if !ok {
		return ""
	}
	return s.cleanText(arena[start:len(arena):len(arena)])
}
