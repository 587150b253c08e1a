package pipeline

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// labelFilterStage keeps entries whose labels satisfy a condition.
type labelFilterStage struct{ cond condition }

// condition is a compiled label filter.
type condition interface {
	bind(s *Stream) boundCondition
}

// boundCondition is a condition of one Stream. It may set the error of the line.
type boundCondition interface{ holds() bool }

type boundLabelFilter struct{ cond boundCondition }

func newLabelFilter(f syntax.LabelFilter) (*labelFilterStage, error) {
	c, err := newCondition(f)
	if err != nil {
		return nil, err
	}
	return &labelFilterStage{cond: c}, nil
}

func (l *labelFilterStage) bind(s *Stream) boundStage { return &boundLabelFilter{cond: l.cond.bind(s)} }

func (l *boundLabelFilter) process(line []byte) ([]byte, bool) { return line, l.cond.holds() }

func newCondition(f syntax.LabelFilter) (condition, error) {
	switch f := f.(type) {
	case *syntax.StringFilter:
		if f.Matcher.Name == errorDetailsLabel {
			// The details cannot be filtered on: they count as missing.
			return constant(f.Matcher.Matches("")), nil
		}
		return &stringCondition{name: f.Matcher.Name, ok: labelMatcher(f.Matcher)}, nil
	case *syntax.NumberFilter:
		return newNumeric(f.Name, f.Op, f.Value, parseNumber), nil
	case *syntax.DurationFilter:
		return newNumeric(f.Name, f.Op, f.Value, parseDuration), nil
	case *syntax.BytesFilter:
		return newNumeric(f.Name, f.Op, f.Value, parseSize), nil
	case *syntax.IPFilter:
		m, err := newIPMatcher(f.Pattern)
		if err != nil {
			return nil, err
		}
		if f.Op != syntax.CompareEqual && f.Op != syntax.CompareNotEqual {
			return nil, fmt.Errorf("ip label filter: only = and != compare addresses")
		}
		return &ipCondition{name: f.Name, not: f.Op == syntax.CompareNotEqual, match: m}, nil
	case *syntax.AndFilter:
		return newPairCondition(f.Left, f.Right, true)
	case *syntax.OrFilter:
		return newPairCondition(f.Left, f.Right, false)
	}
	return nil, fmt.Errorf("unknown label filter %T", f)
}

// filterNames returns the names of the labels that a filter looks at.
func filterNames(f syntax.LabelFilter) []string {
	switch f := f.(type) {
	case *syntax.StringFilter:
		return []string{f.Matcher.Name}
	case *syntax.NumberFilter:
		return []string{f.Name}
	case *syntax.DurationFilter:
		return []string{f.Name}
	case *syntax.BytesFilter:
		return []string{f.Name}
	case *syntax.IPFilter:
		return []string{f.Name}
	case *syntax.AndFilter:
		return append(filterNames(f.Left), filterNames(f.Right)...)
	case *syntax.OrFilter:
		return append(filterNames(f.Left), filterNames(f.Right)...)
	}
	return nil
}

// constant is a condition that does not depend on the line.
type constant bool

func (c constant) bind(*Stream) boundCondition { return c }
func (c constant) holds() bool                 { return bool(c) }

// pairCondition is a conjunction or a disjunction. Its right side is looked at only if the left one leaves it open, so
// that it sets no error otherwise.
type pairCondition struct {
	left, right condition
	and         bool
}

func newPairCondition(left, right syntax.LabelFilter, and bool) (condition, error) {
	l, err := newCondition(left)
	if err != nil {
		return nil, err
	}
	r, err := newCondition(right)
	if err != nil {
		return nil, err
	}
	return &pairCondition{left: l, right: r, and: and}, nil
}

type boundAnd struct{ left, right boundCondition }

type boundOr struct{ left, right boundCondition }

func (c *pairCondition) bind(s *Stream) boundCondition {
	if c.and {
		return &boundAnd{c.left.bind(s), c.right.bind(s)}
	}
	return &boundOr{c.left.bind(s), c.right.bind(s)}
}

func (c *boundAnd) holds() bool { return c.left.holds() && c.right.holds() }
func (c *boundOr) holds() bool  { return c.left.holds() || c.right.holds() }

// stringCondition compares the text of a label; a missing label is the empty text.
type stringCondition struct {
	name string
	ok   func(string) bool
}

type boundString struct {
	s    *Stream
	slot *slot
	ok   func(string) bool
}

func (c *stringCondition) bind(s *Stream) boundCondition {
	return &boundString{s: s, slot: s.pin(c.name), ok: c.ok}
}

func (c *boundString) holds() bool {
	v, _ := c.s.get(c.slot)
	return c.ok(v)
}

// comparison compares a label read as a number of some kind.
type comparison[T float64 | uint64 | time.Duration] struct {
	op    syntax.CompareOp
	value T
	parse func(string) (T, error)
}

func newComparison[T float64 | uint64 | time.Duration](op syntax.CompareOp, v T, parse func(string) (T, error)) *comparison[T] {
	return &comparison[T]{op: op, value: v, parse: parse}
}

func (c *comparison[T]) holds(v T) bool {
	switch c.op {
	case syntax.CompareEqual:
		return v == c.value
	case syntax.CompareNotEqual:
		return v != c.value
	case syntax.CompareGreater:
		return v > c.value
	case syntax.CompareGreaterOrEqual:
		return v >= c.value
	case syntax.CompareLess:
		return v < c.value
	}
	return v <= c.value
}

// try is the comparison for a value that a parser just found. What cannot be read is an error here already.
func (c *comparison[T]) try(s *lineState, val string) bool {
	v, err := c.parse(val)
	if err != nil {
		s.setError(errLabelFilter, err.Error())
		return true
	}
	return c.holds(v)
}

// numericCondition compares a label as a number, a duration or a size. A missing label fails every comparison; a value
// that cannot be read keeps the entry and sets its error.
type numericCondition[T float64 | uint64 | time.Duration] struct {
	name string
	comparison[T]
}

type boundNumeric[T float64 | uint64 | time.Duration] struct {
	s    *Stream
	slot *slot
	comparison[T]
}

func newNumeric[T float64 | uint64 | time.Duration](name string, op syntax.CompareOp, v T, parse func(string) (T, error)) condition {
	return &numericCondition[T]{name: name, comparison: *newComparison(op, v, parse)}
}

func (c *numericCondition[T]) bind(s *Stream) boundCondition {
	return &boundNumeric[T]{s: s, slot: s.pin(c.name), comparison: c.comparison}
}

func (c *boundNumeric[T]) holds() bool {
	text, ok := c.s.get(c.slot)
	if !ok {
		return false
	}
	v, err := c.parse(text)
	if err != nil {
		c.s.setError(errLabelFilter, err.Error())
		return true
	}
	return c.comparison.holds(v)
}

// ipCondition keeps labels that are an address within the pattern, or with not those that are none of it. Entries with an
// error pass.
type ipCondition struct {
	name  string
	not   bool
	match *ipMatcher
}

type boundIP struct {
	s    *Stream
	slot *slot
	not  bool
	m    *ipMatcher
}

func (c *ipCondition) bind(s *Stream) boundCondition {
	return &boundIP{s: s, slot: s.pin(c.name), not: c.not, m: c.match}
}

func (c *boundIP) holds() bool {
	if c.s.err != "" {
		return true
	}
	v, ok := c.s.get(c.slot)
	if !ok {
		return false
	}
	return c.m.matchLine(raw(v)) != c.not
}

// parseNumber reads a decimal number. Short ones without an exponent, which are nearly all, are read here.
func parseNumber(s string) (float64, error) {
	if v, ok := parseShort(s); ok {
		return v, nil
	}
	return strconv.ParseFloat(s, 64)
}

// pow10 are the powers of ten that a float holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseShort reads up to 15 digits with a point, whose quotient of two exact floats is the nearest float.
func parseShort(s string) (float64, bool) {
	neg := false
	if len(s) > 0 && s[0] == '-' {
		neg = true
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	var n uint64
	point := -1
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c-'0' <= 9:
			n = n*10 + uint64(c-'0')
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	digits := len(s)
	v := float64(n)
	if point >= 0 {
		digits--
		v /= pow10[min(len(s)-1-point, 15)]
	}
	if digits == 0 || digits > 15 {
		return 0, false
	}
	if neg {
		v = math.Copysign(v, -1)
	}
	return v, true
}

func parseDuration(s string) (time.Duration, error) { return time.ParseDuration(s) }

// labelMatcher returns the test of a matcher in a label filter.
func labelMatcher(m *labels.Matcher) func(string) bool {
	switch m.Type {
	case labels.MatchEqual:
		want := m.Value
		return func(v string) bool { return v == want }
	case labels.MatchNotEqual:
		want := m.Value
		return func(v string) bool { return v != want }
	}
	search, ok := searchedRegexp(m.Value)
	if !ok {
		return m.Matches
	}
	if m.Type == labels.MatchNotRegexp {
		return func(v string) bool { return !search(v) }
	}
	return search
}
