package querier

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
)

// leg is a part of a metric query that is evaluated for parts of the streams, or of the window, on its own. What they yield is
// combined, and the rest of the query is evaluated over it.
type leg struct {
	// expr is what is run, and at the node of the query whose value it is.
	expr, at syntax.SampleExpr
	// combine says how values of equal labels and time are put together.
	combine combination
	// scale is what combined values are multiplied with: parts of a rate are counts, whose sum is exact.
	scale float64
	// window is the range aggregation of expr if the parts may be parts of its window too.
	window *syntax.RangeAggregation
}

// combination says how the values of parts become one.
type combination uint8

const (
	// whole legs are not taken apart.
	whole combination = iota
	// apart are series that are each of one stream, so that no two parts have the same.
	apart
	sums
	minima
	maxima
)

// legsOf takes a query apart. Literals have no leg; every range aggregation is in just one.
func legsOf(expr syntax.SampleExpr) []leg {
	switch e := expr.(type) {
	case *syntax.RangeAggregation:
		return []leg{rangeLeg(e)}
	case *syntax.VectorAggregation:
		return vectorLegs(e)
	case *syntax.LabelReplace:
		return legsOf(e.Expr)
	case *syntax.BinaryExpr:
		return append(legsOf(e.Left), legsOf(e.Right)...)
	}
	return nil
}

// rangeLeg is the leg of a range aggregation that stands alone.
func rangeLeg(e *syntax.RangeAggregation) leg {
	if counted, scale, ok := addends(e); ok {
		return leg{expr: counted, at: e, combine: sums, scale: scale, window: counted}
	}
	switch e.Op {
	case syntax.OpMinOverTime:
		return leg{expr: e, at: e, combine: minima, scale: 1, window: e}
	case syntax.OpMaxOverTime:
		return leg{expr: e, at: e, combine: maxima, scale: 1, window: e}
	}
	return leg{expr: e, at: e, combine: whole, scale: 1}
}

// addends returns the aggregation whose values, added up over streams and parts of the window and multiplied with scale, are
// those of e.
func addends(e *syntax.RangeAggregation) (counted *syntax.RangeAggregation, scale float64, ok bool) {
	c := *e
	switch e.Op {
	case syntax.OpCountOverTime, syntax.OpBytesOverTime, syntax.OpSumOverTime:
		return &c, 1, true
	case syntax.OpBytesRate:
		c.Op = syntax.OpBytesOverTime
	case syntax.OpRate:
		if c.Op = syntax.OpCountOverTime; e.Unwrap != nil {
			c.Op = syntax.OpSumOverTime
		}
	default:
		return nil, 0, false
	}
	return &c, 1 / e.Range.Seconds(), true
}

// vectorLegs are the legs of sum, topk and the like.
func vectorLegs(e *syntax.VectorAggregation) []leg {
	if inner, ok := e.Expr.(*syntax.RangeAggregation); ok && e.Op == syntax.OpSum {
		if counted, scale, ok := addends(inner); ok {
			sum := *e
			sum.Expr = counted
			return []leg{{expr: &sum, at: e, combine: sums, scale: scale, window: counted}}
		}
	}
	if !ofOneStream(e.Expr) {
		return legsOf(e.Expr)
	}
	switch e.Op {
	case syntax.OpSum, syntax.OpCount:
		return []leg{{expr: e, at: e, combine: sums, scale: 1}}
	case syntax.OpMin:
		return []leg{{expr: e, at: e, combine: minima, scale: 1}}
	case syntax.OpMax:
		return []leg{{expr: e, at: e, combine: maxima, scale: 1}}
	case syntax.OpTopK, syntax.OpBottomK, syntax.OpApproxTopK:
		// The best of all are among the best of each part.
		return []leg{{expr: e, at: e.Expr, combine: apart, scale: 1}}
	}
	return legsOf(e.Expr)
}

// ofOneStream reports whether all entries of a series of the expression are of one stream, whatever the lines are: nothing in it
// may remove or rewrite a label of a stream.
func ofOneStream(e syntax.SampleExpr) bool {
	switch e := e.(type) {
	case *syntax.RangeAggregation:
		return e.Grouping == nil && e.Unwrap == nil && e.Op != syntax.OpAbsentOverTime && !slices.ContainsFunc(e.Query.Stages, rewrites)
	case *syntax.BinaryExpr:
		if _, ok := e.Right.(*syntax.Literal); ok {
			return ofOneStream(e.Left)
		}
		if _, ok := e.Left.(*syntax.Literal); ok {
			return ofOneStream(e.Right)
		}
	}
	return false
}

// rewrites reports whether a stage may change labels that an entry has.
func rewrites(s syntax.Stage) bool {
	switch s.(type) {
	case *syntax.LineFilter, *syntax.LabelFilterStage, *syntax.LineFormat, *syntax.Decolorize:
		return false
	}
	return true
}

// join puts what the parts of a leg yielded together, without its scale. Points of the parts are not changed.
func (l *leg) join(parts []engine.Matrix) engine.Matrix {
	var out engine.Matrix
	if l.combine == whole || l.combine == apart {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	x := map[uint64][]int{}
	for _, part := range parts {
		for i := range part {
			s := &part[i]
			h := s.Labels.Hash()
			k := slices.IndexFunc(x[h], func(k int) bool { return labels.Equal(out[k].Labels, s.Labels) })
			if k < 0 {
				x[h] = append(x[h], len(out))
				out = append(out, engine.Series{Labels: s.Labels, Points: slices.Clone(s.Points)})
				continue
			}
			old := &out[x[h][k]]
			old.Points = l.joinPoints(old.Points, s.Points)
		}
	}
	return out
}

// finish turns joined parts into the value of the leg.
func (l *leg) finish(joined engine.Matrix) {
	if l.scale == 1 {
		return
	}
	for i := range joined {
		for k := range joined[i].Points {
			joined[i].Points[k].V *= l.scale
		}
	}
}

// joinPoints combines the points of b with those of a, which it may change.
func (l *leg) joinPoints(a, b []engine.Point) []engine.Point {
	sameTimes := slices.EqualFunc(a, b, func(x, y engine.Point) bool { return x.T == y.T })
	if sameTimes {
		for i := range a {
			a[i].V = l.value(a[i].V, b[i].V)
		}
		return a
	}
	out := make([]engine.Point, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].T < b[0].T:
			out, a = append(out, a[0]), a[1:]
		case a[0].T > b[0].T:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, engine.Point{T: a[0].T, V: l.value(a[0].V, b[0].V)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// value combines two values. Of min and max, NaN counts only where there is nothing else, as in the engine.
func (l *leg) value(a, b float64) float64 {
	switch {
	case l.combine == sums:
		return a + b
	case math.IsNaN(b), l.combine == minima && a <= b, l.combine == maxima && a >= b:
		return a
	}
	return b
}
