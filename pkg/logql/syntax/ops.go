package syntax

import "slices"

// The names of the range aggregations.
const (
	OpCountOverTime    = "count_over_time"
	OpRate             = "rate"
	OpRateCounter      = "rate_counter"
	OpBytesOverTime    = "bytes_over_time"
	OpBytesRate        = "bytes_rate"
	OpAbsentOverTime   = "absent_over_time"
	OpSumOverTime      = "sum_over_time"
	OpAvgOverTime      = "avg_over_time"
	OpMinOverTime      = "min_over_time"
	OpMaxOverTime      = "max_over_time"
	OpStddevOverTime   = "stddev_over_time"
	OpStdvarOverTime   = "stdvar_over_time"
	OpQuantileOverTime = "quantile_over_time"
	OpFirstOverTime    = "first_over_time"
	OpLastOverTime     = "last_over_time"
)

// The names of the vector aggregations.
const (
	OpSum        = "sum"
	OpAvg        = "avg"
	OpMin        = "min"
	OpMax        = "max"
	OpCount      = "count"
	OpStddev     = "stddev"
	OpStdvar     = "stdvar"
	OpTopK       = "topk"
	OpBottomK    = "bottomk"
	OpSort       = "sort"
	OpSortDesc   = "sort_desc"
	OpApproxTopK = "approx_topk"
)

// need says whether something must, may or must not stand in an expression.
type need uint8

const (
	forbidden need = iota
	optional
	required
)

// rangeOp describes a range aggregation.
type rangeOp struct {
	unwrap   need
	grouping bool
	param    bool
}

// rangeOps are the range aggregations by name.
var rangeOps = map[string]rangeOp{
	OpCountOverTime:    {},
	OpRate:             {unwrap: optional},
	OpRateCounter:      {unwrap: required},
	OpBytesOverTime:    {},
	OpBytesRate:        {},
	OpAbsentOverTime:   {unwrap: optional},
	OpSumOverTime:      {unwrap: required},
	OpAvgOverTime:      {unwrap: required, grouping: true},
	OpMinOverTime:      {unwrap: required, grouping: true},
	OpMaxOverTime:      {unwrap: required, grouping: true},
	OpStddevOverTime:   {unwrap: required, grouping: true},
	OpStdvarOverTime:   {unwrap: required, grouping: true},
	OpQuantileOverTime: {unwrap: required, grouping: true, param: true},
	OpFirstOverTime:    {unwrap: required, grouping: true},
	OpLastOverTime:     {unwrap: required, grouping: true},
}

// vectorOp describes a vector aggregation.
type vectorOp struct {
	grouping need
	param    bool
}

// vectorOps are the vector aggregations by name.
var vectorOps = map[string]vectorOp{
	OpSum:        {grouping: optional},
	OpAvg:        {grouping: optional},
	OpMin:        {grouping: optional},
	OpMax:        {grouping: optional},
	OpCount:      {grouping: optional},
	OpStddev:     {grouping: optional},
	OpStdvar:     {grouping: optional},
	OpTopK:       {grouping: optional, param: true},
	OpBottomK:    {grouping: optional, param: true},
	OpSort:       {},
	OpSortDesc:   {},
	OpApproxTopK: {param: true},
}

const (
	fnLabelReplace = "label_replace"
	fnVector       = "vector"
)

// RangeOps returns the names of the range aggregations, sorted.
func RangeOps() []string { return sortedKeys(rangeOps) }

// VectorOps returns the names of the vector aggregations, sorted.
func VectorOps() []string { return sortedKeys(vectorOps) }

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// binaryPrecedence is the binding strength of each binary operator; ^ alone groups to the right.
var binaryPrecedence = map[string]int{
	"or":  1,
	"and": 2, "unless": 2,
	"==": 3, "!=": 3, ">": 3, ">=": 3, "<": 3, "<=": 3,
	"+": 4, "-": 4,
	"*": 5, "/": 5, "%": 5,
	"^": 6,
}

// IsComparison reports whether op is == != > >= < or <=.
func IsComparison(op string) bool { return binaryPrecedence[op] == 3 }

// IsSetOperator reports whether op is and, or or unless.
func IsSetOperator(op string) bool { p := binaryPrecedence[op]; return p == 1 || p == 2 }

// String returns the operator as it is written.
func (op LineFilterOp) String() string {
	return [...]string{"|=", "!=", "|~", "!~", "|>", "!>"}[op]
}

// Negated reports whether the operator keeps the lines that do not match.
func (op LineFilterOp) Negated() bool {
	return op == LineNotContains || op == LineNotMatches || op == LineNotPattern
}

// String returns the operator as it is written.
func (op CompareOp) String() string {
	return [...]string{"==", "!=", ">", ">=", "<", "<="}[op]
}
