package syntax

import (
	"strings"
)

// The binding strengths of a label filter's operators. A comma or a blank between two filters means and, but it always
// takes everything behind it, whatever stands before: a or b, c is a or (b and c), and a, b or c is a and (b or c).
const (
	filterOr  = 1
	filterAnd = 2
)

func (p *parser) parseLabelFilterStage() (Stage, error) {
	filter, err := p.parseLabelFilter(0)
	return &LabelFilterStage{Filter: filter}, err
}

// parseLabelFilter reads filters whose operators bind more strongly than the given strength.
func (p *parser) parseLabelFilter(strength int) (LabelFilter, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	left, err := p.parseOneLabelFilter()
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		switch {
		case t.word("or"):
			if strength >= filterOr {
				return left, nil
			}
			p.take()
			right, err := p.parseLabelFilter(filterOr)
			if err != nil {
				return nil, err
			}
			left = &OrFilter{Left: left, Right: right}
		case t.word("and"):
			if strength >= filterAnd {
				return left, nil
			}
			p.take()
			right, err := p.parseLabelFilter(filterAnd)
			if err != nil {
				return nil, err
			}
			left = &AndFilter{Left: left, Right: right}
		case t.is(","), t.is("("), t.kind == tokIdent:
			p.accept(",")
			right, err := p.parseLabelFilter(0)
			if err != nil {
				return nil, err
			}
			left = &AndFilter{Left: left, Right: right}
		default:
			return left, nil
		}
	}
}

// parseOneLabelFilter reads a comparison or a filter in parentheses.
func (p *parser) parseOneLabelFilter() (LabelFilter, error) {
	if p.accept("(") {
		filter, err := p.parseLabelFilter(0)
		if err != nil {
			return nil, err
		}
		return filter, p.expect(")")
	}
	t := p.peek()
	if t.kind != tokIdent {
		return nil, p.unexpectedHint(p.stageHint(t), "a stage", "a label filter")
	}
	p.take()
	op := p.peek()
	switch {
	case isMatchOp(op) && p.peekAt(1).kind == tokString:
		m, err := p.parseMatcher(t.text)
		return &StringFilter{Matcher: m}, err
	case op.is("=~"), op.is("!~"):
		p.take()
		return nil, p.unexpected("a regular expression as a string")
	}
	return p.parseComparison(t)
}

// stageHint proposes what may have been meant by a token that begins no stage.
func (p *parser) stageHint(t token) string {
	switch {
	case t.kind == tokString:
		return "did you mean |= " + strings.TrimSpace(p.query[t.pos:t.end]) + "?"
	case t.kind == tokOp && t.text[0] == '|':
		return "a pipe stands twice"
	}
	return ""
}

var compareOps = map[string]CompareOp{
	"=": CompareEqual, "==": CompareEqual, "!=": CompareNotEqual,
	">": CompareGreater, ">=": CompareGreaterOrEqual, "<": CompareLess, "<=": CompareLessOrEqual,
}

// parseComparison reads the operator and the number, duration, size or ip() behind a label's name.
func (p *parser) parseComparison(name token) (LabelFilter, error) {
	opToken := p.peek()
	op, ok := compareOps[opToken.text]
	if !ok || opToken.kind != tokOp {
		hint := didYouMean(name.text, stageNames...)
		return nil, p.fail(name, "unknown stage "+clip(name.text)+", or a label filter without a comparison", hint)
	}
	p.take()
	t := p.peek()
	if t.word("ip") && p.peekAt(1).is("(") {
		if opToken.text != "=" && opToken.text != "!=" {
			return nil, p.fail(opToken, "ip() cannot stand behind "+opToken.text, "use = or !=")
		}
		text, err := p.parseIP()
		return &IPFilter{Name: name.text, Op: op, Pattern: text}, err
	}
	sign, negative := t, false
	if t.is("-") || t.is("+") {
		negative = t.is("-")
		p.take()
		t = p.peek()
	}
	switch t.kind {
	case tokNumber:
		p.take()
		if negative {
			t.number = -t.number
		}
		return &NumberFilter{Name: name.text, Op: op, Value: t.number}, nil
	case tokDuration:
		p.take()
		if negative {
			t.duration = -t.duration
		}
		return &DurationFilter{Name: name.text, Op: op, Value: t.duration}, nil
	case tokBytes:
		if sign.pos != t.pos {
			return nil, p.fail(sign, "a size has no sign", "")
		}
		p.take()
		return &BytesFilter{Name: name.text, Op: op, Value: filterBytes(t.bytes)}, nil
	case tokString:
		return nil, p.fail(opToken, "a string cannot stand behind "+opToken.text, "use =, !=, =~ or !~, or leave out the quotes")
	}
	return nil, p.unexpected("a string", "number", "duration", "size", "ip()")
}
