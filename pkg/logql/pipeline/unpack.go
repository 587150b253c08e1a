package pipeline

// unpackParser undoes what promtail's pack stage did: labels and line come out of a JSON object whose field _entry is the
// line.
type unpackParser struct{ hints parserHints }

const packedEntry = "_entry"

type boundUnpack struct {
	extractor
	keys       map[string]*key
	generation int
	found      []packedLabel
}

type packedLabel struct {
	key *key
	val string
}

func newUnpackParser(h parserHints) stage {
	if h.nothing {
		return nil
	}
	return &unpackParser{hints: h}
}

func (u *unpackParser) bind(s *Stream) boundStage {
	return &boundUnpack{extractor: extractor{s: s, hints: &u.hints}, keys: map[string]*key{}}
}

func (u *boundUnpack) process(line []byte) ([]byte, bool) {
	if len(line) == 0 {
		return line, true
	}
	if u.generation != u.s.generation || len(u.keys) > maxKeys {
		clear(u.keys)
		u.generation = u.s.generation
	}
	if line[0] != '{' {
		u.s.setError(errJSON, jsonNoObject)
		return line, true
	}
	u.found = u.found[:0]
	entry, packed, problem := u.fields(line)
	if problem != "" {
		u.s.setError(errJSON, problem)
		return line, true
	}
	if !packed {
		return line, true
	}
	for _, f := range u.found {
		if v := u.put(f.key, f.val); v == giveUp {
			return nil, false
		}
	}
	return entry, true
}

// fields collects the strings of the object.
func (u *boundUnpack) fields(b []byte) (entry []byte, packed bool, problem string) {
	i := skipBlanks(b, 1)
	for {
		if i >= len(b) {
			return nil, false, jsonEndOfInput
		}
		if b[i] == '}' {
			return entry, packed, ""
		}
		if b[i] != '"' {
			return nil, false, jsonBadObject
		}
		end, keyEscaped := scanString(b, i+1)
		if end < 0 {
			return nil, false, jsonEndOfInput
		}
		name := b[i+1 : end]
		i = skipBlanks(b, end+1)
		if i >= len(b) || b[i] != ':' {
			return nil, false, jsonBadObject
		}
		i = skipBlanks(b, i+1)
		end, isString, problem := skipValue(b, i)
		if problem != "" {
			return nil, false, problem
		}
		if isString {
			val := u.stringValue(b[i+1 : end-1])
			if string(name) == packedEntry {
				entry, packed = raw(val), true
			} else {
				u.found = append(u.found, packedLabel{u.lookup(name, keyEscaped), val})
			}
		}
		i = skipBlanks(b, end)
		if i >= len(b) {
			return nil, false, jsonEndOfInput
		}
		if b[i] == ',' {
			i = skipBlanks(b, i+1)
		} else if b[i] != '}' {
			return nil, false, jsonBadObject
		}
	}
}

func (u *boundUnpack) stringValue(v []byte) string {
	for _, c := range v {
		if c == '\\' {
			return u.s.unescapeText(v)
		}
	}
	return u.s.cleanText(v)
}

func (u *boundUnpack) lookup(name []byte, escaped bool) *key {
	if k := u.keys[string(name)]; k != nil {
		return k
	}
	label := string(name)
	if escaped {
		unescaped, _ := appendUnescaped(nil, name)
		label = string(unescaped)
	}
	k := &key{skip: true}
	if label = sanitize(label, true); label != "" {
		*k = u.key(label)
	}
	u.keys[string(name)] = k
	return k
}

// skipValue returns the index behind the JSON value at i.
func skipValue(b []byte, i int) (end int, isString bool, problem string) {
	if i >= len(b) {
		return 0, false, jsonEndOfInput
	}
	switch c := b[i]; c {
	case '"':
		if end, _ = scanString(b, i+1); end < 0 {
			return 0, false, jsonBadString
		}
		return end + 1, true, ""
	case '{':
		if end = skipBlock(b, i, '{', '}'); end < 0 {
			return 0, false, jsonBadObject
		}
	case '[':
		if end = skipBlock(b, i, '[', ']'); end < 0 {
			return 0, false, jsonBadArray
		}
	default:
		end = tokenEnd(b, i)
		tok := string(b[i:end])
		if !(c >= '0' && c <= '9' || c == '-' || tok == "true" || tok == "false" || tok == "null") {
			return 0, false, jsonBadValue
		}
	}
	return end, false, ""
}
