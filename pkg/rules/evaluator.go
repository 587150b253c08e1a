package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/trace"
)

// Errors of an evaluation.
var (
	ErrDuplicateAlert  = errors.New("vector contains metrics with the same labelset after applying alert labels")
	ErrDuplicateSeries = errors.New("vector contains metrics with the same labelset after applying rule labels")
)

// Sample is one value of a series; Time is in milliseconds.
type Sample struct {
	Labels labels.Labels
	Time   int64
	Value  float64
}

// QueryFunc evaluates a metric query at an instant. The samples belong to the caller.
type QueryFunc func(ctx context.Context, query string, ts time.Time) ([]Sample, error)

// Options are what the groups of a tenant have in common.
type Options struct {
	// ExternalURL is the store's own address, for templates and links; never nil.
	ExternalURL *url.URL
	// ExternalLabels are shown to templates.
	ExternalLabels labels.Labels
	// ResendDelay is how long an alert that fires is not sent again.
	ResendDelay time.Duration
	// DefaultInterval is the interval of groups without one.
	DefaultInterval time.Duration
	// QueryOffset is that of groups without one; it is asked at each evaluation. nil: 0.
	QueryOffset func() time.Duration
	// OutageTolerance is how old a Snapshot may be to be restored, and GracePeriod how long an alert waits at least after
	// that, if its rule's `for` is not shorter anyway.
	OutageTolerance, GracePeriod time.Duration
	Logger                       *slog.Logger
}

// RuleStatus is a rule and what came of it last.
type RuleStatus struct {
	Rule Rule
	// Query is the expression as format_query writes it on one line.
	Query string
	State State
	// Alerts are those that are pending or firing, by their labels.
	Alerts []Alert
	// Err is why the last evaluation failed; Evaluated is false before the first.
	Err       error
	Evaluated bool
	Last      time.Time
	Took      time.Duration
}

// Status is a group and what came of it last.
type Status struct {
	Group    Group
	Interval time.Duration
	Rules    []RuleStatus
	Last     time.Time
	Took     time.Duration
}

// Result is what an evaluation hands on.
type Result struct {
	// Samples are to be recorded, markers of series that went away among them.
	Samples []Sample
	// Alerts are to be sent, each with the expression of its rule.
	Alerts []DueAlert
	// Changed tells whether an alert is in another state than before.
	Changed bool
	// Failed counts the rules that failed, Evaluated all that were tried.
	Failed, Evaluated int
	// RuleSeconds are the durations of the rules, in their order.
	RuleSeconds []float64
}

// DueAlert is an alert that must be sent.
type DueAlert struct {
	Alert
	Expr string
}

// Evaluator is a rule group with its state. Eval must not run twice at a time; all else is safe for concurrent use.
type Evaluator struct {
	group    Group
	interval time.Duration
	opts     Options
	rules    []*ruleState

	mu   sync.Mutex
	last time.Time // the instant of the last evaluation
	took time.Duration
}

// ruleState is a rule with its state; mu of the Evaluator guards what is below the mark.
type ruleState struct {
	rule   Rule
	query  string
	labels map[string]string // the group's and the rule's

	// guarded
	active    alerts
	series    map[string]labels.Labels // recorded by the last evaluation, those of alerts too
	err       error
	evaluated bool
	last      time.Time
	took      time.Duration
}

// NewEvaluator returns a group without any state yet.
func NewEvaluator(g Group, opts Options) *Evaluator {
	e := &Evaluator{group: g, opts: opts, interval: time.Duration(g.Interval)}
	if e.interval <= 0 {
		e.interval = opts.DefaultInterval
	}
	for _, r := range g.Rules {
		st := &ruleState{rule: r, query: r.Expr, active: alerts{}, labels: map[string]string{}}
		if expr, err := syntax.Parse(r.Expr); err == nil {
			st.query = expr.String()
		}
		for _, set := range []map[string]string{g.Labels, r.Labels} {
			for name, v := range set {
				st.labels[name] = v
			}
		}
		e.rules = append(e.rules, st)
	}
	return e
}

// Interval is the time between two evaluations.
func (e *Evaluator) Interval() time.Duration { return e.interval }

// Group returns the group as it is written.
func (e *Evaluator) Group() Group { return e.group }

// offset is how far into the past the rules look.
func (e *Evaluator) offset() time.Duration {
	switch {
	case e.group.QueryOffset != nil:
		return time.Duration(*e.group.QueryOffset)
	case e.opts.QueryOffset != nil:
		return e.opts.QueryOffset()
	}
	return 0
}

// Eval evaluates all rules for the instant ts, in their order. A rule that fails keeps its state and leaves the others
// alone. When ctx ends the rest of the rules are not tried.
func (e *Evaluator) Eval(ctx context.Context, ts time.Time, query QueryFunc) Result {
	return e.eval(ctx, ts, query, false)
}

// CatchUp evaluates only the rules that record, for an instant that was missed.
func (e *Evaluator) CatchUp(ctx context.Context, ts time.Time, query QueryFunc) Result {
	return e.eval(ctx, ts, query, true)
}

func (e *Evaluator) eval(ctx context.Context, ts time.Time, query QueryFunc, onlyRecord bool) Result {
	var res Result
	begin := time.Now()
	for _, st := range e.rules {
		if ctx.Err() != nil {
			return res
		}
		if onlyRecord && st.rule.Record == "" {
			continue
		}
		start := time.Now()
		err := e.evalRule(ctx, st, ts, query, &res)
		if ctx.Err() != nil && err != nil {
			return res // it was interrupted, which says nothing about the rule
		}
		took := time.Since(start)
		res.Evaluated++
		res.RuleSeconds = append(res.RuleSeconds, took.Seconds())
		if err != nil {
			res.Failed++
			e.opts.Logger.Warn("cannot evaluate a rule", "group", e.group.Name, "rule", st.rule.Name(), "err", err)
		}
		e.mu.Lock()
		st.err, st.evaluated, st.last, st.took = err, true, start, took
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last, e.took = ts, time.Since(begin)
	return res
}

func (e *Evaluator) evalRule(ctx context.Context, st *ruleState, ts time.Time, query QueryFunc, res *Result) (err error) {
	ctx, span := trace.Start(ctx, "rule")
	span.Text("logstore.rule", st.rule.Name())
	defer func() { span.End(err) }()
	if st.rule.Alert != "" {
		return e.evalAlert(ctx, st, ts, query, res)
	}
	return e.evalRecord(ctx, st, ts, query, res)
}

func (e *Evaluator) evalAlert(ctx context.Context, st *ruleState, ts time.Time, query QueryFunc, res *Result) error {
	samples, err := query(ctx, st.rule.Expr, ts.Add(-e.offset()))
	if err != nil {
		return err
	}
	found := make(alerts, len(samples))
	b := labels.NewBuilder(labels.EmptyLabels())
	var templateErr error
	for _, s := range samples {
		x := newExpander(st.rule.Alert, s, &e.opts, ts, query)
		b.Reset(s.Labels)
		b.Del(model.MetricNameLabel)
		if err := x.expandAll(ctx, st.labels, func(name, v string) { b.Set(name, v) }); err != nil {
			templateErr = err
		}
		b.Set(labels.AlertName, st.rule.Alert)
		annotations, err := annotationsOf(ctx, x, st.rule.Annotations)
		if err != nil {
			templateErr = err
		}
		set := b.Labels()
		h := set.Hash()
		if _, ok := found[h]; ok {
			return ErrDuplicateAlert
		}
		found[h] = &Alert{Labels: set, Annotations: annotations, State: Pending, Value: s.Value, ActiveAt: ts}
	}
	if templateErr != nil {
		e.opts.Logger.Warn("cannot expand a template of an alert", "group", e.group.Name, "rule", st.rule.Alert, "err", templateErr)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	active, changed := st.active.advance(found, &st.rule, ts)
	res.Changed = res.Changed || changed
	if limit := e.group.Limit; limit > 0 && active > limit {
		st.active = alerts{}
		st.recordAlerts(ts.Add(-e.offset()), res)
		return fmt.Errorf("exceeded limit of %d with %d alerts", limit, active)
	}
	for _, a := range st.active.due(ts, e.opts.ResendDelay, e.interval) {
		res.Alerts = append(res.Alerts, DueAlert{Alert: a, Expr: st.rule.Expr})
	}
	st.recordAlerts(ts.Add(-e.offset()), res)
	return nil
}

// staleNaN marks the end of a series.
var staleNaN = math.Float64frombits(value.StaleNaN)

func (e *Evaluator) evalRecord(ctx context.Context, st *ruleState, ts time.Time, query QueryFunc, res *Result) error {
	at := ts.Add(-e.offset())
	samples, err := query(ctx, st.rule.Expr, at)
	if err != nil {
		return err
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	series := make(map[string]labels.Labels, len(samples))
	for i := range samples {
		s := &samples[i]
		b.Reset(s.Labels)
		b.Set(model.MetricNameLabel, st.rule.Record)
		for name, v := range st.labels {
			b.Set(name, v)
		}
		s.Labels = b.Labels()
		key := string(s.Labels.Bytes(nil))
		if _, ok := series[key]; ok {
			return ErrDuplicateSeries
		}
		series[key] = s.Labels
		s.Time = at.UnixMilli()
	}
	if limit := e.group.Limit; limit > 0 && len(samples) > limit {
		return fmt.Errorf("exceeded limit of %d with %d series", limit, len(samples))
	}
	e.mu.Lock()
	before := st.series
	st.series = series
	e.mu.Unlock()
	res.Samples = append(res.Samples, samples...)
	res.Samples = append(res.Samples, gone(before, series, at)...)
	return nil
}

// gone returns the markers of the series that are no longer there, in ascending order of their labels.
func gone(before, now map[string]labels.Labels, at time.Time) []Sample {
	var out []Sample
	for key, set := range before {
		if _, ok := now[key]; !ok {
			out = append(out, Sample{Labels: set, Time: at.UnixMilli(), Value: staleNaN})
		}
	}
	slices.SortFunc(out, func(a, b Sample) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// End returns markers for every series that the group recorded last, for when it is removed.
func (e *Evaluator) End(ts time.Time) []Sample {
	at := ts.Add(-e.offset())
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Sample
	for _, st := range e.rules {
		out = append(out, gone(st.series, nil, at)...)
		st.series = nil
	}
	return out
}

// Status returns the group and what came of it last; it shares nothing that changes.
func (e *Evaluator) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := Status{Group: e.group, Interval: e.interval, Last: e.last, Took: e.took}
	for _, st := range e.rules {
		rs := RuleStatus{Rule: st.rule, Query: st.query, Err: st.err, Evaluated: st.evaluated, Last: st.last, Took: st.took}
		rs.Rule.Labels = st.labels
		for _, a := range st.active {
			if a.ResolvedAt.IsZero() {
				rs.State = max(rs.State, a.State)
				rs.Alerts = append(rs.Alerts, *a)
			}
		}
		slices.SortFunc(rs.Alerts, func(a, b Alert) int { return labels.Compare(a.Labels, b.Labels) })
		out.Rules = append(out.Rules, rs)
	}
	return out
}
