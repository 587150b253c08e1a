package querier_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/querier"
)

// TestInstantSlicesAreKept asks for the sum of a long window again and again while time goes on: only what is new is read, and a slice
// into which a late entry came.
func TestInstantSlicesAreKept(t *testing.T) {
	f := newFront(t, func(l *limits.Limits, _ *querier.Config, _ *querier.Deps) {
		l.SplitInstantMetricQueriesByInterval, l.MaxCacheFreshnessPerQuery = time.Hour, time.Minute
	})
	for i := range 2000 {
		f.add("a", f.now.Add(-12*time.Hour).UnixNano()+int64(i)*int64(20*time.Second), "line 7")
	}
	for _, query := range []string{`sum(rate({app="a"} |= "7" [10h]))`, `count_over_time({app="a"} |= "7" [9h]) / 2`} {
		e, err := syntax.Parse(query)
		require.NoError(t, err)
		ask := func() engine.Stats {
			t.Helper()
			p := engine.Params{Text: query, Expr: e, Start: f.now.UnixNano(), End: f.now.UnixNano(), Instant: true}
			res := f.query(t, p)
			require.Empty(t, sameValue(f.plain(t, p), res.Value))
			return res.Stats
		}
		first := ask()
		require.GreaterOrEqual(t, first.Splits, int64(9))
		require.Greater(t, first.LinesProcessed, int64(1500))
		f.now = f.now.Add(time.Minute)
		again := ask()
		require.GreaterOrEqual(t, again.Results.Found, int64(7))
		require.Less(t, again.LinesProcessed, first.LinesProcessed/3, "only head and tail are read")
		again = ask() // what was too fresh at first is kept now
		f.add("a", f.now.Add(-5*time.Hour).UnixNano(), "late 7")
		late := ask()
		require.Equal(t, again.Results.Found-1, late.Results.Found)
	}
}
