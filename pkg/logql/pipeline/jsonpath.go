package pipeline

import (
	"fmt"
	"strconv"
	"unicode"
)

// pathStep is a field of an object or, if field is nil, an index into an array.
type pathStep struct {
	field *string
	index int
}

func isIdentifierRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// parsePath reads an expression of the json parser such as a.b[0]["c d"].
func parsePath(expr string) ([]pathStep, error) {
	p := pathParser{expr: expr, rest: expr}
	steps, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("cannot parse json expression [%s]: %w", expr, err)
	}
	return steps, nil
}

type pathParser struct {
	expr, rest string
}

func (p *pathParser) parse() ([]pathStep, error) {
	var steps []pathStep
	for first := true; first || p.rest != ""; first = false {
		switch {
		case p.rest == "":
			return nil, fmt.Errorf("syntax error: unexpected end")
		case p.rest[0] == '[':
			s, err := p.bracket()
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		case p.rest[0] == '.' && first:
			return nil, fmt.Errorf("syntax error: unexpected '.'")
		default:
			if p.rest[0] == '.' {
				p.rest = p.rest[1:]
			} else if !first {
				return nil, fmt.Errorf("syntax error at %q", p.rest)
			}
			s, err := p.identifier()
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

func (p *pathParser) identifier() (pathStep, error) {
	end := 0
	for i, r := range p.rest {
		if !isIdentifierRune(r) || i == 0 && unicode.IsDigit(r) {
			break
		}
		end = i + len(string(r))
	}
	if end == 0 {
		return pathStep{}, fmt.Errorf("syntax error: expected a field name at %q", p.rest)
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	return pathStep{field: &name}, nil
}

// bracket reads [0] or ["name"].
func (p *pathParser) bracket() (pathStep, error) {
	in := p.rest[1:]
	if quoted, err := strconv.QuotedPrefix(in); err == nil && quoted[0] == '"' {
		name, err := strconv.Unquote(quoted)
		if err != nil {
			return pathStep{}, err
		}
		in = in[len(quoted):]
		if in == "" || in[0] != ']' {
			return pathStep{}, fmt.Errorf("syntax error: expected ']' at %q", in)
		}
		p.rest = in[1:]
		return pathStep{field: &name}, nil
	}
	end := 0
	for end < len(in) && in[end] >= '0' && in[end] <= '9' {
		end++
	}
	if end == 0 || end == len(in) || in[end] != ']' {
		return pathStep{}, fmt.Errorf("syntax error: expected an index or a quoted name at %q", in)
	}
	n, err := strconv.Atoi(in[:end])
	if err != nil {
		return pathStep{}, err
	}
	p.rest = in[end+1:]
	return pathStep{index: n}, nil
}
