package pipeline

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"logstore/pkg/logql/syntax"
)

// logfmtParser extracts key=value pairs, all of them or those named.
type logfmtParser struct {
	hints       parserHints
	strict      bool
	keepEmpty   bool
	extractions []syntax.Extraction
}

// maxKeys bounds the keys that a parser remembers.
const maxKeys = maxSlots

type boundLogfmt struct {
	extractor
	p          *logfmtParser
	keys       []*logfmtKey
	byRaw      map[string]*logfmtKey
	generation int
	// named are the labels of an expression list; nil if all pairs are extracted.
	named []namedKey
}

type logfmtKey struct {
	raw   string
	index int
	// labels are what the value goes to: several for an expression list that names the key more than once.
	labels []key
	skip   bool
}

type namedKey struct {
	key
	from string
	slot *slot
	// clash says that a label beside it already ends up under its name: it stays empty.
	clash bool
}

func newLogfmtParser(st *syntax.LogfmtParser, h parserHints) (stage, error) {
	for _, e := range st.Extractions {
		if !isIdentifier(e.Expression) {
			return nil, fmt.Errorf("cannot parse logfmt expression [%s]: syntax error", e.Expression)
		}
	}
	if h.nothing {
		return nil, nil
	}
	return &logfmtParser{hints: h, strict: st.Strict, keepEmpty: st.KeepEmpty, extractions: st.Extractions}, nil
}

// isIdentifier reports whether s is a name that needs no quotes in the expressions of json and logfmt.
func isIdentifier(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for _, r := range s {
		if !isIdentifierRune(r) {
			return false
		}
	}
	return true
}

func (p *logfmtParser) bind(s *Stream) boundStage {
	b := &boundLogfmt{extractor: extractor{s: s, hints: &p.hints}, p: p}
	for _, e := range p.extractions {
		b.named = append(b.named, namedKey{key: b.key(e.Name), from: e.Expression, slot: s.pin(e.Name)})
		s.pin(e.Name + extractedSuffix)
	}
	for i := range b.named {
		for j := range b.named {
			if b.named[j].conflict && b.named[j].extracted == b.named[i].slot {
				b.named[i].clash = true
			}
		}
	}
	b.reset()
	return b
}

func (l *boundLogfmt) reset() {
	l.keys = l.keys[:0]
	l.byRaw = map[string]*logfmtKey{}
	l.generation = l.s.generation
}

func (l *boundLogfmt) process(line []byte) ([]byte, bool) {
	if l.hints.stop > 0 && l.s.found >= l.hints.stop {
		return line, true
	}
	if l.generation != l.s.generation || len(l.keys) > maxKeys {
		l.reset()
	}
	ok := l.pairs(line)
	if ok && l.named != nil {
		l.fillMissing()
	}
	return line, ok
}

// fillMissing gives the named labels that were not found the empty value.
func (l *boundLogfmt) fillMissing() {
	for i := range l.named {
		n := &l.named[i]
		if n.skip {
			continue
		}
		if _, ok := l.s.get(n.slot); !ok || n.clash {
			l.s.set(n.slot, catParsed, "")
			n.slot.extracted = l.s.seq
		}
	}
}

// pairs reads the line and reports whether it is kept.
func (l *boundLogfmt) pairs(b []byte) bool {
	guess := 0
	for i := 0; ; {
		for i < len(b) && b[i] <= ' ' {
			i++
		}
		if i >= len(b) {
			return true
		}
		var k *logfmtKey
		if guess < len(l.keys) {
			k = l.keys[guess]
		}
		// With luck the key is the one that came next in the line before.
		if end := i + guessLen(k); end < len(b) && b[end] == '=' && end > i && string(b[i:end]) == k.raw {
			i = end
		} else {
			start := i
			for i < len(b) && logfmtClass[b[i]] == logfmtText {
				i++
			}
			raw := b[start:i]
			if i < len(b) && (b[i] == '"' || b[i] == '=' && i == start) || !ascii(raw) && !utf8.Valid(raw) {
				if l.p.strict {
					return l.fail(i)
				}
				i = skipWord(b, i)
				continue
			}
			k = l.lookup(raw)
		}
		guess = k.index + 1
		var val []byte
		escaped := false
		if i < len(b) && b[i] == '=' {
			if i++; k.skip && !l.p.strict && i < len(b) && b[i] != '"' {
				i = skipWord(b, i)
				continue
			}
			var ok bool
			if val, escaped, i, ok = logfmtValue(b, i); !ok {
				if l.p.strict {
					return l.fail(i)
				}
				i = skipWord(b, i)
				continue
			}
		}
		if k.skip || len(val) == 0 && !l.p.keepEmpty && l.named == nil {
			continue
		}
		switch l.pair(k, val, escaped) {
		case giveUp:
			return false
		case enough:
			return true
		case broken:
			if l.p.strict {
				return l.fail(i)
			}
			i = skipWord(b, i)
		}
	}
}

// pair fills the labels that belong to a key.
func (l *boundLogfmt) pair(k *logfmtKey, val []byte, escaped bool) verdict {
	var v string
	if escaped {
		start := len(l.s.arena)
		arena, ok := appendUnescaped(l.s.arena, val)
		l.s.arena = arena
		if !ok {
			return broken
		}
		v = l.s.cleanText(arena[start:len(arena):len(arena)])
	} else {
		v = l.s.cleanText(val)
	}
	for i := range k.labels {
		var r verdict
		if l.named != nil {
			r = l.replace(&k.labels[i], v)
		} else {
			r = l.put(&k.labels[i], v)
		}
		if r == giveUp || r == enough && l.named == nil {
			return r
		}
	}
	return goOn
}

func (l *boundLogfmt) fail(at int) bool {
	l.s.setError(errLogfmt, fmt.Sprintf("logfmt syntax error at pos %d", at))
	return true
}

// guessLen returns the length of a key that may come next.
func guessLen(k *logfmtKey) int {
	if k == nil {
		return 0
	}
	return len(k.raw)
}

// lookup returns the key.
func (l *boundLogfmt) lookup(raw []byte) *logfmtKey {
	if k := l.byRaw[string(raw)]; k != nil {
		return k
	}
	k := &logfmtKey{raw: string(raw), index: len(l.keys), skip: true}
	if l.named == nil {
		if name := sanitize(k.raw, true); name != "" {
			k.labels = []key{l.key(name)}
			k.skip = k.labels[0].skip
		}
	}
	for i := range l.named {
		if n := &l.named[i]; n.from == k.raw && !n.skip {
			k.labels = append(k.labels, n.key)
			k.skip = false
		}
	}
	l.keys = append(l.keys, k)
	l.byRaw[k.raw] = k
	return k
}

// logfmtValue reads the value at i and returns the index behind it. It fails at a quote that nothing closes, and at a
// quote or an equals sign within a bare value.
func logfmtValue(b []byte, i int) (val []byte, escaped bool, end int, ok bool) {
	if i < len(b) && b[i] == '"' {
		shut, escaped := scanString(b, i+1)
		if shut < 0 {
			return nil, false, len(b), false
		}
		return b[i+1 : shut], escaped, shut + 1, true
	}
	start := i
	for i < len(b) && logfmtClass[b[i]] == logfmtText {
		i++
	}
	if i < len(b) && b[i] > ' ' {
		return nil, false, i, false
	}
	return b[start:i], false, i, true
}

// skipWord returns the index of the next blank.
func skipWord(b []byte, i int) int {
	const blanks = (' ' + 1) * lowBits
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := (w - blanks) &^ w & highBits; m != 0 {
			return i + trailingBytes(m)
		}
	}
	for i < len(b) && b[i] > ' ' {
		i++
	}
	return i
}

// The classes of bytes in logfmt.
const (
	logfmtText byte = iota
	logfmtBlank
	logfmtEquals
	logfmtQuote
)

var logfmtClass = func() (t [256]byte) {
	for c := 0; c <= ' '; c++ {
		t[c] = logfmtBlank
	}
	t['='], t['"'] = logfmtEquals, logfmtQuote
	return t
}()
