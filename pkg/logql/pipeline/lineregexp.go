package pipeline

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// literal is text that is looked for, with fold in any case.
type literal struct {
	text string
	fold bool
}

// maxExpanded bounds the literals that a regular expression is expanded to.
const maxExpanded = maxLiterals

// regexpPlan is what is known about a regular expression that is searched for in lines.
type regexpPlan struct {
	// always says that every line matches, nonEmpty that every line but the empty one does.
	always, nonEmpty bool
	// exact are literals one of which is in every matching line, and in no other unless anchored.
	exact []literal
	// begin and end say that the exact literals stand at the line's bounds.
	begin, end bool
	// required are groups of literals: every matching line has one of each group.
	required [][]literal
}

// planRegexp analyses an expression for the ways to match it without running it.
func planRegexp(expr string) (regexpPlan, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return regexpPlan{}, err
	}
	re = stripCaptures(re).Simplify()
	if re.Op == syntax.OpPlus && re.Sub[0].Op == syntax.OpAnyCharNotNL {
		// A line that is a single newline counts as text here.
		return regexpPlan{nonEmpty: true}, nil
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	parts, begin, end := trimParts(parts)
	if len(parts) == 0 && !(begin && end) {
		return regexpPlan{always: true}, nil
	}
	p := regexpPlan{begin: begin, end: end}
	if lits, ok := expandConcat(parts); ok {
		p.exact = lits
		return p, nil
	}
	p.required = requiredOf(parts)
	return p, nil
}

// trimParts removes what may match nothing at the ends, and anchors.
func trimParts(parts []*syntax.Regexp) (rest []*syntax.Regexp, begin, end bool) {
	for len(parts) > 0 && !begin {
		switch first := parts[0]; {
		case first.Op == syntax.OpBeginText:
			begin = true
		case !optional(first):
			goto tail
		}
		parts = parts[1:]
	}
tail:
	for len(parts) > 0 && !end {
		switch last := parts[len(parts)-1]; {
		case last.Op == syntax.OpEndText:
			end = true
		case !optional(last):
			return parts, begin, end
		}
		parts = parts[:len(parts)-1]
	}
	return parts, begin, end
}

// optional reports whether the expression matches the empty text everywhere.
func optional(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpQuest, syntax.OpEmptyMatch:
		return true
	}
	return false
}

// stripCaptures replaces groups by what is in them.
func stripCaptures(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	for i, sub := range re.Sub {
		re.Sub[i] = stripCaptures(sub)
	}
	if re.Op == syntax.OpConcat {
		var flat []*syntax.Regexp
		for _, sub := range re.Sub {
			if sub.Op == syntax.OpConcat {
				flat = append(flat, sub.Sub...)
			} else {
				flat = append(flat, sub)
			}
		}
		re.Sub = flat
	}
	return re
}

// expand returns the literals that an expression stands for, if they are few.
func expand(re *syntax.Regexp) ([]literal, bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if slices.Contains(re.Rune, unicode.ReplacementChar) {
			return nil, false
		}
		return []literal{{string(re.Rune), re.Flags&syntax.FoldCase != 0}}, true
	case syntax.OpCharClass:
		var out []literal
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] >= maxExpanded {
				return nil, false
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				out = append(out, literal{string(r), false})
			}
		}
		return out, len(out) > 0 && len(out) <= maxExpanded
	case syntax.OpConcat:
		return expandConcat(re.Sub)
	case syntax.OpAlternate:
		var out []literal
		for _, sub := range re.Sub {
			lits, ok := expand(sub)
			if !ok || len(out)+len(lits) > maxExpanded {
				return nil, false
			}
			out = append(out, lits...)
		}
		return out, true
	case syntax.OpEmptyMatch:
		return []literal{{}}, true
	case syntax.OpQuest:
		lits, ok := expand(re.Sub[0])
		if !ok {
			return nil, false
		}
		return append(lits, literal{}), true
	}
	return nil, false
}

// expandConcat is the product of the literals of the parts.
func expandConcat(parts []*syntax.Regexp) ([]literal, bool) {
	out := []literal{{}}
	for _, part := range parts {
		lits, ok := expand(part)
		if !ok || len(out)*len(lits) > maxExpanded {
			return nil, false
		}
		var next []literal
		for _, a := range out {
			for _, b := range lits {
				l, ok := joinLiterals(a, b)
				if !ok {
					return nil, false
				}
				next = append(next, l)
			}
		}
		out = next
	}
	return out, true
}

// joinLiterals puts b behind a. One that ignores case can be joined only with text that has none.
func joinLiterals(a, b literal) (literal, bool) {
	switch {
	case a.fold == b.fold || b.text == "":
		return literal{a.text + b.text, a.fold}, true
	case a.text == "":
		return b, true
	case a.fold && caseless(b.text) || b.fold && caseless(a.text):
		return literal{a.text + b.text, true}, true
	}
	return literal{}, false
}

func caseless(s string) bool {
	for _, r := range s {
		if unicode.SimpleFold(r) != r {
			return false
		}
	}
	return true
}

// requiredOf returns groups of literals: every match of the parts has one of each group.
func requiredOf(parts []*syntax.Regexp) [][]literal {
	var out [][]literal
	for i := 0; i < len(parts); {
		// The longest run of parts from here that expands.
		var run []literal
		j := i
		for ; j < len(parts); j++ {
			lits, ok := expandConcat(parts[i : j+1])
			if !ok {
				break
			}
			run = lits
		}
		if j == i {
			out = append(out, requiredIn(parts[i])...)
			j++
		} else if worth(run) > 0 {
			out = append(out, run)
		}
		i = j
	}
	return out
}

func requiredIn(re *syntax.Regexp) [][]literal {
	switch re.Op {
	case syntax.OpConcat, syntax.OpPlus:
		return requiredOf(re.Sub)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return requiredOf(re.Sub)
		}
	case syntax.OpAlternate:
		var out []literal
		for _, sub := range re.Sub {
			best := bestOf(requiredOf([]*syntax.Regexp{sub}))
			if len(best) == 0 || len(out)+len(best) > maxExpanded {
				return nil
			}
			out = append(out, best...)
		}
		return [][]literal{out}
	}
	return nil
}

// bestOf returns the group that sorts out most.
func bestOf(groups [][]literal) []literal {
	var best []literal
	for _, g := range groups {
		if worth(g) > worth(best) {
			best = g
		}
	}
	return best
}

// worth tells how well literals sort out lines: long ones and few of them. Those that nearly every line holds are worth
// nothing.
func worth(lits []literal) int {
	if len(lits) == 0 {
		return 0
	}
	shortest := 1 << 20
	for _, l := range lits {
		n := 0
		for i := 0; i < len(l.text); i++ {
			n += 1 + int(255-byteRank[l.text[i]])/64
		}
		if len(l.text) == 0 {
			n = 0
		}
		shortest = min(shortest, n)
	}
	if shortest < 3 {
		return 0
	}
	return max(1, shortest*8-len(lits)*4)
}
