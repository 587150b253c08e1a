package engine

import (
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
)

// rangePlan is a range aggregation ready to run.
type rangePlan struct {
	agg  *syntax.RangeAggregation
	pipe *pipeline.Pipeline
	// group says which labels the series have: those of the aggregation's own grouping, or of a sum around it.
	// nil keeps all.
	group *syntax.Grouping
	// absent plans need no labels and pass over errors.
	absent bool
	// newStore makes the store of a series.
	newStore func(b *buckets) store
	// additive plans count or sum: their stores are cellStore[float64] of sums.
	additive bool
	// scale is what window values are multiplied with.
	scale float64
	// key is equal for plans that yield the same.
	key string
}

// plans compiles all range aggregations of an expression, so that what is wrong with any of them is found before the
// first one runs.
func plans(expr syntax.SampleExpr) (map[*syntax.RangeAggregation]*rangePlan, error) {
	pushed := map[*syntax.RangeAggregation]*syntax.Grouping{}
	all := map[*syntax.RangeAggregation]*rangePlan{}
	var failed error
	syntax.Walk(expr, func(e syntax.Expr) {
		switch e := e.(type) {
		case *syntax.VectorAggregation:
			if agg, ok := pushable(e); ok {
				pushed[agg] = e.Grouping
				if e.Grouping == nil {
					pushed[agg] = &syntax.Grouping{}
				}
			}
		case *syntax.RangeAggregation:
			if failed != nil {
				return
			}
			all[e], failed = newRangePlan(e, pushed[e])
		}
	})
	return all, failed
}

// pushable returns the range aggregation inside a sum whose series may be added up while it runs.
func pushable(e *syntax.VectorAggregation) (*syntax.RangeAggregation, bool) {
	agg, ok := e.Expr.(*syntax.RangeAggregation)
	if !ok || e.Op != syntax.OpSum {
		return nil, false
	}
	switch agg.Op {
	case syntax.OpCountOverTime, syntax.OpRate, syntax.OpBytesOverTime, syntax.OpBytesRate, syntax.OpSumOverTime:
		return agg, true
	}
	return nil, false
}

func newRangePlan(agg *syntax.RangeAggregation, pushed *syntax.Grouping) (*rangePlan, error) {
	p := &rangePlan{agg: agg, group: agg.Grouping, scale: 1, absent: agg.Op == syntax.OpAbsentOverTime}
	if pushed != nil {
		p.group = pushed
	}
	if p.absent {
		p.group = &syntax.Grouping{}
	}
	pipe, err := pipeline.BuildSample(agg, p.group)
	if err != nil {
		return nil, buildError(err)
	}
	p.pipe = pipe
	p.key = agg.String()
	if p.group != nil {
		p.key += " " + p.group.String()
	}
	switch agg.Op {
	case syntax.OpRate, syntax.OpBytesRate:
		p.scale = 1 / agg.Range.Seconds()
		p.useSums()
	case syntax.OpMinOverTime:
		p.newStore = cells(&minima)
	case syntax.OpMaxOverTime:
		p.newStore = cells(&maxima)
	case syntax.OpAvgOverTime:
		p.newStore = cells(&means)
	case syntax.OpStddevOverTime:
		p.newStore = cells(&deviations)
	case syntax.OpStdvarOverTime:
		p.newStore = cells(&variances)
	case syntax.OpFirstOverTime:
		p.newStore = cells(&earliest)
	case syntax.OpLastOverTime:
		p.newStore = cells(&latest)
	case syntax.OpQuantileOverTime:
		q := *agg.Param
		p.newStore = func(b *buckets) store { return newQuantileStore(q, b) }
	case syntax.OpRateCounter:
		p.newStore = func(*buckets) store { return &sampleStore{value: counterRate} }
	default:
		p.useSums()
	}
	return p, nil
}

func (p *rangePlan) useSums() {
	p.additive = true
	p.newStore = cells(&sums)
}

func cells[C any](kind *cellKind[C]) func(b *buckets) store {
	return func(b *buckets) store { return newCellStore(kind, b.len()) }
}

// fixed reports whether all entries of a stream that pass have the same labels, whatever their metadata.
func (p *rangePlan) fixed(stream labels.Labels, metadata bool) bool {
	if !p.pipe.Trivial() || !p.additive {
		return false
	}
	if !metadata {
		return true
	}
	if p.group == nil || p.group.Without {
		return false
	}
	for _, name := range p.group.Labels {
		// Metadata cannot replace a label of the stream.
		if name != TenantLabel && !stream.Has(name) {
			return false
		}
	}
	return true
}

// keyed reports whether the series of the plan are found by the keys of their groups, whatever streams entries come from.
func (p *rangePlan) keyed() bool { return p.pipe.Grouped() && !p.pipe.Trivial() && !p.keepsTenant() }

// keepsTenant reports whether the series of the plan have the tenant's label.
func (p *rangePlan) keepsTenant() bool {
	if p.group == nil {
		return true
	}
	for _, name := range p.group.Labels {
		if name == TenantLabel {
			return !p.group.Without
		}
	}
	return p.group.Without
}
