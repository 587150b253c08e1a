package config

// Logstore is the block `logstore`: settings that Loki does not have.
type Logstore struct {
	MemoryLimit int     `loki:"memory_limit,bytes"`
	Sidecar     Sidecar `loki:"sidecar"`
}

// Sidecar says whether a companion object is written beside each chunk, which makes counts and needles fast. Loki ignores
// them; without them everything works, slower.
type Sidecar struct {
	Enabled bool   `loki:"enabled"`
	Prefix  string `loki:"prefix"`
}

func defaultLogstore() Logstore {
	return Logstore{Sidecar: Sidecar{Enabled: true, Prefix: "sidecar/"}}
}
