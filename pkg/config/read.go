package config

import "time"

// Querier is the block `querier`.
type Querier struct {
	TailMaxDuration           time.Duration `loki:"tail_max_duration"`
	QueryIngestersWithin      time.Duration `loki:"query_ingesters_within"` // 0: always
	Engine                    QuerierEngine `loki:"engine"`
	MaxConcurrent             int           `loki:"max_concurrent"`
	QueryStoreOnly            bool          `loki:"query_store_only"`
	QueryIngesterOnly         bool          `loki:"query_ingester_only"`
	MultiTenantQueriesEnabled bool          `loki:"multi_tenant_queries_enabled"`
	PerRequestLimitsEnabled   bool          `loki:"per_request_limits_enabled"`
	// QueryTimeout is where old files put limits_config.query_timeout; it stands for that key.
	QueryTimeout time.Duration `loki:"query_timeout"`
}

// QuerierEngine is `querier.engine`.
type QuerierEngine struct {
	MaxLookBackPeriod time.Duration `loki:"max_look_back_period"`
	// Timeout is where old files put limits_config.query_timeout; it stands for that key.
	Timeout time.Duration `loki:"timeout"`
}

// QueryRange is the block `query_range`: splitting of queries and the caches of results.
type QueryRange struct {
	AlignQueriesWithStep         bool         `loki:"align_queries_with_step"`
	ResultsCache                 ResultsCache `loki:"results_cache"`
	CacheResults                 bool         `loki:"cache_results"`
	MaxRetries                   int          `loki:"max_retries"`
	ParalleliseShardableQueries  bool         `loki:"parallelise_shardable_queries"`
	CacheIndexStatsResults       bool         `loki:"cache_index_stats_results"`
	IndexStatsResultsCache       ResultsCache `loki:"index_stats_results_cache"`
	CacheVolumeResults           bool         `loki:"cache_volume_results"`
	VolumeResultsCache           ResultsCache `loki:"volume_results_cache"`
	CacheInstantMetricResults    bool         `loki:"cache_instant_metric_results"`
	InstantMetricResultsCache    ResultsCache `loki:"instant_metric_results_cache"`
	InstantMetricQuerySplitAlign bool         `loki:"instant_metric_query_split_align"`
	CacheSeriesResults           bool         `loki:"cache_series_results"`
	SeriesResultsCache           ResultsCache `loki:"series_results_cache"`
	CacheLabelResults            bool         `loki:"cache_label_results"`
	LabelResultsCache            ResultsCache `loki:"label_results_cache"`
	// SplitQueriesByInterval is where old files put limits_config.split_queries_by_interval; it stands for that key.
	SplitQueriesByInterval time.Duration `loki:"split_queries_by_interval"`
}

// Frontend is the block `frontend`.
type Frontend struct {
	LogQueriesLongerThan    time.Duration `loki:"log_queries_longer_than"`
	MaxBodySize             int           `loki:"max_body_size,bytes"`
	QueryStatsEnabled       bool          `loki:"query_stats_enabled"`
	MaxOutstandingPerTenant int           `loki:"max_outstanding_per_tenant"`
	CompressResponses       bool          `loki:"compress_responses"`
}

func defaultQuerier() Querier {
	return Querier{
		TailMaxDuration:      time.Hour,
		QueryIngestersWithin: 3 * time.Hour,
		Engine:               QuerierEngine{MaxLookBackPeriod: 30 * time.Second},
		MaxConcurrent:        4,
	}
}

func defaultQueryRange() QueryRange {
	return QueryRange{
		ResultsCache:                defaultResultsCache(),
		CacheResults:                true, // unlike Loki's, this cache is never wrong
		MaxRetries:                  5,
		ParalleliseShardableQueries: true,
		CacheIndexStatsResults:      true,
		IndexStatsResultsCache:      defaultResultsCache(),
		CacheVolumeResults:          true,
		VolumeResultsCache:          defaultResultsCache(),
		InstantMetricResultsCache:   defaultResultsCache(),
		CacheSeriesResults:          true,
		SeriesResultsCache:          defaultResultsCache(),
		CacheLabelResults:           true,
		LabelResultsCache:           defaultResultsCache(),
	}
}

func defaultFrontend() Frontend {
	return Frontend{MaxBodySize: 10 << 20, MaxOutstandingPerTenant: 2048}
}

// QueryScheduler is the block `query_scheduler`: how many queries may wait.
type QueryScheduler struct {
	MaxOutstandingRequestsPerTenant int `loki:"max_outstanding_requests_per_tenant"`
}

// PatternIngester is the block `pattern_ingester`: the finding of patterns among lines as they come.
type PatternIngester struct {
	Enabled              bool          `loki:"enabled"`
	MaxClusters          int           `loki:"max_clusters"`
	MaxEvictionRatio     float64       `loki:"max_eviction_ratio"`
	MaxAllowedLineLength int           `loki:"max_allowed_line_length"`
	RetainFor            time.Duration `loki:"retain_for"`
	SampleInterval       time.Duration `loki:"pattern_sample_interval"`
}

func defaultQueryScheduler() QueryScheduler {
	return QueryScheduler{MaxOutstandingRequestsPerTenant: 32000}
}

func defaultPatternIngester() PatternIngester {
	return PatternIngester{
		MaxClusters:          300,
		MaxEvictionRatio:     0.25,
		MaxAllowedLineLength: 3000,
		RetainFor:            3 * time.Hour,
		SampleInterval:       10 * time.Second,
	}
}
