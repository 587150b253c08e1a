package querier_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
	"logstore/pkg/changes"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/sidecar"
	"logstore/pkg/tenant"
)

// front is a querier with caches over a source that grows, and a clock of its own.
type front struct {
	q          *querier.Querier
	src        *enginetest.Source
	log        *changes.Log
	generation int
	now        time.Time
	results    *cache.Local
	reg        *prometheus.Registry
}

// halfDescribed has pieces that show outlines and totals beside others.
var halfDescribed = enginetest.Options{BlockEntries: 50, PieceEntries: 150, Bare: 2, Described: &sidecar.Options{BitsPerKey: 8, MaxBytes: 1 << 20}}

// bare hides what pieces tell of themselves, so that all of them are read.
type bare struct{ logql.Source }

// Select implements logql.Source.
func (b bare) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	streams, err := b.Source.Select(ctx, sel)
	for i := range streams {
		for k, p := range streams[i].Pieces {
			streams[i].Pieces[k] = struct{ logql.Piece }{p}
		}
	}
	return streams, err
}

func newFront(t testing.TB, change func(*limits.Limits, *querier.Config, *querier.Deps)) *front {
	t.Helper()
	f := &front{src: enginetest.New(halfDescribed), log: changes.NewLog()}
	f.now = time.Unix(1_800_000_000, 0).UTC()
	f.use(t, change, f.src)
	return f
}

// use makes the querier over a source.
func (f *front) use(t testing.TB, change func(*limits.Limits, *querier.Config, *querier.Deps), src logql.Source) {
	t.Helper()
	f.reg = prometheus.NewRegistry()
	f.results = cache.NewLocal("results", cache.LocalConfig{MaxBytes: 64 << 20}, cache.Deps{Registerer: f.reg})
	lim := limits.DefaultLimits()
	lim.MaxQueryLength, lim.VolumeEnabled = 0, true
	cfg := querier.DefaultConfig
	deps := querier.Deps{
		Sources: []logql.Source{src}, Logger: slog.New(slog.DiscardHandler), Registerer: f.reg,
		Now: func() time.Time { return f.now },
		Changes: func(_ context.Context, id string, span model.Interval) ([]changes.State, error) {
			return []changes.State{f.log.State(id, span)}, nil
		},
		Generation: func(string) string { return strconv.Itoa(f.generation) },
		Caches:     querier.Caches{Results: f.results, Instant: f.results, Stats: f.results, Volume: f.results, Series: f.results, Labels: f.results},
	}
	if change != nil {
		change(&lim, &cfg, &deps)
	}
	var err error
	deps.Limits, err = limits.New(lim)
	require.NoError(t, err)
	f.q, err = querier.New(cfg, deps)
	require.NoError(t, err)
}

// add writes an entry and says so.
func (f *front) add(app string, ts int64, line string) {
	f.src.Add(labels.FromStrings("app", app), model.Entry{Timestamp: ts, Line: line})
	f.log.Touch("t", ts, ts)
}

func ofTenant(t testing.TB) context.Context { return tenant.Inject(t.Context(), "t") }

// plain evaluates the query by the engine alone, which reads all pieces.
func (f *front) plain(t testing.TB, p engine.Params) engine.Value {
	t.Helper()
	res, err := new(engine.Engine).Run(ofTenant(t), bare{f.src}, p, engine.Limits{})
	require.NoError(t, err)
	return res.Value
}

func (f *front) query(t testing.TB, p engine.Params) engine.Result {
	t.Helper()
	res, err := f.q.Query(ofTenant(t), p)
	require.NoError(t, err)
	return res
}

// sameValue compares results; sums may differ in their last digits.
func sameValue(want, got engine.Value) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(labels.Equal), cmp.Comparer(func(a, b float64) bool {
		return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
	}))
}

var frontQueries = []string{
	`{app=~".+"}`, `{app="a"}`, `{app="a"} |= "n=7"`, `{app=~"a|b"} | logfmt | n > 100`, `{app="none"}`, `{app="rare"} |= "x"`,
	`{app=~".+"} | logfmt | line_format "{{.n}}"`,
	`count_over_time({app=~".+"}[5m])`, `sum by (app) (rate({app=~"a|b|rare"}[10m]))`, `sum(count_over_time({app=~".+"} |= "7" [1m]))`,
	`topk(1, sum by (app) (count_over_time({app=~".+"}[3m])))`, `max_over_time({app="a"} | logfmt | unwrap n [7m]) by (app)`,
	`count_over_time({app="a"}[5m] offset 10m)`, `sum(count_over_time({app="b"}[5m] offset -7m))`,
	`absent_over_time({app="rare"}[5m])`, `sum(count_over_time({app="a"}[2m])) / sum(count_over_time({app=~".+"}[2m]))`,
	`quantile_over_time(0.9, {app="b"} | logfmt | unwrap n [10m]) by (app)`, `vector(3)`, `sum(count_over_time({app="a"}[2m])) > 3 or vector(0)`,
	`sum by (app) (bytes_over_time({app=~".+"}[90m]))`, `sum(rate({app=~".+"} |= "1" [4h]))`, `topk(1, rate({app=~"a|b"}[3h] offset 30m))`,
	`max by (app) (max_over_time({app=~".+"} | logfmt | unwrap n [3h]))`, `sum(count_over_time({app="a"}[3h])) / sum(count_over_time({app=~".+"}[5h]))`, `avg_over_time({app="a"} | logfmt | unwrap n [1m])`,
}

// TestFrontAgreesWithTheEngine asks random queries under random settings, while entries come in time and late and time goes on,
// and wants what the bare engine says.
func TestFrontAgreesWithTheEngine(t *testing.T) {
	rounds := 25
	if os.Getenv("LOGSTORE_SOAK") != "" {
		rounds = 2000
	}
	seed := rand.Uint64()
	if s := os.Getenv("LOGSTORE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("LOGSTORE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range rounds {
		metamorph(t, rnd)
		if t.Failed() {
			return
		}
	}
}

func metamorph(t *testing.T, rnd *rand.Rand) {
	intervals := []time.Duration{0, 7 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour}
	split := intervals[rnd.IntN(len(intervals))]
	f := newFront(t, func(l *limits.Limits, c *querier.Config, _ *querier.Deps) {
		l.SplitQueriesByInterval = split
		l.SplitInstantMetricQueriesByInterval = intervals[rnd.IntN(len(intervals))]
		l.MaxCacheFreshnessPerQuery = time.Duration(rnd.IntN(20)) * time.Minute
		c.AlignStep = rnd.IntN(2) == 0
	})
	begin := f.now.Add(-6 * time.Hour).UnixNano()
	n := 0
	add := func(from, to int64, count int) {
		for range count {
			app := []string{"a", "a", "b", "b", "b", "rare"}[rnd.IntN(6)]
			if app == "rare" && rnd.IntN(10) > 0 {
				app = "a"
			}
			n++
			f.add(app, from+rnd.Int64N(to-from), fmt.Sprintf("level=info n=%d", n))
		}
	}
	add(begin, f.now.UnixNano(), 1500)
	var asked []engine.Params
	for range 40 {
		switch rnd.IntN(6) {
		case 0: // time goes on, and entries come
			later := f.now.Add(time.Duration(1+rnd.IntN(300)) * time.Second)
			add(f.now.UnixNano(), later.UnixNano(), rnd.IntN(20))
			f.now = later
		case 1: // late ones
			at := begin + rnd.Int64N(f.now.UnixNano()-begin)
			add(at, at+1+rnd.Int64N(int64(time.Minute)), 1+rnd.IntN(3))
		case 2:
			f.generation += rnd.IntN(2)
		}
		var p engine.Params
		if len(asked) > 0 && rnd.IntN(3) > 0 {
			p = asked[rnd.IntN(len(asked))]
			if d := int64(rnd.IntN(5)) * int64(p.Step); rnd.IntN(2) == 0 {
				p.Start, p.End = p.Start+d, p.End+d
			}
		} else {
			p = randomParams(t, rnd, begin, f.now.UnixNano())
		}
		asked = append(asked, p)
		want := p
		if f.aligned(&want) {
			continue
		}
		if diff := sameValue(f.plain(t, want), f.query(t, p).Value); diff != "" {
			t.Fatalf("%s from %d to %d step %s limit %d split %s: %s", p.Text, p.Start, p.End, p.Step, p.Limit, split, diff)
		}
	}
}

// exact is a source whose labels are those of the entries in the interval, to the nanosecond.
type exact struct{ *enginetest.Source }

// Series implements logql.Source.
func (e exact) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	p := engine.Params{Expr: &syntax.LogQuery{Matchers: sel.Matchers}, Start: sel.Interval.Start, End: sel.Interval.End}
	res, err := new(engine.Engine).Run(ctx, e.Source, p, engine.Limits{})
	if err != nil {
		return nil, err
	}
	var out []labels.Labels
	for _, s := range res.Value.(engine.Streams) {
		out = append(out, s.Labels)
	}
	return out, nil
}

// LabelNames implements logql.Source.
func (e exact) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	series, err := e.Series(ctx, sel)
	if len(series) == 0 {
		return nil, err
	}
	return []string{"app"}, err
}

// LabelValues implements logql.Source.
func (e exact) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	series, err := e.Series(ctx, sel)
	var out []string
	for _, s := range series {
		out = append(out, s.Get(name))
	}
	slices.Sort(out)
	return slices.Compact(out), err
}

// TestKeptLabelsAndSizes asks for labels, series and sizes of past days while entries come late, and wants what a querier
// without caches says.
func TestKeptLabelsAndSizes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	relax := func(l *limits.Limits, _ *querier.Config, _ *querier.Deps) {
		l.MaxMetadataCacheFreshness, l.MaxStatsCacheFreshness, l.MaxCacheFreshnessPerQuery = 0, 0, 0
		l.SplitMetadataQueriesByInterval = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour}[rnd.IntN(3)]
		l.SplitRecentMetadataQueriesByInterval = []time.Duration{0, time.Hour, 5 * time.Hour}[rnd.IntN(3)]
		l.RecentMetadataQueryWindow = []time.Duration{0, 36 * time.Hour, 300 * time.Hour}[rnd.IntN(3)]
	}
	f := newFront(t, relax)
	f.src = enginetest.New(enginetest.Options{BlockEntries: 50, PieceEntries: 1})
	f.use(t, relax, exact{f.src})
	bare := newFront(t, func(l *limits.Limits, c *querier.Config, d *querier.Deps) {
		relax(l, c, d)
		d.Sources, d.Changes = []logql.Source{exact{f.src}}, nil
	})
	const hour = int64(time.Hour)
	begin := f.now.UnixNano() - 90*hour
	for i := range 600 {
		f.add(fmt.Sprint("app-", rnd.IntN(9)), begin+rnd.Int64N(90*hour), fmt.Sprintf("line %d", i))
	}
	all := labels.MustNewMatcher(labels.MatchRegexp, "app", ".+")
	ctx := ofTenant(t)
	for i := range 300 {
		if rnd.IntN(4) == 0 {
			f.add(fmt.Sprint("late-", i), begin+rnd.Int64N(90*hour), "late")
		}
		from := begin + rnd.Int64N(20)*4*hour
		span := model.Interval{Start: from, End: from + (1+rnd.Int64N(8))*6*hour}
		r := querier.LabelRequest{Matchers: []*labels.Matcher{all}, Interval: span}
		v := querier.VolumeRequest{Matchers: r.Matchers, Interval: span, Step: []int64{0, hour}[rnd.IntN(2)], Limit: 100}
		for name, ask := range map[string]func(*querier.Querier) (any, error){
			"names":  func(q *querier.Querier) (any, error) { return q.LabelNames(ctx, r) },
			"values": func(q *querier.Querier) (any, error) { return q.LabelValues(ctx, "app", r) },
			"series": func(q *querier.Querier) (any, error) { return q.Series(ctx, [][]*labels.Matcher{r.Matchers}, span) },
			"stats":  func(q *querier.Querier) (any, error) { return q.IndexStats(ctx, r.Matchers, span) },
			"volume": func(q *querier.Querier) (any, error) { return q.Volume(ctx, v) },
		} {
			want, err := ask(bare.q)
			require.NoError(t, err)
			got, err := ask(f.q)
			require.NoError(t, err)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(labels.Equal)); diff != "" {
				t.Fatalf("%s of %v: %s", name, span, diff)
			}
		}
	}
	require.Positive(t, f.hits(t), "nothing came from the cache")
}

// spans notes the intervals that label names are asked for in.
type spans struct {
	logql.Source
	asked []model.Interval
}

// LabelNames implements logql.Source.
func (s *spans) LabelNames(_ context.Context, sel logql.Selection) ([]string, error) {
	s.asked = append(s.asked, sel.Interval)
	return nil, nil
}

// TestRecentMetadataSplits asks for labels of the recent window in other parts than for those before it.
func TestRecentMetadataSplits(t *testing.T) {
	for _, window := range []time.Duration{0, 48 * time.Hour} {
		f := newFront(t, nil)
		src := &spans{Source: f.src}
		f.use(t, func(l *limits.Limits, _ *querier.Config, _ *querier.Deps) {
			l.SplitMetadataQueriesByInterval, l.SplitRecentMetadataQueriesByInterval = 24*time.Hour, 6*time.Hour
			l.RecentMetadataQueryWindow = window
		}, src)
		today := f.now.Truncate(24 * time.Hour)
		span := model.Interval{Start: today.Add(-96 * time.Hour).UnixNano(), End: today.UnixNano()}
		_, err := f.q.LabelNames(ofTenant(t), querier.LabelRequest{Interval: span})
		require.NoError(t, err)
		lengths := map[time.Duration]int{}
		at := span.Start
		for _, s := range src.asked {
			require.Equal(t, at, s.Start)
			at = s.End
			lengths[time.Duration(s.End-s.Start)]++
		}
		require.Equal(t, span.End, at)
		if window == 0 {
			require.Equal(t, map[time.Duration]int{24 * time.Hour: 4}, lengths)
			continue
		}
		// The window begins on the third day at six; the fourth is too fresh to be kept, and asked for at once.
		require.Equal(t, map[time.Duration]int{24 * time.Hour: 3, 6 * time.Hour: 4}, lengths)
	}
}

// hits counts what the caches answered.
func (f *front) hits(t *testing.T) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	require.NoError(t, err)
	n := 0.0
	for _, family := range families {
		if family.GetName() == "loki_cache_hits" {
			for _, m := range family.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// aligned does to the parameters what the querier is configured to do; it reports whether there is nothing to ask for.
func (f *front) aligned(p *engine.Params) bool {
	if _, metric := p.Expr.(syntax.SampleExpr); metric && !p.Instant && f.q.Config().AlignStep {
		p.Start -= p.Start % int64(p.Step)
		p.End -= p.End % int64(p.Step)
	}
	return p.End < p.Start
}

func randomParams(t *testing.T, rnd *rand.Rand, begin, now int64) engine.Params {
	text := frontQueries[rnd.IntN(len(frontQueries))]
	e, err := syntax.Parse(text)
	require.NoError(t, err)
	p := engine.Params{Text: text, Expr: e, Limit: []int{1, 10, 100, 5000}[rnd.IntN(4)]}
	grain := []int64{1, int64(time.Millisecond), int64(time.Second), int64(time.Minute)}[rnd.IntN(4)]
	p.Start = (begin + rnd.Int64N(now-begin)) / grain * grain
	p.End = (p.Start + 1 + rnd.Int64N(now-p.Start+int64(time.Minute))) / grain * grain
	p.End = max(p.End, p.Start)
	p.Step = []time.Duration{time.Second * 15, time.Minute, 5 * time.Minute, 7 * time.Second * 10}[rnd.IntN(4)]
	if rnd.IntN(2) == 0 {
		p.Direction = model.Forward
	}
	if _, metric := e.(syntax.SampleExpr); metric {
		p.Instant = rnd.IntN(3) == 0
	} else if rnd.IntN(5) == 0 {
		p.Interval = time.Minute
	}
	if p.Instant {
		p.Start = p.End
	}
	return p
}
