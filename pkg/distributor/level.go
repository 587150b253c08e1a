package distributor

import (
	"bytes"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/model"
)

// detectedLevel is the metadata that tells an entry's level.
const detectedLevel = "detected_level"

// level is the level of an entry. levelNone: nothing tells it so far.
type level uint8

const (
	levelNone level = iota
	levelTrace
	levelDebug
	levelInfo
	levelWarn
	levelError
	levelCritical
	levelFatal
	levelUnknown
	levels
)

var levelNames = [levels]string{"", "trace", "debug", "info", "warn", "error", "critical", "fatal", "unknown"}

// levelMetadata is the metadata of an entry that has nothing but its level, shared by all such entries.
var levelMetadata = func() (m [levels][]model.Pair) {
	for l, name := range levelNames {
		m[l] = []model.Pair{{Name: detectedLevel, Value: name}}
	}
	return m
}()

// levelWords are the spellings of levels, in lower case; plain tells those that count in the text of a line, where short
// forms would be found by accident.
var levelWords = []struct {
	word  string
	level level
	plain bool
}{
	{"trace", levelTrace, true}, {"trc", levelTrace, false},
	{"debug", levelDebug, true}, {"dbg", levelDebug, false},
	{"info", levelInfo, true}, {"inf", levelInfo, false}, {"information", levelInfo, false},
	{"warn", levelWarn, true}, {"wrn", levelWarn, false}, {"warning", levelWarn, true},
	{"error", levelError, true}, {"err", levelError, true},
	{"critical", levelCritical, true}, {"crit", levelCritical, false},
	{"fatal", levelFatal, true},
}

// levelOf returns the level that a field's value means, levelNone if it is none.
func levelOf[T string | []byte](value T) level {
	for i := range levelWords {
		if w := &levelWords[i]; len(w.word) == len(value) && equalFold(value, w.word) {
			return w.level
		}
	}
	return levelNone
}

// equalFold compares with a word in lower-case ASCII of the same length.
func equalFold[T string | []byte](s T, word string) bool {
	for i := range len(word) {
		if s[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// levelFields are the names of fields that tell a level.
type levelFields struct {
	byFirst [256][]string
	depth   int
}

func newLevelFields(lim *limits.Limits) *levelFields {
	f := &levelFields{depth: lim.LogLevelFromJSONMaxDepth}
	for _, name := range lim.LogLevelFields {
		if name != "" {
			f.byFirst[name[0]] = append(f.byFirst[name[0]], name)
		}
	}
	return f
}

func hasField[T string | []byte](f *levelFields, name T) bool {
	if len(name) == 0 {
		return false
	}
	for _, want := range f.byFirst[name[0]] {
		if string(name) == want {
			return true
		}
	}
	return false
}

// ofLabels returns the level that a stream's labels tell.
func (f *levelFields) ofLabels(set []labels.Label) level {
	for i := range set {
		if hasField(f, set[i].Name) {
			if l := levelOf(set[i].Value); l != levelNone {
				return l
			}
		}
	}
	return levelNone
}

// ofMetadata returns the level that an entry's metadata tell. OTLP's severity number counts first, since its text is
// whatever the source calls it.
func (f *levelFields) ofMetadata(meta []model.Pair) level {
	found := levelNone
	for i := range meta {
		p := &meta[i]
		if p.Name == "severity_number" {
			if l := levelOfNumber(p.Value); l != levelNone {
				return l
			}
		} else if found == levelNone && hasField(f, p.Name) {
			found = levelOf(p.Value)
		}
	}
	return found
}

// levelOfNumber returns the level of an OTLP severity number: four numbers for each level.
func levelOfNumber(s string) level {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 24 {
			return levelNone
		}
		n = n*10 + int(s[i]-'0')
	}
	switch {
	case n < 1 || n > 24:
		return levelNone
	case n > 20:
		return levelFatal
	}
	return levelTrace + level(n-1)/4
}

// ofLine returns the level that a line tells, levelUnknown if it tells none.
func (f *levelFields) ofLine(line []byte) level {
	trimmed := bytes.TrimLeft(line, " \t")
	var found level
	if len(trimmed) > 0 && trimmed[0] == '{' {
		found = f.ofJSON(trimmed)
	} else {
		found = f.ofLogfmt(line)
	}
	if found == levelNone {
		found = ofWords(line)
	}
	if found == levelNone {
		found = levelUnknown
	}
	return found
}

// ofLogfmt looks for key=value with a key that tells the level.
func (f *levelFields) ofLogfmt(line []byte) level {
	for from := 0; ; {
		eq := bytes.IndexByte(line[from:], '=')
		if eq < 0 {
			return levelNone
		}
		eq += from
		key := eq
		for key > from && line[key-1] > ' ' {
			key--
		}
		from = eq + 1
		if !hasField(f, line[key:eq]) {
			continue
		}
		end := from
		for end < len(line) && line[end] > ' ' {
			end++
		}
		if l := levelOf(bytes.Trim(line[from:end], `"',;`)); l != levelNone {
			return l
		}
	}
}

// Classes of bytes in words: others stand between words, some letters begin a level's name.
const (
	wordNone = iota
	wordInside
	wordStart
)

var wordClass = func() (t [256]uint8) {
	for c := range 256 {
		lower := byte(c) | 0x20
		switch {
		case '0' <= c && c <= '9' || c == '_' || c >= 0x80:
			t[c] = wordInside
		case 'a' <= lower && lower <= 'z':
			t[c] = wordInside
			for _, w := range levelWords {
				if w.word[0] == lower {
					t[c] = wordStart
				}
			}
		}
	}
	return t
}()

// ofWords returns the first level that is named in a text.
func ofWords(line []byte) level {
	for i := 0; i < len(line); i++ {
		class := wordClass[line[i]]
		if class == wordNone {
			continue
		}
		if class == wordStart {
			if l := wordAt(line[i:]); l != levelNone {
				return l
			}
		}
		for i++; i < len(line) && wordClass[line[i]] != wordNone; i++ {
		}
	}
	return levelNone
}

// wordAt returns the level whose name begins here and ends with the word.
func wordAt(b []byte) level {
	lower := b[0] | 0x20
	for i := range levelWords {
		w := &levelWords[i]
		if !w.plain || w.word[0] != lower || len(b) < len(w.word) || !equalFold(b[:len(w.word)], w.word) {
			continue
		}
		if len(b) == len(w.word) || wordClass[b[len(w.word)]] == wordNone {
			return w.level
		}
	}
	return levelNone
}
