package syntax

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// maxFormatWidth is the most characters that Format keeps on one line.
const maxFormatWidth = 100

// Format prints an expression for people: on one line if that is short, else with the stages of pipelines and the operands
// of functions and operators on lines of their own.
func Format(expr Expr) string {
	var b strings.Builder
	formatExpr(&b, expr, "")
	return b.String()
}

const formatIndent = "  "

func formatExpr(b *strings.Builder, expr Expr, indent string) {
	text := expr.String()
	if _, ok := expr.(*BinaryExpr); ok {
		text = text[1 : len(text)-1] // it stands alone, in the query or inside a function
	}
	if len(indent)+len(text) <= maxFormatWidth {
		b.WriteString(indent + text)
		return
	}
	deeper := indent + formatIndent
	switch e := expr.(type) {
	case *LogQuery:
		formatLog(b, e.Matchers, stageTexts(e.Stages), indent)
	case *RangeAggregation:
		formatRangeAggregation(b, e, indent)
	case *VectorAggregation:
		b.WriteString(indent + e.head() + "\n")
		formatExpr(b, e.Expr, deeper)
		b.WriteString("\n" + indent + ")")
	case *BinaryExpr:
		formatOperand(b, e.Left, indent)
		b.WriteString("\n" + indent + e.operator() + "\n")
		formatOperand(b, e.Right, indent)
	case *LabelReplace:
		b.WriteString(indent + fnLabelReplace + "(\n")
		formatExpr(b, e.Expr, deeper)
		for _, s := range e.arguments() {
			b.WriteString(",\n" + deeper + s)
		}
		b.WriteString("\n" + indent + ")")
	default:
		b.WriteString(indent + text)
	}
}

func formatRangeAggregation(b *strings.Builder, e *RangeAggregation, indent string) {
	deeper := indent + formatIndent
	b.WriteString(indent + e.Op + "(\n")
	if e.Param != nil {
		b.WriteString(deeper + formatNumber(*e.Param) + ",\n")
	}
	texts := stageTexts(e.Query.Stages)
	if e.Unwrap != nil {
		texts = append(texts, (&Unwrap{Label: e.Unwrap.Label, Conversion: e.Unwrap.Conversion}).String())
		for _, f := range e.Unwrap.Filters {
			texts = append(texts, "| "+f.String())
		}
	}
	formatLog(b, e.Query.Matchers, append(texts, e.rangeString()), deeper)
	b.WriteString("\n" + indent + ")")
	if e.Grouping != nil {
		b.WriteString(" " + e.Grouping.String())
	}
}

// formatOperand prints one side of a binary expression; another binary expression needs parentheses.
func formatOperand(b *strings.Builder, expr Expr, indent string) {
	if _, ok := expr.(*BinaryExpr); !ok {
		formatExpr(b, expr, indent)
		return
	}
	b.WriteString(indent + "(\n")
	formatExpr(b, expr, indent+formatIndent)
	b.WriteString("\n" + indent + ")")
}

func formatLog(b *strings.Builder, matchers []*labels.Matcher, stages []string, indent string) {
	b.WriteString(indent)
	writeSelector(b, matchers)
	for _, s := range stages {
		b.WriteString("\n" + indent + formatIndent + s)
	}
}

func stageTexts(stages []Stage) []string {
	texts := make([]string, len(stages))
	for i, s := range stages {
		texts[i] = s.String()
	}
	return texts
}
