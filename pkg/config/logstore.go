package config

// Logstore is the block `logstore`: settings that Loki does not have.
type Logstore struct {
	// MemoryLimit bounds the memory of entries that are not in the bucket yet; 0: a share of what the process may use.
	MemoryLimit int `loki:"memory_limit,bytes"`
}
