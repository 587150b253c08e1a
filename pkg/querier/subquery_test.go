package querier

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

func sampleSubquery(t testing.TB) (engine.Params, engine.Limits) {
	e, err := syntax.Parse(`topk(2, rate({app="a"} |= "x" [5m] offset -1m))`)
	require.NoError(t, err)
	return engine.Params{
		Text: e.String(), Expr: e, Start: -5, End: 1 << 60, Step: time.Minute, Interval: time.Second, Limit: 7, Instant: true, Categorize: true,
		Origins: true, Direction: model.Backward, ShardIndex: 2, ShardCount: 3,
	}, engine.Limits{MaxSeries: 500, MaxBytesRead: 1 << 40}
}

func sampleAnswers() []*answer {
	a, b := labels.FromStrings("app", "a"), labels.FromStrings("app", "b", "pod", "p")
	series := []engine.Series{{Labels: a, Points: []engine.Point{{T: 1, V: 0.5}, {T: 61, V: -2}}}, {Labels: b, Points: []engine.Point{}}}
	stats := engine.Stats{Streams: 1, BytesProcessed: 1 << 40, BlocksSkipped: 3, QueueTime: time.Second, Subqueries: 2}
	return []*answer{
		{result: engine.Result{Value: engine.Matrix(series), Stats: stats, Warnings: []string{"w"}}},
		{result: engine.Result{Value: engine.Vector(series)}, incomplete: true},
		{result: engine.Result{Value: engine.Scalar{T: 5, V: 2.5}}},
		{result: engine.Result{Value: engine.Streams{
			{Labels: a, Entries: []engine.LogEntry{
				{Timestamp: 9, Line: "x", Metadata: b, Origin: engine.Origin{Stream: b, Tenant: "t", Rank: 1}}, {Timestamp: 3, Line: "", Parsed: a},
			}}, {Labels: b, Entries: []engine.LogEntry{}},
		}}},
	}
}

func TestSubqueryMessages(t *testing.T) {
	p, lim := sampleSubquery(t)
	b := appendSubquery(nil, &p, lim)
	q, qlim, err := decodeSubquery(b)
	require.NoError(t, err)
	require.Equal(t, p.Expr.String(), q.Expr.String())
	q.Expr = p.Expr
	require.Equal(t, p, q)
	require.Equal(t, lim, qlim)
	for n := range b {
		_, _, err := decodeSubquery(b[:n])
		require.Error(t, err)
	}
	_, _, err = decodeSubquery(bytes.Replace(b, []byte("topk"), []byte("tops"), 1))
	require.ErrorIs(t, err, errSubquery)
	require.False(t, engine.IsBadQuery(err), "a query that only this member cannot read is run by another")
	for _, a := range sampleAnswers() {
		b := appendAnswer(nil, a)
		got, err := decodeAnswer(b)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(a, got, cmp.AllowUnexported(answer{}), cmpopts.EquateEmpty(), cmp.Comparer(labels.Equal)))
		for n := range b {
			_, err := decodeAnswer(b[:n])
			require.ErrorIs(t, err, errAnswer)
		}
	}
	failed, err := decodeAnswer(appendAnswer(nil, &answer{failed: engine.SeriesError(3)}))
	require.NoError(t, err)
	require.ErrorIs(t, failed.failed, engine.ErrMaxSeries)
	require.Equal(t, engine.SeriesError(3).Error(), failed.failed.Error())
}

func FuzzSubquery(f *testing.F) {
	p, lim := sampleSubquery(f)
	f.Add(appendSubquery(nil, &p, lim))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, lim, err := decodeSubquery(b)
		if err != nil {
			return
		}
		again, _, err := decodeSubquery(appendSubquery(nil, &p, lim))
		if err != nil || again.Expr.String() != p.Expr.String() {
			t.Fatalf("%q is not read back: %v", p.Expr, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, a := range sampleAnswers() {
		f.Add(appendAnswer(nil, a))
	}
	f.Add(appendAnswer(nil, &answer{failed: errors.New("x")}))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = decodeAnswer(b) })
}

// TestLegs looks at what queries are taken apart into.
func TestLegs(t *testing.T) {
	for query, want := range map[string][]string{
		`sum by (a) (rate({x="y"}[1m]))`:                          {`sum by (a) (count_over_time({x="y"}[1m])) sums`},
		`topk(2, rate({x="y"} |= "l" [1m]) * 2)`:                  {`topk(2, (rate({x="y"} |= "l" [1m]) * 2)) apart`},
		`topk(2, rate({x="y"} | json [1m]))`:                      {`count_over_time({x="y"} | json [1m]) sums`},
		`avg(count_over_time({x="y"}[1m]))`:                       {`count_over_time({x="y"}[1m]) sums`},
		`count(rate({x="y"}[1m])) / sum(bytes_rate({x="y"}[1m]))`: {`count(rate({x="y"}[1m])) sums`, `sum(bytes_over_time({x="y"}[1m])) sums`},
		`max(rate({x="y"}[1m])) or vector(0)`:                     {`max(rate({x="y"}[1m])) maxima`},
		`max(rate({x="y"} | drop a [1m]))`:                        {`count_over_time({x="y"} | drop a [1m]) sums`},
		`absent_over_time({x="y"}[1m])`:                           {`absent_over_time({x="y"}[1m]) whole`},
		`quantile_over_time(0.5, {x="y"} | unwrap b [1m])`:        {`quantile_over_time(0.5, {x="y"} | unwrap b [1m]) whole`},
		`min_over_time({x="y"} | unwrap b [1m]) by (a)`:           {`min_over_time({x="y"} | unwrap b [1m]) by (a) minima`},
	} {
		e, err := syntax.ParseSample(query)
		require.NoError(t, err)
		var got []string
		for _, l := range legsOf(e) {
			got = append(got, l.expr.String()+" "+map[combination]string{whole: "whole", apart: "apart", sums: "sums", minima: "minima", maxima: "maxima"}[l.combine])
		}
		require.Equal(t, want, got, query)
	}
}
