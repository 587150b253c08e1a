package querier

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// instant evaluates a metric query at one time. A long window is cut into slices if these may be kept, or if it is so much to read that
// other members take a part.
func (r *request) instant() (engine.Result, error) {
	r.stats.Splits = 1
	expr, metric := r.p.Expr.(syntax.SampleExpr)
	if !metric {
		return r.run(r.ctx, r.p, r.engine)
	}
	var w weight
	if r.spread != nil {
		w = r.weighMetric(r.ctx, expr, r.p.End, r.p.End)
	}
	parts := r.q.parts(r.spread, r.lim, w)
	legs := legsOf(expr)
	windows := make([]*window, len(legs))
	sliced := false
	for i := range legs {
		windows[i] = r.sliceWindow(&legs[i], parts > 1)
		sliced = sliced || windows[i] != nil
	}
	read := r.stats.BytesProcessed
	defer func() { w.learn(r.stats.BytesProcessed - read) }()
	shards := r.spread.shards(parts, 1, w.streams)
	if !sliced {
		return r.metric(r.ctx, r.p, shards)
	}
	given := make([]engine.Matrix, len(legs))
	warnings := make([][]string, len(legs))
	eg, ctx := errgroup.WithContext(r.ctx)
	eg.SetLimit(r.spread.parallel())
	for i := range legs {
		eg.Go(func() (err error) {
			if v := windows[i]; v != nil {
				given[i], warnings[i], err = v.value(ctx, parts, w.streams)
			} else {
				given[i], warnings[i], err = r.leg(ctx, &legs[i], r.p, shards)
			}
			legs[i].finish(given[i])
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return engine.Result{}, err
	}
	return r.above(r.ctx, r.p, legs, given, slices.Concat(warnings...))
}

// minSlices is how many whole slices a window must have to be cut.
const minSlices = 2

// window is the window of a leg of an instant query, cut at the multiples of a length: a head, whole slices, a tail.
type window struct {
	*request
	leg  *leg
	kept *kept
	// The window is (begin, end], its whole slices are those of numbers [first, last): slice n is (n*length, (n+1)*length].
	begin, end, length int64
	first, last        int64
	// known is what the cache has of each whole slice.
	known [][]extent
}

// sliceWindow returns the slices of a leg's window, or nil if it is evaluated as it is.
func (r *request) sliceWindow(l *leg, large bool) *window {
	const ms = 1e6
	length := int64(r.lim.SplitInstantMetricQueriesByInterval)
	if l.window == nil || length <= 0 || length%ms != 0 {
		return nil
	}
	end := r.p.End - int64(l.window.Offset)
	w := &window{request: r, leg: l, length: length, begin: end - int64(l.window.Range), end: end}
	w.first, w.last = -floorDiv(-w.begin, length), floorDiv(end, length)
	if w.last-w.first < minSlices {
		return nil
	}
	r.stats.Splits = max(r.stats.Splits, w.last-w.first+2)
	w.kept = r.openKept(r.q.deps.Caches.Instant, model.Interval{Start: w.first*length + 1, End: w.last*length + 1},
		r.lim.MaxCacheFreshnessPerQuery, "instant", l.over(length).expr.String(), number(length))
	if w.kept == nil && !large {
		return nil
	}
	w.known = w.kept.load(r.ctx, w.numbers())
	return w
}

// over returns the leg with a window of another length, without offset.
func (l *leg) over(length int64) *leg {
	agg := *l.window
	agg.Range, agg.Offset = time.Duration(length), 0
	out := *l
	out.window = &agg
	if sum, ok := l.expr.(*syntax.VectorAggregation); ok {
		around := *sum
		around.Expr = &agg
		out.expr = &around
	} else {
		out.expr = &agg
	}
	return &out
}

// value evaluates the leg: what slices the cache has are taken from there, and each gap between them is read at once, as a query of
// as many steps.
func (w *window) value(ctx context.Context, parts, streams int) (engine.Matrix, []string, error) {
	var runs []gap
	for i := range w.known {
		switch n := len(runs); {
		case len(w.known[i]) > 0:
		case n > 0 && runs[n-1].to == i:
			runs[n-1].to = i + 1
		default:
			runs = append(runs, gap{i, i + 1})
		}
	}
	runs = cutSlices(runs, parts)
	shards := w.spread.shards(parts, len(runs), streams)
	found := make([]engine.Matrix, len(runs)+2)
	warnings := make([][]string, len(runs)+2)
	eg, inner := errgroup.WithContext(ctx)
	eg.SetLimit(w.spread.parallel())
	for i, run := range runs {
		eg.Go(func() (err error) {
			p := w.p
			p.Instant, p.Step = false, time.Duration(w.length)
			p.Start, p.End = w.endOf(run.from), w.endOf(run.to-1)
			found[i], warnings[i], err = w.sliced(inner, w.length, p, shards)
			return err
		})
	}
	for i, edge := range [][2]int64{{w.begin, w.first * w.length}, {w.last * w.length, w.end}} {
		if edge[0] == edge[1] {
			continue
		}
		eg.Go(func() (err error) {
			p := w.p
			p.Start, p.End = edge[1], edge[1]
			found[len(runs)+i], warnings[len(runs)+i], err = w.edge(inner, edge[1]-edge[0], p)
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, nil, err
	}
	warned := slices.Concat(warnings...)
	if w.kept != nil && len(warned) == 0 {
		w.keep(runs, found)
	}
	for _, list := range w.known {
		for _, e := range list {
			found = append(found, e.series)
		}
	}
	return w.leg.join(w.fold(found)), warned, nil
}

// sliced evaluates the leg with a window of some length.
func (w *window) sliced(ctx context.Context, length int64, p engine.Params, shards int) (engine.Matrix, []string, error) {
	return w.request.leg(ctx, w.leg.over(length), p, shards)
}

// edge evaluates the leg over the head or the tail: here, for they are short, and their length may be one that no query can be written
// with.
func (w *window) edge(ctx context.Context, length int64, p engine.Params) (engine.Matrix, []string, error) {
	lim := w.engine
	lim.MaxSeries = 0
	p.Expr, p.Text = w.leg.over(length).expr, ""
	res, err := w.run(ctx, p, lim)
	if err != nil {
		return nil, nil, err
	}
	series := seriesOf(res.Value)
	return series, res.Warnings, w.engine.Budget.Hold(matrixBytes(series), w.engine)
}

// endOf is the last instant of the slice with a place among the whole ones.
func (w *window) endOf(i int) int64 { return (w.first + int64(i) + 1) * w.length }

func (w *window) numbers() []int64 {
	out := make([]int64, w.last-w.first)
	for i := range out {
		out[i] = w.first + int64(i)
	}
	return out
}

// cutSlices cuts runs of slices so that there are about so many parts.
func cutSlices(runs []gap, parts int) []gap {
	total := 0
	for _, g := range runs {
		total += g.to - g.from
	}
	most := max(1, total/max(1, parts))
	return cutGaps(runs, most)
}

// keep puts the slices of runs into the cache.
func (w *window) keep(runs []gap, found []engine.Matrix) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.incomplete {
		return
	}
	for i, run := range runs {
		for n := run.from; n < run.to; n++ {
			end := w.endOf(n)
			first := end - w.length + 1
			if from, to, ok := w.kept.clip(first, end, 1); ok && from == first && to == end {
				w.kept.store(w.first+int64(n), []extent{{first: first, last: end, digest: w.kept.digest(first, end), series: cutMatrix(found[i], end, end)}})
			}
		}
	}
}

// fold makes one point of all that each series of a part has.
func (w *window) fold(parts []engine.Matrix) []engine.Matrix {
	at := floorDiv(w.p.End, 1e6)
	out := make([]engine.Matrix, len(parts))
	for i, part := range parts {
		for _, s := range part {
			if len(s.Points) == 0 {
				continue
			}
			v := s.Points[0].V
			for _, p := range s.Points[1:] {
				v = w.leg.value(v, p.V)
			}
			out[i] = append(out[i], engine.Series{Labels: s.Labels, Points: []engine.Point{{T: at, V: v}}})
		}
	}
	return out
}
