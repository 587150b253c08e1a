package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/client"
)

// fakeStore answers log queries from a list of entries, under limits that it names as stores do.
type fakeStore struct {
	entries    []client.Entry // oldest first
	mostLines  int
	longest    time.Duration
	requests   int
	failBefore int // so many requests fail
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests++
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	start, _ := strconv.ParseInt(q.Get("start"), 10, 64)
	end, _ := strconv.ParseInt(q.Get("end"), 10, 64)
	switch {
	case f.requests <= f.failBefore:
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	case f.mostLines > 0 && limit > f.mostLines:
		http.Error(w, fmt.Sprintf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", limit, f.mostLines), 400)
		return
	case f.longest > 0 && time.Duration(end-start) > f.longest:
		http.Error(w, fmt.Sprintf("the query time range exceeds the limit (query length: %s, limit: %s)", time.Duration(end-start), f.longest), 400)
		return
	}
	list := slices.Clone(f.entries)
	if q.Get("direction") == client.Backward {
		slices.Reverse(list)
	}
	var streams []client.Stream
	for _, e := range list {
		if limit > 0 && e.Timestamp >= start && e.Timestamp < end {
			limit--
			streams = append(streams, client.Stream{Labels: e.Labels, Values: [][2]string{{strconv.FormatInt(e.Timestamp, 10), e.Line}}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": streams}})
}

func newClient(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := client.DefaultConfig()
	cfg.Address, cfg.MinBackoff = srv.URL, time.Millisecond
	c, err := client.New(cfg)
	require.NoError(t, err)
	return c
}

func TestPagerFindsEachEntryOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		start := time.Unix(1_700_000_000, 0)
		f := &fakeStore{mostLines: rnd.IntN(40), failBefore: rnd.IntN(3)}
		if rnd.IntN(2) == 0 {
			f.longest = time.Duration(1+rnd.IntN(20)) * time.Second
		}
		// Many at one instant, some of them equal, as a query can make them.
		at, n := start.UnixNano(), rnd.IntN(300)
		same := 0
		for i := range n {
			if same++; rnd.IntN(3) == 0 || same > 8 {
				at, same = at+int64(rnd.IntN(int(time.Second))), 0
			}
			f.entries = append(f.entries, client.Entry{Timestamp: at, Labels: map[string]string{"a": strconv.Itoa(i % 2)}, Line: strconv.Itoa(i / 2 % 5)})
		}
		if f.mostLines > 0 {
			f.mostLines += 10 // more than there are at one instant
		}
		r := client.Range{Query: "{}", Start: start, End: time.Unix(0, at+1), Direction: []string{client.Forward, client.Backward}[rnd.IntN(2)]}
		want := slices.Clone(f.entries)
		if r.Direction == client.Backward {
			slices.Reverse(want)
		}
		if rnd.IntN(2) == 0 {
			r.Limit = 1 + rnd.IntN(n+1)
			want = want[:min(len(want), r.Limit)]
		}
		var got []client.Entry
		p := &pager{client: newClient(t, f), query: r, batch: 1 + rnd.IntN(50), most: maxPage, stats: &stats{}}
		require.NoError(t, p.run(t.Context(), func(page []client.Entry) error {
			got = append(got, page...)
			return nil
		}))
		count := func(list []client.Entry) map[entryKey]int {
			m := map[entryKey]int{}
			for _, e := range list {
				m[keyOf(e)]++
			}
			return m
		}
		require.Equal(t, len(want), len(got))
		require.Equal(t, count(want), count(got))
		require.True(t, slices.IsSortedFunc(got, func(a, b client.Entry) int {
			if r.Direction == client.Forward {
				return int(a.Timestamp - b.Timestamp)
			}
			return int(b.Timestamp - a.Timestamp)
		}))
	}
}

func TestPagerSaysWhatItCannotPageThrough(t *testing.T) {
	f := &fakeStore{mostLines: 10}
	for i := range 20 {
		f.entries = append(f.entries, client.Entry{Timestamp: 1_700_000_000e9, Line: strconv.Itoa(i)})
	}
	p := &pager{client: newClient(t, f), query: client.Range{Start: time.Unix(1_699_999_999, 0), End: time.Unix(1_700_000_001, 0), Direction: client.Forward}, batch: 100, most: maxPage}
	err := p.run(t.Context(), func([]client.Entry) error { return nil })
	require.ErrorContains(t, err, "10 lines or more have the time 2023-11-14T22:13:20Z")
	require.Less(t, f.requests, 5)
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "2h": now.Add(-2 * time.Hour), "now-7d": now.AddDate(0, 0, -7), "1769860800": now, "1769860800000000000": now,
		"2026-01-31T12:00:00Z": now, "2026-01-31T13:00:00.5+01:00": now.Add(time.Second / 2),
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local), "2026-01-31 10:30": time.Date(2026, 1, 31, 10, 30, 0, 0, time.Local),
	} {
		got, err := parseTime(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"", "yesterday", "-5", "2026-13-01", "1h30"} {
		_, err := parseTime(text, now)
		require.Error(t, err, text)
	}
	require.Equal(t, "1h", trimDuration(time.Hour))
	require.Equal(t, "10m", trimDuration(10*time.Minute))
	require.Equal(t, "1h0m10s", trimDuration(time.Hour+10*time.Second))
	require.Equal(t, "10s", trimDuration(10*time.Second))
}

func TestFormatLabels(t *testing.T) {
	require.Equal(t, `{a="1", b="x\"y\n"}`, formatLabels(map[string]string{"b": "x\"y\n", "a": "1"}))
	require.Equal(t, `{}`, formatLabels(nil))
	require.NotEqual(t, keyOf(client.Entry{Labels: map[string]string{"a": "bc"}}), keyOf(client.Entry{Labels: map[string]string{"ab": "c"}}))
	require.NotEqual(t, keyOf(client.Entry{Labels: map[string]string{"a": "b"}}), keyOf(client.Entry{Metadata: map[string]string{"a": "b"}}))
	require.True(t, strings.HasPrefix(colour("{}"), "\x1b["))
}
