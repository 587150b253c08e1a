package querier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/trace"
)

// request is one query under way, made of runs of the engine.
type request struct {
	q   *Querier
	ctx context.Context
	ids []string
	lim *limits.Limits
	p   engine.Params
	src logql.Source
	// engine bounds all runs together.
	engine engine.Limits
	// running is the query's place in the list; nil for what is not in it.
	running *runningQuery
	// spread is where parts may run; nil if only here.
	spread *spread
	// noCache neither reads nor fills the caches.
	noCache bool

	mu    sync.Mutex
	stats engine.Stats
	// incomplete says that some member did not answer: the result is not kept.
	incomplete bool
}

// evaluate runs the whole query.
func (r *request) evaluate() (engine.Result, error) {
	var res engine.Result
	var err error
	switch r.p.Expr.(type) {
	case syntax.SampleExpr:
		if r.p.Instant {
			res, err = r.instant()
		} else {
			res, err = r.metricRange()
		}
	default:
		res, err = r.logs()
	}
	r.stats.EntriesReturned = entriesOf(res.Value) // those of the whole, not of its parts
	res.Stats = r.stats
	return res, err
}

// entriesOf counts lines or points.
func entriesOf(v engine.Value) int64 {
	n := 0
	switch v := v.(type) {
	case engine.Streams:
		n, _ = countEntries(v)
	case engine.Matrix:
		for i := range v {
			n += len(v[i].Points)
		}
	case engine.Vector:
		n = len(v)
	}
	return int64(n)
}

// firstPause is how long a run that failed waits before it is tried again; each time it is doubled, up to maxPause.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// run runs a part of the query here, when it is its turn, and again if it fails for a reason that may pass.
func (r *request) run(ctx context.Context, p engine.Params, lim engine.Limits) (engine.Result, error) {
	pause, begin := firstPause, time.Now()
	for attempt := 0; ; attempt++ {
		res, err := r.runOnce(ctx, p, lim)
		if err == nil || ctx.Err() != nil || !mayPass(err) {
			return res, err
		}
		undecided := errors.Is(err, ErrIncomplete) && time.Since(begin) < judgement
		if attempt >= r.q.cfg.MaxRetries && !undecided {
			return res, err
		}
		r.q.metrics.retries.Inc()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return res, ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

// mayPass reports whether another attempt may succeed.
func mayPass(err error) bool {
	return !engine.IsBadQuery(err) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrOutstanding) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// runOnce waits for a turn and runs a part of the query.
func (r *request) runOnce(ctx context.Context, p engine.Params, lim engine.Limits) (engine.Result, error) {
	release, err := r.turn(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	defer release()
	// Other members keep what a run may still ask of them until its context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fetches := &logql.Fetches{}
	ctx, span := trace.Start(ctx, "query part")
	res, err := r.q.engine.Run(logql.WithFetches(ctx, fetches), r.src, p, lim)
	res.Stats.Subqueries = 1
	res.Stats.Chunks = fetchStats(fetches)
	if fetches.Incomplete.Load() {
		res.Warnings = append(res.Warnings, warnIncomplete)
	}
	traceQuery(span, &p, &res, err)
	r.mu.Lock()
	r.stats.Add(res.Stats)
	r.incomplete = r.incomplete || fetches.Missing.Load() > 0
	r.mu.Unlock()
	return res, err
}

// fetchStats says the same in the engine's words.
func fetchStats(f *logql.Fetches) engine.FetchStats {
	return engine.FetchStats{
		FromCache: f.FromCache.Load(), FromBucket: f.FromBucket.Load(),
		BytesFromCache: f.BytesFromCache.Load(), BytesFromBucket: f.BytesFromBucket.Load(), Time: time.Duration(f.Nanos.Load()),
	}
}

// turn waits until the query may use the process; release must be called.
func (r *request) turn(ctx context.Context) (release func(), err error) {
	begin := time.Now()
	if r.running != nil {
		r.q.registry.wait(r.running, 1)
		defer r.q.registry.wait(r.running, -1)
	}
	release, err = r.q.queue.acquire(ctx, strings.Join(r.ids, "|"))
	waited := time.Since(begin)
	r.q.metrics.queueSeconds.Observe(waited.Seconds())
	r.mu.Lock()
	first := r.stats.Subqueries == 0
	r.stats.QueueTime += waited
	r.mu.Unlock()
	if first && errors.Is(err, errWaited) && errors.Is(context.Cause(ctx), ErrTimeout) {
		return nil, fmt.Errorf("%w (waited %s, limit query_timeout)", ErrQueued, waited.Round(time.Millisecond))
	}
	return release, err
}
