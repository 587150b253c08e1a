package syntax

import (
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// This file prints expressions on one line. Strings are always in double quotes.

func (q *LogQuery) String() string {
	var b strings.Builder
	writeSelector(&b, q.Matchers)
	writeStages(&b, q.Stages)
	return b.String()
}

func writeSelector(b *strings.Builder, matchers []*labels.Matcher) {
	b.WriteByte('{')
	for i, m := range matchers {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(matcherString(m))
	}
	b.WriteByte('}')
}

func matcherString(m *labels.Matcher) string {
	return m.Name + m.Type.String() + strconv.Quote(m.Value)
}

func writeStages(b *strings.Builder, stages []Stage) {
	for _, s := range stages {
		b.WriteByte(' ')
		b.WriteString(s.String())
	}
}

func (f *LineFilter) String() string {
	var b strings.Builder
	b.WriteString(f.Op.String())
	for i, m := range f.Alternatives {
		if i > 0 {
			b.WriteString(" or")
		}
		b.WriteByte(' ')
		if m.IP {
			b.WriteString("ip(" + strconv.Quote(m.Text) + ")")
		} else {
			b.WriteString(strconv.Quote(m.Text))
		}
	}
	return b.String()
}

func (s *LabelFilterStage) String() string { return "| " + s.Filter.String() }

func (f *StringFilter) String() string { return matcherString(f.Matcher) }
func (f *NumberFilter) String() string { return f.Name + f.Op.String() + formatNumber(f.Value) }
func (f *DurationFilter) String() string {
	return f.Name + f.Op.String() + FormatDuration(f.Value)
}
func (f *BytesFilter) String() string { return f.Name + f.Op.String() + FormatBytes(f.Value) }
func (f *IPFilter) String() string {
	op := "="
	if f.Op == CompareNotEqual {
		op = "!="
	}
	return f.Name + op + "ip(" + strconv.Quote(f.Pattern) + ")"
}

func (f *AndFilter) String() string {
	left, right := f.Left.String(), f.Right.String()
	if _, ok := f.Left.(*OrFilter); ok {
		left = "(" + left + ")"
	}
	switch f.Right.(type) {
	case *OrFilter, *AndFilter:
		right = "(" + right + ")"
	}
	return left + " and " + right
}

func (f *OrFilter) String() string {
	right := f.Right.String()
	if _, ok := f.Right.(*OrFilter); ok {
		right = "(" + right + ")"
	}
	return f.Left.String() + " or " + right
}

func (s *JSONParser) String() string { return "| json" + extractionsString(s.Extractions) }

func (s *LogfmtParser) String() string {
	text := "| logfmt"
	if s.Strict {
		text += " --strict"
	}
	if s.KeepEmpty {
		text += " --keep-empty"
	}
	return text + extractionsString(s.Extractions)
}

func extractionsString(list []Extraction) string {
	var b strings.Builder
	for i, e := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + e.Name)
		if e.Name != e.Expression {
			b.WriteString("=" + strconv.Quote(e.Expression))
		}
	}
	return b.String()
}

func (s *RegexpParser) String() string  { return "| regexp " + strconv.Quote(s.Pattern) }
func (s *PatternParser) String() string { return "| pattern " + strconv.Quote(s.Pattern) }
func (s *UnpackParser) String() string  { return "| unpack" }
func (s *LineFormat) String() string    { return "| line_format " + strconv.Quote(s.Template) }
func (s *Decolorize) String() string    { return "| decolorize" }

func (s *LabelFormat) String() string {
	var b strings.Builder
	b.WriteString("| label_format ")
	for i, op := range s.Ops {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(op.Name + "=")
		if op.Rename {
			b.WriteString(op.Value)
		} else {
			b.WriteString(strconv.Quote(op.Value))
		}
	}
	return b.String()
}

func (s *Drop) String() string { return "| drop " + itemsString(s.Items) }
func (s *Keep) String() string { return "| keep " + itemsString(s.Items) }

func itemsString(items []LabelItem) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.Name
		if item.Matcher != nil {
			texts[i] = matcherString(item.Matcher)
		}
	}
	return strings.Join(texts, ", ")
}

// String prints unwrap and the filters behind it.
func (u *Unwrap) String() string {
	text := "| unwrap " + u.Label
	if u.Conversion != "" {
		text = "| unwrap " + u.Conversion + "(" + u.Label + ")"
	}
	for _, f := range u.Filters {
		text += " | " + f.String()
	}
	return text
}

// String prints by (...) or without (...).
func (g *Grouping) String() string {
	word := "by"
	if g.Without {
		word = "without"
	}
	return word + " (" + strings.Join(g.Labels, ", ") + ")"
}

func (a *RangeAggregation) String() string {
	var b strings.Builder
	b.WriteString(a.Op + "(")
	if a.Param != nil {
		b.WriteString(formatNumber(*a.Param) + ", ")
	}
	b.WriteString(a.Query.String())
	if a.Unwrap != nil {
		b.WriteString(" " + a.Unwrap.String() + " ")
	} else if len(a.Query.Stages) > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(a.rangeString() + ")")
	if a.Grouping != nil {
		b.WriteString(" " + a.Grouping.String())
	}
	return b.String()
}

// rangeString prints [5m] offset 1m.
func (a *RangeAggregation) rangeString() string {
	text := "[" + FormatDuration(a.Range) + "]"
	if a.Offset != 0 {
		text += " offset " + FormatDuration(a.Offset)
	}
	return text
}

func (a *VectorAggregation) String() string {
	return a.head() + a.Expr.String() + ")"
}

// head prints what stands before the operand.
func (a *VectorAggregation) head() string {
	text := a.Op
	if a.Grouping != nil {
		text += " " + a.Grouping.String() + " "
	}
	text += "("
	if a.Param != nil {
		text += formatNumber(*a.Param) + ", "
	}
	return text
}

func (e *BinaryExpr) String() string {
	return "(" + e.Left.String() + " " + e.operator() + " " + e.Right.String() + ")"
}

// operator prints the operator and its modifiers.
func (e *BinaryExpr) operator() string {
	text := e.Op
	if e.ReturnBool {
		text += " bool"
	}
	m := e.Matching
	if m == nil {
		return text
	}
	word := " ignoring ("
	if m.On {
		word = " on ("
	}
	text += word + strings.Join(m.Labels, ", ") + ")"
	switch m.Card {
	case ManyToOne:
		text += " group_left (" + strings.Join(m.Include, ", ") + ")"
	case OneToMany:
		text += " group_right (" + strings.Join(m.Include, ", ") + ")"
	}
	return text
}

// String prints the number; NaN, which folding can yield, as a calculation that yields it.
func (l *Literal) String() string {
	if math.IsNaN(l.Value) {
		return "(0 / 0)"
	}
	return formatNumber(l.Value)
}

func (v *Vector) String() string { return "vector(" + formatNumber(v.Value) + ")" }

func (r *LabelReplace) String() string {
	return fnLabelReplace + "(" + strings.Join(append([]string{r.Expr.String()}, r.arguments()...), ", ") + ")"
}

// arguments returns the strings behind the operand, quoted.
func (r *LabelReplace) arguments() []string {
	return []string{strconv.Quote(r.Dst), strconv.Quote(r.Replacement), strconv.Quote(r.Src), strconv.Quote(r.Regex)}
}
