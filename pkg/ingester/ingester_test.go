package ingester

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = int64(time.Second)

// TestReadYourWrites follows entries from the push over a flush to the store.
func TestReadYourWrites(t *testing.T) {
	store := newMemStore()
	n := start(t, testConfig(t.TempDir()), store, nil)
	a := app("a", at(10*second, "one"), at(11*second, "two", "trace_id", "x"), at(9*second, "late"), at(11*second, "two", "trace_id", "y"))
	b := app("b", at(5*second, ""), at(6*second, strings.Repeat("long", 1000)))
	n.push("acme", a, b)
	n.push("other", app("a", at(1, "other tenant")))
	want := sorted(append(expect("acme", a, b), expect("other", app("a", at(1, "other tenant")))...))
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "acme", "other")))
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, want, sorted(store.all(t)))
	require.Empty(t, inMemory(t, n.Ingester, "acme", "other"))
	n.push("acme", app("a", at(12*second, "after")))
	require.Equal(t, expect("acme", app("a", at(12*second, "after"))), inMemory(t, n.Ingester, "acme"))
	n.end()
}

func TestDuplicatesAreKeptOnce(t *testing.T) {
	store := newMemStore()
	n := start(t, testConfig(t.TempDir()), store, nil)
	s := app("a", at(1, "x"), at(1, "x"), at(1, "y"), at(1, "x", "k", "v"))
	n.push("t", s)
	n.push("t", s)
	require.NoError(t, n.FlushWait(context.Background()))
	want := expect("t", app("a", at(1, "x"), at(1, "x", "k", "v"), at(1, "y")))
	require.Equal(t, want, sorted(store.all(t)))
	n.end()
}

func TestRefusals(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer n.end()
	now := 100 * int64(time.Hour)
	n.push("t", app("a", at(now, "newest")))
	var refused *wire.RefusedError
	err := n.Push(context.Background(), "t", []wire.Stream{
		app("a", at(now-int64(time.Hour)-1, "too old"), at(now-int64(time.Hour), "just young enough"), at(now+1, "new")),
		app("b", at(1, "another stream")),
	})
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused.Refusals, 1)
	r := refused.Refusals[0]
	require.Equal(t, wire.Refusal{Stream: 0, Kind: wire.TooFarBehind, Labels: `{app="a"}`, Entries: 1, Bytes: 7, Total: 3,
		First: []wire.RefusedEntry{{Timestamp: now - int64(time.Hour) - 1, Oldest: now - int64(time.Hour), Bytes: 7}}}, r)
	require.Len(t, inMemory(t, n.Ingester, "t"), 4)

	l := testLimits()
	l.UnorderedWrites = false
	require.NoError(t, n.lim.Set("ordered", l))
	n.push("ordered", app("a", at(now, "newest")))
	err = n.Push(context.Background(), "ordered", []wire.Stream{app("a", at(now, "same time"), at(now-1, "older"))})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, wire.OutOfOrder, refused.Refusals[0].Kind)
	require.Len(t, inMemory(t, n.Ingester, "ordered"), 2)
}

// All refused entries are counted, and as many named as max_returned_stream_errors says.
func TestManyRefusedEntriesAreCounted(t *testing.T) {
	for named, want := range map[int]int{DefaultConfig.NamedErrors: 10, 3: 3, 0: wire.MaxRefusedEntries} {
		cfg := testConfig(t.TempDir())
		cfg.NamedErrors = named
		n := start(t, cfg, newMemStore(), nil)
		n.push("t", app("a", at(100*int64(time.Hour), "newest")))
		s := app("a")
		for k := range wire.MaxRefusedEntries + 5 {
			s.Entries = append(s.Entries, at(int64(k), "old"))
		}
		var refused *wire.RefusedError
		require.ErrorAs(t, n.Push(context.Background(), "t", []wire.Stream{s}), &refused)
		require.Equal(t, len(s.Entries), refused.Refusals[0].Entries)
		require.Len(t, refused.Refusals[0].First, want)
		require.Equal(t, want, strings.Count(refused.Refusals[0].Text("t"), "entry with timestamp"))
		n.end()
	}
}

func TestStreamLimit(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer n.end()
	l := testLimits()
	l.MaxGlobalStreamsPerUser = 2
	require.NoError(t, n.lim.Set("t", l))
	n.push("t", app("a", at(1, "x")))
	var refused *wire.RefusedError
	err := n.Push(context.Background(), "t", []wire.Stream{app("b", at(1, "x")), app("c", at(1, "x"), at(2, "yy")), app("a", at(2, "x"))})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []wire.Refusal{{Stream: 1, Kind: wire.StreamLimit, Labels: `{app="c"}`, Entries: 2, Bytes: 3, Total: 2}}, refused.Refusals)
	require.Len(t, inMemory(t, n.Ingester, "t"), 3)
	n.push("free", app("c", at(1, "x")))

	// Streams that left memory make room.
	require.NoError(t, n.FlushWait(context.Background()))
	n.sweep(time.Now())
	n.push("t", app("c", at(1, "x")), app("d", at(1, "x")))
}

func TestStreamRate(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer n.end()
	l := testLimits()
	l.PerStreamRateLimit, l.PerStreamRateLimitBurst = 1, 150
	require.NoError(t, n.lim.Set("t", l))
	n.push("t", app("a", at(1, strings.Repeat("x", 100))))
	var refused *wire.RefusedError
	err := n.Push(context.Background(), "t", []wire.Stream{app("a", at(2, strings.Repeat("x", 50)), at(3, strings.Repeat("y", 100))), app("b", at(3, "z"))})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []wire.Refusal{{Stream: 0, Kind: wire.StreamRate, Labels: `{app="a"}`, Entries: 2, Bytes: 150, Total: 2, Limit: 1,
		First: []wire.RefusedEntry{{Timestamp: 2, Bytes: 50}, {Timestamp: 3, Bytes: 100}}}}, refused.Refusals)
	require.Len(t, inMemory(t, n.Ingester, "t"), 2)
}

func TestBucketRefills(t *testing.T) {
	f := func(b *bucket, n int, now time.Duration, want bool) {
		t.Helper()
		require.Equal(t, want, b.take(n, 100, 150, int64(now)))
	}
	b := &bucket{}
	f(b, 150, time.Hour, true)
	f(b, 1, time.Hour, false)
	f(b, 50, time.Hour+500*time.Millisecond, true)
	f(b, 1, time.Hour+500*time.Millisecond, false)
	f(b, 1, time.Hour, false)
	f(b, 150, time.Hour+time.Minute, true)
	f(b, 151, 2*time.Hour, false)
}

func TestSource(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer n.end()
	for k := range 20 {
		n.push("t", labelled(map[string]string{"app": fmt.Sprint("app", k%4), "pod": fmt.Sprint("pod", k), "env": "prod"}, at(int64(k)*second, "x")))
	}
	n.push("t", labelled(map[string]string{"app": "lonely"}, at(0, "x")))
	ctx := tenant.Inject(context.Background(), "t")
	everything := model.Interval{Start: 0, End: 1000 * second}
	match := func(typ labels.MatchType, name, value string) *labels.Matcher {
		return labels.MustNewMatcher(typ, name, value)
	}
	f := func(want int, iv model.Interval, m ...*labels.Matcher) {
		t.Helper()
		got, err := n.Select(ctx, logql.Selection{Matchers: m, Interval: iv})
		require.NoError(t, err)
		require.Len(t, got, want)
		series, err := n.Series(ctx, logql.Selection{Matchers: m, Interval: iv})
		require.NoError(t, err)
		require.Len(t, series, want)
		for _, s := range got {
			require.Empty(t, s.Pieces[0].Key())
			for _, x := range m {
				require.True(t, x.Matches(s.Labels.Get(x.Name)))
			}
		}
	}
	f(21, everything)
	f(5, everything, match(labels.MatchEqual, "app", "app1"))
	f(0, everything, match(labels.MatchEqual, "app", "none"))
	f(0, everything, match(labels.MatchRegexp, "app", "none.+"))
	f(10, everything, match(labels.MatchRegexp, "app", "app1|app2"))
	f(1, everything, match(labels.MatchRegexp, "app", "app1|app2"), match(labels.MatchEqual, "pod", "pod6"))
	f(16, everything, match(labels.MatchNotEqual, "app", "app1"))
	f(15, everything, match(labels.MatchNotEqual, "app", "app1"), match(labels.MatchNotEqual, "pod", ""))
	f(1, everything, match(labels.MatchEqual, "pod", ""))
	f(1, everything, match(labels.MatchNotRegexp, "app", "app.*"))
	f(20, everything, match(labels.MatchRegexp, "pod", ".+"))
	f(21, everything, match(labels.MatchRegexp, "pod", ".*"))
	f(3, model.Interval{Start: 5 * second, End: 8 * second})
	f(0, model.Interval{Start: 500 * second, End: 800 * second})

	names, err := n.LabelNames(ctx, logql.Selection{Interval: everything})
	require.NoError(t, err)
	require.Equal(t, []string{"app", "env", "pod"}, names)
	names, err = n.LabelNames(ctx, logql.Selection{Interval: everything, Matchers: []*labels.Matcher{match(labels.MatchEqual, "app", "lonely")}})
	require.NoError(t, err)
	require.Equal(t, []string{"app"}, names)
	values, err := n.LabelValues(ctx, "app", logql.Selection{Interval: model.Interval{Start: 0, End: 2 * second}})
	require.NoError(t, err)
	require.Equal(t, []string{"app0", "app1", "lonely"}, values)

	total := 0
	for k := range uint64(3) {
		got, err := n.Select(ctx, logql.Selection{Interval: everything, ShardIndex: k, ShardCount: 3})
		require.NoError(t, err)
		for _, s := range got {
			require.Equal(t, k, labels.StableHash(s.Labels)%3)
		}
		total += len(got)
	}
	require.Equal(t, 21, total)
	_, err = n.Select(context.Background(), logql.Selection{})
	require.ErrorIs(t, err, tenant.ErrNoOrgID)
	got, err := n.Select(tenant.Inject(context.Background(), "nobody"), logql.Selection{Interval: everything})
	require.NoError(t, err)
	require.Empty(t, got)

	// Streams that are gone are not found, and those that come again are.
	require.NoError(t, n.FlushWait(context.Background()))
	n.sweep(time.Now())
	f(0, everything)
	n.push("t", app("lonely", at(0, "x")))
	f(1, everything)
}

// TestSnapshotsStandStill opens a growing chunk and reads it after it was added to, sealed and flushed.
func TestSnapshotsStandStill(t *testing.T) {
	store := newMemStore()
	n := start(t, testConfig(t.TempDir()), store, nil)
	defer n.end()
	first := app("a", at(1, "one"), at(2, "two"))
	n.push("t", first)
	ctx := tenant.Inject(context.Background(), "t")
	got, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: 0, End: 10}})
	require.NoError(t, err)
	c, err := got[0].Pieces[0].Open(ctx)
	require.NoError(t, err)
	for k := range 100 {
		n.push("t", app("a", at(int64(k), strings.Repeat("more", 5000))))
	}
	require.NoError(t, n.FlushWait(context.Background()))
	for range 50 {
		n.push("t", app("b", at(7, strings.Repeat("other", 5000))))
	}
	require.Equal(t, expect("t", first), entriesOf(t, "t", got[0].Labels, c))
	// The piece itself is still there for the query that found it.
	c, err = got[0].Pieces[0].Open(ctx)
	require.NoError(t, err)
	require.Equal(t, 102, c.Entries())
}

func TestLifeCycle(t *testing.T) {
	dir := t.TempDir()
	n := build(t, testConfig(dir), newMemStore(), nil)
	require.Equal(t, Starting, n.State())
	require.ErrorIs(t, n.Ready(), ErrNotReady)
	err := n.Push(context.Background(), "t", []wire.Stream{app("a", at(1, "x"))})
	require.ErrorIs(t, err, wire.ErrUnavailable)
	_, err = n.Select(tenant.Inject(context.Background(), "t"), logql.Selection{})
	require.ErrorIs(t, err, ErrNotReady)
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, 5*time.Second, time.Millisecond)
	n.push("t", app("a", at(1, "x")))
	n.end()
	require.Equal(t, Stopped, n.State())
	require.ErrorIs(t, n.Push(context.Background(), "t", []wire.Stream{app("a", at(1, "x"))}), wire.ErrUnavailable)
	require.Error(t, n.Ready())
}

func TestObservers(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer n.end()
	var seen []string
	cancel := n.Observe(func(tenant string, streams []wire.Stream) { seen = append(seen, tenant+" "+streams[0].Text) })
	n.push("t", app("a", at(1, "x")))
	cancel()
	n.push("t", app("b", at(1, "x")))
	require.Equal(t, []string{`t {app="a"}`}, seen)
}

func TestConfigIsChecked(t *testing.T) {
	require.NoError(t, DefaultConfig.Validate())
	f := func(want string, change func(*Config)) {
		t.Helper()
		cfg := testConfig(t.TempDir())
		change(&cfg)
		require.ErrorContains(t, cfg.Validate(), want)
		_, err := New(cfg, Deps{})
		require.Error(t, err)
	}
	f("chunk_block_size", func(c *Config) { c.BlockSize = 0 })
	f("max_period", func(c *Config) { c.MaxBackoff = 1 })
	f("negative", func(c *Config) { c.MemoryLimit = -1 })
	f("chunk_encoding", func(c *Config) { c.Encoding = 2 })
	f("two segments", func(c *Config) { c.WALSize = c.WALSegmentSize })
}
