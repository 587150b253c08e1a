package limits

import "time"

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	day = 24 * time.Hour
)

// Deletion modes.
const (
	DeletionDisabled        = "disabled"
	DeletionFilterOnly      = "filter-only"
	DeletionFilterAndDelete = "filter-and-delete"
)

// Strategies of the ingestion rate.
const (
	RateGlobal = "global"
	RateLocal  = "local"
)

// DefaultLimits returns the limits of a tenant for whom nothing is configured: those of Loki 3.7.
func DefaultLimits() Limits {
	l := Limits{
		IngestionRateStrategy:   RateGlobal,
		IngestionRateMB:         4,
		IngestionBurstSizeMB:    6,
		PerStreamRateLimit:      3 * mib,
		PerStreamRateLimitBurst: 15 * mib,
		MaxGlobalStreamsPerUser: 5000,

		MaxLabelNameLength:     1024,
		MaxLabelValueLength:    2048,
		MaxLabelNamesPerSeries: 15,
		RejectOldSamples:       true,
		RejectOldSamplesMaxAge: 7 * day,
		CreationGracePeriod:    10 * time.Minute,
		MaxLineSize:            256 * kib,
		UnorderedWrites:        true,

		AllowStructuredMetadata:           true,
		MaxStructuredMetadataSize:         64 * kib,
		MaxStructuredMetadataEntriesCount: 128,
		DiscoverServiceName:               defaultServiceNameLabels(),
		DiscoverLogLevels:                 true,
		LogLevelFields:                    defaultLogLevelFields(),
		LogLevelFromJSONMaxDepth:          2,
		OTLPConfig:                        DefaultOTLPConfig(),
		ShardStreams: ShardStreams{
			Enabled:                  true,
			DesiredRate:              1536 * kib,
			TimeShardingIgnoreRecent: 40 * time.Minute,
		},
		BlockIngestionStatusCode: 260,

		VolumeEnabled:                         true,
		VolumeMaxSeries:                       1000,
		PatternRateThreshold:                  1,
		PatternIngesterTokenizableJSONDefault: []string{"log", "message", "msg", "msg_", "_msg", "content"},
		DeletionMode:                          DeletionFilterAndDelete,
		RulerEnableWALReplay:                  true,
	}
	l.setQueryDefaults()
	return l
}

func (l *Limits) setQueryDefaults() {
	l.MaxQueryLength = 721 * time.Hour
	l.MaxQuerySeries = 500
	l.MaxQueryParallelism = 32
	l.TSDBMaxQueryParallelism = 128
	l.TSDBMaxBytesPerShard = 600 * mib
	l.MaxChunksPerQuery = 2_000_000
	l.CardinalityLimit = 100_000
	l.MaxStreamsMatchersPerQuery = 1000
	l.MaxEntriesLimitPerQuery = 5000
	l.MaxConcurrentTailRequests = 10
	l.MaxQuerierBytesRead = 150 * gib
	l.QueryTimeout = time.Minute

	l.SplitQueriesByInterval = time.Hour
	l.SplitMetadataQueriesByInterval = day
	l.SplitRecentMetadataQueriesByInterval = time.Hour
	l.SplitInstantMetricQueriesByInterval = time.Hour
	l.MaxCacheFreshnessPerQuery = 10 * time.Minute
	l.MaxStatsCacheFreshness = 10 * time.Minute
	l.MaxMetadataCacheFreshness = day
}

// defaultServiceNameLabels are the labels whose value becomes service_name, in the order they are tried.
func defaultServiceNameLabels() []string {
	return []string{
		"service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container", "container_name",
		"k8s_container_name", "component", "workload", "job", "k8s_job_name",
	}
}

// defaultLogLevelFields are the fields that are looked at for an entry's level, in the order they are tried.
func defaultLogLevelFields() []string {
	return []string{
		"level", "LEVEL", "Level", "log.level", "severity", "SEVERITY", "Severity", "SeverityText", "lvl", "LVL", "Lvl",
		"severity_text", "Severity_Text", "SEVERITY_TEXT",
	}
}
