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
	// IndexCacheSize bounds the copies of index tables on the disk, those of each index store; 0: no bound.
	IndexCacheSize int `loki:"index_cache_size,bytes"`
	// ShutdownUploadTimeout bounds how long a stop waits for the bucket to take the last index tables.
	ShutdownUploadTimeout time.Duration `loki:"shutdown_upload_timeout"`
	// ForgetAfter is how long a member of the ring may be dead before the others forget it; 0: five times the ring's
	// heartbeat_timeout.
	ForgetAfter time.Duration `loki:"forget_after"`
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
