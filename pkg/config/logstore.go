package config

import "time"

// Logstore is the block `logstore`: settings that Loki does not have.
type Logstore struct {
	// MemoryLimit bounds the memory of entries that are not in the bucket yet; 0: a share of what the process may use.
	MemoryLimit int `loki:"memory_limit,bytes"`
	// LenientPush takes pushes that Loki refuses and some clients send: timestamps that are JSON numbers, and zlib's format
	// under the name of deflate.
	LenientPush bool          `loki:"lenient_push"`
	Ruler       LogstoreRuler `loki:"ruler"`
	// MergeChunksAfter is the age of days whose small chunks are merged into full ones; 0 merges none.
	MergeChunksAfter time.Duration `loki:"merge_chunks_after"`
	// MaxBytes removes the oldest days while the chunks of filesystem stores are larger; 0: no bound.
	MaxBytes int `loki:"max_bytes,bytes"`
	// MaxDiskPercent removes the oldest days while more than so many percent of the disk under them are used; 0: no bound.
	MaxDiskPercent float64 `loki:"max_disk_percent"`
	// IndexCacheSize bounds the copies of index tables on the disk, those of each index store; 0: no bound.
	IndexCacheSize int `loki:"index_cache_size,bytes"`
	// ShutdownUploadTimeout bounds how long a stop waits for the bucket to take the last index tables.
	ShutdownUploadTimeout time.Duration `loki:"shutdown_upload_timeout"`
	// ForgetAfter is how long a member of the ring may be dead before the others forget it; 0: five times the ring's
	// heartbeat_timeout.
	ForgetAfter time.Duration `loki:"forget_after"`
	Sidecar     Sidecar       `loki:"sidecar"`
	Auth        Auth          `loki:"auth"`
	Tracing     SpanTarget    `loki:"tracing"`
}

// LogstoreRuler is `logstore.ruler`.
type LogstoreRuler struct {
	// ExternalLabels are added to alerts and recorded series, as Prometheus' global.external_labels.
	ExternalLabels map[string]string `loki:"external_labels"`
	// AlertmanagerHeaders are sent to Alertmanagers with each request.
	AlertmanagerHeaders map[string]string `loki:"alertmanager_headers,secret"`
	// Concurrency is how many rule groups are evaluated at a time.
	Concurrency int `loki:"concurrency"`
}

// Sidecar is about the companion objects of chunks, by which queries know what they need not read.
type Sidecar struct {
	Enabled bool `loki:"enabled"`
	// FilterBits is the size of the filters over the lines, in bits for each key; 0: none.
	FilterBits float64 `loki:"filter_bits"`
	// MinChunkSize is the size of a chunk below which it has no sidecar.
	MinChunkSize int `loki:"min_chunk_size,bytes"`
	// CacheSize is how much memory sidecars that were read may take.
	CacheSize int `loki:"cache_size,bytes"`
	// BuildPerPass is how many missing sidecars of chunks of past days the compactor builds in a pass; 0: none.
	BuildPerPass int `loki:"build_per_pass"`
}

func defaultLogstore() Logstore {
	return Logstore{
		Ruler: LogstoreRuler{Concurrency: 16}, ShutdownUploadTimeout: 5 * time.Minute, MergeChunksAfter: 48 * time.Hour,
		Sidecar: Sidecar{Enabled: true, FilterBits: 6, MinChunkSize: 16 << 10, CacheSize: 64 << 20, BuildPerPass: 1000},
		Auth:    defaultAuth(),
		Tracing: SpanTarget{SampleRatio: 1},
	}
}

// Tracing is the block `tracing`.
type Tracing struct {
	// Enabled sends spans if there is somewhere to send them to: logstore.tracing.endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT.
	Enabled bool `loki:"enabled"`
}

// SpanTarget is `logstore.tracing`: where spans are sent by OTLP. Empty values leave it to OpenTelemetry's environment variables.
type SpanTarget struct {
	Endpoint string `loki:"endpoint,url"`
	Protocol string `loki:"protocol" allow:"|http/protobuf|grpc"`
	// SampleRatio is the part of the traces that begin here which are sampled.
	SampleRatio float64 `loki:"sample_ratio"`
}
