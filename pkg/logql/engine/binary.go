package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// binary evaluates an operator and both its sides.
func (e *evaluation) binary(ctx context.Context, expr *syntax.BinaryExpr) (*matrix, error) {
	left, err := e.evaluate(ctx, expr.Left)
	if err != nil {
		return nil, err
	}
	right, err := e.evaluate(ctx, expr.Right)
	if err != nil {
		return nil, err
	}
	if err := e.q.acct.hold(int64(e.steps.n) * columnBytes * int64(left.columns()+right.columns())); err != nil {
		return nil, err
	}
	op := operation{expr: expr}
	switch {
	case left.number && right.number:
		// The parser folds these; an expression made by hand may have them.
		m := constant(e.steps.n, right.value)
		return op.scalar(m, left.value, true), nil
	case left.number:
		return op.scalar(right.matrix, left.value, true), nil
	case right.number:
		return op.scalar(left.matrix, right.value, false), nil
	}
	op.match = newMatching(expr.Matching)
	switch expr.Op {
	case "and", "or", "unless":
		return op.set(left.matrix, right.matrix), nil
	}
	return op.vectors(left.matrix, right.matrix)
}

func (o operand) columns() int {
	if o.number {
		return 0
	}
	return len(o.matrix.columns)
}

// operation is a binary operator with its modifiers.
type operation struct {
	expr  *syntax.BinaryExpr
	match *matching
}

// calculate returns the value of one pair, and whether there is one. A comparison that filters yields the value keep.
func (o *operation) calculate(left, right, keep float64) (float64, bool) {
	v, ok := syntax.Calculate(o.expr.Op, left, right)
	if !syntax.IsComparison(o.expr.Op) {
		return v, true
	}
	if o.expr.ReturnBool {
		return float64(boolToInt(ok)), true
	}
	return keep, ok
}

// scalar applies the operator to each value and a number, which stands on the left or on the right.
func (o *operation) scalar(m *matrix, number float64, numberLeft bool) *matrix {
	out := newMatrix(m.steps)
	for _, c := range m.columns {
		to := out.newColumn(c.labels)
		c.each(func(k int, v float64) {
			left, right := v, number
			if numberLeft {
				left, right = number, v
			}
			if r, ok := o.calculate(left, right, v); ok {
				to.set(k, r)
			}
		})
		out.columns = append(out.columns, to)
	}
	return out
}

// matching says which labels two columns must have in common.
type matching struct {
	syntax.VectorMatching
	sorted []string
	bytes  []byte
}

func newMatching(m *syntax.VectorMatching) *matching {
	if m == nil {
		m = &syntax.VectorMatching{}
	}
	out := &matching{VectorMatching: *m, sorted: slices.Clone(m.Labels)}
	slices.Sort(out.sorted)
	return out
}

// signature is equal for columns that match.
func (m *matching) signature(l labels.Labels) string {
	if m.On {
		m.bytes = l.BytesWithLabels(m.bytes, m.sorted...)
	} else {
		m.bytes = l.BytesWithoutLabels(m.bytes, m.sorted...)
	}
	return string(m.bytes)
}

// bySignature groups the columns of a matrix.
func (m *matching) bySignature(in *matrix) map[string][]*column {
	out := make(map[string][]*column, len(in.columns))
	for _, c := range in.columns {
		s := m.signature(c.labels)
		out[s] = append(out[s], c)
	}
	return out
}

// anyAt reports whether one of the columns has a value at step k.
func anyAt(columns []*column, k int) bool {
	for _, c := range columns {
		if c.has[k] {
			return true
		}
	}
	return false
}

// set evaluates and, or and unless.
func (o *operation) set(left, right *matrix) *matrix {
	out := newMatrix(left.steps)
	keep := func(in *matrix, others map[string][]*column, matched bool) {
		for _, c := range in.columns {
			partners := others[o.match.signature(c.labels)]
			to := out.newColumn(c.labels)
			c.each(func(k int, v float64) {
				if anyAt(partners, k) == matched {
					to.set(k, v)
				}
			})
			out.columns = append(out.columns, to)
		}
	}
	switch o.expr.Op {
	case "and":
		keep(left, o.match.bySignature(right), true)
	case "unless":
		keep(left, o.match.bySignature(right), false)
	case "or":
		out.columns = append(out.columns, left.columns...)
		keep(right, o.match.bySignature(left), false)
		out.unite()
	}
	out.compact()
	return out
}

// unite puts columns of equal labels together.
func (m *matrix) unite() {
	columns := m.columns
	m.columns = nil
	set := newColumnSet(m)
	for _, c := range columns {
		to := set.get(c.labels)
		c.each(func(k int, v float64) {
			if !to.has[k] {
				to.set(k, v)
			}
		})
	}
}

// vectors evaluates arithmetic and comparisons of two matrices.
func (o *operation) vectors(left, right *matrix) (*matrix, error) {
	many, one := left, right
	if o.match.Card == syntax.OneToMany {
		many, one = right, left
	}
	partners := o.match.bySignature(one)
	for _, columns := range partners {
		if err := o.alone(columns, "one", "group_left or group_right"); err != nil {
			return nil, err
		}
	}
	out := newMatrix(left.steps)
	results := newColumnSet(out)
	used := map[string][]bool{} // signatures and steps that have a result already, one to one
	for _, c := range many.columns {
		signature := o.match.signature(c.labels)
		for _, p := range partners[signature] {
			to := results.get(o.labels(c.labels, p.labels))
			if o.match.Card == syntax.OneToOne && used[signature] == nil {
				used[signature] = make([]bool, left.steps)
			}
			if err := o.pair(c, p, to, used[signature]); err != nil {
				return nil, err
			}
		}
	}
	out.compact()
	return out, nil
}

// alone fails if two of the columns, which match each other, have a value at the same step.
func (o *operation) alone(columns []*column, side, hint string) error {
	if len(columns) < 2 {
		return nil
	}
	for k := range columns[0].has {
		var seen *column
		for _, c := range columns {
			if !c.has[k] {
				continue
			}
			if seen != nil {
				return queryErrorf(ErrManyToMany, "%s: found duplicate series on the %q side of %s: %s and %s; labels must be unique on one side, use on, ignoring, %s",
					ErrManyToMany, side, o.expr.Op, seen.labels, c.labels, hint)
			}
			seen = c
		}
	}
	return nil
}

// pair writes the results of two columns. used marks the steps at which their signature had a result, if there may be one
// only; else a step of the result must not be written twice.
func (o *operation) pair(many, one, to *column, used []bool) error {
	for k, has := range many.has {
		if !has || !one.has[k] {
			continue
		}
		if used != nil {
			if used[k] {
				return queryErrorf(ErrManyToMany, "%s: several series of the left side match %s; use group_left or group_right",
					ErrManyToMany, one.labels)
			}
			used[k] = true
		}
		left, right := many.values[k], one.values[k]
		if o.match.Card == syntax.OneToMany {
			left, right = right, left
		}
		v, ok := o.calculate(left, right, left)
		if !ok {
			continue
		}
		if to.has[k] {
			return queryErrorf(ErrManyToMany, "%s: several results have the labels %s", ErrManyToMany, to.labels)
		}
		to.set(k, v)
	}
	return nil
}

// labels returns the labels of the result of two columns.
func (o *operation) labels(many, one labels.Labels) labels.Labels {
	b := labels.NewBuilder(many)
	if o.match.Card == syntax.OneToOne {
		if o.match.On {
			b.Keep(o.match.Labels...)
		} else {
			b.Del(o.match.Labels...)
		}
	}
	for _, name := range o.match.Include {
		b.Set(name, strings.Clone(one.Get(name))) // an empty value deletes
	}
	return b.Labels()
}
