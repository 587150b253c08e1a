package app

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"logstore/pkg/api"
	"logstore/pkg/auth"
	"logstore/pkg/config"
)

// monitored switches on all that has metrics.
const monitored = `
auth_enabled: false
common:
  path_prefix: DIR
  storage: {s3: {endpoint: "http://127.0.0.1:1", bucketnames: logs, access_key_id: a, secret_access_key: b}}
memberlist: {join_members: [127.0.0.1], bind_addr: [127.0.0.1]}
query_range:
  cache_results: true
  results_cache: {cache: {redis: {endpoint: "127.0.0.1:1"}}}
chunk_store_config:
  chunk_cache_config: {redis: {endpoint: "127.0.0.1:1"}}
ruler:
  enable_api: true
  alertmanager_url: http://127.0.0.1:1
  remote_write: {enabled: true, client: {url: "http://127.0.0.1:1"}}
compactor: {retention_enabled: true, delete_request_store: s3}
logstore: {auth: {file: DIR/users.yaml}}
`

// metricName finds the metrics of an expression: words with the prefixes that ours have.
var metricName = regexp.MustCompile(`\b(loki|logstore)_[a-z0-9_]+`)

// codeMetric finds the metrics in a document.
var codeMetric = regexp.MustCompile("`((?:loki|logstore)_[a-z0-9_]+)(?:\\{[^`]*\\})?`")

// quoted finds the strings of an expression, which may look like metrics.
var quoted = regexp.MustCompile(`"[^"]*"`)

// exprs collects what is under the key expr in a document, wherever it is.
func exprs(v any, add func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if text, ok := inner.(string); ok && key == "expr" {
				add(text)
			}
			exprs(inner, add)
		}
	case []any:
		for _, inner := range v {
			exprs(inner, add)
		}
	}
}

// Dashboards and alert rules show nothing, and nobody notices, when a metric is renamed: each one in them must exist.
func TestDashboardsAndAlertsUseRealMetrics(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "loki.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(monitored, "DIR", dir)), 0o600))
	users := "users: [{name: bot, token_hashes: ['" + auth.HashToken([]byte(auth.NewToken())) + "'], tenants: [fake]}]"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.yaml"), []byte(users), 0o600))
	setup, err := config.Load([]string{"-config.file=" + file}, func(string) (string, bool) { return "", false })
	require.NoError(t, err)
	a, err := New(setup, api.BuildInfo{}, io.Discard)
	require.NoError(t, err)

	used := map[string]string{}
	documents, err := filepath.Glob("../../deploy/monitoring/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, documents)
	for _, path := range append(documents, "../../deploy/helm/logstore/files/alerts.yaml") {
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		var doc any
		if strings.HasSuffix(path, ".json") {
			err = json.Unmarshal(body, &doc)
		} else {
			err = yaml.Unmarshal(body, &doc)
		}
		require.NoError(t, err, path)
		exprs(doc, func(expr string) {
			for _, name := range metricName.FindAllString(quoted.ReplaceAllString(expr, ""), -1) {
				used[name] = filepath.Base(path)
			}
		})
	}
	// The documents name some as well, between backticks.
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for _, path := range pages {
		body, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range codeMetric.FindAllStringSubmatch(string(body), -1) {
			used[m[1]] = filepath.Base(path)
		}
	}
	require.NotEmpty(t, used)
	for name, path := range used {
		if !exported(a.registry, name) {
			t.Errorf("%s uses %s, which no process exports", path, name)
		}
	}
}

// exported reports whether a registry knows a metric of that name, or the histogram or summary that it belongs to.
func exported(reg *prometheus.Registry, name string) bool {
	for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		// The same name with another help is refused exactly if there is such a metric.
		probe := prometheus.NewGauge(prometheus.GaugeOpts{Name: base, Help: "a probe of the test"})
		if reg.Register(probe) != nil {
			return true
		}
		reg.Unregister(probe)
	}
	return false
}
