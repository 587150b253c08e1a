package pipeline

import (
	"bytes"
	"errors"

	"regexp"

	"logstore/pkg/logql/syntax"
)

// matcher tests a line.
type matcher interface{ match(line []byte) bool }

// lineMatcher is a compiled line filter.
type lineMatcher struct {
	matcher
	negate bool
	// scan finds what every line that matches contains; nil if there is no such thing.
	scan *scan
	// exact says that a line that contains it matches.
	exact bool
	// groups are groups of literals: every line that matches has one of each group.
	groups [][]literal
}

// keeps reports whether the filter keeps the line.
func (m *lineMatcher) keeps(line []byte) bool { return m.matcher.match(line) != m.negate }

// lineFilterStage is a line filter behind a stage that changes the line.
type lineFilterStage struct{ match *lineMatcher }

func (l *lineFilterStage) bind(*Stream) boundStage { return l }

func (l *lineFilterStage) process(line []byte) ([]byte, bool) { return line, l.match.keeps(line) }

type (
	constMatcher   bool
	nonEmpty       struct{}
	scanMatcher    struct{ s *scan }
	bytesMatcher   struct{ lits []boundLiteral }
	regexpMatcher  struct{ re *regexp.Regexp }
	guardedMatcher struct {
		guards []*scan
		matcher
	}
	anyMatcher []matcher
)

// boundLiteral is text at the bounds of a line.
type boundLiteral struct {
	text       []byte
	begin, end bool
}

func (m constMatcher) match([]byte) bool { return bool(m) }

func (nonEmpty) match(line []byte) bool { return len(line) > 0 }

func (m scanMatcher) match(line []byte) bool { return m.s.in(line) }

func (m *bytesMatcher) match(line []byte) bool {
	for i := range m.lits {
		l := &m.lits[i]
		switch {
		case l.begin && l.end:
			if bytes.Equal(line, l.text) {
				return true
			}
		case l.begin:
			if bytes.HasPrefix(line, l.text) {
				return true
			}
		default:
			if bytes.HasSuffix(line, l.text) {
				return true
			}
		}
	}
	return false
}

func (m regexpMatcher) match(line []byte) bool { return m.re.Match(line) }

func (m *guardedMatcher) match(line []byte) bool {
	for _, g := range m.guards {
		if !g.in(line) {
			return false
		}
	}
	return m.matcher.match(line)
}

func (m anyMatcher) match(line []byte) bool {
	for _, sub := range m {
		if sub.match(line) {
			return true
		}
	}
	return false
}

// in reports whether one of the literals is in b.
func (s *scan) in(b []byte) bool {
	for _, it := range s.items {
		if at, _ := it.find(b, 0); at >= 0 {
			return true
		}
	}
	return false
}

// newLineMatcher compiles a line filter.
func newLineMatcher(f *syntax.LineFilter) (*lineMatcher, error) {
	out := &lineMatcher{}
	switch f.Op {
	case syntax.LineNotContains, syntax.LineNotMatches, syntax.LineNotPattern:
		out.negate = true
	}
	if len(f.Alternatives) == 0 {
		return nil, errors.New("line filter without text")
	}
	if len(f.Alternatives) == 1 && f.Alternatives[0].IP {
		m, err := newIPMatcher(f.Alternatives[0].Text)
		if err != nil {
			return nil, err
		}
		p := matchPlan{matcher: &lineIPMatcher{m}}
		if lit := m.literal(); lit != "" {
			p.lits = []literal{{text: lit}}
		}
		out.combine([]matchPlan{p})
		return out, nil
	}
	var plans []matchPlan
	for _, alt := range f.Alternatives {
		// In a chain an empty alternative is ignored, and an address is plain text.
		if alt.Text == "" && len(f.Alternatives) > 1 {
			continue
		}
		p, err := planAlternative(f.Op, alt.Text)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 {
		plans = []matchPlan{{matcher: constMatcher(true)}}
	}
	out.combine(plans)
	return out, nil
}

// matchPlan is how one alternative is matched.
type matchPlan struct {
	matcher matcher
	// lits are literals one of which is in every matching line; exact says that they also suffice.
	lits  []literal
	exact bool
	// groups are all such groups of literals that are known; nil if lits is all.
	groups [][]literal
}

// combine makes one matcher of the alternatives.
func (m *lineMatcher) combine(plans []matchPlan) {
	var lits []literal
	all := anyMatcher{}
	exact, scannable := true, true
	for _, p := range plans {
		lits = append(lits, p.lits...)
		exact = exact && p.exact
		scannable = scannable && len(p.lits) > 0
		all = append(all, p.matcher)
	}
	if scannable {
		m.scan = newScan(lits)
		m.groups = [][]literal{lits}
	}
	if len(plans) == 1 && len(plans[0].groups) > 0 {
		m.groups = plans[0].groups
	}
	m.exact = exact && m.scan != nil
	switch {
	case m.exact:
		m.matcher = scanMatcher{m.scan}
	case len(all) == 1:
		m.matcher = all[0]
	default:
		m.matcher = all
	}
}

// planAlternative plans the match of one alternative, whatever its negation.
func planAlternative(op syntax.LineFilterOp, text string) (matchPlan, error) {
	switch op {
	case syntax.LineContains, syntax.LineNotContains:
		if text == "" {
			return matchPlan{matcher: constMatcher(true)}, nil
		}
		lits := []literal{{text: text}}
		return matchPlan{matcher: scanMatcher{newScan(lits)}, lits: lits, exact: true}, nil
	case syntax.LinePattern, syntax.LineNotPattern:
		p, err := newLinePattern(text)
		if err != nil {
			return matchPlan{}, err
		}
		out := matchPlan{matcher: p}
		for i := range p.parts {
			lit := []literal{{text: string(p.parts[i].literal)}}
			out.groups = append(out.groups, lit)
			if worth(lit) > worth(out.lits) {
				out.lits = lit
			}
		}
		return out, nil
	}
	return planLineRegexp(text)
}

// planLineRegexp plans the match of a regular expression.
func planLineRegexp(expr string) (matchPlan, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return matchPlan{}, err
	}
	p, err := planRegexp(expr)
	if err != nil {
		return matchPlan{}, err
	}
	switch {
	case p.always:
		return matchPlan{matcher: constMatcher(true)}, nil
	case p.nonEmpty:
		return matchPlan{matcher: nonEmpty{}}, nil
	case len(p.exact) > 0 && (p.begin || p.end):
		if m := newBytesMatcher(p); m != nil {
			return matchPlan{matcher: m, lits: usable(p.exact), groups: [][]literal{p.exact}}, nil
		}
		p.required = append(p.required, usable(p.exact))
	case len(p.exact) > 0:
		if s := newScan(p.exact); s != nil {
			return matchPlan{matcher: scanMatcher{s}, lits: p.exact, exact: true}, nil
		}
	}
	out := matchPlan{matcher: regexpMatcher{re}, lits: bestOf(p.required), groups: p.required}
	var guards []*scan
	for _, g := range p.required {
		if s := newScan(g); s != nil {
			guards = append(guards, s)
		}
	}
	if len(guards) > 0 {
		out.matcher = &guardedMatcher{guards, out.matcher}
	}
	return out, nil
}

// newBytesMatcher compares the bounds of lines with literals; nil if case matters not.
func newBytesMatcher(p regexpPlan) matcher {
	m := &bytesMatcher{}
	for _, l := range p.exact {
		if l.fold {
			return nil
		}
		m.lits = append(m.lits, boundLiteral{text: []byte(l.text), begin: p.begin, end: p.end})
	}
	return m
}

// usable returns the literals if all of them are worth looking for.
func usable(lits []literal) []literal {
	if worth(lits) == 0 {
		return nil
	}
	return lits
}

// requiredMatcher returns a quick test that every line must pass in which the expression is found; nil if there is none.
func requiredMatcher(expr string) (matcher, error) {
	p, err := planRegexp(expr)
	if err != nil {
		return nil, err
	}
	lits := bestOf(p.required)
	if len(p.exact) > 0 {
		lits = usable(p.exact)
	}
	if s := newScan(lits); s != nil {
		return scanMatcher{s}, nil
	}
	return nil, nil
}

// lineIPMatcher looks for addresses in lines.
type lineIPMatcher struct{ m *ipMatcher }

func (m *lineIPMatcher) match(line []byte) bool { return m.m.matchLine(line) }
