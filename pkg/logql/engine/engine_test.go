package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t testing.TB, src logql.Source, query string, p engine.Params) engine.Result {
	t.Helper()
	res, err := tryRun(src, query, p, engine.Limits{})
	require.NoError(t, err, query)
	return res
}

func tryRun(src logql.Source, query string, p engine.Params, lim engine.Limits) (engine.Result, error) {
	expr, err := syntax.Parse(query)
	if err != nil {
		return engine.Result{}, err
	}
	p.Text, p.Expr = query, expr
	return new(engine.Engine).Run(context.Background(), src, p, lim)
}

// text writes the value in one canonical way.
func text(v engine.Value) string {
	var b strings.Builder
	series := func(list []engine.Series) {
		for _, s := range list {
			fmt.Fprintf(&b, "%s", s.Labels)
			for _, p := range s.Points {
				fmt.Fprintf(&b, " %d:%.9g", p.T, p.V)
			}
			b.WriteByte('\n')
		}
	}
	switch v := v.(type) {
	case engine.Streams:
		for _, s := range v {
			fmt.Fprintf(&b, "%s\n", s.Labels)
			for _, e := range s.Entries {
				fmt.Fprintf(&b, "  %d %q\n", e.Timestamp, e.Line)
			}
		}
	case engine.Matrix:
		series(v)
	case engine.Vector:
		series(v)
	case engine.Scalar:
		fmt.Fprintf(&b, "%d:%g", v.T, v.V)
	}
	return b.String()
}

// randomEntries are lines of a few streams, several at many instants, with metadata on some and repeats of some.
func randomEntries(r *rand.Rand) (entries []model.Entry, streams []labels.Labels) {
	ts := int64(1000)
	for range 3000 {
		ts += r.Int64N(3)
		e := model.Entry{Timestamp: ts, Line: fmt.Sprintf("n=%d word=%s", r.IntN(50), words[r.IntN(4)])}
		l := labels.FromStrings("app", "a", "pod", fmt.Sprint(r.IntN(3)))
		if r.IntN(3) == 0 {
			e.Metadata = []model.Pair{{Name: "trace", Value: fmt.Sprint(r.IntN(5))}}
		}
		for range 1 + r.IntN(2)*r.IntN(2) {
			entries, streams = append(entries, e), append(streams, l)
		}
	}
	return entries, streams
}

// layouts are sources of the same entries cut into blocks and pieces in many ways, stored once, twice and three times.
func layouts(entries []model.Entry, streams []labels.Labels) map[string]*enginetest.Source {
	sources := map[string]*enginetest.Source{}
	for name, opts := range map[string]enginetest.Options{
		"one block":       {BlockEntries: 1e6, PieceEntries: 1e6},
		"fine":            {BlockEntries: 3, PieceEntries: 11},
		"twice":           {BlockEntries: 50, PieceEntries: 170, Replicas: 2, Encoding: compress.Snappy},
		"thrice":          {BlockEntries: 7, PieceEntries: 300, Replicas: 3, Live: true},
		"live":            {BlockEntries: 1e6, PieceEntries: 1e6, Live: true},
		"described":       {BlockEntries: 40, PieceEntries: 170, Live: true, Described: described},
		"described twice": {BlockEntries: 50, PieceEntries: 230, Replicas: 2, Described: described},
	} {
		sources[name] = enginetest.New(opts)
		for i, e := range entries {
			sources[name].Add(streams[i], e)
		}
	}
	// Every tenth entry comes late.
	sources["late"] = enginetest.New(enginetest.Options{BlockEntries: 40, PieceEntries: 200, Live: true})
	for _, late := range []bool{false, true} {
		for i, e := range entries {
			if (i%10 == 0) == late {
				sources["late"].Add(streams[i], e)
			}
		}
	}
	return sources
}

var described = &sidecar.Options{BitsPerKey: 6, MaxBytes: 1 << 20}

func newSeed(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// TestMetricLayoutsAgree runs metric queries over all layouts: the answers must be equal.
func TestMetricLayoutsAgree(t *testing.T) {
	r := newSeed(t)
	entries, streams := randomEntries(r)
	sources := layouts(entries, streams)
	last := entries[len(entries)-1].Timestamp
	for _, query := range []string{
		`sum(count_over_time({app="a"}[100s]))`,
		`sum by (pod) (count_over_time({app="a"} |= "timeout" [100s]))`,
		`count_over_time({app="a"}[100s])`,
		`sum by (trace) (bytes_over_time({app="a"}[100s]))`,
		`sum by (pod) (bytes_over_time({app="a"}[100s]))`,
		`max_over_time({app="a"} | logfmt | unwrap n [100s]) by (pod)`,
		`quantile_over_time(0.9, {app="a"} | logfmt | unwrap n [100s]) by (word)`,
		`sum by (word) (count_over_time({app="a"} | logfmt | n > 25 [100s]))`,
	} {
		// Nanoseconds are the unit of time here: 100s is far longer than all of it, so the range is made shorter by hand.
		expr, err := syntax.Parse(query)
		require.NoError(t, err)
		syntax.Walk(expr, func(e syntax.Expr) {
			if agg, ok := e.(*syntax.RangeAggregation); ok {
				agg.Range = time.Duration(1 + r.Int64N(400))
			}
		})
		p := engine.Params{Expr: expr, Start: 900, End: last + 100, Step: time.Duration(1 + r.Int64N(300))}
		want := ""
		for name, src := range sources {
			res, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{})
			require.NoError(t, err)
			got := text(res.Value)
			if want == "" {
				want = got
				require.NotEmpty(t, want)
			}
			require.Equal(t, want, got, "%s, layout %s, range %v", query, name, expr)
		}
	}
}

// TestLogLayoutsAgree does the same with log queries.
func TestLogLayoutsAgree(t *testing.T) {
	r := newSeed(t)
	entries, streams := randomEntries(r)
	sources := layouts(entries, streams)
	last := entries[len(entries)-1].Timestamp
	for _, query := range []string{`{app="a"}`, `{app="a"} |= "timeout"`, `{app="a"} | trace="1"`, `{app="a"} | logfmt | n > 40`} {
		for _, p := range []engine.Params{
			{Limit: 17}, {Limit: 17, Direction: model.Forward}, {Limit: 100000}, {Limit: 40, Interval: 25}, {Limit: 40, Interval: 25, Direction: model.Forward},
		} {
			p.Start, p.End = 1000+r.Int64N(500), last-r.Int64N(500)
			want := ""
			for name, src := range sources {
				if name == "late" && p.Interval > 0 {
					continue // of lines of one instant, another one may pass the filter first
				}
				got := sortedLines(text(run(t, src, query, p).Value), p)
				if want == "" {
					want = got
				}
				require.Equal(t, want, got, "%s, layout %s, %+v", query, name, p)
			}
		}
	}
}

// sortedLines leaves out what layouts may order as they like: which of several lines of one instant are the last ones
// within the limit.
func sortedLines(text string, p engine.Params) string {
	lines := strings.Split(text, "\n")
	if p.Limit < 1000 {
		lines = slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "  ") })
		for i, l := range lines {
			lines[i] = strings.Fields(l)[0]
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestCounts compares counts with what was stored.
func TestCounts(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 10, PieceEntries: 100, Replicas: 2})
	for i := range 1000 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%2)), model.Entry{Timestamp: int64(i) * 1e9, Line: "x"})
	}
	res := run(t, src, `sum by (pod) (count_over_time({app="a"}[100s]))`, engine.Params{Start: 99e9, End: 999e9, Step: 300 * time.Second})
	require.Equal(t, "{pod=\"0\"} 99000:50 399000:50 699000:50 999000:50\n{pod=\"1\"} 99000:50 399000:50 699000:50 999000:50\n", text(res.Value))
	res = run(t, src, `count_over_time({app="a", pod="1"}[1s])`, engine.Params{Start: 0, End: 3e9, Step: time.Second})
	require.Equal(t, "{app=\"a\", pod=\"1\"} 1000:1 3000:1\n", text(res.Value))
}

// TestRepeatsInLiveBlocks wants an entry that was pushed several times to be there once, whatever the query.
func TestRepeatsInLiveBlocks(t *testing.T) {
	src := enginetest.New(enginetest.Options{Live: true})
	for i := range 10 {
		for range 20 { // so many that they are not compared one by one
			src.Add(labels.FromStrings("app", "a"), model.Entry{Timestamp: int64(i / 2), Line: fmt.Sprint("line ", i)})
		}
	}
	p := engine.Params{End: 10, Instant: true}
	require.Equal(t, "{} 0:10\n", text(run(t, src, `sum(count_over_time({app="a"}[1h]))`, p).Value))
	require.Equal(t, "{} 0:60\n", text(run(t, src, `sum(bytes_over_time({app="a"}[1h]))`, p).Value))
	require.Equal(t, "{} 0:10\n", text(run(t, src, `sum(count_over_time({app="a"} |= "line" [1h]))`, p).Value))
	require.Equal(t, "{} 0:10\n", text(run(t, src, `count(count_over_time({app="a"} | regexp "(?P<x>.$)" [1h]))`, p).Value))
	res := run(t, src, `{app="a"}`, engine.Params{End: 10, Limit: 5})
	require.Equal(t, int64(5), res.Stats.EntriesReturned)
}

// TestTailReadsLittle wants a query of few lines to open and read only the newest of each stream.
func TestTailReadsLittle(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 100, PieceEntries: 1000})
	const streams, perStream = 50, 5000
	for i := range streams * perStream {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%streams)), model.Entry{Timestamp: int64(i) * 1e6, Line: fmt.Sprint("line ", i)})
	}
	p := engine.Params{Start: 0, End: streams * perStream * 1e6, Limit: 100}
	for _, direction := range []model.Direction{model.Backward, model.Forward} {
		p.Direction = direction
		src.Opened.Store(0)
		res := run(t, src, `{app="a"}`, p)
		require.Equal(t, int64(100), res.Stats.EntriesReturned)
		require.LessOrEqual(t, src.Opened.Load(), int64(streams+32), direction)
		require.LessOrEqual(t, res.Stats.BlocksDecompressed, int64(streams+8), direction)
		n := 0
		for _, s := range res.Value.(engine.Streams) {
			for _, e := range s.Entries {
				if direction == model.Backward {
					require.GreaterOrEqual(t, e.Timestamp, p.End-100e6)
				} else {
					require.Less(t, e.Timestamp, int64(100e6))
				}
				n++
			}
		}
		require.Equal(t, 100, n)
	}
	// With a filter that most lines pass, not much more is read.
	p.Direction = model.Backward
	res := run(t, src, `{app="a"} |= "line"`, p)
	require.LessOrEqual(t, res.Stats.BlocksDecompressed, int64(3*streams))
}

func TestLogOrder(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 2})
	for _, e := range []model.Entry{{Timestamp: 10, Line: "a"}, {Timestamp: 20, Line: "b"}, {Timestamp: 20, Line: "c"}, {Timestamp: 20, Line: "d"}, {Timestamp: 30, Line: "e"}} {
		src.Add(labels.FromStrings("app", "a"), e)
	}
	f := func(p engine.Params, want ...string) {
		t.Helper()
		var got []string
		for _, s := range run(t, src, `{app="a"}`, p).Value.(engine.Streams) {
			for _, e := range s.Entries {
				got = append(got, e.Line)
			}
		}
		require.Equal(t, want, got)
	}
	f(engine.Params{Start: 10, End: 31, Limit: 10}, "e", "d", "c", "b", "a")
	f(engine.Params{Start: 10, End: 30, Limit: 10, Direction: model.Forward}, "a", "b", "c", "d")
	f(engine.Params{Start: 11, End: 31, Limit: 2, Direction: model.Forward}, "b", "c")
	f(engine.Params{Start: 20, End: 20, Limit: 10}, "d", "c", "b")
	f(engine.Params{Start: 10, End: 31}, "e", "d", "c", "b", "a")
}

func TestInterval(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 5, PieceEntries: 20})
	hour := int64(time.Hour)
	for i := range 120 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%3)), model.Entry{Timestamp: hour + int64(i)*60e9, Line: "x"})
	}
	f := func(d model.Direction, limit int, want ...int64) {
		t.Helper()
		var got []int64
		for _, s := range run(t, src, `{app="a"}`, engine.Params{Start: hour, End: 3 * hour, Limit: limit, Interval: 25 * time.Minute, Direction: d}).Value.(engine.Streams) {
			for _, e := range s.Entries {
				got = append(got, (e.Timestamp-hour)/60e9)
			}
		}
		slices.Sort(got)
		require.Equal(t, want, got)
	}
	// The count begins anew at the hour.
	f(model.Forward, 100, 0, 25, 50, 60, 85, 110)
	f(model.Forward, 4, 0, 25, 50, 60)
	f(model.Backward, 100, 9, 34, 59, 69, 94, 119)
	f(model.Backward, 2, 94, 119)
}

func TestLimits(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 100})
	for i := range 5000 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%7)), model.Entry{Timestamp: int64(i), Line: fmt.Sprintf("id=%d", i)})
	}
	p := engine.Params{Start: 0, End: 10000, Instant: true}
	f := func(query string, lim engine.Limits, sentinel error) {
		t.Helper()
		_, err := tryRun(src, query, p, lim)
		if sentinel == nil {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, sentinel, query)
		require.True(t, engine.IsBadQuery(err))
	}
	f(`count_over_time({app="a"}[1s])`, engine.Limits{MaxSeries: 7}, nil)
	f(`count_over_time({app="a"}[1s])`, engine.Limits{MaxSeries: 6}, engine.ErrMaxSeries)
	f(`sum(count_over_time({app="a"} | logfmt [1s]))`, engine.Limits{MaxSeries: 6}, nil)
	f(`count(count_over_time({app="a"} | logfmt [1s]))`, engine.Limits{MaxSeries: 6}, nil) // only what is returned counts
	f(`count(count_over_time({app="a"} | logfmt [1s]))`, engine.Limits{MaxMemory: 100_000}, engine.ErrMaxMemory)
	f(`quantile_over_time(0.5, {app="a"} | logfmt | unwrap id [1s]) by ()`, engine.Limits{MaxMemory: 1000}, engine.ErrMaxMemory)
	f(`count_over_time({app="a"} |= "id" [1s])`, engine.Limits{MaxBytesRead: 1000}, engine.ErrMaxBytesRead)
	p.Instant = false
	p.Step = time.Second
	f(`{app="a"}`, engine.Limits{MaxMemory: 1000}, engine.ErrMaxMemory)
	f(`{app="a"} |= "nothing"`, engine.Limits{MaxBytesRead: 1000}, engine.ErrMaxBytesRead)
	p.Instant = true
	_, err := tryRun(src, `count_over_time({app="a"}[1s])`, p, engine.Limits{MaxSeries: 6})
	require.ErrorContains(t, err, "maximum number of series (6) reached for a single query; consider reducing query cardinality")
}

func TestQueryErrors(t *testing.T) {
	src := enginetest.New(enginetest.Options{})
	for i := range 10 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%2)), model.Entry{Timestamp: int64(i), Line: "n=x"})
	}
	f := func(query string, sentinel error) {
		t.Helper()
		_, err := tryRun(src, query, engine.Params{End: 100, Instant: true}, engine.Limits{})
		require.ErrorIs(t, err, sentinel)
		require.True(t, engine.IsBadQuery(err))
	}
	f(`{app="a"}`, engine.ErrInstantLog)
	f(`sum_over_time({app="a"} | logfmt | unwrap n [1s])`, engine.ErrPipeline)
	f(`sum(count_over_time({app="nope"} | pattern "" [1s]))`, engine.ErrPipeline) // even where nothing is read
	f(`count_over_time({app="a"}[1s]) + on (app) count_over_time({app="a"}[1s])`, engine.ErrManyToMany)
	f(`label_replace(count_over_time({app="a"}[1s]), "pod", "", "pod", ".*")`, engine.ErrDuplicateSeries)
	_, err := tryRun(src, `{app="a"} | pattern ""`, engine.Params{End: 100}, engine.Limits{})
	require.ErrorIs(t, err, engine.ErrPipeline)
}

// brokenSource has a piece that fails to open.
type brokenSource struct {
	*enginetest.Source
	open func(ctx context.Context) (*chunk.Chunk, error)
}

type brokenPiece struct {
	logql.Piece
	open func(ctx context.Context) (*chunk.Chunk, error)
}

func (p brokenPiece) Open(ctx context.Context) (*chunk.Chunk, error) { return p.open(ctx) }

func (s brokenSource) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	streams, err := s.Source.Select(ctx, sel)
	if len(streams) > 0 {
		last := &streams[len(streams)-1]
		last.Pieces[len(last.Pieces)-1] = brokenPiece{last.Pieces[len(last.Pieces)-1], s.open}
	}
	return streams, err
}

func bigSource() *enginetest.Source {
	src := enginetest.New(enginetest.Options{BlockEntries: 10, PieceEntries: 100})
	for i := range 20000 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%20)), model.Entry{Timestamp: int64(i), Line: "line"})
	}
	return src
}

var shapes = []string{`{app="a"} |= "nothing"`, `sum(count_over_time({app="a"} |= "line" [1h]))`, `count_over_time({app="a"}[1h])`}

func TestOpenFails(t *testing.T) {
	broken := errors.New("bucket is gone")
	src := brokenSource{bigSource(), func(context.Context) (*chunk.Chunk, error) { return nil, broken }}
	for _, query := range shapes {
		_, err := tryRun(src, query, engine.Params{Start: 0, End: 1e6, Step: time.Second, Limit: 10}, engine.Limits{})
		require.ErrorIs(t, err, broken, query)
		require.False(t, engine.IsBadQuery(err))
	}
}

// TestCancel wants a query to end with the context's error soon after it is cancelled, with all of its goroutines.
func TestCancel(t *testing.T) {
	for _, query := range shapes {
		ctx, cancel := context.WithCancel(context.Background())
		src := brokenSource{bigSource(), func(ctx context.Context) (*chunk.Chunk, error) {
			cancel()
			<-ctx.Done()
			return nil, fmt.Errorf("cannot read: %w", ctx.Err())
		}}
		expr, err := syntax.Parse(query)
		require.NoError(t, err)
		_, err = new(engine.Engine).Run(ctx, src, engine.Params{Expr: expr, Start: 0, End: 1e6, Step: time.Second, Limit: 10}, engine.Limits{})
		require.Equal(t, context.Canceled, err, query)
		require.False(t, engine.IsBadQuery(err))
		cancel()
	}
}

func TestTenants(t *testing.T) {
	all := tenants{}
	for _, id := range []string{"x", "y"} {
		all[id] = enginetest.New(enginetest.Options{})
		all[id].Add(labels.FromStrings("app", "a"), model.Entry{Timestamp: 5, Line: "line of " + id})
	}
	p := engine.Params{End: 100, Instant: true}
	require.Equal(t, "{__tenant_id__=\"x\", app=\"a\"} 0:1\n{__tenant_id__=\"y\", app=\"a\"} 0:1\n", text(run(t, all, `count_over_time({app="a"}[1s])`, p).Value))
	require.Equal(t, "{} 0:2\n", text(run(t, all, `sum(count_over_time({app="a"}[1s]))`, p).Value))
	require.Equal(t, "{__tenant_id__=\"x\"} 0:1\n{__tenant_id__=\"y\"} 0:1\n", text(run(t, all, `sum by (__tenant_id__) (count_over_time({app="a"}[1s]))`, p).Value))
	require.Equal(t, "{app=\"a\"} 0:2\n", text(run(t, all, `sum without (__tenant_id__) (count_over_time({app="a"}[1s]))`, p).Value))
	require.Equal(t, "{__tenant_id__=\"y\", app=\"a\"}\n  5 \"line of y\"\n", text(run(t, all, `{app="a", __tenant_id__="y"}`, engine.Params{End: 100}).Value))
}

// TestEqualRangesRunOnce wants a range aggregation that stands in a query twice to be read once.
func TestEqualRangesRunOnce(t *testing.T) {
	src := bigSource()
	run(t, src, `sum(count_over_time({app="a"}[1h]))`, engine.Params{End: 1e6, Instant: true})
	once := src.Opened.Swap(0)
	res := run(t, src, `sum(count_over_time({app="a"}[1h])) / (sum(count_over_time({app="a"}[1h])) + sum(count_over_time({app="a"}[1h])))`, engine.Params{End: 1e6, Instant: true})
	require.Equal(t, "{} 1:0.5\n", text(res.Value))
	require.Equal(t, once, src.Opened.Load())
}

// TestCountsNeedNoBlocks wants counts of whole blocks to come from their numbers.
func TestCountsNeedNoBlocks(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 10, PieceEntries: 100})
	for i := range 20000 {
		src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i%20)), model.Entry{Timestamp: int64(i), Line: "line"})
	}
	res := run(t, src, `sum by (pod) (count_over_time({app="a"}[1h]))`, engine.Params{End: 1e6, Instant: true})
	require.Zero(t, res.Stats.BlocksDecompressed)
	require.Contains(t, text(res.Value), `{pod="7"} 1:1000`)
	res = run(t, src, `sum by (pod) (bytes_over_time({app="a"}[1h]))`, engine.Params{End: 1e6, Instant: true})
	require.Zero(t, res.Stats.BlocksDecompressed)
	require.Contains(t, text(res.Value), `{pod="7"} 1:4000`)
}

// TestApproxTopK wants approx_topk to be as exact as topk.
func TestApproxTopK(t *testing.T) {
	r := newSeed(t)
	entries, streams := randomEntries(r)
	src := layouts(entries, streams)["fine"]
	p := engine.Params{End: entries[len(entries)-1].Timestamp, Instant: true}
	const inner = `sum by (word) (count_over_time({app="a"} | logfmt [1h]))`
	want := text(run(t, src, `topk(3, `+inner+`)`, p).Value)
	require.Equal(t, 3, strings.Count(want, "word="))
	require.Equal(t, want, text(run(t, src, `approx_topk(3, `+inner+`)`, p).Value))
}

// TestQuantileWithinMemory wants an answer where the samples alone take more memory than the query may hold, and the exact one
// where they don't.
func TestQuantileWithinMemory(t *testing.T) {
	src := enginetest.New(enginetest.Options{BlockEntries: 500, PieceEntries: 5000})
	const n = 60_000
	for i := range n {
		src.Add(labels.FromStrings("app", "a"), model.Entry{Timestamp: int64(i + 1), Line: fmt.Sprintf("v=%d", i)})
	}
	ask := func(memory int64) float64 {
		expr, err := syntax.Parse(`quantile_over_time(0.5, {app="a"} | logfmt | unwrap v [1h]) by (app)`)
		require.NoError(t, err)
		res, err := new(engine.Engine).Run(context.Background(), src, engine.Params{Expr: expr, End: n, Instant: true}, engine.Limits{MaxMemory: memory})
		require.NoError(t, err)
		return res.Value.(engine.Vector)[0].Points[0].V
	}
	require.Equal(t, (n-1)/2.0, ask(8<<20))
	got := ask(512 << 10)
	require.NotEqual(t, (n-1)/2.0, got)
	require.InEpsilon(t, (n-1)/2.0, got, 0.01)
}
