package rules

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

var epoch = time.UnixMilli(1_700_000_000_000).UTC()

// bench evaluates a group over vectors that the test sets.
type bench struct {
	t      *testing.T
	e      *Evaluator
	vector []Sample
	err    error
	asked  []time.Time
}

func newBench(t *testing.T, text string) *bench {
	t.Helper()
	f, errs := ParseFile([]byte(text))
	require.Empty(t, errs)
	external, err := url.Parse("http://store.example")
	require.NoError(t, err)
	return &bench{t: t, e: NewEvaluator(f.Groups[0], Options{
		ExternalURL: external, ExternalLabels: labels.FromStrings("cluster", "one"), ResendDelay: time.Minute, DefaultInterval: time.Minute,
		OutageTolerance: time.Hour, GracePeriod: 10 * time.Minute, Logger: slog.New(slog.DiscardHandler),
	})}
}

func (b *bench) set(samples ...Sample) { b.vector, b.err = samples, nil }

// at evaluates at a time after epoch.
func (b *bench) at(after time.Duration) Result {
	return b.e.Eval(context.Background(), epoch.Add(after), func(_ context.Context, _ string, ts time.Time) ([]Sample, error) {
		b.asked = append(b.asked, ts)
		return append([]Sample(nil), b.vector...), b.err
	})
}

// state is the state of the only alert, or inactive.
func (b *bench) state() string {
	s := b.e.Status().Rules[0]
	require.LessOrEqual(b.t, len(s.Alerts), 1)
	return s.State.String()
}

func web(v float64) Sample { return Sample{Labels: labels.FromStrings("app", "web"), Value: v} }

const alertText = `
groups:
- name: g
  labels: {team: a, severity: none}
  rules:
  - alert: A
    expr: count_over_time({app="web"}[1m]) > 0
    for: 2m
    labels: {severity: "{{ $labels.app }}-{{ $value }}"}
    annotations: {text: "{{ $labels.app }} {{ $value | humanize }} {{ $externalLabels.cluster }} {{ $externalURL }}"}
`

func TestAlertLife(t *testing.T) {
	b := newBench(t, alertText)
	require.False(t, b.e.Status().Rules[0].Evaluated)
	b.set(web(1500))
	res := b.at(0)
	require.True(t, res.Changed)
	require.Empty(t, res.Alerts, "a pending alert is not sent")
	require.Equal(t, "pending", b.state())
	require.Equal(t, "pending", func() string { b.at(time.Minute); return b.state() }())
	res = b.at(2 * time.Minute)
	require.Equal(t, "firing", b.state())
	require.Len(t, res.Alerts, 1)
	a := res.Alerts[0]
	require.Equal(t, `{alertname="A", app="web", severity="web-1500", team="a"}`, a.Labels.String())
	require.Equal(t, `web 1.5k one http://store.example`, a.Annotations.Get("text"))
	require.Equal(t, epoch.Add(2*time.Minute), a.FiredAt)
	require.Equal(t, epoch.Add(6*time.Minute), a.ValidUntil, "four intervals")
	require.Equal(t, epoch, a.ActiveAt)
	require.Empty(t, b.at(3*time.Minute).Alerts, "it is sent again only after the resend delay")
	require.Len(t, b.at(4*time.Minute).Alerts, 1)

	b.set()
	res = b.at(5 * time.Minute)
	require.Equal(t, "inactive", b.state())
	require.Len(t, res.Alerts, 1)
	require.Equal(t, epoch.Add(5*time.Minute), res.Alerts[0].ResolvedAt)
	require.Len(t, b.at(7*time.Minute).Alerts, 1, "it is said again that it is resolved")
	b.at(20 * time.Minute)
	require.Len(t, b.e.rules[0].active, 1)
	b.at(21 * time.Minute)
	require.Empty(t, b.e.rules[0].active, "and forgotten at last")
}

func TestPendingAlertGoesAway(t *testing.T) {
	b := newBench(t, alertText)
	b.set(web(1))
	b.at(0)
	b.set()
	res := b.at(time.Minute)
	require.True(t, res.Changed)
	require.Empty(t, res.Alerts)
	require.Empty(t, b.e.rules[0].active)
}

func TestLabelsMakeTheAlert(t *testing.T) {
	b := newBench(t, alertText)
	b.set(web(1))
	b.at(0)
	b.set(web(2)) // another label severity, so another alert
	b.at(2 * time.Minute)
	require.Equal(t, "pending", b.state())
}

func TestKeepFiringFor(t *testing.T) {
	b := newBench(t, "groups: [{name: g, rules: [{alert: A, expr: vector(1), keep_firing_for: 3m}]}]")
	b.set(web(1))
	b.at(0)
	require.Equal(t, "firing", b.state())
	b.set()
	for m := range 3 {
		b.at(time.Duration(m+1) * time.Minute)
		require.Equal(t, "firing", b.state(), m)
	}
	b.set(web(1)) // it is there again, so the time begins anew
	b.at(4 * time.Minute)
	b.set()
	b.at(5 * time.Minute)
	b.at(7 * time.Minute)
	require.Equal(t, "firing", b.state())
	b.at(8 * time.Minute)
	require.Equal(t, "inactive", b.state())
}

func TestFailedEvaluationKeepsState(t *testing.T) {
	b := newBench(t, alertText)
	b.set(web(1))
	b.at(0)
	b.err = errors.New("no answer")
	res := b.at(time.Minute)
	require.Equal(t, 1, res.Failed)
	require.Equal(t, "pending", b.state())
	require.EqualError(t, b.e.Status().Rules[0].Err, "no answer")
	b.set(web(1))
	b.at(2 * time.Minute)
	require.Equal(t, "firing", b.state())
	require.NoError(t, b.e.Status().Rules[0].Err)
}

func TestLimits(t *testing.T) {
	b := newBench(t, "groups: [{name: g, limit: 1, rules: [{alert: A, expr: vector(1)}, {record: r, expr: vector(1)}]}]")
	b.set(web(1))
	require.Zero(t, b.at(0).Failed)
	b.set(web(1), Sample{Labels: labels.FromStrings("app", "db")})
	res := b.at(time.Minute)
	require.Equal(t, 2, res.Failed)
	for _, s := range res.Samples {
		require.Equal(t, value.StaleNaN, math.Float64bits(s.Value), s.Labels.String()) // the alert's series end, nothing is recorded
	}
	s := b.e.Status()
	require.EqualError(t, s.Rules[0].Err, "exceeded limit of 1 with 2 alerts")
	require.EqualError(t, s.Rules[1].Err, "exceeded limit of 1 with 2 series")
}

func TestDuplicates(t *testing.T) {
	b := newBench(t, "groups: [{name: g, rules: [{alert: A, expr: vector(1), labels: {app: x}}, {record: r, expr: vector(1), labels: {app: x}}]}]")
	b.set(web(1), Sample{Labels: labels.FromStrings("app", "db")})
	require.Equal(t, 2, b.at(0).Failed)
	s := b.e.Status()
	require.ErrorIs(t, s.Rules[0].Err, ErrDuplicateAlert)
	require.ErrorIs(t, s.Rules[1].Err, ErrDuplicateSeries)
}

func TestTemplates(t *testing.T) {
	b := newBench(t, `
groups:
- name: g
  rules:
  - alert: A
    expr: vector(1)
    annotations:
      failing: '{{ template "nope" }}'
      query: '{{ with query "vector(1)" }}{{ . | first | value }}{{ end }}'
`)
	b.set(web(7))
	require.Zero(t, b.at(0).Failed, "a template that fails harms nothing else")
	a := b.e.Status().Rules[0].Alerts[0]
	require.Contains(t, a.Annotations.Get("failing"), "<error expanding template:")
	require.Equal(t, "7", a.Annotations.Get("query"))
}

func TestRecording(t *testing.T) {
	b := newBench(t, "groups: [{name: g, query_offset: 30s, labels: {a: group, b: group}, rules: [{record: r, expr: vector(1), labels: {b: rule}}]}]")
	b.set(web(1), Sample{Labels: labels.FromStrings("app", "db"), Value: 2})
	res := b.at(0)
	require.Equal(t, epoch.Add(-30*time.Second), b.asked[0])
	require.Len(t, res.Samples, 2)
	require.Equal(t, `{__name__="r", a="group", app="web", b="rule"}`, res.Samples[0].Labels.String())
	require.Equal(t, epoch.Add(-30*time.Second).UnixMilli(), res.Samples[0].Time)
	b.set(web(1))
	res = b.at(time.Minute)
	require.Len(t, res.Samples, 2)
	require.Equal(t, value.StaleNaN, math.Float64bits(res.Samples[1].Value), "a series that is gone ends")
	require.Equal(t, "db", res.Samples[1].Labels.Get("app"))
	require.Len(t, b.at(2*time.Minute).Samples, 1, "once")
	end := b.e.End(epoch.Add(3 * time.Minute))
	require.Len(t, end, 1)
	require.True(t, value.IsStaleNaN(end[0].Value))
	require.Empty(t, b.e.End(epoch))
}

// restored takes the state through its saved form into a new evaluator of the same group.
func (b *bench) restored(text string, at time.Duration) *bench {
	saved, err := json.Marshal(b.e.Snapshot())
	require.NoError(b.t, err)
	var s Snapshot
	require.NoError(b.t, json.Unmarshal(saved, &s))
	next := newBench(b.t, text)
	next.e.Restore(s, epoch.Add(at))
	return next
}

func TestRestore(t *testing.T) {
	long := strings.ReplaceAll(alertText, "for: 2m", "for: 20m")
	for _, c := range []struct {
		name, text    string
		before, after time.Duration // the last evaluation, and the first one after the outage
		fires         time.Duration // when the alert fires at last
	}{
		{"a short outage leaves no trace", alertText, time.Minute, 3 * time.Minute, 3 * time.Minute},
		{"after a longer one an alert waits on", alertText, time.Minute, 10 * time.Minute, 11 * time.Minute},
		{"but at least the grace period if for is longer", long, 15 * time.Minute, 30 * time.Minute, 40 * time.Minute},
		{"and what was over anyway is at once", alertText, 2 * time.Minute, 30 * time.Minute, 30 * time.Minute},
		{"beyond the tolerance it begins anew", alertText, time.Minute, 90 * time.Minute, 92 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.text)
			b.set(web(1))
			b.at(0)
			b.at(c.before)
			b = b.restored(c.text, c.after)
			b.set(web(1))
			for at := c.after; at < c.fires; at += time.Minute {
				b.at(at)
				require.Equal(t, "pending", b.state(), at)
			}
			b.at(c.fires)
			require.Equal(t, "firing", b.state())
		})
	}
}

func TestRestoreFiring(t *testing.T) {
	text := "groups: [{name: g, rules: [{alert: A, expr: vector(1), keep_firing_for: 5m}, {record: r, expr: vector(1)}]}]"
	b := newBench(t, text)
	b.set(web(math.NaN()))
	b.at(0)
	b.set()
	b.at(time.Minute)
	b = b.restored(text, 3*time.Minute)
	res := b.at(3 * time.Minute)
	require.Equal(t, "firing", b.state(), "keep_firing_for goes on")
	require.Len(t, res.Alerts, 1, "it is sent again, since nobody knows whether it was")
	require.Equal(t, epoch, res.Alerts[0].FiredAt)
	b.at(6 * time.Minute)
	require.Equal(t, "inactive", b.state(), "and ends when it would have")
}

func TestRestoreRecorded(t *testing.T) {
	text := "groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]"
	b := newBench(t, text)
	b.set(web(1))
	b.at(0)
	b = b.restored(text, time.Minute)
	res := b.at(time.Minute)
	require.Len(t, res.Samples, 1, "the series that went away meanwhile ends")
	require.True(t, value.IsStaleNaN(res.Samples[0].Value))
}

func TestCopyState(t *testing.T) {
	b := newBench(t, "groups: [{name: g, rules: [{alert: A, expr: vector(1), for: 1h}, {record: old, expr: vector(1)}]}]")
	b.set(web(1))
	b.at(0)
	next := newBench(t, "groups: [{name: g, rules: [{record: new, expr: vector(1)}, {alert: A, expr: vector(2), for: 1m}]}]")
	ended := next.e.CopyState(b.e, epoch)
	require.Len(t, ended, 1)
	require.Equal(t, "old", ended[0].Labels.Get("__name__"))
	next.set(web(1))
	next.at(time.Minute)
	require.Equal(t, Firing, next.e.Status().Rules[1].State, "it is pending since before the change")
}
