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
	"logstore/integration/testservers"
)

// cachedConfig is the reference's configuration with all caches on, splits of another length, and Redis if there is an address.
func cachedConfig(t *testing.T, dir, split, redis string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/conformance/loki.yaml")
	require.NoError(t, err)
	cache := "{embedded_cache: {enabled: true}}"
	if redis != "" {
		cache = "{redis: {endpoint: '" + redis + "', expiration: 1h}}"
	}
	results := "{cache: " + cache + "}"
	queries := "query_range:\n  cache_results: true\n  results_cache: " + results + "\n  cache_instant_metric_results: true\n"
	for _, name := range []string{"index_stats", "volume", "series", "label", "instant_metric"} {
		queries += "  " + name + "_results_cache: " + results + "\n"
	}
	replaced := strings.NewReplacer(
		"/tmp/conform", dir, "query_range:\n", queries, "  cache_results: false\n", "",
		"split_queries_by_interval: 1h", "split_queries_by_interval: "+split+
			"\n  split_instant_metric_queries_by_interval: "+split+"\n  split_metadata_queries_by_interval: "+split+
			"\n  max_cache_freshness_per_query: 0s\n  max_metadata_cache_freshness: 0s\n  max_stats_cache_freshness: 0s",
	).Replace(string(text))
	replaced += "\nchunk_store_config:\n  chunk_cache_config: " + cache + "\n  write_dedupe_cache_config: " + cache +
		"\nstorage_config:\n  index_queries_cache_config: " + cache + "\n"
	file := filepath.Join(dir, "loki.yaml")
	require.NoError(t, os.WriteFile(file, []byte(replaced), 0o600))
	return file
}

// TestConformanceCached replays the recorded queries with all caches: cold, warm, after a flush, without the Redis that held them, and
// after it came back.
func TestConformanceCached(t *testing.T) {
	redis := testservers.StartRedis(t)
	for _, c := range []struct{ split, redis string }{{"20m", redis.Address}, {"1h", ""}} {
		dir := t.TempDir()
		p := NewProcess(t, dir, "-config.file="+cachedConfig(t, dir, c.split, c.redis))
		p.Start()
		_, err := conformance.Load(http.DefaultClient, p.URL, "testdata/conformance/dataset")
		require.NoError(t, err)
		cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
		require.NoError(t, err)
		replay := func(name string) {
			t.Run(c.split+" "+name, func(t *testing.T) { report(t, cases, runCases(p.URL, cases)) })
		}
		replay("cold")
		replay("warm")
		if os.Getenv("LOGSTORE_SOAK") == "" {
			cases = some(cases)
		}
		require.Positive(t, p.Metric("loki_cache_hits", `name="results"`), "the caches are used")
		if c.redis == "" {
			continue
		}
		require.NoError(t, p.Stop(), p.Log())
		p.Start()
		replay("from the bucket")
		redis.Kill()
		replay("without Redis")
		redis.Restart(t)
		replay("with an empty Redis")
	}
}

// some returns every fifth case.
func some(cases []conformance.Case) []conformance.Case {
	var out []conformance.Case
	for i := 0; i < len(cases); i += 5 {
		out = append(out, cases[i])
	}
	return out
}

// TestCachesInMemcached runs a store whose caches are all in memcached: answers come from there, and go on without it.
func TestCachesInMemcached(t *testing.T) {
	server := testservers.StartMemcached(t)
	dir := t.TempDir()
	file := cachedConfig(t, dir, "20m", "")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	memcached := "{memcached_client: {addresses: 'dns+" + server.Address + "', timeout: 200ms}, memcached: {batch_size: 100, expiration: 1h}}"
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "{embedded_cache: {enabled: true}}", memcached)), 0o600))
	p := NewProcess(t, dir, "-config.file="+file)
	p.Start()
	require.NotContains(t, p.Log(), "memcached", "every key is obeyed")
	_, err = conformance.Load(http.DefaultClient, p.URL, "testdata/conformance/dataset")
	require.NoError(t, err)
	cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
	require.NoError(t, err)
	cases = some(cases)
	report(t, cases, runCases(p.URL, cases))
	require.Eventually(t, func() bool {
		report(t, cases, runCases(p.URL, cases))
		return p.Metric("loki_cache_hits", `name="results"`, `tier="memcached"`) > 50
	}, time.Minute, time.Second)
	server.Kill()
	report(t, cases, runCases(p.URL, cases))
}
