package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/cache"
	"logstore/pkg/ingester"
)

// A threshold of the disk holds as it is if it was set, by whatever way; by its default much free space counts, too.
func TestDiskThreshold(t *testing.T) {
	for text, want := range map[string][2]any{
		"{}":                               {0.9, ingester.DefaultConfig.DiskSpare},
		"ingester: {wal: {enabled: true}}": {0.9, ingester.DefaultConfig.DiskSpare},
		"ingester: {wal: {disk_full_threshold: 0.9}}":  {0.9, int64(0)},
		"ingester: {wal: {disk_full_threshold: 0.97}}": {0.97, int64(0)},
	} {
		c, err := ingesterConfig(rulerApp(t, text).cfg)
		require.NoError(t, err)
		require.Equal(t, want, [2]any{c.DiskFull, c.DiskSpare}, text)
	}
	c, err := ingesterConfig(rulerApp(t, "ingester: {wal: {replay_memory_ceiling: 3MB}}").cfg)
	require.NoError(t, err)
	require.EqualValues(t, 3<<20, c.ReplayMemory)
	c, err = ingesterConfig(rulerApp(t, "ingester: {max_returned_stream_errors: 4}").cfg)
	require.NoError(t, err)
	require.Equal(t, 4, c.NamedErrors)
}

// Statistics of queries are logged where they are asked for, and lookups and results kept as it is said.
func TestQuerierConfig(t *testing.T) {
	c := rulerApp(t, "frontend: {log_queries_longer_than: 3s}").querierConfig()
	require.Equal(t, 3*time.Second, c.LogLongerThan)
	require.False(t, c.LogRules)
	c = rulerApp(t, "frontend: {log_queries_longer_than: 3s, query_stats_enabled: true}\nruler: {query_stats_enabled: true}\nchunk_store_config: {cache_lookups_older_than: 24h}").querierConfig()
	require.Negative(t, c.LogLongerThan)
	require.True(t, c.LogRules)
	require.Equal(t, 24*time.Hour, c.KeepLookupsAfter)

	a := rulerApp(t, "query_range: {results_cache: {compression: snappy}}")
	a.logger, a.registry = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	require.NoError(t, a.newCaches())
	require.IsType(t, cache.Compressed{}, a.caches.results)
	require.IsType(t, &cache.Local{}, a.caches.volume)
}
