package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
)

// membersConfig is the cluster's file with the settings that the recorded answers depend on. Queries are cut into small parts of time, and
// shared out over the members however little there is to read; all that may be kept of an answer is kept.
func membersConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(clusterFile)
	require.NoError(t, err)
	replaced := strings.NewReplacer(
		"auth_enabled: false", "auth_enabled: true", "schema: v11", "schema: v13",
		"query_range:\n", "query_range:\n  align_queries_with_step: true\n",
	).Replace(string(text))
	replaced += `
querier: {query_ingesters_within: 0, multi_tenant_queries_enabled: true}
limits_config:
  reject_old_samples: false
  allow_structured_metadata: true
  volume_enabled: true
  discover_service_name: []
  discover_log_levels: false
  max_query_series: 5000
  max_query_length: 0
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  split_queries_by_interval: 20m
  split_instant_metric_queries_by_interval: 20m
  max_cache_freshness_per_query: 0s
  tsdb_max_bytes_per_shard: 64KB
`
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	require.NoError(t, os.WriteFile(file, []byte(replaced), 0o600))
	return file
}

// TestConformanceOfMembers replays recorded queries on three members with two copies of each line, each query on one of them: while one
// has flushed and the others have not, when all have, and, in the long form, with all cases again from what the caches kept and without
// their Redis.
func TestConformanceOfMembers(t *testing.T) {
	c := NewCluster(t, 3, "-config.file="+membersConfig(t))
	_, err := conformance.Load(http.DefaultClient, c.Members[0].URL, "testdata/conformance/dataset")
	require.NoError(t, err)
	cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
	require.NoError(t, err)
	turn := 0
	replay := func(name string) {
		t.Helper()
		mine := cases
		if !soak() {
			mine = some(cases[turn:]) // others in each turn
		}
		t.Run(name, func(t *testing.T) { report(t, mine, runCases(c.Members[turn%3].URL, mine)) })
		turn++
	}
	replay("one has flushed")
	for _, p := range c.Members {
		waitFlushed(t, p, time.Minute)
	}
	replay("all have flushed")
	if soak() {
		for range 3 {
			replay("kept")
		}
	}
	parts, hits := 0.0, 0.0
	for _, p := range c.Members {
		parts += p.Metric("logstore_query_parts_total", `outcome="served"`)
		hits += p.Metric("loki_cache_hits", `name="results"`)
	}
	require.Positive(t, parts, "members take parts of each other's queries")
	if soak() {
		require.Positive(t, hits)
		c.Redis.Kill()
		replay("without Redis")
	}
}
