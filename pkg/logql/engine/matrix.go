package engine

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// matrix is the value of an expression at all steps. Label sets may stand in it more than once, as long as no two columns
// of equal labels have a value at the same step; only the final result is checked for that.
type matrix struct {
	steps   int
	columns []*column
}

// column is one series: a value and its presence for each step. A value that is not present is zero.
type column struct {
	labels labels.Labels
	values []float64
	has    []bool
}

// columnBytes is what one step of a column takes.
const columnBytes = 9

func newMatrix(steps int) *matrix { return &matrix{steps: steps} }

// newColumn makes a column that is not part of the matrix yet.
func (m *matrix) newColumn(l labels.Labels) *column {
	return &column{labels: l, values: make([]float64, m.steps), has: make([]bool, m.steps)}
}

// constant returns a matrix with one column without labels that has the value at every step.
func constant(steps int, v float64) *matrix {
	m := newMatrix(steps)
	c := m.newColumn(labels.EmptyLabels())
	for k := range c.values {
		c.values[k], c.has[k] = v, true
	}
	m.columns = append(m.columns, c)
	return m
}

// set gives the column a value at step k.
func (c *column) set(k int, v float64) { c.values[k], c.has[k] = v, true }

// columnSet finds columns of a matrix by their labels.
type columnSet struct {
	m      *matrix
	byHash map[uint64][]*column
}

func newColumnSet(m *matrix) *columnSet { return &columnSet{m: m, byHash: map[uint64][]*column{}} }

// get returns the column of the labels, or adds it to the matrix.
func (s *columnSet) get(l labels.Labels) *column {
	hash := l.Hash()
	for _, c := range s.byHash[hash] {
		if labels.Equal(c.labels, l) {
			return c
		}
	}
	c := s.m.newColumn(l)
	s.m.columns = append(s.m.columns, c)
	s.byHash[hash] = append(s.byHash[hash], c)
	return c
}

// compact drops the columns that have no value at all.
func (m *matrix) compact() {
	m.columns = slices.DeleteFunc(m.columns, func(c *column) bool { return !slices.Contains(c.has, true) })
}

// points returns the column as a series.
func (c *column) points(s steps) []Point {
	n := 0
	for _, has := range c.has {
		if has {
			n++
		}
	}
	points := make([]Point, 0, n)
	for k, has := range c.has {
		if has {
			points = append(points, Point{T: floorDiv(s.at(k), 1e6), V: c.values[k]})
		}
	}
	return points
}

// fromSeries is the inverse of points; what is not of a step is left out.
func fromSeries(series Matrix, s steps) *matrix {
	m := newMatrix(s.n)
	for i := range series {
		c := m.newColumn(series[i].Labels)
		for _, p := range series[i].Points {
			if k := s.index(p.T); k >= 0 {
				c.set(k, p.V)
			}
		}
		m.columns = append(m.columns, c)
	}
	return m
}
