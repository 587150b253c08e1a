package querier_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
)

// TestGuard refuses queries by their text and by their selectors.
func TestGuard(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	src.Add(labels.FromStrings("app", "a", "env", "b"), model.Entry{Timestamp: 1, Line: "x"})
	ctx := tenant.Inject(t.Context(), "x")
	f := func(query, want string, set func(*limits.Limits)) {
		t.Helper()
		q := newQuerier(t, &pushes{}, set, src)
		_, err := q.Query(ctx, params(t, query, 0, 100))
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, querier.ErrLimit)
		require.ErrorContains(t, err, want)
	}
	rule := func(b limits.BlockedQuery) func(*limits.Limits) {
		return func(l *limits.Limits) { l.BlockedQueries = []limits.BlockedQuery{{}, b} }
	}
	const blocked = "query blocked by policy"
	f(`{app="a"}`, blocked, rule(limits.BlockedQuery{Pattern: ` {app="a"} `}))
	f(`{app="a"} |= "x"`, "", rule(limits.BlockedQuery{Pattern: `{app="a"}`}))
	f(`{app="a"} |= "x"`, blocked, rule(limits.BlockedQuery{Pattern: `app="a"`, Regex: true}))
	f(`{app="a"} |= "x"`, blocked, rule(limits.BlockedQuery{Types: []string{"limited", "filter"}}))
	f(`{app="a"} |= "x"`, "", rule(limits.BlockedQuery{Types: []string{"limited", "metric"}}))
	f(`{app="a"}`, blocked, rule(limits.BlockedQuery{Types: []string{"limited"}}))
	f(`sum(rate({app="a"}[1m]))`, blocked, rule(limits.BlockedQuery{Types: []string{"metric"}, Pattern: "rate", Regex: true}))
	f(`sum(rate({app="a"}[1m]))`, "", rule(limits.BlockedQuery{Types: []string{"metric"}, Pattern: "count", Regex: true}))
	const hash = 2943214005 // as Loki's documentation has it
	f(`{stream="stdout",pod="loki-canary-9w49x"}`, blocked, rule(limits.BlockedQuery{Hash: hash}))
	f(`{app="b"}`, "", rule(limits.BlockedQuery{Hash: hash}))

	required := func(l *limits.Limits) { l.RequiredLabels = []string{"app", "env"} }
	f(`{app="a", env="b"}`, "", required)
	f(`{app="a", x!="b"}`, "missing required matchers [env], labels present in the query were [app, x]", required)
	f(`vector(1) + rate({env="a"}[1m])`, "missing required matchers [app]", required)
	f(`{app="a"}`, "less label matchers than required: (present: [app], number_present: 1, required_number_label_matchers: 2)",
		func(l *limits.Limits) { l.MinimumLabelsNumber = 2 })
	f(`{app="a", env="b"}`, "matchers-count > limit (2 > 1)", func(l *limits.Limits) { l.MaxStreamsMatchersPerQuery = 1 })

	q := newQuerier(t, &pushes{}, func(l *limits.Limits) { l.VolumeMaxSeries = 1 }, src)
	volumes, err := q.Volume(ctx, querier.VolumeRequest{Interval: model.Interval{End: 100}, Limit: 100, ByLabel: true})
	require.NoError(t, err)
	require.Len(t, volumes, 1)
}
