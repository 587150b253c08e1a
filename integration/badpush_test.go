package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"

	"logstore/pkg/wire"
)

// tightLimits makes bodies of a megabyte too large.
const tightLimits = `
auth_enabled: true
distributor:
  max_recv_msg_size: 1000000
  max_decompressed_size: 4000000
common:
  path_prefix: {{DIR}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: {{DIR}}/chunks, rules_directory: {{DIR}}/rules}}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
limits_config:
  max_query_length: 24h
  max_entries_limit_per_query: 100
  discover_service_name: []
  discover_log_levels: false
`

// badRequest is a request that must be refused, and what the answer says.
type badRequest struct {
	name    string
	method  string // default POST with a body, else GET
	path    string // default /loki/api/v1/push
	headers map[string]string
	body    []byte
	status  int
	text    string
}

func (b *badRequest) send(t *testing.T, base string) (int, http.Header, string) {
	t.Helper()
	path, method := b.path, b.method
	if path == "" {
		path = "/loki/api/v1/push"
	}
	if method == "" {
		method = http.MethodGet
		if b.body != nil {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader(b.body))
	require.NoError(t, err)
	req.Header.Set("X-Scope-OrgID", "a")
	for name, value := range b.headers {
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(body)
}

// runBad sends each request, and after each one a good push and a query, which must not have been harmed.
func runBad(t *testing.T, p *Process, requests []badRequest) {
	t.Helper()
	w := newWorkload(1)
	for _, b := range requests {
		t.Run(b.name, func(t *testing.T) {
			status, header, body := b.send(t, p.URL)
			require.Equal(t, b.status, status, body)
			require.Contains(t, body, b.text)
			require.NotEmpty(t, strings.TrimSpace(body), "an answer says what is wrong")
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				require.NotEmpty(t, header.Get("Retry-After"))
			}
			line := fmt.Sprintf(`{"streams":[{"stream":{"app":"good"},"values":[["%d","after %s"]]}]}`, w.base.UnixNano()+w.seq.Add(1), b.name)
			good := badRequest{headers: map[string]string{"Content-Type": "application/json"}, body: []byte(line)}
			status, _, body = good.send(t, p.URL)
			require.Equal(t, http.StatusNoContent, status, body)
			read := badRequest{path: "/loki/api/v1/query?query=" + url.QueryEscape(`sum(count_over_time({app="good"}[2h]))`)}
			status, _, body = read.send(t, p.URL)
			require.Equal(t, http.StatusOK, status, body)
			require.Contains(t, body, fmt.Sprintf(`"%d"]`, w.seq.Load()))
		})
	}
}

func startTight(t *testing.T) *Process {
	t.Helper()
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, tightLimits))
	p.Start()
	return p
}

// gzipped compresses n times a text.
func gzipped(text string, n int) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	for range n {
		_, _ = io.WriteString(zw, text) // a bytes.Buffer takes everything
	}
	_ = zw.Close()
	return buf.Bytes()
}

// jsonLine is a push of one line with the present time, or with another timestamp.
func jsonLine(labels, timestamp, line string) []byte {
	if timestamp == "" {
		timestamp = fmt.Sprint(time.Now().UnixNano())
	}
	return fmt.Appendf(nil, `{"streams":[{"stream":%s,"values":[["%s","%s"]]}]}`, labels, timestamp, line)
}

func TestBadBodies(t *testing.T) {
	good := wire.AppendProto(nil, []wire.PushStream{{
		Labels: `{app="x"}`, Entries: []wire.PushEntry{{Timestamp: time.Now().UnixNano(), Line: bytes.Repeat([]byte("a line "), 100)}},
	}})
	packed := snappy.Encode(nil, good)
	lies := append(binary.AppendUvarint(nil, 1<<32-1), packed[2:]...)
	proto := map[string]string{"Content-Type": "application/x-protobuf"}
	json := map[string]string{"Content-Type": "application/json"}
	with := func(h map[string]string, name, value string) map[string]string {
		out := map[string]string{name: value}
		for k, v := range h {
			out[k] = v
		}
		return out
	}
	const received, unpacked = "distributor.max_recv_msg_size", "distributor.max_decompressed_size"
	runBad(t, startTight(t), []badRequest{
		{name: "snappy cut", headers: proto, body: packed[:len(packed)-5], status: 400, text: "snappy"},
		{name: "snappy that is none", headers: proto, body: []byte("garbage"), status: 400, text: "snappy"},
		{name: "snappy that says 4 GB", headers: proto, body: lies, status: 413, text: unpacked},
		{name: "snappy bomb", headers: proto, body: snappy.Encode(nil, make([]byte, 5_000_000)), status: 413, text: unpacked},
		{name: "no snappy", headers: proto, body: good, status: 400, text: "snappy"},
		{name: "no protobuf in snappy", headers: proto, body: snappy.Encode(nil, []byte("\xff\xff\xff\xffgarbage")), status: 400, text: "proto"},
		{name: "protobuf cut", headers: proto, body: snappy.Encode(nil, good[:len(good)/2]), status: 400, text: "unexpected EOF"},
		{name: "body too large", headers: proto, body: make([]byte, 1_000_001), status: 413, text: received},
		{name: "JSON too large", headers: json, body: bytes.Repeat([]byte(" "), 1_000_001), status: 413, text: received},
		{name: "gzip bomb", headers: with(json, "Content-Encoding", "gzip"), body: gzipped(strings.Repeat(" ", 10_000), 1000), status: 413, text: unpacked},
		{name: "gzip cut", headers: with(json, "Content-Encoding", "gzip"), body: gzipped("{}", 1)[:12], status: 400, text: "unexpected EOF"},
		{name: "gzip that is none", headers: with(json, "Content-Encoding", "gzip"), body: []byte(`{"streams":[]}`), status: 400, text: "gzip"},
		{name: "deflate that is none", headers: with(json, "Content-Encoding", "deflate"), body: []byte("\xff\xff"), status: 400, text: "flate"},
		{name: "zstd that is none", headers: with(json, "Content-Encoding", "zstd"), body: []byte(`{"streams":[]}`), status: 400, text: "magic number mismatch"},
		{name: "unknown encoding", headers: with(json, "Content-Encoding", "br"), body: []byte(`{}`), status: 400, text: `"br" not supported`},
		{name: "JSON cut", headers: json, body: []byte(`{"streams":[{"stream":{"a":"b"},"val`), status: 400, text: "cannot read JSON"},
		{name: "JSON of another kind", headers: json, body: []byte(`{"streams":[{"stream":{"a":"b"},"values":[[true,"x"]]}]}`), status: 400, text: "JSON"},
		{name: "deep JSON", headers: json, body: bytes.Repeat([]byte(`{"a":[`), 100_000), status: 400, text: "JSON"},
		{name: "empty body", headers: json, body: []byte{}, method: http.MethodPost, status: 400, text: "EOF"},
		{name: "no time", headers: json, body: jsonLine(`{"a":"b"}`, "noon", "x"), status: 400, text: "noon"},
		{name: "no labels", headers: json, body: jsonLine(`{}`, "", "x"), status: 400, text: "label"},
		{name: "bad label name", headers: json, body: jsonLine(`{"a-b":"c"}`, "", "x"), status: 400, text: "couldn't parse labels"},
		{name: "too old", headers: json, body: jsonLine(`{"a":"b"}`, "1768867200000000000", "x"), status: 400, text: "timestamp too old"},
		{name: "too new", headers: json, body: jsonLine(`{"a":"b"}`, fmt.Sprint(time.Now().Add(48*time.Hour).UnixNano()), "x"), status: 400, text: "timestamp too new"},
		{name: "line too long", headers: json, body: jsonLine(`{"a":"b"}`, "", strings.Repeat("x", 300_000)), status: 400, text: "max entry size"},
		{name: "too many labels", headers: json, body: jsonLine(`{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1","j":"1","k":"1","l":"1","m":"1","n":"1","o":"1","p":"1"}`, "", "x"), status: 400, text: "has 16 label names; limit 15"},
		{name: "OTLP too large", path: "/otlp/v1/logs", headers: json, body: make([]byte, 1_000_001), status: 413, text: received},
		{name: "OTLP garbage", path: "/otlp/v1/logs", headers: proto, body: []byte("garbage"), status: 400, text: "proto"},
		{name: "OTLP JSON cut", path: "/otlp/v1/logs", headers: json, body: []byte(`{"resourceLogs":[{`), status: 400, text: "JSON"},
		{name: "OTLP of no type", path: "/otlp/v1/logs", headers: map[string]string{"Content-Type": "text/plain"}, body: []byte("x"), status: 400, text: "text/plain is not supported"},
	})
}

func TestBadHeaders(t *testing.T) {
	type h = map[string]string
	json := func(tenant string) h { return h{"Content-Type": "application/json", "X-Scope-OrgID": tenant} }
	line := jsonLine(`{"a":"b"}`, "", "x")
	runBad(t, startTight(t), []badRequest{
		{name: "no tenant", headers: json(""), body: line, status: 401, text: "no org id"},
		{name: "no tenant to read", headers: json(""), path: "/loki/api/v1/labels", status: 401, text: "no org id"},
		{name: "a slash", headers: json("a/b"), body: line, status: 400, text: "unsupported character '/'"},
		{name: "a way up", headers: json(".."), body: line, status: 400, text: "'..'"},
		{name: "two tenants push", headers: json("a|b"), body: line, status: 400, text: "multiple org IDs"},
		{name: "two tenants read", headers: json("a|b"), path: "/loki/api/v1/labels", status: 400, text: "multiple org IDs"},
		{name: "a long tenant", headers: json(strings.Repeat("x", 151)), body: line, status: 400, text: "150"},
		{name: "a bad content type", headers: h{"Content-Type": ";;;"}, body: line, status: 400, text: "no media type"},
		{name: "wrong method", method: http.MethodDelete, status: 405, text: "Method Not Allowed"},
		{name: "no such path", path: "/loki/api/v1/nothing", status: 404, text: "not found"},
	})
}

func TestBadParameters(t *testing.T) {
	get := func(name, path string, status int, text string, params ...string) badRequest {
		v := url.Values{}
		for i := 0; i < len(params); i += 2 {
			v.Add(params[i], params[i+1])
		}
		return badRequest{name: name, path: "/loki/api/v1/" + path + "?" + v.Encode(), status: status, text: text}
	}
	const q = `{a="b"}`
	deep := strings.Repeat("(", 100_000) + "1"
	runBad(t, startTight(t), []badRequest{
		get("no query", "query_range", 400, "parse error"),
		get("half a query", "query_range", 400, "parse error at line 1, col", "query", `{a="b"`),
		get("two lines", "query_range", 400, "parse error at line 2, col", "query", "{a=\"b\"}\n|= "),
		get("a bad regular expression", "query_range", 400, "missing closing", "query", `{a="b"} |~ "("`),
		get("no matcher that says something", "query_range", 400, "at least one", "query", `{a=~".*"}`),
		get("a log query at an instant", "query", 400, "range query", "query", q),
		get("a bad range", "query", 400, "[1x]", "query", `rate({a="b"}[1x])`),
		get("no limit", "query_range", 400, "limit", "query", q, "limit", "many"),
		get("a negative limit", "query_range", 400, "limit must be a positive value", "query", q, "limit", "-1"),
		get("a limit over the limit", "query_range", 400, "max_entries_limit_per_query (101 > 100)", "query", q, "limit", "101"),
		get("no time", "query_range", 400, "start", "query", q, "start", "noon"),
		get("back to front", "query_range", 400, "end timestamp must not be before", "query", q, "start", "20", "end", "10"),
		get("too long", "query_range", 400, "the query time range exceeds the limit", "query", q, "start", "1768867200", "end", "1769867200"),
		get("no direction", "query_range", 400, "direction", "query", q, "direction", "up"),
		get("no step", "query_range", 400, "zero or negative", "query", `rate({a="b"}[1m])`, "step", "-1"),
		get("too many steps", "query_range", 400, "11,000 points", "query", `rate({a="b"}[1m])`, "step", "0.1"),
		get("a bad series selector", "series", 400, "parse error", "match[]", `{a=`),
		get("an empty series selector", "series", 400, "0 matchers", "match[]", `{}`, "match[]", q),
		get("a bad label selector", "label/a/values", 400, "parse error", "query", `{a`),
		{name: "a deep query", path: "/loki/api/v1/query", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: []byte("query=" + url.QueryEscape(deep)), status: 400, text: ""},
		{name: "a body that is no form", path: "/loki/api/v1/query", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: []byte("query=%zz"), status: 400, text: "invalid URL escape"},
	})
}
