package querier

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// metric runs a metric query, its legs cut into shards of the streams.
func (r *request) metric(ctx context.Context, p engine.Params, shards int) (engine.Result, error) {
	expr, _ := p.Expr.(syntax.SampleExpr)
	legs := legsOf(expr)
	if shards <= 1 || !slices.ContainsFunc(legs, func(l leg) bool { return l.combine != whole }) {
		return r.part(ctx, p, r.engine)
	}
	r.noteShards(shards)
	given := make([]engine.Matrix, len(legs))
	warnings := make([][]string, len(legs))
	eg, inner := errgroup.WithContext(ctx)
	for i := range legs {
		eg.Go(func() (err error) {
			given[i], warnings[i], err = r.leg(inner, &legs[i], p, shards)
			legs[i].finish(given[i])
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return engine.Result{}, err
	}
	return r.above(ctx, p, legs, given, slices.Concat(warnings...))
}

// above evaluates what stands above the legs.
func (r *request) above(ctx context.Context, p engine.Params, legs []leg, given []engine.Matrix, warnings []string) (engine.Result, error) {
	p.Given = make(map[syntax.Expr]engine.Matrix, len(legs))
	for i := range legs {
		if given[i] == nil {
			given[i] = engine.Matrix{} // known to be empty
		}
		p.Given[legs[i].at] = given[i]
	}
	res, err := r.q.engine.Run(ctx, r.src, p, r.engine)
	res.Warnings = warnings
	return res, err
}

// leg runs the shards of a leg and joins what they yield, without its scale.
func (r *request) leg(ctx context.Context, l *leg, p engine.Params, shards int) (engine.Matrix, []string, error) {
	if l.combine == whole {
		shards = 1
	}
	lim := r.engine
	lim.MaxSeries = 0 // that of the result counts, not that of what it is made of
	p.Expr, p.Text = l.expr, ""
	parts := make([]engine.Matrix, shards)
	warnings := make([][]string, shards)
	eg, inner := errgroup.WithContext(ctx)
	for k := range shards {
		eg.Go(func() error {
			part := p
			if shards > 1 {
				part.ShardIndex, part.ShardCount = uint64(k), uint64(shards)
			}
			res, err := r.part(inner, part, lim)
			if err != nil {
				return err
			}
			parts[k], warnings[k] = seriesOf(res.Value), res.Warnings
			return r.engine.Budget.Hold(matrixBytes(parts[k]), r.engine)
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, nil, err
	}
	return l.join(parts), slices.Concat(warnings...), nil
}

// seriesOf returns the series of a metric result.
func seriesOf(v engine.Value) engine.Matrix {
	switch v := v.(type) {
	case engine.Matrix:
		return v
	case engine.Vector:
		return engine.Matrix(v)
	}
	return nil
}

// noteShards says in the statistics how many shards the streams were cut into.
func (r *request) noteShards(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Shards = max(r.stats.Shards, int64(n))
}

// spreadLog runs a log query over a stretch of time, in shards if it filters lines of which there are very many.
func (r *request) spreadLog(ctx context.Context, p engine.Params) (engine.Result, error) {
	query, _ := p.Expr.(*syntax.LogQuery)
	if r.spread == nil || !r.spread.sharded || query == nil || len(query.Stages) == 0 || p.Interval > 0 {
		return r.run(ctx, p, r.engine)
	}
	w := r.weigh(ctx, logql.Selection{Matchers: query.Matchers, Interval: model.Interval{Start: p.Start, End: p.End}}, false)
	shards := r.spread.shards(r.q.parts(r.spread, r.lim, w), 1, w.streams)
	if shards <= 1 {
		return r.part(ctx, p, r.engine)
	}
	r.noteShards(shards)
	p.Origins = true
	results := make([]engine.Result, shards)
	eg, inner := errgroup.WithContext(ctx)
	for k := range shards {
		eg.Go(func() (err error) {
			part := p
			part.ShardIndex, part.ShardCount = uint64(k), uint64(shards)
			if results[k], err = r.part(inner, part, r.engine); err != nil {
				return err
			}
			streams, _ := results[k].Value.(engine.Streams)
			_, bytes := countEntries(streams)
			return r.engine.Budget.Hold(bytes, r.engine)
		})
	}
	if err := eg.Wait(); err != nil {
		return engine.Result{}, err
	}
	return joinShards(results, p.Direction, p.Limit), nil
}

// shardEntry is an entry of some shard's result.
type shardEntry struct {
	*engine.LogEntry
	labels labels.Labels
}

// joinShards puts the lines of shards in order and keeps as many as are wanted, just those that a query of all streams had kept.
func joinShards(results []engine.Result, d model.Direction, limit int) engine.Result {
	var out engine.Result
	var all []shardEntry
	for i := range results {
		out.Warnings = append(out.Warnings, results[i].Warnings...)
		streams, _ := results[i].Value.(engine.Streams)
		for j := range streams {
			for k := range streams[j].Entries {
				all = append(all, shardEntry{&streams[j].Entries[k], streams[j].Labels})
			}
		}
	}
	slices.SortFunc(all, func(a, b shardEntry) int {
		c := cmp.Compare(a.Timestamp, b.Timestamp)
		if d == model.Backward {
			c = -c
		}
		return cmp.Or(c, a.Origin.Compare(b.Origin))
	})
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	x := newLabelIndex(func(s *engine.LogStream) labels.Labels { return s.Labels })
	for _, e := range all {
		s := x.get(e.labels, func() engine.LogStream { return engine.LogStream{Labels: e.labels} })
		entry := *e.LogEntry
		entry.Origin = engine.Origin{}
		s.Entries = append(s.Entries, entry)
	}
	slices.SortFunc(x.list, func(a, b engine.LogStream) int { return labels.Compare(a.Labels, b.Labels) })
	out.Value = append(engine.Streams{}, x.list...)
	return out
}
