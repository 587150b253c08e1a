package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// grafanaRequest is a request that Grafana's Loki data source or Logs Drilldown sends, and what they need of the answer.
type grafanaRequest struct {
	purpose string
	path    string
	params  url.Values
	headers http.Header
	check   func(t *testing.T, answer map[string]any)
}

// at walks into an answer: at(a, "data", 0, "values").
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// wants returns a check that a place of the answer holds a value.
func wants(value any, path ...any) func(*testing.T, map[string]any) {
	return func(t *testing.T, answer map[string]any) {
		t.Helper()
		require.Equal(t, value, at(answer, path...), "%v in %v", path, answer)
	}
}

// named returns the element of a list whose field has the value.
func named(t *testing.T, l any, field, value string) map[string]any {
	t.Helper()
	items, _ := l.([]any)
	for _, item := range items {
		if m, _ := item.(map[string]any); m[field] == value {
			return m
		}
	}
	t.Fatalf("nothing has %s=%s in %v", field, value, l)
	return nil
}

// pushForGrafana stores ten lines of logfmt and ten of JSON with metadata, of the last ten minutes.
func pushForGrafana(t *testing.T, p *Process) {
	t.Helper()
	now := time.Now()
	logfmt, asJSON := wire.PushStream{Labels: `{app="web", service_name="web"}`}, wire.PushStream{Labels: `{app="api", service_name="api", env="prod"}`}
	for i := range 10 {
		ts := now.Add(-time.Duration(i) * time.Minute).UnixNano()
		logfmt.Entries = append(logfmt.Entries, wire.PushEntry{Timestamp: ts, Line: fmt.Appendf(nil, "level=info msg=\"order stored\" id=%d took=%dms", i, i)})
		asJSON.Entries = append(asJSON.Entries, wire.PushEntry{
			Timestamp: ts, Line: fmt.Appendf(nil, `{"level":"error","user":{"id":%d},"size":"%dKB"}`, i, i+1),
			Metadata: []model.Pair{{Name: "trace_id", Value: fmt.Sprint("t", i)}},
		})
	}
	require.NoError(t, pushAs(t, p, "grafana", []wire.PushStream{logfmt, asJSON}))
}

// dataSourceRequests are those of the Loki data source: times in nanoseconds.
func dataSourceRequests(start, end string) []grafanaRequest {
	window := func(kv ...string) url.Values {
		v := url.Values{"start": {start}, "end": {end}}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	categorize := http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}, "X-Query-Tags": {"Source=logvolhist"}, "Fromalert": {"true"}}
	return []grafanaRequest{
		{"save and test", "query", url.Values{"query": {"vector(1)+vector(1)"}, "direction": {"backward"}, "time": {"4000000000"}}, categorize,
			wants("2", "data", "result", 0, "value", 1)},
		{"range of logs", "query_range", window("query", `{app="api"} | json`, "direction", "backward", "step", "15000ms", "limit", "1000"), categorize,
			func(t *testing.T, a map[string]any) {
				require.Equal(t, []any{"categorize-labels"}, at(a, "data", "encodingFlags"))
				require.Equal(t, map[string]any{"app": "api", "env": "prod", "service_name": "api"}, at(a, "data", "result", 0, "stream"))
				third, _ := at(a, "data", "result", 0, "values", 0, 2).(map[string]any)
				require.Equal(t, map[string]any{"trace_id": "t0", "detected_level": "error"}, third["structuredMetadata"])
				require.Equal(t, map[string]any{"level": "error", "user_id": "0", "size": "1KB"}, third["parsed"])
				require.Equal(t, "success", a["status"])
				require.Equal(t, 10.0, at(a, "data", "stats", "summary", "totalEntriesReturned"))
			}},
		{"range of logs, no third member", "query_range", window("query", `{app="web"} | drop detected_level`, "direction", "forward", "step", "15000ms"), categorize,
			wants(map[string]any{}, "data", "result", 0, "values", 0, 2)},
		{"log volume", "query_range", window("query", `sum by (level, detected_level) (count_over_time({app="api"} | json | drop __error__ [1m]))`, "step", "60000ms"), categorize,
			wants(map[string]any{"level": "error", "detected_level": "error"}, "data", "result", 0, "metric")},
		{"instant query", "query", url.Values{"query": {`sum(count_over_time({app=~"web|api"}[1h]))`}, "time": {end}, "direction": {"backward"}}, categorize,
			wants("20", "data", "result", 0, "value", 1)},
		{"label names", "labels", window(), nil, wants([]any{"app", "env", "service_name"}, "data")},
		{"label names of a query", "labels", window("query", `{app="web"}`), nil, wants([]any{"app", "service_name"}, "data")},
		{"label values", "label/app/values", window(), nil, wants([]any{"api", "web"}, "data")},
		{"label values of a query", "label/env/values", window("query", `{app="api"}`), nil, wants([]any{"prod"}, "data")},
		{"series", "series", window("match[]", `{app="web"}`), nil, wants(map[string]any{"app": "web", "service_name": "web"}, "data", 0)},
		{"size hint", "index/stats", window("query", `{app="web"}`), nil, func(t *testing.T, a map[string]any) {
			require.Equal(t, 1.0, a["streams"])
			require.Equal(t, 10.0, a["entries"])
			require.Positive(t, a["bytes"])
		}},
		{"field values", "detected_field/took/values", window("query", `{app="web"}`, "limit", "1000"), nil, func(t *testing.T, a map[string]any) {
			require.Len(t, a["values"], 10)
			require.Equal(t, 1000.0, a["limit"])
		}},
		{"context of a line", "query_range", window("query", `{app="web", service_name="web"}`, "direction", "FORWARD", "limit", "3"), categorize,
			wants(3.0, "data", "stats", "summary", "totalEntriesReturned")},
		{"build", "status/buildinfo", nil, nil, func(t *testing.T, a map[string]any) { require.NotEmpty(t, a["version"]) }},
		{"format", "format_query", url.Values{"query": {`{app="web"}|="x"`}}, nil, wants(`{app="web"} |= "x"`, "data")},
	}
}

// drilldownRequests are those of Logs Drilldown: times in RFC 3339 with milliseconds.
func drilldownRequests(start, end string) []grafanaRequest {
	window := func(kv ...string) url.Values {
		v := url.Values{"start": {start}, "end": {end}}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	const pipeline = `{service_name="api"} | json | logfmt | drop __error__, __error_details__ | detected_level="error"`
	return []grafanaRequest{
		{"volume of services", "index/volume", window("query", `{service_name=~".+"}`, "limit", "5000"), nil, func(t *testing.T, a map[string]any) {
			require.Equal(t, "vector", at(a, "data", "resultType"))
			require.Len(t, at(a, "data", "result"), 2)
		}},
		{"volume by label", "index/volume", window("query", `{service_name=~".+"}`, "aggregateBy", "labels", "targetLabels", "env", "limit", "5000"), nil,
			wants(map[string]any{"env": ""}, "data", "result", 0, "metric")},
		{"volume over time", "index/volume_range", window("query", `{service_name=~".+"}`, "step", "60s"), nil, wants("matrix", "data", "resultType")},
		{"patterns", "patterns", window("query", `{service_name="web"}`, "step", "10s"), nil, func(t *testing.T, a map[string]any) {
			pattern, _ := at(a, "data", 0, "pattern").(string)
			require.Contains(t, pattern, "<_>")
			require.Len(t, at(a, "data", 0, "samples", 0), 2)
		}},
		{"labels of the first page", "detected_labels", window(), nil, func(t *testing.T, a map[string]any) {
			require.Equal(t, 2.0, named(t, a["detectedLabels"], "label", "service_name")["cardinality"])
		}},
		{"fields", "detected_fields", window("query", pipeline, "limit", "1000"), nil, func(t *testing.T, a map[string]any) {
			id := named(t, a["fields"], "label", "user_id")
			require.Equal(t, "int", id["type"])
			require.Equal(t, 10.0, id["cardinality"])
			require.Equal(t, []any{"json"}, id["parsers"])
			require.Equal(t, []any{"user", "id"}, id["jsonPath"])
			require.Equal(t, "bytes", named(t, a["fields"], "label", "size")["type"])
			trace := named(t, a["fields"], "label", "trace_id")
			parsers, ok := trace["parsers"]
			require.True(t, ok)
			require.Nil(t, parsers, "metadata have null, not []")
		}},
		{"field values", "detected_field/trace_id/values", window("query", `{service_name="api"}`, "limit", "1000"), nil, func(t *testing.T, a map[string]any) {
			require.Len(t, a["values"], 10)
		}},
		{"labels", "labels", window(), nil, wants([]any{"app", "env", "service_name"}, "data")},
		{"limits", "drilldown-limits", nil, nil, func(t *testing.T, a map[string]any) {
			require.Equal(t, true, a["pattern_ingester_enabled"])
			require.NotEmpty(t, a["version"])
			for _, key := range []string{
				"discover_log_levels", "discover_service_name", "log_level_fields", "max_entries_limit_per_query", "max_line_size_truncate", "max_query_bytes_read",
				"max_query_length", "max_query_lookback", "max_query_range", "max_query_series", "metric_aggregation_enabled", "otlp_config",
				"pattern_persistence_enabled", "query_timeout", "retention_period", "volume_enabled", "volume_max_series",
			} {
				require.Contains(t, a["limits"], key)
			}
			_, text := at(a, "limits", "retention_period").(string)
			require.True(t, text, "retention_period is a duration as text")
		}},
		{"shards of streams", "label/__stream_shard__/values", window(), nil, wants(nil, "data")},
		{"explored fields", "query_range", window("query", pipeline+` | user_id > 3 |> "<_>level<_>"`, "step", "1000ms", "limit", "100"), nil,
			wants(6.0, "data", "stats", "summary", "totalEntriesReturned")},
		{"two tenants", "labels", window(), http.Header{"X-Scope-OrgID": {"grafana|other"}}, wants([]any{"__tenant_id__", "app", "env", "service_name"}, "data")},
	}
}

// TestGrafanaRequests sends what Grafana sends.
func TestGrafanaRequests(t *testing.T) {
	p := startMultiTenant(t)
	pushForGrafana(t, p)
	start, end := time.Now().Add(-30*time.Minute), time.Now().Add(time.Minute)
	nanos := func(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }
	const millis = "2006-01-02T15:04:05.000Z"
	for _, r := range append(dataSourceRequests(nanos(start), nanos(end)), drilldownRequests(start.UTC().Format(millis), end.UTC().Format(millis))...) {
		t.Run(strings.ReplaceAll(r.path, "/", "_")+" "+r.purpose, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/loki/api/v1/"+r.path+"?"+r.params.Encode(), nil)
			require.NoError(t, err)
			req.Header.Set("X-Scope-OrgID", "grafana")
			for name, values := range r.headers {
				req.Header[http.CanonicalHeaderKey(name)] = values
			}
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			var answer map[string]any
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
			r.check(t, answer)
		})
	}
}

// TestGrafanaTail opens a tail as Grafana does, and one that cannot be: its close frame says why.
func TestGrafanaTail(t *testing.T) {
	p := startMultiTenant(t)
	pushForGrafana(t, p)
	conn := dialTail(t.Context(), t, p, "grafana", url.Values{"query": {`{app="web"} | logfmt`}})
	defer conn.CloseNow()
	_, text, err := conn.Read(t.Context())
	require.NoError(t, err)
	var frame map[string]any
	require.NoError(t, json.Unmarshal(text, &frame))
	require.Equal(t, "web", at(frame, "streams", 0, "stream", "app"))
	require.Equal(t, "order stored", at(frame, "streams", 0, "stream", "msg"))

	bad := dialTail(t.Context(), t, p, "grafana", url.Values{"query": {`rate({app="web"}[1m])`}})
	defer bad.CloseNow()
	_, _, err = bad.Read(t.Context())
	var closed websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, websocket.StatusInternalError, closed.Code)
	require.Contains(t, closed.Reason, "only log queries can be tailed")

	status, body, err := queryAs(t.Context(), p, "grafana", "tail", url.Values{"query": {`{app="web"}`}})
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "Upgrade")
}
