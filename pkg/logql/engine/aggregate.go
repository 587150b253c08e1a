package engine

import (
	"container/heap"
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// vectorAggregation evaluates sum, topk and the like.
func (e *evaluation) vectorAggregation(ctx context.Context, agg *syntax.VectorAggregation) (*matrix, error) {
	m, err := e.evaluateMatrix(ctx, agg.Expr)
	if err != nil {
		return nil, err
	}
	if inner, ok := pushable(agg); ok && e.q.p.Given[inner] == nil {
		return m, nil // added up while the range was read
	}
	switch agg.Op {
	case syntax.OpSort, syntax.OpSortDesc:
		return m, nil // the order shows only in the final result
	case syntax.OpTopK, syntax.OpBottomK, syntax.OpApproxTopK:
		return topK(m, agg), nil
	}
	return aggregate(m, agg), nil
}

// grouper makes the labels of a column's group.
type grouper struct {
	grouping *syntax.Grouping
	builder  *labels.Builder
}

func newGrouper(g *syntax.Grouping) *grouper {
	return &grouper{grouping: g, builder: labels.NewBuilder(labels.EmptyLabels())}
}

func (g *grouper) group(l labels.Labels) labels.Labels {
	switch {
	case g.grouping == nil, !g.grouping.Without && len(g.grouping.Labels) == 0:
		return labels.EmptyLabels()
	case g.grouping.Without:
		g.builder.Reset(l)
		g.builder.Del(g.grouping.Labels...)
	default:
		g.builder.Reset(l)
		g.builder.Keep(g.grouping.Labels...)
	}
	return g.builder.Labels() // without empty labels
}

// aggregate puts the columns of each group together.
func aggregate(m *matrix, agg *syntax.VectorAggregation) *matrix {
	out := newMatrix(m.steps)
	groups := newColumnSet(out)
	g := newGrouper(agg.Grouping)
	counts := map[*column][]float64{} // of avg
	moments := map[*column][]spread{} // of stddev and stdvar
	for _, c := range m.columns {
		to := groups.get(g.group(c.labels))
		switch agg.Op {
		case syntax.OpAvg:
			if counts[to] == nil {
				counts[to] = make([]float64, m.steps)
			}
			n := counts[to]
			c.each(func(k int, v float64) { n[k]++; to.set(k, to.values[k]+v) })
		case syntax.OpStddev, syntax.OpStdvar:
			if moments[to] == nil {
				moments[to] = make([]spread, m.steps)
			}
			s := moments[to]
			c.each(func(k int, v float64) { s[k].add(v); to.has[k] = true })
		default:
			to.combine(c, agg.Op)
		}
	}
	for c, n := range counts {
		c.each(func(k int, v float64) { c.values[k] = v / n[k] })
	}
	for c, s := range moments {
		c.each(func(k int, _ float64) {
			c.values[k] = s[k].variance()
			if agg.Op == syntax.OpStddev {
				c.values[k] = math.Sqrt(c.values[k])
			}
		})
	}
	return out
}

// each calls fn for the steps that have a value.
func (c *column) each(fn func(k int, v float64)) {
	for k, has := range c.has {
		if has {
			fn(k, c.values[k])
		}
	}
}

// combine adds another column by sum, count, min or max.
func (c *column) combine(o *column, op string) {
	for k, has := range o.has {
		if !has {
			continue
		}
		v, old := o.values[k], c.values[k]
		switch {
		case op == syntax.OpCount:
			v = old + 1
		case !c.has[k]:
		case op == syntax.OpSum:
			v += old
		case op == syntax.OpMin && (old <= v || math.IsNaN(v)), op == syntax.OpMax && (old >= v || math.IsNaN(v)):
			v = old
		}
		c.set(k, v)
	}
}

// topK keeps the k largest or smallest values of each group at each step. It is approx_topk too: what may be approximate
// may be exact.
func topK(m *matrix, agg *syntax.VectorAggregation) *matrix {
	h := &rankHeap{largest: agg.Op != syntax.OpBottomK, columns: m.columns}
	limit := int(*agg.Param)
	kept := map[int]*column{}
	out := newMatrix(m.steps)
	for _, group := range groupColumns(m, agg.Grouping) {
		for k := range m.steps {
			h.items = h.items[:0]
			for _, i := range group {
				if m.columns[i].has[k] {
					h.offer(ranked{m.columns[i].values[k], i}, limit)
				}
			}
			for _, r := range h.items {
				c := kept[r.column]
				if c == nil {
					c = out.newColumn(m.columns[r.column].labels)
					kept[r.column] = c
					out.columns = append(out.columns, c)
				}
				c.set(k, r.value)
			}
		}
	}
	slices.SortFunc(out.columns, func(a, b *column) int { return labels.Compare(a.labels, b.labels) })
	return out
}

// groupColumns returns the columns of each group, as indexes.
func groupColumns(m *matrix, by *syntax.Grouping) [][]int {
	if by == nil && len(m.columns) > 0 {
		all := make([]int, len(m.columns))
		for i := range all {
			all[i] = i
		}
		return [][]int{all}
	}
	var groups [][]int
	index := map[string]int{} // by the bytes of the group's labels
	g := newGrouper(by)
	var buf []byte
	for i, c := range m.columns {
		buf = g.group(c.labels).Bytes(buf[:0])
		n, ok := index[string(buf)]
		if !ok {
			n = len(groups)
			index[string(buf)] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], i)
	}
	return groups
}

// ranked is a value and its column.
type ranked struct {
	value  float64
	column int
}

// rankHeap keeps the best values, the worst of them on top. NaN is worse than any number; of equal values that with the
// first labels is the best.
type rankHeap struct {
	largest bool
	columns []*column
	items   []ranked
}

func (h *rankHeap) worse(a, b ranked) bool {
	switch {
	case math.IsNaN(a.value) != math.IsNaN(b.value):
		return math.IsNaN(a.value)
	case a.value == b.value || math.IsNaN(a.value):
		return labels.Compare(h.columns[a.column].labels, h.columns[b.column].labels) > 0
	case h.largest:
		return a.value < b.value
	}
	return a.value > b.value
}

func (h *rankHeap) Len() int           { return len(h.items) }
func (h *rankHeap) Less(i, j int) bool { return h.worse(h.items[i], h.items[j]) }
func (h *rankHeap) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }
func (h *rankHeap) Push(x any)         { h.items = append(h.items, x.(ranked)) }
func (h *rankHeap) Pop() any           { panic("BUG: items are replaced, not popped") }

func (h *rankHeap) offer(r ranked, limit int) {
	if len(h.items) < limit {
		heap.Push(h, r)
	} else if h.worse(h.items[0], r) {
		h.items[0] = r
		heap.Fix(h, 0)
	}
}
