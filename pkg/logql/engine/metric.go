package engine

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// evaluation evaluates one metric query.
type evaluation struct {
	q     *query
	steps steps
	plans map[*syntax.RangeAggregation]*rangePlan
	// ranges keeps what range aggregations yielded, for those that stand in a query several times.
	ranges map[string]*matrix
}

// operand is the value of a subexpression: a number, or a matrix.
type operand struct {
	number bool
	value  float64
	matrix *matrix
}

func (q *query) runMetric(ctx context.Context, expr syntax.SampleExpr) (Value, error) {
	s, err := newSteps(q.p)
	if err != nil {
		return nil, err
	}
	e := &evaluation{q: q, steps: s, ranges: map[string]*matrix{}}
	if e.plans, err = plans(expr); err != nil {
		return nil, err
	}
	o, err := e.evaluate(ctx, expr)
	if err != nil {
		return nil, err
	}
	if o.number {
		if q.p.Instant {
			return Scalar{T: floorDiv(q.p.End, 1e6), V: o.value}, nil
		}
		o.matrix = constant(s.n, o.value)
	}
	return e.value(expr, o.matrix)
}

// value makes the result of the query of its matrix.
func (e *evaluation) value(expr syntax.SampleExpr, m *matrix) (Value, error) {
	m.compact()
	if limit := e.q.lim.MaxSeries; limit > 0 && len(m.columns) > limit {
		return nil, SeriesError(limit)
	}
	slices.SortFunc(m.columns, func(a, b *column) int { return labels.Compare(a.labels, b.labels) })
	for i := 1; i < len(m.columns); i++ {
		if labels.Equal(m.columns[i].labels, m.columns[i-1].labels) {
			return nil, queryErrorf(ErrDuplicateSeries, "the result has %s: %s", ErrDuplicateSeries, m.columns[i].labels)
		}
	}
	if e.q.p.Instant {
		sortVector(expr, m.columns)
	}
	series := make([]Series, 0, len(m.columns))
	for _, c := range m.columns {
		points := c.points(e.steps)
		e.q.acct.returned += int64(len(points))
		series = append(series, Series{Labels: c.labels, Points: points})
	}
	if e.q.p.Instant {
		return Vector(series), nil
	}
	return Matrix(series), nil
}

// sortVector orders the result of an instant query by its values if the outermost function is a sort.
func sortVector(expr syntax.SampleExpr, columns []*column) {
	agg, ok := expr.(*syntax.VectorAggregation)
	if !ok {
		return
	}
	sign := 1
	switch agg.Op {
	case syntax.OpSort:
	case syntax.OpSortDesc:
		sign = -1
	default:
		return
	}
	slices.SortStableFunc(columns, func(a, b *column) int {
		x, y := a.values[0], b.values[0]
		switch {
		case math.IsNaN(x) || math.IsNaN(y): // NaN goes last
			return boolToInt(math.IsNaN(x)) - boolToInt(math.IsNaN(y))
		case x < y:
			return -sign
		case x > y:
			return sign
		}
		return 0
	})
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// evaluate returns the value of an expression. The matrix may be changed by the caller.
func (e *evaluation) evaluate(ctx context.Context, expr syntax.SampleExpr) (operand, error) {
	if err := ctx.Err(); err != nil {
		return operand{}, err
	}
	if known, ok := e.q.p.Given[expr]; ok {
		return operand{matrix: fromSeries(known, e.steps)}, nil
	}
	var m *matrix
	var err error
	switch expr := expr.(type) {
	case *syntax.Literal:
		return operand{number: true, value: expr.Value}, nil
	case *syntax.Vector:
		m = constant(e.steps.n, expr.Value)
	case *syntax.RangeAggregation:
		m, err = e.rangeAggregation(ctx, expr)
	case *syntax.VectorAggregation:
		m, err = e.vectorAggregation(ctx, expr)
	case *syntax.LabelReplace:
		m, err = e.labelReplace(ctx, expr)
	case *syntax.BinaryExpr:
		m, err = e.binary(ctx, expr)
	default:
		err = fmt.Errorf("cannot evaluate %T", expr)
	}
	return operand{matrix: m}, err
}

// evaluateMatrix is evaluate for expressions that the parser does not let be numbers.
func (e *evaluation) evaluateMatrix(ctx context.Context, expr syntax.SampleExpr) (*matrix, error) {
	o, err := e.evaluate(ctx, expr)
	if err != nil {
		return nil, err
	}
	if o.number {
		return constant(e.steps.n, o.value), nil
	}
	return o.matrix, nil
}

// rangeAggregation runs a range aggregation, or takes what an equal one yielded before.
func (e *evaluation) rangeAggregation(ctx context.Context, agg *syntax.RangeAggregation) (*matrix, error) {
	plan := e.plans[agg]
	if m, ok := e.ranges[plan.key]; ok {
		return m.clone(), nil
	}
	m := newMatrix(e.steps.n)
	if e.steps.n > 0 {
		s := &scan{q: e.q, plan: plan, buckets: newBuckets(e.steps, agg.Range, agg.Offset)}
		set, err := s.run(ctx)
		if err != nil {
			return nil, err
		}
		if m, err = s.evaluate(set); err != nil {
			return nil, err
		}
	}
	if plan.absent {
		m = absence(m, agg.Query.Matchers)
	}
	e.ranges[plan.key] = m
	return m.clone(), nil
}

// clone copies the columns but not their contents, which nobody changes in place.
func (m *matrix) clone() *matrix { return &matrix{steps: m.steps, columns: slices.Clone(m.columns)} }

// absence has the value 1 where the matrix has none. Its labels are those that the selector demands to be equal to one
// value.
func absence(m *matrix, matchers []*labels.Matcher) *matrix {
	b := labels.NewBuilder(labels.EmptyLabels())
	seen := map[string]bool{}
	for _, matcher := range matchers {
		if matcher.Type != labels.MatchEqual {
			continue
		}
		if seen[matcher.Name] {
			b.Del(matcher.Name)
			continue
		}
		seen[matcher.Name] = true
		b.Set(matcher.Name, matcher.Value)
	}
	out := newMatrix(m.steps)
	c := out.newColumn(b.Labels())
	for k := range c.has {
		if !slices.ContainsFunc(m.columns, func(c *column) bool { return c.has[k] }) {
			c.set(k, 1)
		}
	}
	out.columns = append(out.columns, c)
	return out
}
