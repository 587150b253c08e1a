package querier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
)

// crew are members that run parts of queries over one source. They are called as over the wire, and fail now and then.
type crew struct {
	members map[string]*querier.Querier
	// fails is asked before and after a member runs a part; nil means never.
	fails func(member string) error

	mu    sync.Mutex
	calls map[string]int
}

func newCrew(t testing.TB, n int, src logql.Source) *crew {
	c := &crew{members: map[string]*querier.Querier{}, calls: map[string]int{}}
	lim, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	cfg := querier.DefaultConfig
	cfg.MultiTenantQueries = true
	for i := range n {
		q, err := querier.New(cfg, querier.Deps{Sources: []logql.Source{src}, Limits: lim, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
		require.NoError(t, err)
		c.members[fmt.Sprint("member-", i)] = q
	}
	return c
}

func (c *crew) peers(src logql.Source) querier.Peers {
	return querier.Peers{
		List: func() []string {
			var all []string
			for m := range c.members {
				all = append(all, m)
			}
			slices.Sort(all)
			return all
		},
		Call: func(ctx context.Context, member string, req []byte) ([]byte, error) {
			c.mu.Lock()
			c.calls[member]++
			c.mu.Unlock()
			if c.fails != nil {
				if err := c.fails(member); err != nil {
					return nil, err
				}
			}
			answer, err := c.members[member].Serve(ctx, slices.Clone(req))
			if c.fails != nil && err == nil {
				err = c.fails(member)
			}
			return answer, err
		},
		Stored: src, Copies: 1,
	}
}

func (c *crew) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, calls := range c.calls {
		n += calls
	}
	return n
}

// spreadQueries are metric queries of every shape; $ stands for a selector with stages, % for one without.
var spreadQueries = []string{
	`count_over_time($[5m])`, `rate($[7m])`, `sum by (app) (rate($[5m]))`, `sum without (pod) (count_over_time($[3m]))`, `sum(bytes_rate($[5m]))`,
	`bytes_over_time(%[10m])`, `avg(rate($[5m]))`, `avg by (app) (count_over_time($[5m]))`, `min(rate(%[5m]))`, `max by (level) (bytes_over_time(%[5m]))`,
	`count(rate($[5m]))`, `count by (app) (count_over_time(%[2m]) > 3)`, `stddev(count_over_time(%[5m]))`, `stdvar by (app) (rate($[5m]))`,
	`topk(3, rate(%[5m]))`, `bottomk(2, count_over_time(%[5m]))`, `topk by (app) (2, count_over_time($[5m]))`, `topk(2, sum by (pod) (rate($[5m])))`,
	`approx_topk(3, sum by (pod) (count_over_time(%[5m])))`, `sort(sum by (app) (rate(%[5m])))`, `sort_desc(count_over_time(%[5m]))`,
	`topk(3, rate(%[5m]) * 60)`, `sum(rate(%[5m]) * 60 > 1)`, `2 * sum(rate($[5m])) / 3`,
	`sum(rate($[5m])) / sum(rate(%[5m]))`, `sum by (app) (rate($[5m])) / on (app) group_left () sum by (app) (rate(%[5m]))`,
	`sum by (app) (rate($[5m])) or vector(0)`, `sum by (app) (count_over_time(%[5m])) unless sum by (app) (count_over_time($[5m]))`,
	`label_replace(sum by (app) (rate(%[5m])), "x", "<1>", "app", "(.).*")`, `label_replace(rate(%[5m]), "pod", "same", "pod", "none.*")`,
	`absent_over_time($[5m])`, `absent_over_time({app="none"}[5m])`, `sum(absent_over_time({app="none"}[5m]))`,
	`sum_over_time(% | logfmt | unwrap n [5m])`, `sum by (app) (sum_over_time(% | logfmt | unwrap n [5m]))`, `rate(% | logfmt | unwrap n [5m])`,
	`avg_over_time(% | logfmt | unwrap n [5m]) by (app)`, `min_over_time(% | logfmt | unwrap n [5m]) by (app)`, `max_over_time(% | logfmt | unwrap n [5m])`,
	`max by (app) (max_over_time(% | logfmt | unwrap n [5m]))`, `stddev_over_time(% | logfmt | unwrap n [5m]) by (level)`,
	`quantile_over_time(0.9, % | logfmt | unwrap n [5m]) by (app)`, `first_over_time(% | logfmt | unwrap n [5m])`, `last_over_time(% | logfmt | unwrap n [5m]) by (app)`,
	`count_over_time(% | logfmt [5m])`, `sum by (n) (count_over_time(% | logfmt | n < 20 [5m]))`, `count(count_over_time(% | logfmt [5m]))`,
	`count_over_time(% | drop pod [5m])`, `topk(2, count_over_time(% | drop pod [5m]))`, `max(count_over_time(% | keep app [5m]))`,
	`topk(2, rate(% | label_format pod=app [5m]))`, `count_over_time($[5m] offset 10m)`, `sum by (app) (rate($[5m] offset -3m))`, `sum by (trace) (count_over_time(% [5m]))`,
	`vector(1)`, `sum(count_over_time({app="none"}[5m]))`, `topk(3, max by (pod) (count_over_time(%[5m])))`, `sum by (app) (sum by (app, pod) (rate(%[5m])))`,
	`sum by (app) (rate($[70m]))`, `count_over_time($[50m] offset 5m)`, `min by (app) (min_over_time(% | logfmt | unwrap n [1h]))`,
	`rate_counter(% | logfmt | unwrap n [5m])`, `count(rate_counter(% | logfmt | unwrap n [5m])) by (app)`,
}

var spreadSelectors = []string{
	`{app=~".+"} |= "7"`, `{app="a"} |= "n="`, `{app=~"a|b"} != "3" | trace != "t1"`, `{pod=~".*[0-4]"} |~ "n=.*5"`, `{level="warn"} | line_format "x"`, `{app=~".+"}`,
}

var spreadLogs = []string{
	`$`, `% | logfmt`, `% | logfmt | n > 50`, `$ | label_format pod=app`, `% | drop pod`, `$ | line_format "{{.app}}"`,
}

// TestSpreadAgreesWithTheEngine asks queries of random shape of queriers with members that run parts of them, and that fail now and
// then, under random settings, and wants what the bare engine says.
func TestSpreadAgreesWithTheEngine(t *testing.T) {
	rounds := 3
	if os.Getenv("LOGSTORE_SOAK") != "" {
		rounds = 400
	}
	seed := rand.Uint64()
	if s := os.Getenv("LOGSTORE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("LOGSTORE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	calls := 0
	for i := 0; i < rounds || calls == 0 && i < 20*rounds; i++ { // some settings spread nothing
		calls += spreadRound(t, rnd)
		if t.Failed() {
			return
		}
	}
	require.Positive(t, calls, "no member ran a part")
}

// spreadData adds entries of many streams: some of one instant, some twice, some with metadata.
func spreadData(f *front, rnd *rand.Rand, begin, end int64, n int) {
	for i := range n {
		ts := begin + rnd.Int64N(end-begin)
		if rnd.IntN(2) == 0 {
			ts -= ts % int64(20*time.Second)
		}
		l := labels.FromStrings("app", []string{"a", "b", "c"}[rnd.IntN(3)], "pod", fmt.Sprint("p", rnd.IntN(12)), "level", []string{"info", "warn"}[rnd.IntN(2)])
		e := model.Entry{Timestamp: ts, Line: fmt.Sprintf("n=%d i=%d", rnd.IntN(200), i)}
		if rnd.IntN(3) == 0 {
			e.Metadata = []model.Pair{{Name: "trace", Value: fmt.Sprint("t", rnd.IntN(4))}}
		}
		for range 1 + rnd.IntN(2) {
			f.src.Add(l, e)
		}
	}
	f.log.Touch("t", begin, end)
}

func spreadRound(t *testing.T, rnd *rand.Rand) int {
	f := newFront(t, nil)
	c := newCrew(t, []int{1, 2, 4}[rnd.IntN(3)], f.src)
	if rnd.IntN(2) == 0 {
		var mu sync.Mutex
		c.fails = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if rnd.IntN(12) == 0 {
				return errors.New("the member has gone")
			}
			return nil
		}
	}
	pick := func(list ...int) int { return list[rnd.IntN(len(list))] }
	f.use(t, func(l *limits.Limits, cfg *querier.Config, d *querier.Deps) {
		l.SplitQueriesByInterval = time.Duration(pick(0, 15, 60)) * time.Minute
		l.SplitInstantMetricQueriesByInterval = time.Duration(pick(0, 2, 60)) * time.Minute
		l.TSDBMaxBytesPerShard = pick(1000, 1<<20, 1<<26, 1<<30)
		l.MaxQueryParallelism, l.MaxQuerySeries = pick(2, 3, 32), 0
		cfg.MaxConcurrent = pick(1, 2, 4)
		cfg.Shards = rnd.IntN(5) > 0
		cfg.AlignStep = false
		d.Peers = c.peers(f.src)
		if rnd.IntN(2) == 0 {
			d.Caches = querier.Caches{}
		}
	}, f.src)
	begin, end := f.now.Add(-3*time.Hour).UnixNano(), f.now.UnixNano()
	spreadData(f, rnd, begin, end, 3000)
	for range 40 {
		p := spreadParams(t, rnd, begin, end)
		if diff := sameValue(f.plain(t, p), f.query(t, p).Value); diff != "" {
			t.Fatalf("%s from %d to %d step %s instant %v limit %d: %s", p.Text, p.Start, p.End, p.Step, p.Instant, p.Limit, diff)
		}
	}
	return c.total()
}

func spreadParams(t *testing.T, rnd *rand.Rand, begin, end int64) engine.Params {
	shapes := spreadQueries
	if rnd.IntN(4) == 0 {
		shapes = spreadLogs
	}
	text := ""
	for _, r := range shapes[rnd.IntN(len(shapes))] {
		switch r {
		case '$':
			text += spreadSelectors[rnd.IntN(len(spreadSelectors)-1)]
		case '%':
			text += []string{`{app=~".+"}`, `{app="a"}`, `{app=~"a|c", level="warn"}`}[rnd.IntN(3)]
		default:
			text += string(r)
		}
	}
	text = strings.ReplaceAll(text, "<1>", "$1")
	e, err := syntax.Parse(text)
	require.NoError(t, err, text)
	p := engine.Params{Text: text, Expr: e, Limit: []int{1, 7, 100, 5000}[rnd.IntN(4)], Categorize: rnd.IntN(3) == 0, Direction: model.Backward}
	p.Start = (begin + rnd.Int64N(end-begin)) / 1e6 * 1e6
	p.End = p.Start + rnd.Int64N(end-p.Start+int64(time.Minute))
	p.Step = []time.Duration{15 * time.Second, time.Minute, 5 * time.Minute}[rnd.IntN(3)]
	if rnd.IntN(2) == 0 {
		p.Direction = model.Forward
	}
	if _, metric := e.(syntax.SampleExpr); metric {
		p.Instant = rnd.IntN(3) == 0
	} else if rnd.IntN(6) == 0 {
		p.Interval = time.Minute
	}
	if p.Instant {
		p.Start = p.End
	}
	return p
}

// TestSpreadOfSeveralTenants has equal streams of two tenants in one shard.
func TestSpreadOfSeveralTenants(t *testing.T) {
	f := newFront(t, nil)
	c := newCrew(t, 2, f.src)
	f.use(t, func(l *limits.Limits, cfg *querier.Config, d *querier.Deps) {
		cfg.MultiTenantQueries, l.TSDBMaxBytesPerShard = true, 1
		d.Peers = c.peers(f.src)
	}, f.src)
	for i := range 200 {
		f.src.Add(labels.FromStrings("app", fmt.Sprint("a", i%9)), model.Entry{Timestamp: f.now.UnixNano() - int64(i), Line: fmt.Sprint("line ", i)})
	}
	ctx := tenant.Inject(t.Context(), "t|u")
	for _, text := range []string{`{app=~".+"} |= "1"`, `count_over_time({app=~".+"}[5m])`, `topk(3, rate({app=~".+"}[5m]))`, `sum by (__tenant_id__) (rate({app=~".+"}[5m]))`} {
		e, err := syntax.Parse(text)
		require.NoError(t, err)
		p := engine.Params{Text: text, Expr: e, Start: f.now.Add(-time.Hour).UnixNano(), End: f.now.UnixNano() + 1e6, Step: time.Minute, Limit: 30}
		bare := newFront(t, func(l *limits.Limits, cfg *querier.Config, d *querier.Deps) {
			cfg.MultiTenantQueries = true
			d.Sources = []logql.Source{f.src}
		})
		want, err := bare.q.Query(ctx, p)
		require.NoError(t, err)
		got, err := f.q.Query(ctx, p)
		require.NoError(t, err)
		require.Empty(t, sameValue(want.Value, got.Value), text)
		require.Greater(t, got.Stats.Shards, int64(1), text)
	}
	require.Positive(t, c.total())
}

// lackingSource answers as the sources do while more members are dead than there are copies to spare.
type lackingSource struct{ logql.Source }

func (s lackingSource) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	logql.FetchesOf(ctx).Missing.Add(1)
	logql.FetchesOf(ctx).Incomplete.Store(true)
	return s.Source.Select(ctx, sel)
}

// TestIncompleteResultsSaySo wants one warning with each kind of query, from whichever parts it was put together.
func TestIncompleteResultsSaySo(t *testing.T) {
	for _, parts := range []bool{false, true} {
		f := newFront(t, nil)
		src := lackingSource{f.src}
		c := newCrew(t, 2, src)
		f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
			if parts {
				l.TSDBMaxBytesPerShard, l.SplitQueriesByInterval, l.SplitInstantMetricQueriesByInterval = 1, 10*time.Minute, 10*time.Minute
				d.Peers = c.peers(f.src)
			}
		}, src)
		for i := range 200 {
			f.src.Add(labels.FromStrings("app", fmt.Sprint("a", i%9)), model.Entry{Timestamp: f.now.UnixNano() - int64(i)*1e10, Line: "x"})
		}
		for _, text := range []string{`{app=~".+"} |= "x"`, `sum(count_over_time({app=~".+"} |= "x" [1h]))`} {
			e, err := syntax.Parse(text)
			require.NoError(t, err)
			for _, instant := range []bool{false, true} {
				if _, metric := e.(syntax.SampleExpr); instant && !metric {
					continue
				}
				p := engine.Params{Text: text, Expr: e, Start: f.now.Add(-time.Hour).UnixNano(), End: f.now.UnixNano(), Step: time.Minute, Limit: 1000, Instant: instant}
				if instant {
					p.Start = p.End
				}
				for range 2 {
					require.Len(t, f.query(t, p).Warnings, 1, "%s, parts %v, instant %v", text, parts, instant)
				}
			}
		}
		require.Equal(t, parts, c.total() > 0)
	}
}

// TestSpreadErrors wants the errors of parts to be what they would be here, and the bounds on the whole query to hold.
func TestSpreadErrors(t *testing.T) {
	f := newFront(t, nil)
	c := newCrew(t, 2, f.src)
	f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
		l.TSDBMaxBytesPerShard, l.MaxQuerySeries = 1, 5
		d.Peers = c.peers(f.src)
	}, f.src)
	for i := range 300 {
		f.src.Add(labels.FromStrings("app", fmt.Sprint("a", i%30)), model.Entry{Timestamp: f.now.UnixNano() - int64(i), Line: "{"})
	}
	ask := func(text string) (engine.Result, error) {
		e, err := syntax.Parse(text)
		require.NoError(t, err)
		return f.q.Query(ofTenant(t), engine.Params{Text: text, Expr: e, Start: f.now.Add(-time.Hour).UnixNano(), End: f.now.UnixNano() + 1e6, Step: time.Minute})
	}
	_, err := ask(`sum by (app) (count_over_time({app=~".+"} | json [5m]))`)
	require.ErrorIs(t, err, engine.ErrPipeline)
	_, err = ask(`count_over_time({app=~".+"} |= "{" [5m])`)
	require.ErrorIs(t, err, engine.ErrMaxSeries)
	res, err := ask(`topk(3, count_over_time({app=~".+"} |= "{" [5m]))`)
	require.NoError(t, err, "the series below topk are no result")
	require.Len(t, res.Value, 3)
	require.EqualValues(t, 300, res.Stats.LinesProcessed, "each line is read once, whoever reads it")
	require.Positive(t, c.total())

	f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
		l.TSDBMaxBytesPerShard, l.MaxQueryBytesRead = 1, 100
		d.Peers = c.peers(f.src)
	}, f.src)
	_, err = ask(`sum(count_over_time({app=~".+"} |= "{" [5m]))`)
	require.ErrorIs(t, err, engine.ErrMaxBytesRead)
}

// TestSpreadWithoutMembers loses all members in the middle of a query, which is answered here, and one that hangs is left when the
// query is.
func TestSpreadWithoutMembers(t *testing.T) {
	f := newFront(t, nil)
	c := newCrew(t, 3, f.src)
	c.fails = func(string) error { return errors.New("gone") }
	f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
		l.TSDBMaxBytesPerShard = 1
		d.Peers = c.peers(f.src)
	}, f.src)
	for i := range 300 {
		f.src.Add(labels.FromStrings("app", fmt.Sprint("a", i%30)), model.Entry{Timestamp: f.now.UnixNano() - int64(i), Line: "x"})
	}
	e, err := syntax.Parse(`sum(count_over_time({app=~".+"} |= "x" [5m]))`)
	require.NoError(t, err)
	p := engine.Params{Expr: e, Start: f.now.UnixNano() / 1e6 * 1e6, End: f.now.UnixNano()/1e6*1e6 + 60e9, Step: time.Minute}
	res := f.query(t, p)
	require.InDelta(t, 300, res.Value.(engine.Matrix)[0].Points[0].V, 0)
	require.LessOrEqual(t, c.total(), 3, "a member that failed is not asked again by the query")

	c.fails = nil
	called := make(chan struct{}, 100)
	peers := c.peers(f.src)
	peers.Call = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		called <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
		l.TSDBMaxBytesPerShard = 1
		d.Peers = peers
	}, f.src)
	ctx, cancel := context.WithCancel(ofTenant(t))
	go func() {
		<-called
		cancel()
	}()
	_, err = f.q.Query(ctx, p)
	require.ErrorIs(t, err, context.Canceled)
}

// TestEstimatesAreKept asks the index once for the size of a query that comes again.
func TestEstimatesAreKept(t *testing.T) {
	f := newFront(t, nil)
	c := newCrew(t, 2, f.src)
	index := &countingSource{Source: f.src}
	f.use(t, func(l *limits.Limits, _ *querier.Config, d *querier.Deps) {
		d.Caches = querier.Caches{Index: cache.NewLocal("index", cache.LocalConfig{MaxBytes: 1 << 20}, cache.Deps{})}
		l.TSDBMaxBytesPerShard = 1 << 20
		d.Peers = c.peers(index)
	}, f.src)
	for i := range 3000 {
		f.src.Add(labels.FromStrings("app", fmt.Sprint("a", i%30)), model.Entry{Timestamp: f.now.UnixNano() - int64(i)*1e9, Line: "x"})
	}
	e, err := syntax.Parse(`sum(count_over_time({app=~".+"} |= "x" [5m]))`)
	require.NoError(t, err)
	ask := func() {
		t.Helper()
		p := engine.Params{Expr: e, Start: f.now.Add(-time.Hour).UnixNano(), End: f.now.UnixNano(), Step: time.Minute}
		res := f.query(t, p)
		require.Empty(t, sameValue(f.plain(t, p), res.Value))
	}
	ask()
	ask()
	require.EqualValues(t, 1, index.asked.Load())
	f.now = f.now.Add(6 * time.Minute)
	ask()
	require.EqualValues(t, 2, index.asked.Load(), "what is recent is asked for anew after a while")
}

// TestYoungEstimatesAreNotKept keeps what the index says of intervals that are old enough only.
func TestYoungEstimatesAreNotKept(t *testing.T) {
	f := newFront(t, nil)
	c := newCrew(t, 2, f.src)
	index := &countingSource{Source: f.src}
	f.use(t, func(l *limits.Limits, cfg *querier.Config, d *querier.Deps) {
		cfg.KeepLookupsAfter = 24 * time.Hour
		d.Caches = querier.Caches{Index: cache.NewLocal("index", cache.LocalConfig{MaxBytes: 1 << 20}, cache.Deps{})}
		l.TSDBMaxBytesPerShard = 1 << 20
		d.Peers = c.peers(index)
	}, f.src)
	f.add("a", f.now.UnixNano()-1, "x")
	e, err := syntax.Parse(`sum(count_over_time({app=~".+"} |= "x" [5m]))`)
	require.NoError(t, err)
	for _, age := range []time.Duration{time.Hour, 30 * time.Hour} {
		index.asked.Store(0)
		end := f.now.Add(-age)
		for range 3 {
			f.query(t, engine.Params{Expr: e, Start: end.Add(-time.Hour).UnixNano(), End: end.UnixNano(), Step: time.Minute})
		}
		want := 3
		if age > 24*time.Hour {
			want = 1
		}
		require.EqualValues(t, want, index.asked.Load(), age)
	}
}

// countingSource counts selections.
type countingSource struct {
	logql.Source
	asked atomic.Int64
}

func (s *countingSource) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	s.asked.Add(1)
	return s.Source.Select(ctx, sel)
}
