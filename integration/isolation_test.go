package integration

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/api"
	"logstore/pkg/limits"
)

// allRoutes returns what the router serves.
func allRoutes(t testing.TB) map[string]api.Route {
	t.Helper()
	overrides, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	a := api.New(api.DefaultConfig, api.Deps{
		Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar),
		Ruler: struct{ api.Ruler }{}, Deletes: struct{ api.Deletes }{}, Compactor: func() any { return nil },
	})
	routes := map[string]api.Route{}
	for _, r := range a.Routes() {
		routes[strings.TrimSpace(r.Method+" "+r.Path)] = r
	}
	return routes
}

// isolation is a store with two tenants whose streams, lines, fields, rules and delete requests bear their names, and are found
// by the same queries.
type isolation struct {
	*testing.T
	p     *Process
	start string
	// requests are the ids of the tenants' delete requests.
	requests map[string]string
	pushed   int
}

const (
	alice = "secretofalice"
	bert  = "secretofbert"
)

func (s *isolation) ask(who, method, path, body string) (int, string) {
	s.Helper()
	return asked(s.T, http.DefaultClient, method, s.p.URL+path, "", who, body)
}

func pushOf(who, line string) string {
	return fmt.Sprintf(`{"streams":[{"stream":{"env":"x","app":"%s","%s":"yes"},"values":[["%d","%s"]]}]}`, who, who, time.Now().UnixNano(), line)
}

const ruleText = "name: %s\nrules:\n- alert: %s\n  expr: sum(count_over_time({env=\"x\"}[1m])) > 0\n"

func (s *isolation) fill(who string, lines int) {
	s.Helper()
	for i := range lines {
		status, text := s.ask(who, "POST", "/loki/api/v1/push", pushOf(who, fmt.Sprintf("field_%s=1 msg=%s n=%d", who, who, i)))
		require.Equal(s, 204, status, text)
	}
	status, text := s.ask(who, "POST", "/loki/api/v1/rules/shared", fmt.Sprintf(ruleText, who, who))
	require.Equal(s, 202, status, text)
	status, text = s.ask(who, "POST", "/loki/api/v1/delete?"+url.Values{"query": {`{app="` + who + `"} |= "nothing"`}, "start": {"1700000000"}, "end": {"1700000100"}}.Encode(), "")
	require.Equal(s, 204, status, text)
	_, text = s.ask(who, "GET", "/loki/api/v1/delete", "")
	_, id, ok := strings.Cut(text, `"request_id":"`)
	require.True(s, ok, text)
	s.requests[who], _, _ = strings.Cut(id, `"`)
}

// intact wants all that is alice's to be there still.
func (s *isolation) intact(after string) {
	s.Helper()
	_, text := s.ask(alice, "GET", "/loki/api/v1/query_range?"+s.params("query", `{env="x"}`), "")
	require.Equal(s, 3, strings.Count(text, "msg="+alice), "%s: %s", after, text)
	require.NotContains(s, text, bert, after)
	_, text = s.ask(alice, "GET", "/loki/api/v1/rules", "")
	require.Contains(s, text, "name: "+alice, after)
	require.NotContains(s, text, bert, after)
	_, text = s.ask(alice, "GET", "/loki/api/v1/delete", "")
	require.Contains(s, text, s.requests[alice], after)
}

func (s *isolation) params(pairs ...string) string {
	v := url.Values{"start": {s.start}}
	if len(pairs) == 1 {
		return "" // no parameters at all
	}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// attempt is what bert does at a route.
type attempt func(s *isolation, method, path string)

// reads asks as both: alice's answer must hold her name, bert's his, and neither the other's.
func reads(pairs ...string) attempt { return readsWith(true, pairs...) }

// quiet asks as both: neither answer may hold the other's name; it need not hold the own.
func quiet(pairs ...string) attempt { return readsWith(false, pairs...) }

func readsWith(own bool, pairs ...string) attempt {
	return func(s *isolation, method, path string) {
		s.Helper()
		for who, other := range map[string]string{alice: bert, bert: alice} {
			status, text := s.ask(who, method, path+"?"+s.params(pairs...), "")
			require.Equal(s, 200, status, "%s %s: %s", method, path, text)
			require.NotContains(s, text, other, "%s %s as %s", method, path, who)
			if own {
				require.Contains(s, text, who, "%s %s as %s", method, path, who)
			}
		}
	}
}

// counts wants each to see the number of the own lines.
func counts(s *isolation, method, path string) {
	for who, want := range map[string]string{alice: `"entries":3`, bert: `"entries":1`} {
		_, text := s.ask(who, method, path+"?"+s.params("query", `{env="x"}`), "")
		require.Contains(s, text, want, "%s %s as %s", method, path, who)
	}
}

// changes has bert do something with the name of what alice has, too.
func changes(body string, wantStatus int, pairs ...string) attempt {
	return func(s *isolation, method, path string) {
		if len(pairs) > 0 {
			path += "?" + url.Values{pairs[0]: {pairs[1]}, "start": {"1600000000"}}.Encode()
		}
		status, text := s.ask(bert, method, path, body)
		require.Equal(s, wantStatus, status, "%s %s: %s", method, path, text)
		s.intact(method + " " + path)
	}
}

func pushes(body func(line string) string) attempt {
	return func(s *isolation, method, path string) {
		s.pushed++
		line := fmt.Sprintf("pushed-%d", s.pushed)
		status, text := s.ask("third", method, path, body(line))
		require.Less(s, status, 300, text)
		query := "/loki/api/v1/query_range?" + s.params("query", `{service_name=~".+"}`)
		_, text = s.ask("third", "GET", query, "")
		require.Contains(s, text, line, path)
		_, text = s.ask(alice, "GET", query, "")
		require.NotContains(s, text, line, path)
	}
}

func tails(s *isolation, _, path string) {
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	conn := dialTail(ctx, s.T, s.p, bert, url.Values{"query": {`{env="x"}`}, "start": {s.start}})
	defer conn.CloseNow()
	_, text, err := conn.Read(ctx)
	require.NoError(s, err)
	require.Contains(s, string(text), bert, path)
	require.NotContains(s, string(text), alice, path)
}

func otlpOf(line string) string {
	return fmt.Sprintf(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"third"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d","body":{"stringValue":"%s"}}]}]}]}`, time.Now().UnixNano(), line)
}

// tenantCases holds an attempt for each route that is about a tenant; a route without one fails the test.
func tenantCases() map[string]attempt {
	lineOf := func(line string) string { return pushOf("third", line) }
	stop := func(s *isolation, method, path string) {
		status, _ := s.ask(bert, method, path, "")
		require.Equal(s, 404, status)
	}
	m := map[string]attempt{
		"POST /loki/api/v1/push": pushes(lineOf), "POST /api/prom/push": pushes(lineOf), "POST /otlp/v1/logs": pushes(otlpOf), "POST /v1/logs": pushes(otlpOf),
		"GET /loki/api/v1/tail": tails, "GET /api/prom/tail": tails,
		"GET /logstore/api/v1/queries": quiet(), "DELETE /logstore/api/v1/queries/{id}": stop,
		"GET /loki/api/v1/drilldown-limits": quiet(), "GET /config/tenant/v1/limits": quiet(),
		"GET /prometheus/api/v1/rules": quiet(), "GET /prometheus/api/v1/alerts": quiet(),
		"GET /loki/api/v1/delete": reads("none"), "GET /loki/api/v1/cache/generation_numbers": quiet(),
		"POST /loki/api/v1/delete": changes("", 204, "query", `{env="x"}`), "PUT /loki/api/v1/delete": changes("", 204, "query", `{env="x"}`),
		"POST /compactor/ui/api/v1/deletes": changes("", 204, "query", `{env="x"}`),
		"DELETE /loki/api/v1/delete": func(s *isolation, method, path string) {
			changes("", 404)(s, method, path+"?force=true&request_id="+s.requests[alice])
		},
	}
	selector := []string{"query", `{env="x"}`}
	for path, a := range map[string]attempt{
		"/loki/api/v1/query_range": reads(selector...), "/loki/api/v1/query": reads("query", `count_over_time({env="x"}[1h])`),
		"/loki/api/v1/labels": reads(), "/loki/api/v1/label": reads(), "/loki/api/v1/label/{name}/values": reads(),
		"/loki/api/v1/series": reads("match[]", `{env="x"}`), "/loki/api/v1/detected_labels": reads(), "/loki/api/v1/detected_fields": reads(selector...),
		"/loki/api/v1/detected_field/{name}/values": reads(selector...), "/loki/api/v1/index/stats": counts,
		"/loki/api/v1/index/volume":       reads("query", `{env="x"}`, "targetLabels", "app"),
		"/loki/api/v1/index/volume_range": reads("query", `{env="x"}`, "targetLabels", "app"),
		"/loki/api/v1/index/shards":       quiet("query", `{env="x"}`, "targetBytesPerShard", "1MB"), "/loki/api/v1/patterns": quiet(selector...),
		"/api/prom/query": reads(selector...), "/api/prom/label": reads(), "/api/prom/label/{name}/values": reads(), "/api/prom/series": reads("match[]", `{env="x"}`),
	} {
		m["GET "+path], m["POST "+path] = a, a
	}
	for _, path := range []string{"/loki/api/v1/rules", "/api/prom/rules", "/api/v1/rules"} {
		m["GET "+path], m["GET "+path+"/{namespace}"] = reads(), reads()
		m["GET "+path+"/{namespace}/{group}"] = func(s *isolation, method, path string) {
			status, text := s.ask(bert, method, path, "")
			require.Equal(s, 404, status)
			require.NotContains(s, text, "expr", path)
		}
		m["POST "+path+"/{namespace}"] = changes(fmt.Sprintf(ruleText, alice, "other"), 202)
		m["DELETE "+path+"/{namespace}/{group}"] = func(s *isolation, method, path string) {
			s.ask(bert, method, path, "")
			s.intact(method + " " + path)
		}
		m["DELETE "+path+"/{namespace}"] = m["DELETE "+path+"/{namespace}/{group}"]
	}
	return m
}

// processRoutes are about the process or the same for all, and may show names of tenants but nothing of theirs. Those with a
// reason are not asked.
var processRoutes = map[string]string{
	"GET /{$}": "", "GET /ready": "", "GET /services": "", "GET /config": "", "GET /loki/api/v1/status/buildinfo": "", "GET /log_level": "", "POST /log_level": "sets the level of the process's log",
	"GET /flush": "", "POST /flush": "", "GET /ingester/prepare_shutdown": "", "POST /ingester/prepare_shutdown": "ends the process", "DELETE /ingester/prepare_shutdown": "ends the process",
	"GET /ingester/shutdown": "ends the process", "POST /ingester/shutdown": "ends the process", "POST /ingester/flush_shutdown": "ends the process",
	"GET /ring": "", "GET /distributor/ring": "", "GET /compactor/ring": "", "GET /scheduler/ring": "", "GET /ruler/ring": "",
	"POST /ring": "forgets members", "POST /distributor/ring": "forgets members", "POST /compactor/ring": "forgets members", "POST /scheduler/ring": "forgets members", "POST /ruler/ring": "forgets members",
	"GET /compactor/status": "", "GET /memberlist": "", "POST /memberlist": "", "GET /metrics": "",
	"/debug/pprof/": "", "/debug/pprof/cmdline": "", "/debug/pprof/symbol": "", "/debug/pprof/profile": "takes a while", "/debug/pprof/trace": "takes a while",
	"GET /ui": "", "GET /ui/{path...}": "", "GET /logstore/api/v1/tenants": "", "GET /logstore/api/v1/storage": "",
	"GET /loki/api/v1/format_query": "", "POST /loki/api/v1/format_query": "",
	"GET /compactor/ui/api/v1/deletes": "for operators: the delete requests of all tenants; built-in authentication wants the scope admin",
}

// changesSomething tells the routes that are asked last.
func changesSomething(r api.Route) bool {
	switch r.Method {
	case http.MethodDelete, http.MethodPut:
		return true
	case http.MethodPost:
		for _, part := range []string{"/push", "/logs", "/rules/", "/delete"} {
			if strings.Contains(r.Path, part) {
				return true
			}
		}
	}
	return false
}

// TestIsolation has one tenant try at every route of the router to see or change what is another's.
func TestIsolation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "logstore.yaml")
	require.NoError(t, os.WriteFile(config, []byte("auth_enabled: true\npattern_ingester: {enabled: true}\ncompactor: {retention_enabled: true, delete_request_store: filesystem}\n"+
		"limits_config: {deletion_mode: filter-and-delete, volume_enabled: true}\n"), 0o600))
	p := NewProcess(t, dir, "-config.file="+config)
	p.Start()
	s := &isolation{T: t, p: p, start: fmt.Sprint(time.Now().Add(-time.Hour).UnixNano()), requests: map[string]string{}}
	s.fill(alice, 3)
	s.fill(bert, 1)
	s.intact("the beginning")
	cases, processes := tenantCases(), maps.Clone(processRoutes)
	fillIn := strings.NewReplacer("{name}", "app", "{namespace}", "shared", "{group}", alice, "{id}", "1", "{$}", "", "{path...}", "")
	routes := allRoutes(t)
	// What changes something comes last.
	for _, changing := range []bool{false, true} {
		for name, route := range routes {
			if changing != changesSomething(route) {
				continue
			}
			path := fillIn.Replace(route.Path)
			if strings.Contains(name, "detected_field/") {
				path = strings.Replace(path, "/app/", "/msg/", 1)
			}
			if route.Tenant {
				try := cases[name]
				require.NotNil(t, try, "%s has no case here: a new route must show that it keeps tenants apart", name)
				delete(cases, name)
				try(s, route.Method, path)
				continue
			}
			why, known := processes[name]
			require.True(t, known, "%s is not about a tenant: say so in processRoutes", name)
			delete(processes, name)
			if method := route.Method; why == "" {
				if method == "" {
					method = http.MethodGet
				}
				_, text := s.ask("", method, path, "")
				for _, secret := range []string{"msg=" + alice, "app=\"" + alice, "field_" + alice} {
					require.NotContains(t, text, secret, name)
				}
			}
		}
	}
	require.Empty(t, cases, "cases for routes that are gone")
	require.Empty(t, processes, "routes that are gone")
	s.intact("the end")
}
