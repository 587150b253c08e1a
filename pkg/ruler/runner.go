package ruler

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/rules"
	"logstore/pkg/tenant"
)

// Bounds of what is evaluated for the past when a group is taken over.
const (
	maxCatchUp      = 15 * time.Minute
	maxCatchUpTimes = 60
)

// key names a group.
type key struct{ tenant, namespace, group string }

// hash places the group on the ring and within its interval; every member comes to the same.
func (k key) hash() uint64 {
	return xxhash.Sum64String(k.tenant + "\x00" + k.namespace + "\x00" + k.group)
}

// runner evaluates one group until it is stopped.
type runner struct {
	r    *Ruler
	key  key
	eval *rules.Evaluator
	text string // the group as YAML, to see whether it changed

	cancel context.CancelFunc
	done   chan struct{}
}

// slot returns the last instant up to now at which the group is due. It is a whole millisecond, as the times of samples are,
// so that a query for the time of a recorded sample gives its value.
func (run *runner) slot(now time.Time) time.Time {
	interval := run.eval.Interval().Milliseconds()
	offset := int64(run.key.hash() % uint64(interval))
	at := now.UnixMilli() - offset
	return time.UnixMilli(at - at%interval + offset).UTC()
}

// start runs the group; last is the instant of its last evaluation, here or by an earlier owner, or zero.
func (run *runner) start(ctx context.Context, last time.Time) {
	ctx, run.cancel = context.WithCancel(tenant.Inject(ctx, run.key.tenant))
	run.done = make(chan struct{})
	m, l := run.r.metrics, run.r.metrics.labelsOf(run.key)
	m.interval.WithLabelValues(l...).Set(run.eval.Interval().Seconds())
	m.numRules.WithLabelValues(l...).Set(float64(len(run.eval.Group().Rules)))
	for _, c := range []*prometheus.CounterVec{m.evaluations, m.failures, m.missed, m.scheduled} {
		c.WithLabelValues(l...).Add(0) // so that the first failure is a change
	}
	go func() {
		defer close(run.done)
		run.loop(ctx, last)
	}()
}

// stop returns when the group is no longer evaluated.
func (run *runner) stop() {
	run.cancel()
	<-run.done
}

func (run *runner) loop(ctx context.Context, last time.Time) {
	interval := run.eval.Interval()
	next := run.slot(time.Now())
	if last.IsZero() || !last.Before(next) {
		next = next.Add(interval)
	} else {
		run.catchUp(ctx, last, next)
	}
	for {
		if !sleepUntil(ctx, next) {
			return
		}
		if j := run.r.cfg.MaxJitter; j > 0 && !sleepUntil(ctx, next.Add(rand.N(min(j, interval)))) {
			return
		}
		if !run.r.acquire(ctx) {
			return
		}
		run.once(ctx, next)
		run.r.release()
		missed := max(0, int64(time.Since(next)/interval)-1)
		l := run.r.metrics.labelsOf(run.key)
		run.r.metrics.scheduled.WithLabelValues(l...).Add(float64(missed + 1))
		run.r.metrics.missed.WithLabelValues(l...).Add(float64(missed))
		next = next.Add(time.Duration(missed+1) * interval)
	}
}

// catchUp evaluates what records for the instants between last and next that nobody evaluated.
func (run *runner) catchUp(ctx context.Context, last, next time.Time) {
	interval := run.eval.Interval()
	from := run.slot(last).Add(interval)
	for earliest := next.Add(-min(maxCatchUp, maxCatchUpTimes*interval)); from.Before(earliest); {
		from = from.Add(interval)
	}
	for ts := from; ts.Before(next) && ctx.Err() == nil; ts = ts.Add(interval) {
		if !run.r.acquire(ctx) {
			return
		}
		res := run.evaluate(ctx, ts, run.eval.CatchUp)
		run.r.release()
		if res.Evaluated == 0 {
			return // nothing records
		}
		run.r.metrics.caughtUp.Inc()
		run.record(ctx, res.Samples)
	}
}

// evaluate calls one of the evaluator's methods, as a trace of its own.
func (run *runner) evaluate(ctx context.Context, ts time.Time, eval func(context.Context, time.Time, rules.QueryFunc) rules.Result) rules.Result {
	ctx, span := run.r.deps.Tracer.Work(ctx, "rule group")
	res := eval(ctx, ts, run.r.deps.Query)
	span.Text("logstore.tenant", run.key.tenant)
	span.Text("logstore.rules.namespace", run.key.namespace)
	span.Text("logstore.rules.group", run.key.group)
	span.Int("logstore.rules.evaluated", int64(res.Evaluated))
	span.Int("logstore.rules.failed", int64(res.Failed))
	span.End(nil)
	return res
}

// once evaluates the group for an instant and hands on what comes of it.
func (run *runner) once(ctx context.Context, ts time.Time) {
	begin := time.Now()
	run.r.metrics.lag.Observe(begin.Sub(ts).Seconds())
	res := run.evaluate(ctx, ts, run.eval.Eval)
	if ctx.Err() != nil && res.Evaluated == 0 {
		return
	}
	took := time.Since(begin).Seconds()
	m, l := run.r.metrics, run.r.metrics.labelsOf(run.key)
	m.evaluations.WithLabelValues(l...).Add(float64(res.Evaluated))
	m.failures.WithLabelValues(l...).Add(float64(res.Failed))
	m.samples.WithLabelValues(l...).Set(float64(len(res.Samples)))
	m.lastTime.WithLabelValues(l...).Set(float64(begin.UnixNano()) / 1e9)
	m.lastDuration.WithLabelValues(l...).Set(took)
	m.groupSeconds.WithLabelValues(run.key.tenant).Observe(took)
	for _, s := range res.RuleSeconds {
		m.ruleSeconds.WithLabelValues(run.key.tenant).Observe(s)
	}
	if res.Changed {
		run.r.dirty.Store(true)
	}
	if len(res.Alerts) > 0 {
		due := make([]Alert, len(res.Alerts))
		for i, a := range res.Alerts {
			due[i] = Alert{Alert: a.Alert, Link: run.r.deps.Link(a.Expr)}
		}
		run.r.deps.Notify(run.key.tenant, due)
	}
	run.record(ctx, res.Samples)
}

func (run *runner) record(ctx context.Context, samples []rules.Sample) {
	if len(samples) == 0 {
		return
	}
	if err := run.r.deps.Record(context.WithoutCancel(ctx), run.key.tenant, samples); err != nil {
		run.r.log.Error("cannot keep recorded samples", "tenant", run.key.tenant, "namespace", run.key.namespace, "group", run.key.group,
			"samples", len(samples), "err", err)
	}
}

// sleepUntil waits for a time, or returns false when ctx ends before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
