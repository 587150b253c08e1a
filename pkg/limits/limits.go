package limits

import "time"

// Limits are all limits of one tenant. The tag names the key of Loki's limits_config; the option `bytes` marks an integer
// that is written as a size (4MB), `list` a list that is also accepted as one comma-separated string, `secret` a value and
// `url` an address that is never shown as it is; the tag `allow` lists the values that a string may have.
type Limits struct {
	// Push: how much.
	IngestionRateStrategy   string  `loki:"ingestion_rate_strategy" allow:"global|local"` // global: shared by the members; local: each member
	IngestionRateMB         float64 `loki:"ingestion_rate_mb"`
	IngestionBurstSizeMB    float64 `loki:"ingestion_burst_size_mb"`
	PerStreamRateLimit      int     `loki:"per_stream_rate_limit,bytes"`
	PerStreamRateLimitBurst int     `loki:"per_stream_rate_limit_burst,bytes"`
	MaxLocalStreamsPerUser  int     `loki:"max_streams_per_user"`
	MaxGlobalStreamsPerUser int     `loki:"max_global_streams_per_user"`

	// Push: what an entry and its stream may look like.
	MaxLabelNameLength            int           `loki:"max_label_name_length"`
	MaxLabelValueLength           int           `loki:"max_label_value_length"`
	MaxLabelNamesPerSeries        int           `loki:"max_label_names_per_series"`
	EnforcedLabels                []string      `loki:"enforced_labels,list"`
	RejectOldSamples              bool          `loki:"reject_old_samples"`
	RejectOldSamplesMaxAge        time.Duration `loki:"reject_old_samples_max_age"`
	CreationGracePeriod           time.Duration `loki:"creation_grace_period"`
	MaxLineSize                   int           `loki:"max_line_size,bytes"`
	MaxLineSizeTruncate           bool          `loki:"max_line_size_truncate"`
	MaxLineSizeTruncateIdentifier string        `loki:"max_line_size_truncate_identifier"`
	IncrementDuplicateTimestamp   bool          `loki:"increment_duplicate_timestamp"`
	UnorderedWrites               bool          `loki:"unordered_writes"`
	SimulatedPushLatency          time.Duration `loki:"simulated_push_latency"`

	// Push: structured metadata and what the store finds out by itself.
	AllowStructuredMetadata           bool                `loki:"allow_structured_metadata"`
	MaxStructuredMetadataSize         int                 `loki:"max_structured_metadata_size,bytes"`
	MaxStructuredMetadataEntriesCount int                 `loki:"max_structured_metadata_entries_count"`
	DiscoverServiceName               []string            `loki:"discover_service_name,list"`
	DiscoverLogLevels                 bool                `loki:"discover_log_levels"`
	DiscoverGenericFields             map[string][]string `loki:"discover_generic_fields"`
	LogLevelFields                    []string            `loki:"log_level_fields,list"`
	LogLevelFromJSONMaxDepth          int                 `loki:"log_level_from_json_max_depth"`
	OTLPConfig                        OTLPConfig          `loki:"otlp_config"`
	ShardStreams                      ShardStreams        `loki:"shard_streams"`

	// Push: blocked altogether, and policies (named groups of streams).
	BlockIngestionUntil       time.Time                 `loki:"block_ingestion_until"`
	BlockIngestionStatusCode  int                       `loki:"block_ingestion_status_code"`
	BlockIngestionPolicyUntil map[string]time.Time      `loki:"block_ingestion_policy_until"`
	PolicyEnforcedLabels      map[string][]string       `loki:"policy_enforced_labels"`
	PolicyStreamMapping       map[string][]PolicyStream `loki:"policy_stream_mapping"`

	// Query.
	MaxQueryLength             time.Duration  `loki:"max_query_length"`
	MaxQueryRange              time.Duration  `loki:"max_query_range"`
	MaxQueryLookback           time.Duration  `loki:"max_query_lookback"`
	MaxQuerySeries             int            `loki:"max_query_series"`
	MaxQueryParallelism        int            `loki:"max_query_parallelism"`
	TSDBMaxQueryParallelism    int            `loki:"tsdb_max_query_parallelism"`
	TSDBMaxBytesPerShard       int            `loki:"tsdb_max_bytes_per_shard,bytes"`
	MaxChunksPerQuery          int            `loki:"max_chunks_per_query"`
	CardinalityLimit           int            `loki:"cardinality_limit"`
	MaxStreamsMatchersPerQuery int            `loki:"max_streams_matchers_per_query"`
	MaxEntriesLimitPerQuery    int            `loki:"max_entries_limit_per_query"`
	MaxConcurrentTailRequests  int            `loki:"max_concurrent_tail_requests"`
	MaxQueryBytesRead          int            `loki:"max_query_bytes_read,bytes"`
	MaxQuerierBytesRead        int            `loki:"max_querier_bytes_read,bytes"`
	QueryTimeout               time.Duration  `loki:"query_timeout"`
	MinShardingLookback        time.Duration  `loki:"min_sharding_lookback"`
	MaxQueriersPerTenant       int            `loki:"max_queriers_per_tenant"`
	MaxQueryCapacity           float64        `loki:"max_query_capacity"`
	BlockedQueries             []BlockedQuery `loki:"blocked_queries"`
	RequiredLabels             []string       `loki:"required_labels,list"`
	MinimumLabelsNumber        int            `loki:"minimum_labels_number"`

	// Query: splitting and the results caches.
	SplitQueriesByInterval               time.Duration `loki:"split_queries_by_interval"`
	SplitMetadataQueriesByInterval       time.Duration `loki:"split_metadata_queries_by_interval"`
	SplitRecentMetadataQueriesByInterval time.Duration `loki:"split_recent_metadata_queries_by_interval"`
	RecentMetadataQueryWindow            time.Duration `loki:"recent_metadata_query_window"`
	SplitInstantMetricQueriesByInterval  time.Duration `loki:"split_instant_metric_queries_by_interval"`
	SplitIngesterQueriesByInterval       time.Duration `loki:"split_ingester_queries_by_interval"`
	MaxCacheFreshnessPerQuery            time.Duration `loki:"max_cache_freshness_per_query"`
	MaxStatsCacheFreshness               time.Duration `loki:"max_stats_cache_freshness"`
	MaxMetadataCacheFreshness            time.Duration `loki:"max_metadata_cache_freshness"`

	// Volume and patterns.
	VolumeEnabled                          bool          `loki:"volume_enabled"`
	VolumeMaxSeries                        int           `loki:"volume_max_series"`
	MetricAggregationEnabled               bool          `loki:"metric_aggregation_enabled"`
	PatternPersistenceEnabled              bool          `loki:"pattern_persistence_enabled"`
	PatternPersistenceGranularity          time.Duration `loki:"pattern_persistence_granularity"`
	PatternRateThreshold                   float64       `loki:"pattern_rate_threshold"`
	PatternIngesterTokenizableJSONDefault  []string      `loki:"pattern_ingester_tokenizable_json_fields_default,list"`
	PatternIngesterTokenizableJSONAppend   []string      `loki:"pattern_ingester_tokenizable_json_fields_append,list"`
	PatternIngesterTokenizableJSONSubtract []string      `loki:"pattern_ingester_tokenizable_json_fields_delete,list"`

	// Retention and deletes.
	RetentionPeriod time.Duration     `loki:"retention_period"`
	RetentionStream []StreamRetention `loki:"retention_stream"`
	DeletionMode    string            `loki:"deletion_mode" allow:"disabled|filter-only|filter-and-delete"`

	// Ruler.
	RulerMaxRulesPerRuleGroup       int                          `loki:"ruler_max_rules_per_rule_group"`
	RulerMaxRuleGroupsPerTenant     int                          `loki:"ruler_max_rule_groups_per_tenant"`
	RulerTenantShardSize            int                          `loki:"ruler_tenant_shard_size"`
	RulerEvaluationDelay            time.Duration                `loki:"ruler_evaluation_delay_duration"`
	RulerAlertManagerConfig         *AlertManagerConfig          `loki:"ruler_alertmanager_config"`
	RulerEnableWALReplay            bool                         `loki:"ruler_enable_wal_replay"`
	RulerRemoteWriteDisabled        bool                         `loki:"ruler_remote_write_disabled"`
	RulerRemoteWriteConfig          map[string]RemoteWriteConfig `loki:"ruler_remote_write_config"`
	RulerRemoteWriteURL             string                       `loki:"ruler_remote_write_url,url"`
	RulerRemoteWriteTimeout         time.Duration                `loki:"ruler_remote_write_timeout"`
	RulerRemoteWriteHeaders         map[string]string            `loki:"ruler_remote_write_headers,secret"`
	RulerRemoteWriteRelabelConfigs  []RelabelConfig              `loki:"ruler_remote_write_relabel_configs"`
	RulerRemoteWriteQueueCapacity   int                          `loki:"ruler_remote_write_queue_capacity"`
	RulerRemoteWriteQueueMinShards  int                          `loki:"ruler_remote_write_queue_min_shards"`
	RulerRemoteWriteQueueMaxShards  int                          `loki:"ruler_remote_write_queue_max_shards"`
	RulerRemoteWriteQueueMaxSamples int                          `loki:"ruler_remote_write_queue_max_samples_per_send"`
	RulerRemoteWriteQueueDeadline   time.Duration                `loki:"ruler_remote_write_queue_batch_send_deadline"`
	RulerRemoteWriteQueueMinBackoff time.Duration                `loki:"ruler_remote_write_queue_min_backoff"`
	RulerRemoteWriteQueueMaxBackoff time.Duration                `loki:"ruler_remote_write_queue_max_backoff"`
	RulerRemoteWriteQueueRetry429   bool                         `loki:"ruler_remote_write_queue_retry_on_ratelimit"`

	// Encryption of the tenant's objects in S3; empty: as the bucket's configuration says.
	S3SSEType                 string `loki:"s3_sse_type"`
	S3SSEKMSKeyID             string `loki:"s3_sse_kms_key_id"`
	S3SSEKMSEncryptionContext string `loki:"s3_sse_kms_encryption_context"`

	// otlp is OTLPConfig compiled; Overrides sets it.
	otlp *OTLPRules
}

// ShardStreams says how a stream that is too fast for one ingester is split by the label __stream_shard__.
type ShardStreams struct {
	Enabled                  bool          `loki:"enabled"`
	LoggingEnabled           bool          `loki:"logging_enabled"`
	DesiredRate              int           `loki:"desired_rate,bytes"` // bytes per second of one shard
	TimeShardingEnabled      bool          `loki:"time_sharding_enabled"`
	TimeShardingIgnoreRecent time.Duration `loki:"time_sharding_ignore_recent"`
}

// StreamRetention is the retention of the streams that a selector matches; the greatest priority wins.
type StreamRetention struct {
	Selector string        `loki:"selector"`
	Priority int           `loki:"priority"`
	Period   time.Duration `loki:"period"`
}

// PolicyStream makes the streams of a selector belong to a policy; the greatest priority wins.
type PolicyStream struct {
	Selector string `loki:"selector"`
	Priority int    `loki:"priority"`
}

// BlockedQuery is a query that is refused.
type BlockedQuery struct {
	Pattern string   `loki:"pattern"`
	Regex   bool     `loki:"regex"`
	Types   []string `loki:"types,list"` // metric, filter, limited; empty: all
	Hash    uint32   `loki:"hash"`
}

// RelabelConfig is one relabelling rule of Prometheus' configuration.
type RelabelConfig struct {
	SourceLabels []string `loki:"source_labels,list"`
	Separator    string   `loki:"separator"`
	Regex        string   `loki:"regex"`
	Modulus      uint64   `loki:"modulus"`
	TargetLabel  string   `loki:"target_label"`
	Replacement  *string  `loki:"replacement"` // nil: "$1"
	Action       string   `loki:"action"`
}

// RemoteWriteConfig overrides one named remote-write client of the ruler. Zero fields keep the ruler's own.
type RemoteWriteConfig struct {
	Name                string            `loki:"name"`
	URL                 string            `loki:"url,url"`
	RemoteTimeout       time.Duration     `loki:"remote_timeout"`
	Headers             map[string]string `loki:"headers,secret"`
	WriteRelabelConfigs []RelabelConfig   `loki:"write_relabel_configs"`
	BasicAuth           BasicAuth         `loki:"basic_auth"`
	Authorization       Authorization     `loki:"authorization"`
}

// BasicAuth is a user and a password for HTTP.
type BasicAuth struct {
	Username     string `loki:"username"`
	Password     string `loki:"password,secret"`
	PasswordFile string `loki:"password_file"`
}

// Authorization is the Authorization header of HTTP; the type is Bearer unless it is set.
type Authorization struct {
	Type            string `loki:"type"`
	Credentials     string `loki:"credentials,secret"`
	CredentialsFile string `loki:"credentials_file"`
}

// AlertManagerConfig overrides the Alertmanager that the ruler notifies. Zero fields keep the ruler's own.
type AlertManagerConfig struct {
	AlertmanagerURL           string             `loki:"alertmanager_url,url"`
	EnableV2                  bool               `loki:"enable_alertmanager_v2"`
	Discovery                 bool               `loki:"enable_alertmanager_discovery"`
	RefreshInterval           time.Duration      `loki:"alertmanager_refresh_interval"`
	NotificationQueueCapacity int                `loki:"notification_queue_capacity"`
	NotificationTimeout       time.Duration      `loki:"notification_timeout"`
	Client                    AlertManagerClient `loki:"alertmanager_client"`
}

// AlertManagerClient says how the ruler speaks to an Alertmanager.
type AlertManagerClient struct {
	BasicAuthUsername     string `loki:"basic_auth_username"`
	BasicAuthPassword     string `loki:"basic_auth_password,secret"`
	Type                  string `loki:"type"`
	Credentials           string `loki:"credentials,secret"`
	CredentialsFile       string `loki:"credentials_file"`
	TLSCAPath             string `loki:"tls_ca_path"`
	TLSCertPath           string `loki:"tls_cert_path"`
	TLSKeyPath            string `loki:"tls_key_path"`
	TLSServerName         string `loki:"tls_server_name"`
	TLSInsecureSkipVerify bool   `loki:"tls_insecure_skip_verify"`
}
