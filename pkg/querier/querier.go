package querier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/cache"
	"logstore/pkg/changes"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

// Errors of a query. The HTTP API maps them to status codes.
var (
	// ErrLimit is wrapped by every error that names a limit which the request exceeds.
	ErrLimit = errors.New("limit exceeded")
	// ErrTimeout is returned when a query ran longer than query_timeout.
	ErrTimeout = errors.New("query timed out")
)

// Config holds the querier's settings; limits of tenants are in package limits.
type Config struct {
	// MultiTenantQueries allows "a|b" in X-Scope-OrgID.
	MultiTenantQueries bool
	// AlignStep rounds start and end of metric range queries down to multiples of the step.
	AlignStep bool
	// MaxConcurrent bounds the goroutines of one query.
	MaxConcurrent int
	// MaxFetches bounds the chunks that one run fetches at a time; zero leaves it to the engine.
	MaxFetches int
	// MaxMemory bounds the bytes that one query may hold; zero means no bound.
	MaxMemory int64
	// TailMaxDuration ends a tail after so long; zero never does.
	TailMaxDuration time.Duration
	// Shards lets large queries be cut into shards of the streams, besides parts of time, where there are members to run them.
	Shards bool
	// MaxRetries is how often a part of a query that failed is tried again.
	MaxRetries int
	// MaxWaiting bounds the queries of one tenant that wait for their turn; zero means no bound.
	MaxWaiting int
	// LogLongerThan logs queries that took longer; zero logs none and a negative value all.
	LogLongerThan time.Duration
	// KeepLookupsAfter is how old the end of an interval must be for what the index says of it to be kept; 0 keeps all.
	KeepLookupsAfter time.Duration
	// LogRules logs all queries of rules: those whose source is RuleSource.
	LogRules bool
}

// DefaultConfig holds Loki's defaults.
var DefaultConfig = Config{MaxConcurrent: 4, Shards: true, MaxMemory: 1 << 30, MaxRetries: 5, MaxWaiting: 2048, TailMaxDuration: time.Hour}

// Validate reports the first impossible setting.
func (c Config) Validate() error {
	if c.MaxConcurrent < 1 {
		return fmt.Errorf("querier.max_concurrent must be at least 1, not %d", c.MaxConcurrent)
	}
	return nil
}

// Deps are what a Querier works with.
type Deps struct {
	// Sources are asked in this order: those that hold the newest entries first.
	Sources []logql.Source
	// Changes returns what each member that a query asks knows to have been written in an interval; nil means that no results are
	// kept. It fails if not all of them say so.
	Changes func(ctx context.Context, tenant string, span model.Interval) ([]changes.State, error)
	// Generation returns a text that is another after each change of the tenant's delete requests; nil means there are none.
	Generation func(tenant string) string
	Caches     Caches
	Peers      Peers
	// Observe tells of pushes, for tails.
	Observe    Observe
	Limits     *limits.Overrides
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Caches hold results; one that is nil keeps nothing.
type Caches struct {
	// Results is of range queries, Instant of parts of instant ones.
	Results, Instant cache.Cache
	// Stats, Volume, Series and Labels are of the requests of those names.
	Stats, Volume, Series, Labels cache.Cache
	// Index is of what the index says of the size of queries.
	Index cache.Cache
}

// Querier answers queries. It is safe for concurrent use.
type Querier struct {
	cfg      Config
	deps     Deps
	source   union
	limits   *limits.Overrides
	engine   *engine.Engine
	logger   *slog.Logger
	metrics  *metrics
	pushes   Observe
	now      func() time.Time
	tails    tails
	queue    *queue
	registry registry
	// costs is of pieces whose lines are read, and of those that are only counted.
	costs [2]perPiece
}

// New returns a querier over the sources.
func New(cfg Config, deps Deps) (*Querier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	now := deps.Now
	if now == nil {
		now = time.Now
	}
	m := newMetrics(deps.Registerer)
	return &Querier{
		cfg: cfg, deps: deps, queue: newQueue(cfg.MaxConcurrent, cfg.MaxWaiting, m), source: deps.Sources, limits: deps.Limits, engine: &engine.Engine{},
		logger: deps.Logger, metrics: m, pushes: deps.Observe, now: now,
	}, nil
}

// Query evaluates p for the tenant or tenants of the context.
func (q *Querier) Query(ctx context.Context, p engine.Params) (engine.Result, error) {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	lim := q.strictest(ids)
	if err := q.guard(p.Text, p.Expr, ids); err != nil {
		return engine.Result{}, err
	}
	if err := checkQuery(&p, lim, q.now()); err != nil {
		return engine.Result{}, err
	}
	if q.cfg.AlignStep {
		align(&p)
	}
	ctx, cancel := timed(ctx, lim)
	defer cancel()
	start := q.now()
	run, inner, done := q.registry.add(ctx, strings.Join(ids, "|"), &p, start)
	defer done()
	r := &request{q: q, ctx: inner, ids: ids, lim: lim, p: p, src: q.sourceOf(ids), engine: q.engineLimits(lim), running: run}
	r.engine.Budget = &engine.Budget{}
	r.spread = r.openSpread()
	var span *trace.Span
	r.ctx, span = trace.Start(inner, "query")
	res, err := r.evaluate()
	// Parts of a query warn of the same.
	slices.Sort(res.Warnings)
	res.Warnings = slices.Compact(res.Warnings)
	res.Stats.ExecTime = q.now().Sub(start)
	err = explain(inner, err, lim)
	traceQuery(span, &p, &res, err)
	q.observe(ctx, p, res, err, res.Stats.ExecTime)
	return res, err
}

// WithTimeout runs fn, which answers something else than a query, under the query_timeout of the context's tenants. Past it the error is
// ErrTimeout, even if fn had part of an answer by then.
func (q *Querier) WithTimeout(ctx context.Context, fn func(context.Context) error) error {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return err
	}
	return within(ctx, q.strictest(ids), func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return ctx.Err()
	})
}

// within runs fn under query_timeout and says so where that is why it failed.
func within(ctx context.Context, lim *limits.Limits, fn func(context.Context) error) error {
	ctx, cancel := timed(ctx, lim)
	defer cancel()
	return explain(ctx, fn(ctx), lim)
}

// timed bounds what is done for a request by query_timeout. Whatever it holds ends with the cancel that is returned.
func timed(ctx context.Context, lim *limits.Limits) (context.Context, context.CancelFunc) {
	if lim.QueryTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, lim.QueryTimeout, ErrTimeout)
}

// explain says why the context of a query ended.
func explain(ctx context.Context, err error, lim *limits.Limits) error {
	switch cause := context.Cause(ctx); {
	case err == nil, errors.Is(err, ErrQueued):
		return err
	case errors.Is(cause, ErrStopped):
		return ErrStopped
	case errors.Is(cause, ErrTimeout):
		return fmt.Errorf("%w after %s (limit query_timeout)", ErrTimeout, lim.QueryTimeout)
	}
	return err
}

// align rounds a metric range query down to the step, counted from 1970, so that a moving window asks for the same
// points again.
func align(p *engine.Params) {
	if _, ok := p.Expr.(syntax.SampleExpr); !ok || p.Instant || p.Step <= 0 {
		return
	}
	step := int64(p.Step)
	p.Start -= mod(p.Start, step)
	p.End -= mod(p.End, step)
}

func mod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

func (q *Querier) engineLimits(lim *limits.Limits) engine.Limits {
	return engine.Limits{
		MaxSeries:      lim.MaxQuerySeries,
		MaxBytesRead:   int64(smaller(lim.MaxQuerierBytesRead, lim.MaxQueryBytesRead)),
		MaxMemory:      q.cfg.MaxMemory,
		MaxOpen:        q.cfg.MaxFetches,
		MaxParallelism: parallelism(q.cfg.MaxConcurrent, lim.MaxQueryParallelism),
	}
}

func parallelism(concurrent, limit int) int {
	if limit > 0 && limit < concurrent {
		return limit
	}
	return concurrent
}

func (q *Querier) tenantIDs(ctx context.Context) ([]string, error) {
	ids, err := tenant.IDs(ctx)
	if err != nil {
		return nil, err
	}
	if len(ids) > 1 && !q.cfg.MultiTenantQueries {
		return nil, tenant.ErrTooManyOrgIDs
	}
	return ids, nil
}

func (q *Querier) sourceOf(ids []string) logql.Source {
	if len(ids) == 1 {
		return q.source
	}
	return tenants{source: q.source, ids: ids}
}

// Config returns the settings.
func (q *Querier) Config() Config { return q.cfg }
