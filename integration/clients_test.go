package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// multiTenant is the configuration of the tests of clients: tenants by header, all else by default.
const multiTenant = `
auth_enabled: true
querier: {multi_tenant_queries_enabled: true}
pattern_ingester: {enabled: true}
limits_config: {allow_structured_metadata: true, volume_enabled: true}
`

func startMultiTenant(t *testing.T) *Process {
	t.Helper()
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeFile(t, dir, "loki.yaml", multiTenant))
	p.Start()
	return p
}

// node runs a script of testdata/node.
func node(t *testing.T, stdin []byte, script string, args ...string) []byte {
	t.Helper()
	dir, err := filepath.Abs("testdata/node")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(dir, "node_modules"))
	require.NoError(t, err, "run scripts/install-test-tools.sh first")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "node %s: %s", script, stderr.String())
	return out
}

// stored is a stream of an answer.
type stored struct {
	Stream map[string]string `json:"stream"`
	Values [][2]string       `json:"values"`
}

// storedLines returns what a tenant's query of the last hour finds.
func storedLines(t *testing.T, p *Process, tenant, query string) []stored {
	t.Helper()
	status, body, err := queryAs(t.Context(), p, tenant, "query_range", url.Values{"query": {query}, "limit": {"5000"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		Data struct{ Result []stored } `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	return answer.Data.Result
}

// count is the number of lines of an answer.
func count(streams []stored) (n int) {
	for _, s := range streams {
		n += len(s.Values)
	}
	return n
}

// TestNodeClients has winston-loki push protobuf and JSON, and pino-loki JSON with structured metadata.
func TestNodeClients(t *testing.T) {
	p := startMultiTenant(t)
	const lines = 30
	for _, encoding := range []string{"proto", "json"} {
		node(t, nil, "winston.cjs", p.URL, encoding, fmt.Sprint(lines), encoding)
		streams := storedLines(t, p, "winston", `{app="`+encoding+`"}`)
		require.Equal(t, lines, count(streams), encoding)
		require.Equal(t, 10, count(storedLines(t, p, "winston", `{app="`+encoding+`", level="warn"}`)), encoding)
		found := storedLines(t, p, "winston", `{app="`+encoding+`"} |= "line 7 " | json | n=7`)
		require.Equal(t, 1, count(found), encoding)
		require.Equal(t, `line 7 "größe"`, found[0].Stream["message"], encoding)
		require.Equal(t, "p1", found[0].Stream["part"], encoding)
	}
	node(t, nil, "pino.mjs", p.URL, "pino", fmt.Sprint(lines))
	require.Equal(t, lines, count(storedLines(t, p, "pino", `{app="pino"}`)))
	found := storedLines(t, p, "pino", `{app="pino"} | trace="t9"`)
	require.Equal(t, 1, count(found))
	require.Equal(t, "p1", found[0].Stream["part"])
	require.Contains(t, found[0].Values[0][1], `line 9 \"größe\"`)
}

// TestLokiClientGo pushes with the library that promtail and many programs in Go push with. It is a module of its own, since
// it cannot be built beside the newer libraries of this one.
func TestLokiClientGo(t *testing.T) {
	p := startMultiTenant(t)
	const lines = 3000
	for _, encoding := range []string{"proto", "json"} {
		cmd := exec.CommandContext(t.Context(), "go", "run", ".", p.URL, "promtail", encoding, fmt.Sprint(lines), encoding)
		cmd.Dir = "testdata/lokiclient"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, lines, count(storedLines(t, p, "promtail", `{app="`+encoding+`"}`)), "%s: %s", encoding, out)
		found := storedLines(t, p, "promtail", `{app="`+encoding+`", part="2"} | logfmt | line="1234"`)
		require.Equal(t, 1, count(found))
		require.Equal(t, "it's\tgröße", found[0].Stream["text"])
		if encoding == "proto" { // the library's JSON has no metadata
			require.Equal(t, "t1234", found[0].Stream["trace"])
		}
	}
}

// TestOpenTelemetry pushes with the OpenTelemetry SDK's exporter.
func TestOpenTelemetry(t *testing.T) {
	p := startMultiTenant(t)
	for _, path := range []string{"/otlp/v1/logs", "/v1/logs"} {
		service := "shop" + path
		exporter, err := otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(p.URL+path), otlploghttp.WithInsecure(),
			otlploghttp.WithCompression(otlploghttp.GzipCompression), otlploghttp.WithHeaders(map[string]string{"X-Scope-OrgID": "otel"}))
		require.NoError(t, err)
		provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)),
			sdklog.WithResource(resource.NewSchemaless(attribute.String("service.name", service), attribute.String("host.name", "h1"))))
		logger := provider.Logger("checkout", log.WithInstrumentationVersion("1.2.3"))
		const lines = 500
		for i := range lines {
			var r log.Record
			r.SetTimestamp(time.Now())
			r.SetSeverity(log.SeverityWarn)
			r.SetSeverityText("WARN")
			r.SetBody(attribute.StringValue(fmt.Sprint("order ", i)))
			r.AddAttributes(attribute.Int("order.id", i), attribute.Map("user", attribute.String("name", "ann")))
			logger.Emit(t.Context(), r)
		}
		require.NoError(t, provider.Shutdown(t.Context()))
		selector := `{service_name="` + service + `"}`
		require.Equal(t, lines, count(storedLines(t, p, "otel", selector)))
		found := storedLines(t, p, "otel", selector+` | order_id="77"`)
		require.Equal(t, 1, count(found))
		require.Equal(t, "order 77", found[0].Values[0][1])
		for name, want := range map[string]string{
			"host_name": "h1", "scope_name": "checkout", "scope_version": "1.2.3", "severity_text": "WARN", "user_name": "ann", "detected_level": "warn",
		} {
			require.Equal(t, want, found[0].Stream[name], name)
		}
		status, body, err := queryAs(t.Context(), p, "otel", "labels", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.JSONEq(t, `{"status":"success","data":["service_name"]}`, body, "attributes do not become labels")
	}
}
