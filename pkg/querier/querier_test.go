package querier_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// perTenant gives each tenant a source of its own.
type perTenant map[string]*enginetest.Source

func (p perTenant) of(ctx context.Context) *enginetest.Source {
	id, err := tenant.ID(ctx)
	if err != nil || p[id] == nil {
		return enginetest.New(enginetest.Options{})
	}
	return p[id]
}

func (p perTenant) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	return p.of(ctx).Select(ctx, sel)
}

func (p perTenant) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return p.of(ctx).LabelNames(ctx, sel)
}

func (p perTenant) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return p.of(ctx).LabelValues(ctx, name, sel)
}

func (p perTenant) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	return p.of(ctx).Series(ctx, sel)
}

// pushes is a hub that hands pushes to observers.
type pushes struct {
	mu  sync.Mutex
	fns map[int]func(string, []wire.Stream)
	n   int
}

func (p *pushes) observe(tenant string, _ []*labels.Matcher, fn func([]wire.Stream)) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fns == nil {
		p.fns = map[int]func(string, []wire.Stream){}
	}
	p.n++
	n := p.n
	p.fns[n] = func(who string, streams []wire.Stream) {
		if who == tenant {
			fn(streams)
			fn(streams) // the other replica's
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.fns, n)
	}
}

func (p *pushes) push(id string, lbs labels.Labels, ts int64, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fn := range p.fns {
		fn(id, []wire.Stream{{Labels: lbs, Text: lbs.String(), Entries: []wire.PushEntry{{Timestamp: ts, Line: []byte(line)}}}})
	}
}

func newQuerier(t *testing.T, hub *pushes, change func(*limits.Limits), sources ...logql.Source) *querier.Querier {
	t.Helper()
	lim := limits.DefaultLimits()
	if change != nil {
		change(&lim)
	}
	overrides, err := limits.New(lim)
	require.NoError(t, err)
	cfg := querier.DefaultConfig
	cfg.MultiTenantQueries, cfg.AlignStep = true, true
	q, err := querier.New(cfg, querier.Deps{
		Sources: sources, Observe: hub.observe, Limits: overrides, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	return q
}

const second = int64(time.Second)

func fill(s *enginetest.Source, app string, from, n int) {
	for i := range n {
		s.Add(labels.FromStrings("app", app), model.Entry{Timestamp: int64(from+i) * second, Line: fmt.Sprintf("level=info n=%d", from+i)})
	}
}

func params(t *testing.T, query string, start, end int64) engine.Params {
	t.Helper()
	e, err := syntax.Parse(query)
	require.NoError(t, err)
	return engine.Params{Text: query, Expr: e, Start: start, End: end, Limit: 1000, Step: time.Minute}
}

func lines(t *testing.T, res engine.Result) int {
	t.Helper()
	streams, ok := res.Value.(engine.Streams)
	require.True(t, ok)
	n := 0
	for _, s := range streams {
		n += len(s.Entries)
	}
	return n
}

// TestUnion wants what is in two sources once, and what is in one of them at all.
func TestUnion(t *testing.T) {
	memory, bucket := enginetest.New(enginetest.Options{}), enginetest.New(enginetest.Options{})
	fill(bucket, "a", 0, 60)
	fill(memory, "a", 40, 60)
	fill(memory, "b", 0, 5)
	q := newQuerier(t, &pushes{}, nil, memory, bucket)
	ctx := tenant.Inject(t.Context(), "x")
	res, err := q.Query(ctx, params(t, `{app=~".+"}`, 0, 1000*second))
	require.NoError(t, err)
	require.Equal(t, 105, lines(t, res))
	stats, err := q.IndexStats(ctx, selector(t, `{app="a"}`), model.Interval{Start: 0, End: 1000 * second})
	require.NoError(t, err)
	require.EqualValues(t, 100, stats.Entries)
	names, err := q.LabelValues(ctx, "app", querier.LabelRequest{Interval: model.Interval{Start: 0, End: 1000 * second}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, names)
}

func selector(t *testing.T, text string) []*labels.Matcher {
	t.Helper()
	m, err := syntax.ParseMatchers(text)
	require.NoError(t, err)
	return m
}

func TestTenants(t *testing.T) {
	src := perTenant{"a": enginetest.New(enginetest.Options{}), "b": enginetest.New(enginetest.Options{})}
	fill(src["a"], "web", 0, 3)
	fill(src["b"], "web", 0, 4)
	q := newQuerier(t, &pushes{}, nil, src)
	f := func(header, query string, want map[string]float64) {
		t.Helper()
		p := params(t, query, 0, 100*second)
		p.Instant = true
		res, err := q.Query(tenant.Inject(t.Context(), header), p)
		require.NoError(t, err)
		vector, ok := res.Value.(engine.Vector)
		require.True(t, ok)
		got := map[string]float64{}
		for _, s := range vector {
			got[s.Labels.String()] = s.Points[0].V
		}
		require.Equal(t, want, got)
	}
	f("a", `count_over_time({app="web"}[10m])`, map[string]float64{`{app="web"}`: 3})
	f("a|b", `sum(count_over_time({app="web"}[10m]))`, map[string]float64{`{}`: 7})
	f("b|a", `count_over_time({app="web"}[10m])`, map[string]float64{`{__tenant_id__="a", app="web"}`: 3, `{__tenant_id__="b", app="web"}`: 4})
	f("a|b", `sum by (__tenant_id__) (count_over_time({app="web",__tenant_id__!="a"}[10m]))`, map[string]float64{`{__tenant_id__="b"}`: 4})
	names, err := q.LabelNames(tenant.Inject(t.Context(), "a|b"), querier.LabelRequest{Interval: model.Interval{End: 100 * second}})
	require.NoError(t, err)
	require.Equal(t, []string{"__tenant_id__", "app"}, names)
}

func TestLimits(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	fill(src, "a", 0, 10)
	ctx := tenant.Inject(t.Context(), "x")
	f := func(query string, change func(*limits.Limits), edit func(*engine.Params), want string) {
		t.Helper()
		p := params(t, query, 0, 3600*second)
		if edit != nil {
			edit(&p)
		}
		_, err := newQuerier(t, &pushes{}, change, src).Query(ctx, p)
		require.ErrorIs(t, err, querier.ErrLimit)
		require.ErrorContains(t, err, want)
	}
	f(`{app="a"}`, nil, func(p *engine.Params) { p.Limit = 5001 }, "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)")
	f(`{app="a"}`, func(l *limits.Limits) { l.MaxQueryLength = time.Minute }, nil, "the query time range exceeds the limit (query length: 1h0m0s, limit: 1m)")
	f(`rate({app="a"}[1h])`, func(l *limits.Limits) { l.MaxQueryRange = 5 * time.Minute }, nil, "[interval] value exceeds limit: [1h] > [5m]")
	f(`sum(rate({app="a"}[1h])) / 2`, func(l *limits.Limits) { l.MaxQueryRange = 5 * time.Minute }, nil, "[interval] value exceeds limit")
	f(`rate({app="a"}[1m])`, nil, func(p *engine.Params) { p.Step = 100 * time.Millisecond }, "11,000 points")

	q := newQuerier(t, &pushes{}, func(l *limits.Limits) { l.MaxQueryLength = time.Hour }, src)
	for _, extra := range []int64{1, int64(time.Millisecond)} { // as the end is rounded up where it comes from
		_, err := q.Series(ctx, nil, model.Interval{Start: 0, End: 3600*second + extra})
		require.NoError(t, err)
	}
	_, err := q.Series(ctx, nil, model.Interval{Start: 0, End: 3600*second + int64(time.Millisecond) + 1})
	require.ErrorIs(t, err, querier.ErrLimit)
	_, err = q.LabelNames(ctx, querier.LabelRequest{Interval: model.Interval{Start: 0, End: 3600*second + 1}})
	require.ErrorIs(t, err, querier.ErrLimit)

	q = newQuerier(t, &pushes{}, func(l *limits.Limits) { l.MaxQueryLookback = time.Hour }, src)
	res, err := q.Query(ctx, params(t, `{app="a"}`, 0, 3600*second))
	require.NoError(t, err)
	require.Zero(t, lines(t, res), "what is older than max_query_lookback is cut off in silence")
}

func TestTimeout(t *testing.T) {
	q := newQuerier(t, &pushes{}, func(l *limits.Limits) { l.QueryTimeout = time.Nanosecond }, slow{enginetest.New(enginetest.Options{})})
	_, err := q.Query(tenant.Inject(t.Context(), "x"), params(t, `{app="a"}`, 0, second))
	require.ErrorIs(t, err, querier.ErrTimeout)
	require.ErrorContains(t, err, "query_timeout")

	ctx := tenant.Inject(t.Context(), "x")
	for _, half := range []bool{false, true} {
		err = q.WithTimeout(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			if half {
				return nil
			}
			return ctx.Err()
		})
		require.ErrorIs(t, err, querier.ErrTimeout)
		require.ErrorContains(t, err, "query_timeout")
	}
	q = newQuerier(t, &pushes{}, nil, slow{enginetest.New(enginetest.Options{})})
	require.NoError(t, q.WithTimeout(ctx, func(context.Context) error { return nil }))
}

// slow waits until it is told to stop.
type slow struct{ logql.Source }

func (slow) Select(ctx context.Context, _ logql.Selection) ([]logql.Stream, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestVolume(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 7})
	for i := range 1000 {
		src.Add(labels.FromStrings("app", "big", "env", "x"), model.Entry{Timestamp: int64(i) * second, Line: "0123456789"})
		if i%2 == 0 {
			src.Add(labels.FromStrings("app", "small"), model.Entry{Timestamp: int64(i) * second, Line: "01234", Metadata: []model.Pair{{Name: "a", Value: "b"}}})
		}
	}
	q := newQuerier(t, &pushes{}, func(l *limits.Limits) { l.VolumeEnabled = true }, src)
	ctx := tenant.Inject(t.Context(), "x")
	f := func(r querier.VolumeRequest, want string) {
		t.Helper()
		r.Matchers, r.Interval = selector(t, `{app=~".+"}`), model.Interval{End: 1000 * second}
		volumes, err := q.Volume(ctx, r)
		require.NoError(t, err)
		got := ""
		for _, v := range volumes {
			got += fmt.Sprintf("%s%v ", v.Labels, v.Bytes)
		}
		require.Equal(t, want, got)
	}
	f(querier.VolumeRequest{}, `{app="big"}[10240] {app="small"}[3072] `)
	f(querier.VolumeRequest{Limit: 1}, `{app="big"}[10240] `)
	f(querier.VolumeRequest{TargetLabels: []string{"env"}}, `{env="x"}[10240] `)
	f(querier.VolumeRequest{ByLabel: true}, `{app=""}[13312] {env=""}[10240] `)
	f(querier.VolumeRequest{ByLabel: true, TargetLabels: []string{"app", "env"}}, `{app=""}[10240] {env=""}[10240] `)
	f(querier.VolumeRequest{Step: 500 * second}, `{app="big"}[5120 5120] {app="small"}[2048 2048] `)
}

// TestTail wants past entries oldest first, then live ones, each once, and the eleventh tail refused.
func TestTail(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	lbs := labels.FromStrings("app", "a")
	base := time.Now().Add(-time.Minute).UnixNano()
	for i := range 5 {
		src.Add(lbs, model.Entry{Timestamp: base + int64(i), Line: fmt.Sprint("past ", i)})
	}
	hub := &pushes{}
	q := newQuerier(t, hub, func(l *limits.Limits) { l.MaxConcurrentTailRequests = 1 }, src)
	ctx, cancel := context.WithCancel(tenant.Inject(t.Context(), "x"))
	e, err := syntax.Parse(`{app="a"} != "skip"`)
	require.NoError(t, err)
	req := querier.TailRequest{Text: e.String(), Expr: e, Start: base, Limit: 3}
	frames := make(chan *querier.TailFrame, 100)
	done := make(chan error, 1)
	go func() {
		done <- q.Tail(ctx, req, func(f *querier.TailFrame) error { frames <- f; return nil })
	}()
	next := func() []string {
		t.Helper()
		select {
		case f := <-frames:
			var out []string
			for _, s := range f.Streams {
				for _, e := range s.Entries {
					out = append(out, e.Line)
				}
			}
			return out
		case <-time.After(10 * time.Second):
			t.Fatal("no frame")
			return nil
		}
	}
	require.Equal(t, []string{"past 2", "past 3", "past 4"}, next())
	require.ErrorContains(t, q.Tail(ctx, req, nil), "max concurrent tail requests limit exceeded, count > limit (2 > 1)")

	hub.push("other", lbs, base+10, "another tenant's")
	hub.push("x", labels.FromStrings("app", "b"), base+10, "another stream's")
	hub.push("x", lbs, base+4, "past 4")
	hub.push("x", lbs, base+10, "skip this")
	hub.push("x", lbs, base+11, "live")
	require.Equal(t, []string{"live"}, next())
	for i := range 2000 {
		hub.push("x", lbs, base+int64(20+i), "many")
	}
	total, dropped := 0, 0
	gather := func(want int) {
		t.Helper()
		for total, dropped = 0, 0; total+dropped < want; {
			select {
			case f := <-frames:
				for _, s := range f.Streams {
					total += len(s.Entries)
				}
				dropped += len(f.Dropped)
			case <-time.After(10 * time.Second):
				t.Fatalf("%d sent and %d dropped of %d", total, dropped, want)
			}
		}
	}
	gather(2000)
	require.Zero(t, dropped, "a reader that keeps up loses nothing")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// TestTailSlowReader has more entries wait than may: the reader is told which it missed.
func TestTailSlowReader(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	lbs := labels.FromStrings("app", "a")
	now := time.Now().UnixNano()
	src.Add(lbs, model.Entry{Timestamp: now - 1e9, Line: "past"})
	hub := &pushes{}
	q := newQuerier(t, hub, nil, src)
	ctx, cancel := context.WithCancel(tenant.Inject(t.Context(), "x"))
	defer cancel()
	e, err := syntax.Parse(`{app="a"}`)
	require.NoError(t, err)
	release := make(chan struct{})
	first := true
	total, dropped := 0, 0
	const pushed = 20
	_ = q.Tail(ctx, querier.TailRequest{Text: e.String(), Expr: e, Start: now - 1e10, Limit: 3}, func(f *querier.TailFrame) error {
		if first {
			first = false
			go func() {
				for i := range pushed {
					hub.push("x", lbs, now+int64(i), strings.Repeat("z", 1<<20))
				}
				close(release)
			}()
			<-release
			return nil
		}
		for _, s := range f.Streams {
			total += len(s.Entries)
		}
		if dropped += len(f.Dropped); total+dropped == pushed {
			cancel()
		}
		return nil
	})
	require.Equal(t, pushed, total+dropped)
	require.InDelta(t, 7, total, 1)
}

func TestDetected(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	for i, line := range []string{
		`level=warn took=12ms size=5KB n=1 rate=0.5 ok=true`, `{"level":"info","user":{"id":7,"plan":"free"},"tags":[1],"none":null}`, `plain text`,
	} {
		src.Add(labels.FromStrings("app", "a", "level", "x", "id", "123"), model.Entry{Timestamp: int64(i) * second, Line: line, Metadata: []model.Pair{{Name: "trace", Value: "tr-1"}}})
	}
	q := newQuerier(t, &pushes{}, nil, src)
	ctx := tenant.Inject(t.Context(), "x")
	fields, err := q.DetectedFields(ctx, params(t, `{app="a"}`, 0, 100*second), 100)
	require.NoError(t, err)
	got := map[string]string{}
	for _, f := range fields {
		got[f.Label] = fmt.Sprintf("%s%d%v%v", f.Type, f.Cardinality, f.Parsers, f.JSONPath)
	}
	require.Equal(t, map[string]string{
		"level": "string2[json logfmt][level]", "took": "duration1[logfmt][]", "size": "bytes1[logfmt][]", "n": "int1[logfmt][]",
		"rate": "float1[logfmt][]", "ok": "boolean1[logfmt][]", "user_id": "int1[json][user id]", "user_plan": "string1[json][user plan]",
		"trace": "string1[][]",
	}, got)
	// A query with parsers of its own: each field has the one that fits its line.
	fields, err = q.DetectedFields(ctx, params(t, `{app="a"} | json | logfmt`, 0, 100*second), 100)
	require.NoError(t, err)
	clear(got)
	for _, f := range fields {
		got[f.Label] = fmt.Sprintf("%s%d%v%v", f.Type, f.Cardinality, f.Parsers, f.JSONPath)
	}
	require.Equal(t, "string2[json logfmt][level]", got["level_extracted"])
	require.Equal(t, "duration1[logfmt][]", got["took"])
	require.Equal(t, "int1[json][user id]", got["user_id"])
	require.Equal(t, "string1[][]", got["trace"])
	values, err := q.DetectedFieldValues(ctx, params(t, `{app="a"}`, 0, 100*second), "size", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"5.0kB"}, values)
	detected, err := q.DetectedLabels(ctx, querier.LabelRequest{Interval: model.Interval{End: 100 * second}})
	require.NoError(t, err)
	require.Equal(t, []querier.DetectedLabel{{Label: "app", Cardinality: 1}, {Label: "level", Cardinality: 1}}, detected)
}
