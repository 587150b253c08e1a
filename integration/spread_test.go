package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// spreadQueries are queries whose parts members run for each other.
var spreadQueries = []string{
	`sum(count_over_time({app="crash"} |= "7" [10m]))`, `sum by (writer) (rate({app="crash"} |~ "seq=.*3" [5m]))`, `topk(3, rate({app="crash"}[5m]))`,
	`avg by (writer) (count_over_time({app="crash"} != "11" [5m]))`, `sum(rate({app="crash"} |= "9" [5m])) / sum(rate({app="crash"}[5m]))`,
	`max by (stream) (max_over_time({app="crash"} | logfmt | unwrap seq [5m]))`, `quantile_over_time(0.9, {app="crash"} | logfmt | unwrap seq [5m]) by (writer)`,
	`{app="crash"} |= "seq=1"`, `{app="crash"} | logfmt | seq > 500`,
}

// spreadAnswer is the result of a query and how many shards it was cut into.
func spreadAnswer(t *testing.T, base, query string, start, end time.Time) (result string, shards int) {
	t.Helper()
	var answer struct {
		Data struct {
			Result json.RawMessage
			Stats  struct{ Summary struct{ Shards int } }
		}
	}
	getJSON(t, base, "/loki/api/v1/query_range", url.Values{
		"query": {query}, "start": {strconv.FormatInt(start.UnixNano(), 10)}, "end": {strconv.FormatInt(end.UnixNano(), 10)}, "step": {"30s"}, "limit": {"300"},
	}, &answer)
	return string(answer.Data.Result), answer.Data.Stats.Summary.Shards
}

// TestQueriesAreSpread asks one of three members, whose queries are run in parts by all, and wants what one says that runs them
// alone: over memory, over the bucket, and while a member dies.
func TestQueriesAreSpread(t *testing.T) {
	c := NewCluster(t, 3, "-querier.tsdb-max-bytes-per-shard=1MB", "-querier.cache-results=false")
	w := newWorkload(3)
	pushFor(w, c.Members[0].URL, time.Second)
	alone := c.Members[2]
	require.NoError(t, alone.Stop(), alone.Log())
	alone.args = append(alone.args, "-querier.max-query-parallelism=1")
	alone.Start()
	c.WaitRing(3)
	end := time.Now().Truncate(time.Second)
	start := end.Add(-time.Hour)
	compare := func(when string) {
		t.Helper()
		for _, query := range spreadQueries {
			want, shards := spreadAnswer(t, alone.URL, query, start, end)
			require.LessOrEqual(t, shards, 1, query)
			got, shards := spreadAnswer(t, c.Members[0].URL, query, start, end)
			require.JSONEq(t, want, got, "%s: %s", when, query)
			require.Greater(t, len(got), 10, query)
			if strings.HasPrefix(query, "sum") {
				require.Greater(t, shards, 1, "%s: %s", when, query)
			}
		}
	}
	compare("with all members")
	for _, other := range c.Members[1:] {
		require.Positive(t, other.Metric("logstore_query_parts_total", `outcome="served"`), "each member runs parts")
	}
	require.Positive(t, c.Members[0].Metric("logstore_query_parts_total", `outcome="remote"`))

	var asked atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			query := spreadQueries[n%3]
			want, _ := spreadAnswer(t, alone.URL, query, start, end)
			got, _ := spreadAnswer(t, c.Members[0].URL, query, start, end)
			if want != got {
				t.Errorf("%s while a member dies: %s\nand not %s", query, got, want)
			}
			asked.Add(1)
		}
	}()
	require.Eventually(t, func() bool { return asked.Load() > 5 }, 20*time.Second, time.Millisecond)
	c.Members[1].Kill()
	before := asked.Load()
	require.Eventually(t, func() bool { return asked.Load() > before+20 }, 60*time.Second, 10*time.Millisecond)
	close(stop)
	<-done
	compare("without a member")
}

// TestLateWriteThroughAnotherMember has one member keep results in the Redis that all share, and another take a late line.
func TestLateWriteThroughAnotherMember(t *testing.T) {
	c := NewCluster(t, 3, "-frontend.max-cache-freshness=0s")
	at := time.Now().Add(-40 * time.Minute).Truncate(time.Minute)
	push := func(member int, line string, ts time.Time) {
		t.Helper()
		require.NoError(t, pushProto(t.Context(), http.DefaultClient, c.Members[member].URL, []wire.PushStream{{
			Labels: `{app="late"}`, Entries: []wire.PushEntry{{Timestamp: ts.UnixNano(), Line: []byte(line)}},
		}}))
	}
	count := func(member int) float64 {
		t.Helper()
		var answer struct {
			Data struct {
				Result []struct{ Values [][2]any }
			}
		}
		getJSON(t, c.Members[member].URL, "/loki/api/v1/query_range", url.Values{
			"query": {`sum(count_over_time({app="late"}[1m]))`}, "step": {"60"},
			"start": {strconv.FormatInt(at.Add(-5*time.Minute).UnixNano(), 10)}, "end": {strconv.FormatInt(at.Add(15*time.Minute).UnixNano(), 10)},
		}, &answer)
		sum := 0.0
		for _, s := range answer.Data.Result {
			for _, v := range s.Values {
				n, err := strconv.ParseFloat(v[1].(string), 64)
				require.NoError(t, err)
				sum += n
			}
		}
		return sum
	}
	lines := 0.0
	for n := range 12 {
		writer, reader, third := n%3, (n+1)%3, (n+2)%3
		push(writer, "line "+strconv.Itoa(n), at.Add(time.Duration(n)*time.Second))
		lines++
		require.InDelta(t, lines, count(reader), 0, "read what another member wrote")
		require.InDelta(t, lines, count(reader), 0, "and again, from the cache")
		require.InDelta(t, lines, count(third), 0, "and through a third member")
	}
	kept := 0.0
	for _, m := range c.Members {
		kept += m.Metric("loki_cache_hits", `name="results"`)
	}
	require.Greater(t, kept, 5.0, "results come from the cache")
	require.NotEmpty(t, c.Redis.CLI(t, "keys", "lsr1:*"))
}

// TestPatternsOfAllMembers wants each member to know the patterns of all, and each line counted once although two members have it.
func TestPatternsOfAllMembers(t *testing.T) {
	c := NewCluster(t, 3, "-pattern-ingester.enabled=true")
	const streams, lines = 24, 10
	for s := range streams {
		var entries []wire.PushEntry
		for n := range lines {
			entries = append(entries, wire.PushEntry{Timestamp: time.Now().UnixNano() + int64(n), Line: fmt.Appendf(nil, "user %d logged in from somewhere", n)})
		}
		require.NoError(t, pushProto(t.Context(), http.DefaultClient, c.Members[s%3].URL, []wire.PushStream{{
			Labels: fmt.Sprintf(`{app="patterns", stream="%d"}`, s), Entries: entries,
		}}))
	}
	for _, member := range c.Members {
		var answer struct {
			Data []struct {
				Pattern string
				Samples [][2]int64
			}
		}
		total := int64(0)
		require.Eventually(t, func() bool {
			getJSON(t, member.URL, "/loki/api/v1/patterns", url.Values{"query": {`{app="patterns"}`}}, &answer)
			total = 0
			for _, s := range answer.Data[0].Samples {
				total += s[1]
			}
			return total == streams*lines
		}, 10*time.Second, 50*time.Millisecond, "%+v", answer.Data)
		require.Len(t, answer.Data, 1)
	}
}
