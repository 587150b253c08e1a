package rules

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

// written shows samples as series and values, an end of a series as "gone".
func written(res Result) map[string]any {
	out := map[string]any{}
	for _, s := range res.Samples {
		if math.Float64bits(s.Value) == value.StaleNaN {
			out[s.Labels.String()] = "gone"
		} else {
			out[s.Labels.String()] = s.Value
		}
	}
	return out
}

func TestAlertSeries(t *testing.T) {
	const (
		since   = `{__name__="ALERTS_FOR_STATE", alertname="A", app="web"}`
		pending = `{__name__="ALERTS", alertname="A", alertstate="pending", app="web"}`
		firing  = `{__name__="ALERTS", alertname="A", alertstate="firing", app="web"}`
	)
	b := newBench(t, "groups: [{name: g, query_offset: 10s, rules: [{alert: A, expr: vector(1), for: 1m}]}]")
	b.set(web(7))
	res := b.at(0)
	require.Equal(t, map[string]any{since: 1.7e9, pending: 1.0}, written(res))
	require.Equal(t, epoch.Add(-10*time.Second).UnixMilli(), res.Samples[0].Time, "the time that the rule looked at")
	require.Equal(t, map[string]any{since: 1.7e9, firing: 1.0, pending: "gone"}, written(b.at(time.Minute)))

	// Another process goes on where this one was.
	next := newBench(t, "groups: [{name: g, query_offset: 10s, rules: [{alert: A, expr: vector(1), for: 1m}]}]")
	require.True(t, next.e.Restore(b.e.Snapshot(), epoch.Add(2*time.Minute)))
	next.set()
	require.Equal(t, map[string]any{since: "gone", firing: "gone"}, written(next.at(2*time.Minute)))
	require.Empty(t, written(next.at(3*time.Minute)), "an alert that is resolved has no series")
}

func TestAlertSeriesEndAtTheLimit(t *testing.T) {
	b := newBench(t, "groups: [{name: g, limit: 1, rules: [{alert: A, expr: vector(1)}]}]")
	b.set(web(1))
	require.Len(t, b.at(0).Samples, 2)
	other := web(1)
	other.Labels = other.Labels.MatchLabels(false, "app")
	b.set(web(1), other)
	for name, v := range written(b.at(time.Minute)) {
		require.Equal(t, "gone", v, name)
	}
}
