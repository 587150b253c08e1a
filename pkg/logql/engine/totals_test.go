package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// counts are queries that totals of pieces may answer, and some that they must not.
var counts = []string{
	`sum(count_over_time({app="a"}[100s]))`,
	`count_over_time({app="a"}[100s])`,
	`sum by (pod) (rate({app="a"}[100s]))`,
	`topk(2, sum by (pod) (bytes_over_time({app="a"}[100s])))`,
	`bytes_rate({app="a"}[100s])`,
	`sum by (pod, trace) (count_over_time({app="a"}[100s]))`,
	`sum by (trace) (bytes_over_time({app="a"}[100s]))`,
	`sum without (pod) (count_over_time({app="a"}[100s]))`,
	`sum by (pod) (count_over_time({app="a"} | trace="1" [100s]))`,
	`sum(count_over_time({app="a"} |= "timeout" [100s]))`,
	`absent_over_time({app="a", pod="1"}[100s])`,
	`max_over_time({app="a"} | logfmt | unwrap n [100s]) by (pod)`,
}

// countedEntries are entries of three streams, with repeats of some, several at many instants, and metadata on those of one stream and, every
// now and then, on those of another. Some come late.
func countedEntries(r *rand.Rand, unit int64) (entries []model.Entry, streams []labels.Labels) {
	ts := int64(2000) * unit
	for i := range 2000 {
		ts += r.Int64N(5) * unit
		e := model.Entry{Timestamp: ts, Line: fmt.Sprintf("n=%d word=%s", r.IntN(50), words[r.IntN(4)])}
		if r.IntN(200) == 0 {
			e.Timestamp -= r.Int64N(1000) * unit
		}
		pod := r.IntN(3)
		if pod == 2 || pod == 1 && i/300%2 == 0 {
			e.Metadata = []model.Pair{{Name: "trace", Value: fmt.Sprint(r.IntN(3))}}
		}
		for range 1 + r.IntN(30)/29 {
			entries, streams = append(entries, e), append(streams, labels.FromStrings("app", "a", "pod", fmt.Sprint(pod)))
		}
	}
	return entries, streams
}

// TestTotalsAgree runs counts with windows of all lengths over pieces of all sizes, with totals and without: the answers must be equal.
func TestTotalsAgree(t *testing.T) {
	r := newSeed(t)
	outlined, spared := int64(0), int64(0)
	for range 20 {
		unit := []int64{1, 700, 1e6, 1e6 + 1, 1e9, 1e12}[r.IntN(6)] // at the last one they are of months
		entries, streams := countedEntries(r, unit)
		span := entries[len(entries)-1].Timestamp
		opts := enginetest.Options{
			BlockEntries: 1 + r.IntN(100), PieceEntries: 1 + r.IntN(400), Replicas: 1 + r.IntN(5)/4, Live: r.IntN(4) == 0,
			Described: described, Bare: []int{0, 0, 1, 3, 7}[r.IntN(5)],
		}
		bare := opts
		bare.Described = nil
		plain, counted := enginetest.New(bare), enginetest.New(opts)
		for i, e := range entries {
			plain.Add(streams[i], e)
			counted.Add(streams[i], e)
		}
		for _, query := range counts {
			p, length := countParams(t, r, query, span)
			want, err := new(engine.Engine).Run(context.Background(), plain, p, engine.Limits{})
			require.NoError(t, err)
			before := counted.Outlined.Load()
			got, err := new(engine.Engine).Run(context.Background(), counted, p, engine.Limits{})
			require.NoError(t, err)
			require.Equal(t, text(want.Value), text(got.Value), "%s of %s from %d to %d step %d instant %v, %+v", query, length, p.Start, p.End, p.Step, p.Instant, opts)
			opened := counted.Outlined.Load() - before
			outlined, spared = outlined+opened, spared+got.Stats.ChunksOpened-opened
		}
	}
	require.Greater(t, spared, outlined/10, "hardly any piece was answered by its totals")
}

// countParams returns a query of a random window and range; span is how long the data are. The windows are set by hand since they may be
// shorter than what can be written.
func countParams(t *testing.T, r *rand.Rand, query string, span int64) (p engine.Params, length time.Duration) {
	expr, err := syntax.Parse(query)
	require.NoError(t, err)
	length = time.Duration(1 + r.Int64N(span)>>r.IntN(8))
	syntax.Walk(expr, func(e syntax.Expr) {
		if agg, ok := e.(*syntax.RangeAggregation); ok {
			agg.Range = length
		}
	})
	p = engine.Params{Expr: expr, Start: r.Int64N(span), Instant: r.IntN(2) == 0, Step: max(1, time.Duration(r.Int64N(span))>>r.IntN(6))}
	p.End = p.Start + r.Int64N(span)
	return p, length
}

// TestTotalsNeedNoOutlines wants counts over whole pieces answered by their totals, and those pieces alone opened that reach over a bound
// of the window. There are five pieces of 2000 seconds and 20 blocks each.
func TestTotalsNeedNoOutlines(t *testing.T) {
	src := filled(enginetest.Options{Described: described}, -1)
	for _, c := range []struct {
		query         string
		opened, lines int64
	}{
		{`sum(count_over_time({app="a"}[10001s]))`, 0, 10000},
		{`topk(3, sum by (app) (rate({app="a"}[10001s])))`, 0, 10000},
		{`sum by (app) (bytes_over_time({app="a"}[10001s]))`, 0, 10000},
		{`bytes_over_time({app="a"} | drop level [10001s])`, 5, 10000}, // the series differ by metadata
		{`sum(count_over_time({app="a"}[7000s]))`, 1, 6999},
		{`sum(count_over_time({app="a"}[7000s] offset 10s))`, 2, 7000},
	} {
		before := src.Outlined.Load()
		res := run(t, src, c.query, engine.Params{End: 10000e9, Instant: true})
		require.Equal(t, c.opened, src.Outlined.Load()-before, c.query)
		require.Equal(t, c.lines, res.Stats.PostFilterLines, c.query)
	}
}

// BenchmarkTotals counts streams of many pieces that are described.
func BenchmarkTotals(b *testing.B) {
	src := enginetest.New(enginetest.Options{BlockEntries: 10, PieceEntries: 100, Described: described})
	for i := range 200 * 600 {
		src.Add(labels.FromStrings("app", "web", "pod", fmt.Sprint("pod-", i%200)), model.Entry{Timestamp: benchStart + int64(i)*benchSpan/(200*600), Line: "level=info"})
	}
	_, err := src.Select(context.Background(), logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 62}})
	require.NoError(b, err)
	for _, query := range []string{
		`sum(count_over_time({app="web"}[1h]))`, `topk(10, sum by (pod) (count_over_time({app="web"}[1h])))`, `sum by (app) (bytes_rate({app="web"}[30m]))`,
	} {
		b.Run(query, func(b *testing.B) {
			expr, err := syntax.Parse(query)
			require.NoError(b, err)
			p := engine.Params{Expr: expr, End: benchStart + benchSpan, Instant: true}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
