package querier

import (
	"strconv"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// splitsPerRun bounds one run of a metric query in splits: a longer query gives others their turn in between.
const splitsPerRun = 24

// wholeQueries is the length of the splits where the configuration has none; it only says what is kept together in the cache.
const wholeQueries = int64(24 * 3600e9)

// metricRange evaluates a metric query over a range: what the cache has is taken from there, and the steps between are
// run, as few runs as there are gaps.
func (r *request) metricRange() (engine.Result, error) {
	g, ok := gridOf(&r.p)
	expr, metric := r.p.Expr.(syntax.SampleExpr)
	if !ok || !metric {
		return r.run(r.ctx, r.p, r.engine)
	}
	before, ahead, reads := reach(expr)
	if !reads {
		return r.run(r.ctx, r.p, r.engine)
	}
	interval := stepInterval(splitLength(int64(r.lim.SplitQueriesByInterval)), g.step)
	splits := g.split(interval)
	r.stats.Splits = int64(len(splits))
	last := splits[len(splits)-1]
	k := r.openKept(r.q.deps.Caches.Results, model.Interval{
		Start: splits[0].number*interval - int64(before), End: (last.number+1)*interval + int64(ahead) + 1,
	}, r.lim.MaxCacheFreshnessPerQuery, "metric", expr.String(), number(g.step), number(g.phase()), number(interval))
	if k != nil {
		k.before, k.ahead = int64(before), int64(ahead)
	}
	m := &rangeRun{request: r, grid: g, kept: k, interval: interval, splits: splits, window: int64(before + ahead)}
	return m.result()
}

func splitLength(configured int64) int64 {
	if configured <= 0 {
		return wholeQueries
	}
	return configured
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// gridOf returns the steps of a query. ok is false if they are finer than the milliseconds that results have, or if there
// is but one.
func gridOf(p *engine.Params) (grid, bool) {
	const ms = 1e6
	step := int64(p.Step)
	if step <= 0 || p.End <= p.Start || step%ms != 0 || p.Start%ms != 0 {
		return grid{}, false
	}
	return grid{start: p.Start, step: step, n: int((p.End-p.Start)/step) + 1}, true
}

// rangeRun is a metric range query under way.
type rangeRun struct {
	*request
	grid     grid
	kept     *kept
	interval int64
	splits   []stepSplit
	// window is how much data one step looks at, in nanoseconds.
	window int64

	known [][]extent // of each split
	parts []matrixPart
}

// gap is a run of steps [from, to) that the cache does not have.
type gap struct{ from, to int }

func (m *rangeRun) result() (engine.Result, error) {
	numbers := make([]int64, len(m.splits))
	for i, s := range m.splits {
		numbers[i] = s.number
	}
	m.known = m.kept.load(m.ctx, numbers)
	gaps := m.takeKnown()
	w := m.weighGaps(gaps)
	parts := m.q.parts(m.spread, m.lim, w)
	runs := m.cut(gaps, parts)
	shards := m.spread.shards(parts, len(runs), w.streams)
	read := m.stats.BytesProcessed
	results := make([]engine.Result, len(runs))
	eg, ctx := errgroup.WithContext(m.ctx)
	eg.SetLimit(m.spread.parallel())
	for i, run := range runs {
		eg.Go(func() error {
			p := m.p
			p.Start, p.End = m.grid.at(run.from), m.grid.at(run.to-1)
			res, err := m.metric(ctx, p, shards)
			results[i] = res
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return engine.Result{}, err
	}
	w.learn(m.stats.BytesProcessed - read)
	var warnings []string
	for i, run := range runs {
		series, _ := results[i].Value.(engine.Matrix)
		warnings = append(warnings, results[i].Warnings...)
		if err := m.engine.Budget.Hold(matrixBytes(series), m.engine); err != nil {
			return engine.Result{}, err
		}
		m.parts = append(m.parts, matrixPart{first: m.grid.at(run.from), last: m.grid.at(run.to - 1), series: series})
	}
	if m.kept != nil && !m.incomplete && len(warnings) == 0 && len(runs) > 0 {
		m.keep(runs, results)
	}
	joined := joinMatrix(m.parts)
	if limit := m.lim.MaxQuerySeries; limit > 0 && len(joined) > limit {
		return engine.Result{}, engine.SeriesError(limit)
	}
	return engine.Result{Value: joined, Warnings: warnings}, nil
}

// takeKnown takes what the cache has and returns the gaps, in ascending order, those of neighbouring splits joined.
func (m *rangeRun) takeKnown() []gap {
	var gaps []gap
	missing := func(from, to int) {
		switch n := len(gaps); {
		case from >= to:
		case n > 0 && gaps[n-1].to == from:
			gaps[n-1].to = to
		default:
			gaps = append(gaps, gap{from, to})
		}
	}
	for i, s := range m.splits {
		at := s.from
		for _, e := range m.known[i] {
			from, to := max(at, m.grid.index(e.first)), min(s.to, m.grid.index(e.last)+1)
			if from >= to {
				continue
			}
			missing(at, from)
			first, last := m.grid.at(from), m.grid.at(to-1)
			m.parts = append(m.parts, matrixPart{first: first, last: last, series: cutMatrix(e.series, first, last)})
			at = to
		}
		missing(at, s.to)
	}
	return gaps
}

// index returns the number of a step, which may lie outside of the grid.
func (g grid) index(at int64) int { return int(floorDiv(at-g.start, g.step)) }

// weighGaps estimates how much the gaps have to read; nothing is asked if it does not matter.
func (m *rangeRun) weighGaps(gaps []gap) weight {
	if m.spread == nil || len(gaps) == 0 {
		return weight{}
	}
	expr, _ := m.p.Expr.(syntax.SampleExpr) // it is one
	return m.weighMetric(m.ctx, expr, m.grid.at(gaps[0].from), m.grid.at(gaps[len(gaps)-1].to-1))
}

// cut cuts gaps into runs, so that there are about so many parts. Each run reads the window before its first step once more, so a run
// is much longer than a window.
func (m *rangeRun) cut(gaps []gap, parts int) []gap {
	length := max(splitsPerRun*m.interval, 8*m.window)
	if parts > 1 {
		steps := int64(0)
		for _, g := range gaps {
			steps += int64(g.to - g.from)
		}
		length = max(m.interval, 4*m.window, steps*m.grid.step/int64(parts))
	}
	steps := max(1, int(length/m.grid.step))
	return cutGaps(gaps, steps)
}

// cutGaps cuts off pieces of so many as long as half as many more are left.
func cutGaps(gaps []gap, length int) []gap {
	var out []gap
	for _, g := range gaps {
		for g.to-g.from > length+length/2 {
			out = append(out, gap{g.from, g.from + length})
			g.from += length
		}
		out = append(out, g)
	}
	return out
}

// keep puts what was run into the cache, joined with what was there.
func (m *rangeRun) keep(runs []gap, results []engine.Result) {
	for i, s := range m.splits {
		list := m.known[i]
		grown := false
		for j, run := range runs {
			from, to := max(run.from, s.from), min(run.to, s.to)
			if from >= to {
				continue
			}
			first, last, ok := m.kept.clip(m.grid.at(from), m.grid.at(to-1), m.grid.step)
			if !ok {
				continue
			}
			series, _ := results[j].Value.(engine.Matrix)
			list = append(list, extent{
				first: first, last: last, digest: m.kept.digest(first, last), series: cutMatrix(series, first, last),
			})
			grown = true
		}
		if grown {
			m.kept.store(s.number, m.kept.joinExtents(list, m.grid.step))
		}
	}
}
