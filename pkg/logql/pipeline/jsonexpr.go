package pipeline

import (
	"bytes"

	"logstore/pkg/logql/syntax"
)

// jsonExpressions extracts the values at given paths of a JSON document.
type jsonExpressions struct {
	hints parserHints
	names []string
	paths [][]pathStep
}

type boundJSONExpr struct {
	extractor
	labels []exprLabel
	root   *exprNode
	left   int
	idle   bool
}

// exprLabel is a label and its state in the current line.
type exprLabel struct {
	key
	slot *slot
}

// exprNode is a place in the document that some path leads through or to.
type exprNode struct {
	fields   map[string]*exprNode
	elements map[int]*exprNode
	// labels are the indexes of those whose path ends here.
	labels []int
	// below is the number of labels at the node and under it.
	below int
	seen  uint64
}

func newJSONExpressions(st *syntax.JSONParser, h parserHints) (stage, error) {
	p := &jsonExpressions{hints: h}
	for _, e := range st.Extractions {
		path, err := parsePath(e.Expression)
		if err != nil {
			return nil, err
		}
		p.names = append(p.names, e.Name)
		p.paths = append(p.paths, path)
	}
	if h.nothing {
		return nil, nil
	}
	return p, nil
}

func (p *jsonExpressions) bind(s *Stream) boundStage {
	b := &boundJSONExpr{extractor: extractor{s: s, hints: &p.hints}, root: &exprNode{}}
	for i, name := range p.names {
		l := exprLabel{key: b.key(name), slot: s.pin(name)}
		s.pin(name + extractedSuffix)
		b.labels = append(b.labels, l)
		if !l.skip {
			b.root.insert(p.paths[i], i)
		}
	}
	b.idle = b.root.below == 0
	return b
}

func (n *exprNode) insert(path []pathStep, label int) {
	n.below++
	if len(path) == 0 {
		n.labels = append(n.labels, label)
		return
	}
	var next *exprNode
	if f := path[0].field; f != nil {
		if n.fields == nil {
			n.fields = map[string]*exprNode{}
		}
		if next = n.fields[*f]; next == nil {
			next = &exprNode{}
			n.fields[*f] = next
		}
	} else {
		if n.elements == nil {
			n.elements = map[int]*exprNode{}
		}
		if next = n.elements[path[0].index]; next == nil {
			next = &exprNode{}
			n.elements[path[0].index] = next
		}
	}
	next.insert(path[1:], label)
}

func (j *boundJSONExpr) process(line []byte) ([]byte, bool) {
	if j.idle || len(line) == 0 {
		return line, true
	}
	if c := line[0]; c != '{' && c != '[' && c != '"' {
		j.s.setError(errJSON, "")
		return line, true
	}
	j.left = j.root.below
	if _, v := j.value(line, 0, j.root); v == giveUp {
		return nil, false
	}
	for i := range j.labels {
		l := &j.labels[i]
		if l.skip {
			continue
		}
		if _, ok := j.s.get(l.slot); !ok {
			j.s.set(l.slot, catParsed, "")
			l.slot.extracted = j.s.seq
		}
	}
	return line, true
}

// value reads the value at i for the node and returns the index behind it. Only values on the way to a label are looked at
// closely; the rest of the document may be malformed.
func (j *boundJSONExpr) value(b []byte, i int, n *exprNode) (int, verdict) {
	end := i
	if len(n.labels) > 0 {
		var v verdict
		if end, v = j.take(b, i, n); v != goOn {
			return end, v
		}
	}
	if n.below == len(n.labels) || i >= len(b) {
		return end, goOn
	}
	switch b[i] {
	case '{':
		if n.fields != nil {
			return j.object(b, i+1, n)
		}
	case '[':
		if n.elements != nil {
			return j.array(b, i+1, n)
		}
	}
	if end > i {
		return end, goOn
	}
	return j.skip(b, i)
}

func (j *boundJSONExpr) skip(b []byte, i int) (int, verdict) {
	if i < len(b) && b[i] != '{' && b[i] != '[' && b[i] != '"' {
		return tokenEnd(b, i), goOn
	}
	end, _, problem := skipValue(b, i)
	if problem != "" {
		return len(b), broken
	}
	return end, goOn
}

// object walks over fields. Separators are taken as they come.
func (j *boundJSONExpr) object(b []byte, i int, n *exprNode) (int, verdict) {
	for i < len(b) {
		switch b[i] {
		case '}':
			return i + 1, goOn
		case '"':
		default:
			i++
			continue
		}
		end, escaped := scanString(b, i+1)
		if end < 0 {
			return len(b), broken
		}
		name := b[i+1 : end]
		i = skipBlanks(b, end+1)
		if i >= len(b) || b[i] != ':' {
			continue
		}
		i = skipBlanks(b, i+1)
		var next *exprNode
		if escaped {
			unescaped, _ := appendUnescaped(nil, name)
			next = n.fields[string(unescaped)]
		} else {
			next = n.fields[string(name)]
		}
		var v verdict
		if next != nil && next.seen != j.s.seq {
			next.seen = j.s.seq
			i, v = j.value(b, i, next)
		} else {
			i, v = j.skip(b, i)
		}
		if v != goOn {
			return i, v
		}
		if j.left == 0 {
			return i, enough
		}
	}
	return i, broken
}

func (j *boundJSONExpr) array(b []byte, i int, n *exprNode) (int, verdict) {
	for index := 0; ; index++ {
		i = skipBlanks(b, i)
		if i >= len(b) {
			return i, broken
		}
		if b[i] == ']' {
			return i + 1, goOn
		}
		var v verdict
		if next := n.elements[index]; next != nil {
			i, v = j.value(b, i, next)
		} else {
			i, v = j.skip(b, i)
		}
		if v != goOn {
			return i, v
		}
		if j.left == 0 {
			return i, enough
		}
		i = skipBlanks(b, i)
		if i < len(b) && b[i] == ',' {
			i++
		} else if i >= len(b) || b[i] != ']' {
			return i, broken
		}
	}
}

// take fills the labels of the node with the value at i.
func (j *boundJSONExpr) take(b []byte, i int, n *exprNode) (int, verdict) {
	j.left -= len(n.labels)
	end, isString, problem := skipValue(b, i)
	if problem != "" {
		j.s.setError(errJSON, problem)
		return len(b), broken
	}
	val := b[i:end]
	if isString {
		val = b[i+1 : end-1]
	}
	var out string
	switch {
	case b[i] == 'n':
		out = ""
	case b[i] != '{' && bytes.IndexByte(val, '\\') >= 0:
		out = j.s.unescapeText(val)
	default:
		out = j.s.cleanText(val)
	}
	for _, l := range n.labels {
		if v := j.put(&j.labels[l].key, out); v == giveUp {
			return end, v
		}
	}
	return end, goOn
}
