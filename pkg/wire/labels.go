package wire

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
)

// LabelError is the error of a label set that can't be parsed. Its text is Loki's, since clients show it.
type LabelError struct {
	// Column is where in the text, in bytes from 1.
	Column int
	Msg    string
}

// Error tells what is wrong and where.
func (e *LabelError) Error() string {
	return fmt.Sprintf("couldn't parse labels: 1:%d: parse error: %s", e.Column, e.Msg)
}

// ParseLabels parses a label set in selector form, {a="b", c="d"}: any order, white space and a comma behind the last are
// fine, and a value may stand in back or single quotes. The labels come as written: unsorted, with duplicates and empty
// values. The names alias text, and so may values.
func ParseLabels(text string) ([]labels.Label, error) {
	p := labelParser{text: text}
	return p.parse()
}

type labelParser struct {
	text string
	i    int
}

func (p *labelParser) parse() ([]labels.Label, error) {
	if p.space(); !p.take('{') {
		if p.i == len(p.text) {
			return nil, p.fail("unexpected end of input, expected \"{\"")
		}
		return nil, p.fail("unexpected character: %s, expected \"{\"", p.char())
	}
	var out []labels.Label
	for {
		if p.space(); p.take('}') {
			break
		}
		l, err := p.pair()
		if err != nil {
			return nil, err
		}
		out = append(out, l)
		if p.space(); p.take(',') {
			continue
		}
		if !p.take('}') {
			return nil, p.unexpected("\",\" or \"}\"")
		}
		break
	}
	if p.space(); p.i < len(p.text) {
		return nil, p.fail("unexpected character: %s", p.char())
	}
	return out, nil
}

func (p *labelParser) pair() (l labels.Label, err error) {
	l.Name = p.name()
	if l.Name == "" {
		return l, p.unexpected("identifier or \"}\"")
	}
	p.space()
	for _, op := range []string{"=~", "!~", "!="} {
		if strings.HasPrefix(p.text[p.i:], op) {
			return l, p.fail("unexpected <op:%s> in label set, expected \"=\"", op)
		}
	}
	if !p.take('=') {
		return l, p.unexpected("\"=\"")
	}
	p.space()
	at := p.i
	quoted := p.quoted()
	if quoted == "" {
		return l, p.unexpected("string")
	}
	if l.Value, err = unquote(quoted); err != nil {
		p.i = at
		return l, p.fail("error unquoting string %s: %s", strconv.Quote(quoted), err)
	}
	return l, nil
}

// name reads an identifier, "" if there is none.
func (p *labelParser) name() string {
	from := p.i
	for p.i < len(p.text) && isNameByte(p.text[p.i], p.i > from) {
		p.i++
	}
	return p.text[from:p.i]
}

func isNameByte(c byte, inside bool) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || inside && '0' <= c && c <= '9'
}

// isLabelName reports whether name is one by [a-zA-Z_][a-zA-Z0-9_]*.
func isLabelName(name string) bool {
	for i := range len(name) {
		if !isNameByte(name[i], i > 0) {
			return false
		}
	}
	return name != ""
}

// quoted reads a string with its quotes, "" if there is none or if it has no end.
func (p *labelParser) quoted() string {
	if p.i == len(p.text) {
		return ""
	}
	quote := p.text[p.i]
	if quote != '"' && quote != '\'' && quote != '`' {
		return ""
	}
	for j := p.i + 1; j < len(p.text); j++ {
		switch c := p.text[j]; {
		case c == quote:
			s := p.text[p.i : j+1]
			p.i = j + 1
			return s
		case c == '\\' && quote != '`':
			j++
		}
	}
	p.i = len(p.text)
	return ""
}

// unquote returns the string that a quoted one stands for, by the rules of Go and, for single quotes, of double ones.
func unquote(quoted string) (string, error) {
	if quoted[0] == '\'' {
		body := quoted[1 : len(quoted)-1]
		quoted = `"` + strings.ReplaceAll(strings.ReplaceAll(body, `\'`, `'`), `"`, `\"`) + `"`
	}
	return strconv.Unquote(quoted)
}

func (p *labelParser) space() {
	for p.i < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.i]) >= 0 {
		p.i++
	}
}

func (p *labelParser) take(c byte) bool {
	if p.i < len(p.text) && p.text[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *labelParser) fail(format string, args ...any) error {
	return &LabelError{Column: p.i + 1, Msg: fmt.Sprintf(format, args...)}
}

// unexpected names what stands at the parser's place.
func (p *labelParser) unexpected(wanted string) error {
	if p.i >= len(p.text) {
		return p.fail("unexpected end of input inside braces")
	}
	at := p.i
	token, kind := p.text[at:at+1], ""
	switch c := p.text[at]; {
	case isNameByte(c, false):
		token, kind = p.name(), "identifier "
	case c == '"' || c == '\'' || c == '`':
		if token, kind = p.quoted(), "string "; token == "" {
			p.i = at
			return p.fail("unterminated quoted string")
		}
	case strings.IndexByte("=,{}", c) >= 0:
	default:
		return p.fail("unexpected character inside braces: %s", p.char())
	}
	p.i = at
	return p.fail("unexpected %s%s in label set, expected %s", kind, strconv.Quote(token), wanted)
}

// char is the character at the parser's place in quotes.
func (p *labelParser) char() string {
	r, _ := utf8.DecodeRuneInString(p.text[p.i:])
	return "'" + string(r) + "'"
}

// AppendLabels appends a label set in canonical form, {a="b", c="d"}, in the order given.
func AppendLabels(dst []byte, set []labels.Label) []byte {
	dst = append(dst, '{')
	for i, l := range set {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(append(dst, l.Name...), '=')
		dst = strconv.AppendQuote(dst, l.Value)
	}
	return append(dst, '}')
}
