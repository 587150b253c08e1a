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
	"github.com/prometheus/prometheus/model/labels"

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
	lim := q.strictest(ids)
	ctx, cancel := timed(ctx, lim)
	defer cancel()
	if err = fn(ctx); err == nil {
		err = ctx.Err()
	}
	return explain(ctx, err, lim)
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

// LabelRequest asks for names, values or series. Matchers may be empty.
type LabelRequest struct {
	Matchers []*labels.Matcher
	Interval model.Interval

	// slack is by how much the end may have been rounded up.
	slack time.Duration
}

func (q *Querier) labelSource(ctx context.Context, r *LabelRequest) (context.Context, logql.Source, func(), error) {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	lim := q.strictest(ids)
	if err := checkRounded(&r.Interval, r.slack, lim, q.now()); err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := timed(ctx, lim)
	if len(ids) == 1 {
		ctx = tenant.Inject(ctx, ids[0])
	}
	return ctx, q.sourceOf(ids), cancel, nil
}

// LabelNames returns the label names within the interval, sorted.
func (q *Querier) LabelNames(ctx context.Context, r LabelRequest) ([]string, error) {
	return q.labelList(ctx, r, "names", func(ctx context.Context, src logql.Source, sel logql.Selection) ([]string, error) {
		return src.LabelNames(ctx, sel)
	})
}

// LabelValues returns the values of one label within the interval, sorted.
func (q *Querier) LabelValues(ctx context.Context, name string, r LabelRequest) ([]string, error) {
	return q.labelList(ctx, r, "values "+name, func(ctx context.Context, src logql.Source, sel logql.Selection) ([]string, error) {
		return src.LabelValues(ctx, name, sel)
	})
}

func (q *Querier) labelList(ctx context.Context, r LabelRequest, what string, ask func(context.Context, logql.Source, logql.Selection) ([]string, error)) ([]string, error) {
	ctx, src, cancel, err := q.labelSource(ctx, &r)
	if err != nil || r.Interval.Empty() {
		return nil, err
	}
	defer cancel()
	from, err := q.recall(ctx, q.deps.Caches.Labels, what, matchersText(r.Matchers))
	if err != nil {
		return nil, err
	}
	return recallParts(ctx, from, r.Interval, stringsCodec, func(ctx context.Context, span model.Interval) ([]string, error) {
		return ask(ctx, src, logql.Selection{Matchers: r.Matchers, Interval: span})
	}, func(lists [][]string) []string {
		if len(lists) == 1 {
			return lists[0]
		}
		all := slices.Concat(lists...)
		slices.Sort(all)
		return slices.Compact(all)
	})
}

// recall prepares the use of a cache of labels or series.
func (q *Querier) recall(ctx context.Context, c cache.Cache, what ...string) (recall, error) {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return recall{}, err
	}
	lim := q.strictest(ids)
	return recall{q: q, ids: ids, lim: lim, from: c, freshness: lim.MaxMetadataCacheFreshness, what: what}, nil
}

// Series returns the label sets that match any of the selectors, sorted, each once. No selector means all.
func (q *Querier) Series(ctx context.Context, selectors [][]*labels.Matcher, interval model.Interval) ([]labels.Labels, error) {
	r := LabelRequest{Interval: interval, slack: time.Millisecond}
	ctx, src, cancel, err := q.labelSource(ctx, &r)
	if err != nil || r.Interval.Empty() {
		return nil, err
	}
	defer cancel()
	if len(selectors) == 0 {
		selectors = [][]*labels.Matcher{nil}
	}
	what := []string{"series"}
	for _, matchers := range selectors {
		what = append(what, matchersText(matchers))
	}
	from, err := q.recall(ctx, q.deps.Caches.Series, what...)
	if err != nil {
		return nil, err
	}
	return recallParts(ctx, from, r.Interval, seriesCodec, func(ctx context.Context, span model.Interval) ([]labels.Labels, error) {
		var all []labels.Labels
		for _, matchers := range selectors {
			series, err := src.Series(ctx, logql.Selection{Matchers: matchers, Interval: span})
			if err != nil {
				return nil, err
			}
			all = append(all, series...)
		}
		return distinct(all), nil
	}, func(lists [][]labels.Labels) []labels.Labels { return distinct(slices.Concat(lists...)) })
}

// Config returns the settings.
func (q *Querier) Config() Config { return q.cfg }
