package pipeline

import (
	"regexp/syntax"
	"strings"
)

// searchedRegexp returns the test for a label filter's regular expression of a simple kind. Such ones are searched for
// in the label, although every other one must match it as a whole: `pod=~"api.*"` also accepts "my-api-1". Dashboards
// have come to rely on it. Simple are a literal next to .*, and a literal next to a choice of literals; a literal alone
// or a choice of them is still compared as a whole.
func searchedRegexp(expr string) (func(string) bool, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false
	}
	return searched(re.Simplify())
}

func searched(re *syntax.Regexp) (func(string) bool, bool) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return func(string) bool { return true }, true
	case syntax.OpStar:
		if anyChar(re.Sub[0]) {
			return func(string) bool { return true }, true
		}
	case syntax.OpPlus:
		if anyChar(re.Sub[0]) {
			return func(v string) bool { return v != "" }, true
		}
	case syntax.OpLiteral:
		return literalTest(re, false), true
	case syntax.OpAlternate:
		return anyOf(re.Sub, searched)
	case syntax.OpConcat:
		return searchedConcat(re.Sub)
	}
	return nil, false
}

// searchedConcat handles one literal with .* around it, or one literal before a choice of literals.
func searchedConcat(subs []*syntax.Regexp) (func(string) bool, bool) {
	var lit, choice *syntax.Regexp
	for _, sub := range subs {
		for sub.Op == syntax.OpCapture {
			sub = sub.Sub[0]
		}
		switch {
		case sub.Op == syntax.OpLiteral && lit == nil && choice == nil:
			lit = sub
		case sub.Op == syntax.OpStar && anyChar(sub.Sub[0]) && choice == nil:
		case sub.Op == syntax.OpAlternate && lit != nil && choice == nil && len(subs) == 2:
			choice = sub
		default:
			return nil, false
		}
	}
	if lit == nil {
		return nil, false
	}
	if choice == nil {
		return literalTest(lit, true), true
	}
	if lit.Flags&syntax.FoldCase != 0 {
		return nil, false
	}
	prefix := string(lit.Rune)
	return anyOf(choice.Sub, func(sub *syntax.Regexp) (func(string) bool, bool) {
		if sub.Op != syntax.OpLiteral || sub.Flags&syntax.FoldCase != 0 {
			return nil, false
		}
		want := prefix + string(sub.Rune)
		return func(v string) bool { return strings.Contains(v, want) }, true
	})
}

func anyOf(subs []*syntax.Regexp, test func(*syntax.Regexp) (func(string) bool, bool)) (func(string) bool, bool) {
	tests := make([]func(string) bool, len(subs))
	for i, sub := range subs {
		t, ok := test(sub)
		if !ok {
			return nil, false
		}
		tests[i] = t
	}
	return func(v string) bool {
		for _, t := range tests {
			if t(v) {
				return true
			}
		}
		return false
	}, true
}

// literalTest compares with a literal as a whole or searches for it.
func literalTest(re *syntax.Regexp, search bool) func(string) bool {
	want := string(re.Rune)
	if re.Flags&syntax.FoldCase != 0 {
		f := newFoldSearcher(want)
		if search {
			return func(v string) bool { return f.index(raw(v)) >= 0 }
		}
		return func(v string) bool { return strings.EqualFold(v, want) }
	}
	if search {
		return func(v string) bool { return strings.Contains(v, want) }
	}
	return func(v string) bool { return v == want }
}

func anyChar(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyCharNotNL || re.Op == syntax.OpAnyChar
}
