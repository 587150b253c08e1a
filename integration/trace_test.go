package integration

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"logstore/integration/testservers"
)

// spanReceiver takes spans by OTLP over HTTP.
type spanReceiver struct {
	URL string

	mu sync.Mutex
	// traces has the spans of each trace; members those of each by the instance that sent it.
	traces  map[string][]*spans.Span
	members map[string]map[string]bool
}

func newSpanReceiver(t testing.TB) *spanReceiver {
	rc := &spanReceiver{traces: map[string][]*spans.Span{}, members: map[string]map[string]bool{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err = errors.Join(err, proto.Unmarshal(body, &req)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rc.take(&req)
	}))
	t.Cleanup(srv.Close)
	rc.URL = srv.URL
	return rc
}

func spanText(attrs []*common.KeyValue, key string) string {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func (rc *spanReceiver) take(req *collector.ExportTraceServiceRequest) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		member := spanText(rs.Resource.Attributes, "service.instance.id")
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				id := hex.EncodeToString(s.TraceId)
				rc.traces[id] = append(rc.traces[id], s)
				if rc.members[id] == nil {
					rc.members[id] = map[string]bool{}
				}
				rc.members[id][member] = true
			}
		}
	}
}

// wait waits until a trace has spans of all names, from so many members, and checks that they hang together below the root.
func (rc *spanReceiver) wait(t testing.TB, id, root string, members int, names ...string) {
	t.Helper()
	missing := "everything"
	require.Eventually(t, func() bool {
		rc.mu.Lock()
		defer rc.mu.Unlock()
		have := map[string]bool{}
		known := map[string]bool{root: true}
		for _, s := range rc.traces[id] {
			have[s.Name] = true
			known[hex.EncodeToString(s.SpanId)] = true
		}
		missing = ""
		for _, n := range names {
			if !have[n] {
				missing += n + ", "
			}
		}
		for _, s := range rc.traces[id] {
			if !known[hex.EncodeToString(s.ParentSpanId)] {
				missing += "the parent of " + s.Name
			}
		}
		if n := len(rc.members[id]); n < members {
			missing += fmt.Sprintf("members, there are %d", n)
		}
		if missing != "" {
			missing += fmt.Sprint("; there are ", have)
		}
		return missing == ""
	}, 30*time.Second, 50*time.Millisecond, "missing: %s", &missing)
}

// TestTraces follows pushes and queries that come with a trace through two members.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	rc := newSpanReceiver(t)
	c := NewCluster(t, 2, "-logstore.tracing.endpoint="+rc.URL, "-server.log-request-at-info-level-enabled=true")
	const root = "b7ad6b7169203331"
	ask := func(method, path, trace, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, c.Members[0].URL+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Scope-OrgID", "acme")
		if trace != "" {
			req.Header.Set("traceparent", "00-"+trace+"-"+root+"-01")
		}
		status, text := do(t, http.DefaultClient, req)
		require.Less(t, status, 300, text)
	}
	id := func(n int) string { return fmt.Sprintf("%032x", n) }
	ask("POST", "/loki/api/v1/push", id(1), onePush("traced"))
	rc.wait(t, id(1), root, 2, "POST /loki/api/v1/push", "distributor push", "call push", "member push", "ingester push", "write-ahead log")
	// What waits for an answer together goes in one message, and each push has its own trace all the same.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { ask("POST", "/loki/api/v1/push", id(100+i), onePush(fmt.Sprint("traced ", i))) })
	}
	wg.Wait()
	for i := range 20 {
		rc.wait(t, id(100+i), root, 2, "call push", "member push", "write-ahead log")
	}
	query := "/loki/api/v1/query_range?" + url.Values{"query": {`{app="x"}`}}.Encode()
	ask("GET", query, id(2), "")
	rc.wait(t, id(2), root, 2, "GET /loki/api/v1/query_range", "query", "query part", "ingester select", "index lookup", "call select", "member select")
	for _, p := range c.Members {
		require.NoError(t, p.Stop())
		p.Launch()
	}
	c.WaitRing(2)
	ask("GET", query, id(3), "")
	rc.wait(t, id(3), root, 2, "fetch chunk")

	require.Contains(t, c.Members[0].Log(), "trace_id="+id(3))
	rc.mu.Lock()
	defer rc.mu.Unlock()
	for _, s := range rc.traces[id(2)] {
		if s.Name == "query" {
			require.Equal(t, `{app="x"}`, spanText(s.Attributes, "logstore.query"))
		}
	}
	for _, list := range rc.traces {
		for _, s := range list {
			require.NotContains(t, s.Name, "ready", "probes begin no traces")
		}
	}
}

// TestTracesOfRulesAndCaches finds the spans of rules, each evaluation a trace of its own, and those of look-ups in caches.
func TestTracesOfRulesAndCaches(t *testing.T) {
	t.Parallel()
	rc, redis := newSpanReceiver(t), testservers.StartRedis(t)
	dir := t.TempDir()
	cache := "{cache: {redis: {endpoint: '" + redis.Address + "'}}}"
	p := NewProcess(t, dir, "-config.file="+writeFile(t, dir, "loki.yaml", "auth_enabled: false\ncommon: {path_prefix: "+dir+"}\n"+
		"query_range: {cache_results: true, results_cache: "+cache+"}\nlimits_config: {max_cache_freshness_per_query: 0s}\n"+
		"ruler: {evaluation_interval: 1s, poll_interval: 1s}\nlogstore: {tracing: {endpoint: '"+rc.URL+"'}}\n"))
	p.Env = []string{"OTEL_BSP_SCHEDULE_DELAY=100"}
	p.Start()
	rules := "name: g\nrules: [{alert: A, expr: 'sum(rate({app=\"x\"}[1m])) > 1e9'}, {alert: B, expr: 'vector(1) > 2'}]\n"
	req, err := http.NewRequestWithContext(t.Context(), "POST", p.URL+"/loki/api/v1/rules/n", strings.NewReader(rules))
	require.NoError(t, err)
	status, text := do(t, http.DefaultClient, req)
	require.Equal(t, http.StatusAccepted, status, text)
	status, text = asked(t, http.DefaultClient, "POST", p.URL+"/loki/api/v1/push", "", "", onePush("x"))
	require.Equal(t, http.StatusNoContent, status, text)

	// of returns the spans of that name, by their trace.
	of := func(name string) map[string][]*spans.Span {
		rc.mu.Lock()
		defer rc.mu.Unlock()
		out := map[string][]*spans.Span{}
		for id, list := range rc.traces {
			for _, s := range list {
				if s.Name == name {
					out[id] = append(out[id], s)
				}
			}
		}
		return out
	}
	require.Eventually(t, func() bool { return len(of("rule group")) > 1 }, 20*time.Second, 50*time.Millisecond, "an evaluation is a trace")
	complete := 0
	for id, groups := range of("rule group") {
		require.Len(t, groups, 1)
		require.Empty(t, groups[0].ParentSpanId)
		require.Equal(t, "g", spanText(groups[0].Attributes, "logstore.rules.group"))
		var names []string
		for _, s := range of("rule")[id] {
			require.Equal(t, groups[0].SpanId, s.ParentSpanId)
			names = append(names, spanText(s.Attributes, "logstore.rule"))
		}
		if len(of("query")[id]) > 0 && len(names) == 2 { // the others may have come in another message
			require.Equal(t, []string{"A", "B"}, names)
			complete++
		}
	}
	require.Positive(t, complete)

	end := time.Now().Truncate(time.Minute)
	query := fmt.Sprintf("/loki/api/v1/query_range?query=%s&step=60&start=%d&end=%d", url.QueryEscape(`sum(count_over_time({app="x"}[1m]))`), end.Add(-30*time.Minute).Unix(), end.Unix())
	hits := func(name string) (hits, keys int64) {
		for _, list := range of(name) {
			for _, s := range list {
				for _, a := range s.Attributes {
					switch a.Key {
					case "logstore.hits":
						hits += a.Value.GetIntValue()
					case "logstore.keys":
						keys += a.Value.GetIntValue()
					}
				}
			}
		}
		return hits, keys
	}
	require.Eventually(t, func() bool {
		status, text := asked(t, http.DefaultClient, "GET", p.URL+query, "", "", "")
		require.Equal(t, http.StatusOK, status, text)
		far, asked := hits("cache get")
		near, split := hits("results cache")
		return far > 0 && asked > far && near > 0 && split > near
	}, 20*time.Second, 200*time.Millisecond, "a miss and then a hit")
	for id, list := range of("cache get") {
		require.Equal(t, "redis", spanText(list[0].Attributes, "db.system.name"))
		require.NotEmpty(t, of("results cache")[id], "it is asked on behalf of something")
	}
}
