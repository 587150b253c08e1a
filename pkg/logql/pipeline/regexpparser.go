package pipeline

import (
	"errors"
	"fmt"

	"regexp"

	"logstore/pkg/logql/syntax"
)

// regexpParser extracts the named groups of a regular expression.
type regexpParser struct {
	hints  parserHints
	re     *regexp.Regexp
	names  []string
	filter matcher
}

type boundRegexp struct {
	extractor
	p      *regexpParser
	groups []regexpGroup
	idle   bool
}

type regexpGroup struct {
	index int
	key   key
}

func newRegexpParser(st *syntax.RegexpParser, h parserHints) (stage, error) {
	re, err := regexp.Compile(st.Pattern)
	if err != nil {
		return nil, err
	}
	if re.NumSubexp() == 0 {
		return nil, errors.New("at least one named capture must be supplied")
	}
	p := &regexpParser{hints: h, re: re, names: make([]string, re.NumSubexp()+1)}
	seen := map[string]bool{}
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if name = sanitize(name, true); name == "" {
			continue
		}
		if seen[name] {
			return nil, fmt.Errorf("duplicate extracted label name '%s'", name)
		}
		seen[name] = true
		p.names[i] = name
	}
	if len(seen) == 0 {
		return nil, errors.New("at least one named capture must be supplied")
	}
	if p.filter, err = requiredMatcher(st.Pattern); err != nil {
		return nil, err
	}
	if h.nothing {
		return nil, nil
	}
	return p, nil
}

func (p *regexpParser) bind(s *Stream) boundStage {
	b := &boundRegexp{extractor: extractor{s: s, hints: &p.hints}, p: p, idle: true}
	for i, name := range p.names {
		if name == "" {
			continue
		}
		g := regexpGroup{index: i, key: b.key(name)}
		if g.key.skip {
			continue
		}
		s.pin(name)
		s.pin(name + extractedSuffix)
		b.idle = false
		b.groups = append(b.groups, g)
	}
	return b
}

func (r *boundRegexp) process(line []byte) ([]byte, bool) {
	if r.idle || r.hints.stop > 0 && r.s.found >= r.hints.stop {
		return line, true
	}
	if r.p.filter != nil && !r.p.filter.match(line) {
		return line, true
	}
	m := r.p.re.FindSubmatchIndex(line)
	if m == nil {
		return line, true
	}
	for i := range r.groups {
		g := &r.groups[i]
		val := ""
		if from := m[2*g.index]; from >= 0 {
			val = text(line[from:m[2*g.index+1]])
		}
		switch r.put(&g.key, val) {
		case giveUp:
			return nil, false
		case enough:
			return line, true
		}
	}
	return line, true
}
