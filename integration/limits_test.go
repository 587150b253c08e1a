package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
	"logstore/pkg/wire"
)

// tenantsOfLimits has a tenant for each limit of a query.
const tenantsOfLimits = `
overrides:
  timeout: {query_timeout: 1s}
  hanging: {query_timeout: 1s}
  hurried: {query_timeout: 1ns}
  entries: {max_entries_limit_per_query: 10}
  series: {max_query_series: 3}
  bytes: {max_query_bytes_read: 1KB}
  streams: {max_global_streams_per_user: 2}
  rate: {ingestion_rate_mb: 0.0001, ingestion_burst_size_mb: 0.0001}
`

// hangingStore runs a store whose bucket holds lines of several tenants, behind a proxy that can hang.
func hangingStore(t *testing.T) (*Process, *faultproxy.Proxy) {
	t.Helper()
	_, proxy, s3 := startS3(t, 1)
	dir := t.TempDir()
	overrides := writeFile(t, dir, "overrides.yaml", tenantsOfLimits)
	config := strings.NewReplacer("auth_enabled: false", "auth_enabled: true", "response_header_timeout: 1s", "response_header_timeout: 1m",
		"limits_config:", "pattern_ingester: {enabled: true}\nruntime_config: {file: "+overrides+"}\nlimits_config:").Replace(onS3)
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, config, "{{S3}}", s3))
	p.Start()
	for _, tenant := range []string{"timeout", "hanging", "entries", "series", "bytes", "none"} {
		var streams []wire.PushStream
		for i := range 5 {
			s := wire.PushStream{Labels: fmt.Sprintf(`{app="x", s="%d"}`, i)}
			for k := range 100 {
				s.Entries = append(s.Entries, wire.PushEntry{Timestamp: time.Now().Add(-time.Minute).UnixNano() + int64(k), Line: fmt.Appendf(nil, "line %d with some words", k)})
			}
			streams = append(streams, s)
		}
		require.NoError(t, pushAs(t, p, tenant, streams))
	}
	waitFlushed(t, p, 30*time.Second)
	return p, proxy
}

func pushAs(t *testing.T, p *Process, tenant string, streams []wire.PushStream) error {
	t.Helper()
	client := &http.Client{Transport: withTenant(tenant)}
	return pushProto(t.Context(), client, p.URL, streams)
}

// withTenant is a transport that names a tenant.
type withTenant string

func (w withTenant) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Scope-OrgID", string(w))
	return http.DefaultTransport.RoundTrip(r)
}

// queryAs sends a query of the last hour.
func queryAs(ctx context.Context, p *Process, tenant, path string, params url.Values) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/loki/api/v1/"+path+"?"+params.Encode(), nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := (&http.Client{Transport: withTenant(tenant)}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestQueryLimits(t *testing.T) {
	p, proxy := hangingStore(t)
	f := func(tenant, path, query string, status int, text string) {
		t.Helper()
		got, body, err := queryAs(t.Context(), p, tenant, path, url.Values{"query": {query}, "limit": {"100"}})
		require.NoError(t, err)
		require.Equal(t, status, got, "%s of %s: %s", path, tenant, body)
		require.Contains(t, body, text, "%s of %s", path, tenant)
	}
	f("none", "query_range", `{app="x"}`, 200, "line 99")
	f("entries", "query_range", `{app="x"}`, 400, "max_entries_limit_per_query (100 > 10)")
	f("series", "query", `sum by (s) (count_over_time({app="x"}[1h]))`, 400, "maximum number of series (3) reached for a single query")
	f("bytes", "query_range", `{app="x"}`, 400, "read too many bytes (limit: 1024 bytes)")
	f("timeout", "query_range", `{app="x"}`, 200, "line 99")
	for _, path := range []string{"query_range", "labels", "label/app/values", "series", "index/stats", "index/volume", "patterns", "detected_labels", "detected_fields"} {
		f("hurried", path, `{app="x"}`, 504, "query_timeout")
	}

	proxy.Break(faultproxy.Rule{Fault: faultproxy.Hang()})
	begin := time.Now()
	// The chunks of the other tenants are in the cache by now.
	f("hanging", "query_range", `{app="x"}`, 504, "query_timeout")
	require.WithinDuration(t, begin.Add(time.Second), time.Now(), 2*time.Second)
	proxy.Heal()
	f("hanging", "query_range", `{app="x"}`, 200, "line 99")
}

// TestClientGoesAway wants that a query whose client has left ends at once: its request to the bucket is given up.
func TestClientGoesAway(t *testing.T) {
	p, proxy := hangingStore(t)
	idle := p.Metric("go_goroutines")
	gone := make(chan struct{}, 1000)
	proxy.Break(faultproxy.Rule{Fault: faultproxy.Hang(), Match: func(r *http.Request) bool {
		context.AfterFunc(r.Context(), func() { gone <- struct{}{} })
		return true
	}})
	const clients = 10
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, clients)
	for range clients {
		go func() {
			_, _, err := queryAs(ctx, p, "none", "query_range", url.Values{"query": {`{app="x"}`}})
			left <- err
		}()
	}
	// The request for metrics is one itself.
	require.Eventually(t, func() bool { return p.Metric("loki_inflight_requests") == clients+1 }, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { all, _ := proxy.Requests(); return all > 0 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	for range clients {
		require.ErrorIs(t, <-left, context.Canceled)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("the store still waits for the bucket")
	}
	require.Eventually(t, func() bool { return p.Metric("go_goroutines") < idle+15 }, 10*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return p.Metric("loki_request_duration_seconds_count", `status_code="499"`) == clients },
		5*time.Second, 50*time.Millisecond, "a client that goes away is counted as such")
}

// TestPushLimits wants 429 with the limit and when to come back, and the good part of a push kept.
func TestPushLimits(t *testing.T) {
	p, _ := hangingStore(t)
	now := time.Now().UnixNano()
	stream := func(name, line string) wire.PushStream {
		return wire.PushStream{Labels: fmt.Sprintf(`{app="y", s=%q}`, name), Entries: []wire.PushEntry{{Timestamp: now, Line: []byte(line)}}}
	}
	f := func(tenant, text string, streams ...wire.PushStream) {
		t.Helper()
		var refused *refusedError
		require.ErrorAs(t, pushAs(t, p, tenant, streams), &refused)
		require.Equal(t, http.StatusTooManyRequests, refused.status)
		require.Contains(t, refused.text, text)
		require.NotEmpty(t, refused.retryAfter)
	}
	f("rate", "ingestion rate limit exceeded for user rate", stream("a", strings.Repeat("x", 10_000)))
	require.NoError(t, pushAs(t, p, "streams", []wire.PushStream{stream("a", "1")}))
	f("streams", "maximum active stream limit exceeded", stream("b", "2"), stream("c", "3"))
	_, body, err := queryAs(t.Context(), p, "streams", "series", url.Values{"match[]": {`{app="y"}`}})
	require.NoError(t, err)
	var series struct{ Data []map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &series))
	require.Len(t, series.Data, 2, "the first stream of two is kept")
}
