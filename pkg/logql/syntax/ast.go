package syntax

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Expr is a parsed query. String prints it as format_query does on one line; it parses back to an equal expression.
type Expr interface {
	String() string
	expr()
}

// SampleExpr is an expression whose value is a vector or a scalar.
type SampleExpr interface {
	Expr
	sampleExpr()
}

// LogQuery is a stream selector and a pipeline: an expression whose value is log entries.
type LogQuery struct {
	// Matchers are in the order written; at least one of them does not accept the empty string.
	Matchers []*labels.Matcher
	// Stages are in the order written; several line filters in a row are several stages.
	Stages []Stage
}

// Stage is one step of a pipeline.
type Stage interface {
	String() string
	stage()
}

// LineFilterOp is the operator of a line filter.
type LineFilterOp uint8

// The line filter operators.
const (
	LineContains    LineFilterOp = iota // |=
	LineNotContains                     // !=
	LineMatches                         // |~
	LineNotMatches                      // !~
	LinePattern                         // |>
	LineNotPattern                      // !>
)

// LineFilter keeps lines that match one of the alternatives, or with a negated operator none of them.
type LineFilter struct {
	Op           LineFilterOp
	Alternatives []LineMatch
}

// LineMatch is one alternative of a line filter.
type LineMatch struct {
	Text string
	// IP says that Text was written ip("...") and holds an address, a range or a CIDR. It is set only with LineContains
	// and LineNotContains. In a filter of several alternatives it has no effect: ip("...") is then its plain text.
	IP bool
}

// LabelFilterStage keeps entries whose labels satisfy the filter.
type LabelFilterStage struct {
	Filter LabelFilter
}

// LabelFilter is a tree of conditions over labels.
type LabelFilter interface {
	String() string
	labelFilter()
}

// CompareOp compares in numeric label filters.
type CompareOp uint8

// The comparison operators.
const (
	CompareEqual CompareOp = iota
	CompareNotEqual
	CompareGreater
	CompareGreaterOrEqual
	CompareLess
	CompareLessOrEqual
)

type (
	// StringFilter compares a label's text with =, !=, =~ or !~.
	StringFilter struct{ Matcher *labels.Matcher }
	// NumberFilter compares a label read as a float.
	NumberFilter struct {
		Name  string
		Op    CompareOp
		Value float64
	}
	// DurationFilter compares a label read as a duration.
	DurationFilter struct {
		Name  string
		Op    CompareOp
		Value time.Duration
	}
	// BytesFilter compares a label read as a size such as 5KB.
	BytesFilter struct {
		Name  string
		Op    CompareOp
		Value uint64
	}
	// IPFilter keeps labels that are (Op CompareEqual) or are not (CompareNotEqual) within Pattern.
	IPFilter struct {
		Name    string
		Op      CompareOp
		Pattern string
	}
	// AndFilter holds if both sides hold.
	AndFilter struct{ Left, Right LabelFilter }
	// OrFilter holds if one side holds.
	OrFilter struct{ Left, Right LabelFilter }
)

// Extraction names a label and the expression that fills it, as in json a="b.c".
type Extraction struct {
	Name, Expression string
}

type (
	// JSONParser extracts all fields, or those named.
	JSONParser struct{ Extractions []Extraction }
	// LogfmtParser extracts all fields, or those named.
	LogfmtParser struct {
		Strict, KeepEmpty bool
		Extractions       []Extraction
	}
	// RegexpParser extracts the named groups.
	RegexpParser struct{ Pattern string }
	// PatternParser extracts the named captures.
	PatternParser struct{ Pattern string }
	// UnpackParser undoes promtail's pack stage.
	UnpackParser struct{}
	// LineFormat rewrites the line by a template.
	LineFormat struct{ Template string }
	// LabelFormat renames or rewrites labels.
	LabelFormat struct{ Ops []LabelFormatOp }
	// Decolorize removes ANSI colour sequences.
	Decolorize struct{}
	// Drop removes labels.
	Drop struct{ Items []LabelItem }
	// Keep removes all labels but these.
	Keep struct{ Items []LabelItem }
)

// LabelFormatOp is Name=Value, where Value is a label's name (Rename) or a template.
type LabelFormatOp struct {
	Name, Value string
	Rename      bool
}

// LabelItem names a label of drop and keep, if Matcher is set only while it accepts the value.
type LabelItem struct {
	Name    string
	Matcher *labels.Matcher
}

// Unwrap turns a label into the sample's value.
type Unwrap struct {
	Label string
	// Conversion is "", "bytes", "duration" or "duration_seconds".
	Conversion string
	// Filters are the label filters behind it, each a stage of its own.
	Filters []LabelFilter
}

// Grouping is by (...) or without (...).
type Grouping struct {
	Without bool
	Labels  []string
}

// RangeAggregation is op([param,] query | unwrap x [range] offset o) by (...).
type RangeAggregation struct {
	Op       string // count_over_time, rate, ...: one of the names in RangeOps
	Query    *LogQuery
	Unwrap   *Unwrap
	Range    time.Duration
	Offset   time.Duration
	Param    *float64 // quantile_over_time
	Grouping *Grouping
}

// VectorAggregation is op by (...) ([param,] expr).
type VectorAggregation struct {
	Op       string // sum, avg, ...: one of the names in VectorOps
	Expr     SampleExpr
	Param    *float64 // topk, bottomk, approx_topk
	Grouping *Grouping
}

// Cardinality of a vector match.
type Cardinality uint8

// The cardinalities.
const (
	OneToOne Cardinality = iota
	ManyToOne
	OneToMany
)

// VectorMatching is on (...) or ignoring (...), with group_left or group_right.
type VectorMatching struct {
	Card    Cardinality
	On      bool
	Labels  []string
	Include []string
}

// BinaryExpr is two expressions and an operator: + - * / % ^ == != > >= < <= and or unless.
type BinaryExpr struct {
	Op         string
	Left       SampleExpr
	Right      SampleExpr
	ReturnBool bool
	// Matching is nil when none was written.
	Matching *VectorMatching
}

type (
	// Literal is a number.
	Literal struct{ Value float64 }
	// Vector is vector(number).
	Vector struct{ Value float64 }
	// LabelReplace is label_replace(expr, dst, replacement, src, regex).
	LabelReplace struct {
		Expr                         SampleExpr
		Dst, Replacement, Src, Regex string
	}
)

func (*LogQuery) expr()          {}
func (*RangeAggregation) expr()  {}
func (*VectorAggregation) expr() {}
func (*BinaryExpr) expr()        {}
func (*Literal) expr()           {}
func (*Vector) expr()            {}
func (*LabelReplace) expr()      {}

func (*RangeAggregation) sampleExpr()  {}
func (*VectorAggregation) sampleExpr() {}
func (*BinaryExpr) sampleExpr()        {}
func (*Literal) sampleExpr()           {}
func (*Vector) sampleExpr()            {}
func (*LabelReplace) sampleExpr()      {}

func (*LineFilter) stage()       {}
func (*LabelFilterStage) stage() {}
func (*JSONParser) stage()       {}
func (*LogfmtParser) stage()     {}
func (*RegexpParser) stage()     {}
func (*PatternParser) stage()    {}
func (*UnpackParser) stage()     {}
func (*LineFormat) stage()       {}
func (*LabelFormat) stage()      {}
func (*Decolorize) stage()       {}
func (*Drop) stage()             {}
func (*Keep) stage()             {}

func (*StringFilter) labelFilter()   {}
func (*NumberFilter) labelFilter()   {}
func (*DurationFilter) labelFilter() {}
func (*BytesFilter) labelFilter()    {}
func (*IPFilter) labelFilter()       {}
func (*AndFilter) labelFilter()      {}
func (*OrFilter) labelFilter()       {}
