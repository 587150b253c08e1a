package pipeline

import (
	"slices"
	"strings"

	"logstore/pkg/logql/syntax"
)

// needs is a set of label names that someone wants, or all.
type needs struct {
	all   bool
	names []string
}

func (n needs) with(names ...string) needs {
	if n.all {
		return n
	}
	return needs{names: append(slices.Clip(n.names), names...)}
}

func (n needs) has(name string) bool { return n.all || slices.Contains(n.names, name) }

// hasPrefix reports whether some name that begins with prefix is wanted.
func (n needs) hasPrefix(prefix string) bool {
	return n.all || slices.ContainsFunc(n.names, func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// parserHints tell a parser what to extract.
type parserHints struct {
	want needs
	// nothing says that the query needs no label at all: parsers do not run.
	nothing bool
	// stop is the number of labels after which a parser stops reading the line; 0 if it must read all of it.
	stop int
	// try are conditions that a value must satisfy for the line to stay.
	try []trial
}

// trial is a later label filter that looks at one label.
type trial struct {
	name string
	ok   try
}

// try reports whether a value that a parser just found satisfies a filter. It may set the error of the line.
type try func(s *lineState, val string) bool

// hints are those of a whole query.
type hints struct {
	grouped bool
	// required are the labels that a grouped query needs.
	required needs
}

// newHints collects what a query that groups by labels needs: the labels it groups by and those that stages look at.
func newHints(stages []syntax.Stage, final needs, grouped bool) (hints, error) {
	h := hints{grouped: grouped}
	if !grouped {
		return h, nil
	}
	names := slices.Clone(final.names)
	all := false
	for _, st := range stages {
		n, err := stageNeeds(st)
		if err != nil {
			return h, err
		}
		all = all || n.all
		names = append(names, n.names...)
	}
	slices.Sort(names)
	h.required = needs{all: all, names: slices.Compact(names)}
	return h, nil
}

// stageNeeds returns the labels that a stage looks at.
func stageNeeds(st syntax.Stage) (needs, error) {
	switch st := st.(type) {
	case *syntax.LabelFilterStage:
		return needs{names: filterNames(st.Filter)}, nil
	case *syntax.LineFormat:
		return templateNeeds("line_format", st.Template)
	case *syntax.LabelFormat:
		var n needs
		for _, op := range st.Ops {
			if op.Rename {
				n.names = append(n.names, op.Value)
				continue
			}
			t, err := templateNeeds(op.Name, op.Value)
			if err != nil {
				return needs{}, err
			}
			n.all = n.all || t.all
			n.names = append(n.names, t.names...)
		}
		return n, nil
	}
	return needs{}, nil
}

// forStage returns the hints for the parser at index i.
func (h hints) forStage(stages []syntax.Stage, i int, final needs) parserHints {
	p := parserHints{try: trials(stages[i+1:])}
	if h.grouped && h.required.all {
		// A template looks at the labels as a whole.
		p.want = h.required
		return p
	}
	if h.grouped {
		p.want = h.required
		p.stop = len(h.required.names)
		p.nothing = p.stop == 0
		return p
	}
	// The result needs what the last keep leaves; going backwards, each stage adds what it looks at.
	// What a later parser extracts is needed of this one too, since the first of equal keys wins.
	want, later := final, needs{}
	for j := len(stages) - 1; j > i; j-- {
		switch stages[j].(type) {
		case *syntax.JSONParser, *syntax.LogfmtParser, *syntax.RegexpParser, *syntax.PatternParser, *syntax.UnpackParser:
			later.all = later.all || want.all
			later = later.with(want.names...)
		}
		if k, ok := stages[j].(*syntax.Keep); ok {
			want = needs{names: []string{errorLabel, errorDetailsLabel}}
			for _, item := range k.Items {
				want = want.with(item.Name)
			}
			continue
		}
		n, err := stageNeeds(stages[j])
		if err != nil || n.all {
			want = needs{all: true}
		}
		want = want.with(n.names...)
	}
	p.want = want.with(later.names...)
	p.want.all = want.all || later.all
	for _, t := range p.try {
		p.want = p.want.with(t.name) // even if a keep in between drops it
	}
	return p
}

// trials collects the label filters that can be tried on a value as soon as a parser has it. A filter that looks at a
// single label is tried even if a stage between changes the label, as users of this query language have come to know it;
// parts of a conjunction only if no stage between can.
func trials(stages []syntax.Stage) []trial {
	var out []trial
	changed := false
	for _, st := range stages {
		switch st := st.(type) {
		case *syntax.LabelFilterStage:
			if _, ok := st.Filter.(*syntax.AndFilter); ok && changed {
				continue
			}
			out = appendTrials(out, st.Filter)
		case *syntax.LabelFormat, *syntax.Drop, *syntax.Keep:
			changed = true
		}
	}
	return out
}

func appendTrials(out []trial, f syntax.LabelFilter) []trial {
	switch f := f.(type) {
	case *syntax.AndFilter:
		return appendTrials(appendTrials(out, f.Left), f.Right)
	case *syntax.StringFilter:
		if f.Matcher.Name == errorLabel || f.Matcher.Name == errorDetailsLabel {
			return out
		}
		ok := labelMatcher(f.Matcher)
		return append(out, trial{f.Matcher.Name, func(_ *lineState, v string) bool { return ok(v) }})
	case *syntax.NumberFilter:
		c := newComparison(f.Op, f.Value, parseNumber)
		return append(out, trial{f.Name, c.try})
	case *syntax.DurationFilter:
		c := newComparison(f.Op, f.Value, parseDuration)
		return append(out, trial{f.Name, c.try})
	case *syntax.BytesFilter:
		c := newComparison(f.Op, f.Value, parseSize)
		return append(out, trial{f.Name, c.try})
	case *syntax.IPFilter:
		m, err := newIPMatcher(f.Pattern)
		if err != nil {
			return out
		}
		not := f.Op == syntax.CompareNotEqual
		return append(out, trial{f.Name, func(s *lineState, v string) bool {
			return s.err != "" || m.matchLine(raw(v)) != not
		}})
	}
	return out
}
