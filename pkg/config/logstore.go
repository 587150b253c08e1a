package config

// Logstore is the block `logstore`: settings that Loki does not have.
type Logstore struct {
	// MemoryLimit bounds the memory of entries that are not in the bucket yet; 0: a share of what the process may use.
	MemoryLimit int           `loki:"memory_limit,bytes"`
	Ruler       LogstoreRuler `loki:"ruler"`
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
