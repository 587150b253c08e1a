package pipeline

import "strings"

// jsonParser extracts the fields of a JSON object as labels; those of nested objects are joined by underscores.
type jsonParser struct{ hints parserHints }

func newJSONParser(h parserHints) stage {
	if h.nothing {
		return nil
	}
	return &jsonParser{hints: h}
}

// boundJSON is the parser with the keys that it has met.
type boundJSON struct {
	extractor
	root       *jsonNode
	generation int
	nodes      int
}

// jsonNode is an object at some path: its keys in the order in which they were first met. Lines of a stream tend to have
// the same keys in the same order, so the next one is guessed before it is looked up.
type jsonNode struct {
	prefix string
	keys   []*jsonKey
	byRaw  map[string]*jsonKey
}

type jsonKey struct {
	raw   string
	index int
	key
	// bad keys have an invalid escape.
	bad bool
	// child is the node of an object under the key.
	child *jsonNode
	// skipChild says that no label in an object under the key is wanted.
	skipChild bool
}

// The details of syntax errors.
const (
	jsonNoObject   = "expecting json object({), but it is not"
	jsonBadObject  = "Malformed JSON error"
	jsonBadString  = "Value is string, but can't find closing '\"' symbol"
	jsonBadArray   = "Value is array, but can't find closing ']' symbol"
	jsonBadValue   = "Unknown value type"
	jsonEndOfInput = "Malformed JSON error: unexpected end of the line"
)

func (j *jsonParser) bind(s *Stream) boundStage {
	b := &boundJSON{extractor: extractor{s: s, hints: &j.hints}}
	b.reset()
	return b
}

func (j *boundJSON) reset() {
	j.root = &jsonNode{byRaw: map[string]*jsonKey{}}
	j.nodes = 0
	j.generation = j.s.generation
}

func (j *boundJSON) process(line []byte) ([]byte, bool) {
	if j.hints.stop > 0 && j.s.found >= j.hints.stop {
		return line, true
	}
	if j.generation != j.s.generation || j.nodes > maxSlots {
		j.reset()
	}
	i := skipBlanks(line, 0)
	if i == len(line) || line[i] != '{' {
		j.s.setError(errJSON, jsonNoObject)
		return line, true
	}
	_, v := j.object(line, i, j.root)
	return line, v != giveUp
}

// object reads the object that begins at i and returns the index behind it.
func (j *boundJSON) object(b []byte, i int, n *jsonNode) (int, verdict) {
	i = skipBlanks(b, i+1)
	for guess := 0; ; {
		if i >= len(b) {
			return j.fail(jsonEndOfInput)
		}
		if b[i] == '}' {
			return i + 1, goOn
		}
		if b[i] != '"' {
			return j.fail(jsonBadObject)
		}
		i++
		var k *jsonKey
		if guess < len(n.keys) {
			k = n.keys[guess]
		}
		if k != nil && i+len(k.raw) < len(b) && b[i+len(k.raw)] == '"' && string(b[i:i+len(k.raw)]) == k.raw {
			i += len(k.raw) + 1
		} else {
			end, escaped := scanString(b, i)
			if end < 0 {
				return j.fail(jsonEndOfInput)
			}
			raw := b[i:end]
			if k = n.byRaw[string(raw)]; k == nil {
				k = j.newKey(n, raw, escaped)
			}
			i = end + 1
		}
		guess = k.index + 1
		if k.bad {
			return j.fail(jsonBadObject)
		}
		if i < len(b) && b[i] != ':' {
			i = skipBlanks(b, i)
		}
		if i >= len(b) || b[i] != ':' {
			return j.fail(jsonBadObject)
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipBlanks(b, i)
		}
		var v verdict
		if i, v = j.value(b, i, n, k); v != goOn {
			return i, v
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipBlanks(b, i)
		}
		switch {
		case i >= len(b):
			return j.fail(jsonEndOfInput)
		case b[i] == '}':
			return i + 1, goOn
		case b[i] != ',':
			return j.fail(jsonBadObject)
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = skipBlanks(b, i)
		}
	}
}

// value reads the value at i.
func (j *boundJSON) value(b []byte, i int, n *jsonNode, k *jsonKey) (int, verdict) {
	if i >= len(b) {
		return j.fail(jsonEndOfInput)
	}
	switch c := b[i]; c {
	case '"':
		end, escaped := scanString(b, i+1)
		if end < 0 {
			return j.fail(jsonBadString)
		}
		if k.skip {
			return end + 1, goOn
		}
		return end + 1, j.putString(k, b[i+1:end], escaped)
	case '{':
		return j.nested(b, i, n, k)
	case '[':
		end := skipBlock(b, i, '[', ']')
		if end < 0 {
			return j.fail(jsonBadArray)
		}
		return end, goOn
	default:
		end := tokenEnd(b, i)
		tok := b[i:end]
		switch {
		case c >= '0' && c <= '9' || c == '-' || string(tok) == "true" || string(tok) == "false":
			if k.skip {
				return end, goOn
			}
			return end, j.put(&k.key, j.s.cleanText(tok))
		case string(tok) == "null":
			return end, goOn
		}
		return j.fail(jsonBadValue)
	}
}

func (j *boundJSON) putString(k *jsonKey, v []byte, escaped bool) verdict {
	if sl, _ := j.target(&k.key); sl == nil || sl.extracted == j.s.seq {
		return goOn
	}
	if escaped {
		return j.put(&k.key, j.s.unescapeText(v))
	}
	return j.put(&k.key, j.s.cleanText(v))
}

// nested reads an object under a key. The fields of one that nothing closes do not count.
func (j *boundJSON) nested(b []byte, i int, n *jsonNode, k *jsonKey) (int, verdict) {
	if k.skipChild {
		end := skipBlock(b, i, '{', '}')
		if end < 0 {
			return j.fail(jsonBadObject)
		}
		return end, goOn
	}
	if k.child == nil {
		k.child = &jsonNode{prefix: joinPrefix(n.prefix, k), byRaw: map[string]*jsonKey{}}
		j.nodes++
	}
	touched, found := len(j.s.touched), j.s.found
	end, v := j.object(b, i, k.child)
	if v == broken && n == j.root && skipBlock(b, i, '{', '}') < 0 {
		for _, sl := range j.s.touched[touched:] {
			sl.seq, sl.extracted = 0, 0
		}
		j.s.touched = j.s.touched[:touched]
		j.s.found = found
	}
	return end, v
}

func (j *boundJSON) fail(details string) (int, verdict) {
	j.s.setError(errJSON, details)
	return 0, broken
}

// newKey enters a key into its node.
func (j *boundJSON) newKey(n *jsonNode, raw []byte, escaped bool) *jsonKey {
	k := &jsonKey{raw: string(raw), index: len(n.keys)}
	name := k.raw
	if escaped {
		unescaped, ok := appendUnescaped(nil, raw)
		k.bad = !ok
		name = string(unescaped)
	}
	name = sanitize(name, n.prefix == "")
	if name == "" {
		k.key.skip = true
	} else {
		if n.prefix != "" {
			name = n.prefix + "_" + name
		}
		k.key = j.key(name)
	}
	k.skipChild = j.hints.stop > 0 && !j.hints.want.hasPrefix(joinPrefixName(n.prefix, name))
	n.keys = append(n.keys, k)
	n.byRaw[k.raw] = k
	j.nodes++
	return k
}

// joinPrefix returns the prefix of names under the key.
func joinPrefix(prefix string, k *jsonKey) string {
	name := k.raw
	if strings.IndexByte(name, '\\') >= 0 {
		unescaped, _ := appendUnescaped(nil, []byte(name))
		name = string(unescaped)
	}
	name = sanitize(name, prefix == "")
	switch {
	case prefix == "":
		return name
	case name == "":
		return prefix
	}
	return prefix + "_" + name
}

func joinPrefixName(prefix, full string) string {
	if full == "" {
		return prefix
	}
	return full
}

// skipBlanks returns the index of the next byte that is no white space of JSON.
func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// tokenEnd returns the index behind a number or a word.
func tokenEnd(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ' ', '\n', '\r', '\t', ',', '}', ']':
			return i
		}
	}
	return i
}

// skipBlock returns the index behind the bracket that closes the one at i, -1 if there is none. Only brackets of that kind
// count.
func skipBlock(b []byte, i int, open, shut byte) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			end, _ := scanString(b, i+1)
			if end < 0 {
				return -1
			}
			i = end
		case open:
			depth++
		case shut:
			depth--
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}
