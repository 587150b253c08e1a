package config

import (
	"slices"
	"strings"
	"time"
)

// Cache is one cache: Redis if it has an endpoint, else memcached if it has servers, else in this process if the embedded cache is
// enabled.
type Cache struct {
	DefaultValidity time.Duration   `loki:"default_validity"`
	Redis           Redis           `loki:"redis"`
	Memcached       Memcached       `loki:"memcached"`
	MemcachedClient MemcachedClient `loki:"memcached_client"`
	EmbeddedCache   EmbeddedCache   `loki:"embedded_cache"`
	Background      CacheBackground `loki:"background"`
	// FIFOCache and EnableFIFOCache are what the embedded cache was called in old files; they stand for it.
	EnableFIFOCache bool      `loki:"enable_fifocache"`
	FIFOCache       FIFOCache `loki:"fifocache"`
}

// CacheBackground bounds what waits to be written to a cache.
type CacheBackground struct {
	WritebackGoroutines int `loki:"writeback_goroutines"`
	WritebackBuffer     int `loki:"writeback_buffer"`
	WritebackSizeLimit  int `loki:"writeback_size_limit,bytes"`
}

// Redis is a Redis server, sentinel group (with MasterName) or cluster (with several endpoints).
type Redis struct {
	Endpoint              string        `loki:"endpoint,url"` // host:port, several separated by commas, or a redis:// URL
	MasterName            string        `loki:"master_name"`
	Timeout               time.Duration `loki:"timeout"`
	Expiration            time.Duration `loki:"expiration"` // 0: DefaultValidity
	DB                    int           `loki:"db"`
	PoolSize              int           `loki:"pool_size"`
	Username              string        `loki:"username"`
	Password              string        `loki:"password,secret"`
	TLSEnabled            bool          `loki:"tls_enabled"`
	EnableTLS             bool          `loki:"enable_tls"` // the old name of TLSEnabled
	TLSInsecureSkipVerify bool          `loki:"tls_insecure_skip_verify"`
	IdleTimeout           time.Duration `loki:"idle_timeout"`
	MaxConnectionAge      time.Duration `loki:"max_connection_age"`
	RouteRandomly         bool          `loki:"route_randomly"`
}

// Memcached says how memcached is asked.
type Memcached struct {
	Expiration  time.Duration `loki:"expiration"` // 0: DefaultValidity
	BatchSize   int           `loki:"batch_size"`
	Parallelism int           `loki:"parallelism"`
}

// MemcachedClient says where memcached servers are: at addresses, or as an SRV record says.
type MemcachedClient struct {
	Host                  string        `loki:"host"`
	Service               string        `loki:"service"`
	Addresses             string        `loki:"addresses"`
	Timeout               time.Duration `loki:"timeout"`
	MaxIdleConns          int           `loki:"max_idle_conns"`
	MaxItemSize           int           `loki:"max_item_size"`
	UpdateInterval        time.Duration `loki:"update_interval"`
	ConsistentHash        bool          `loki:"consistent_hash"`
	TLSEnabled            bool          `loki:"tls_enabled"`
	TLSCertPath           string        `loki:"tls_cert_path"`
	TLSKeyPath            string        `loki:"tls_key_path"`
	TLSCAPath             string        `loki:"tls_ca_path"`
	TLSServerName         string        `loki:"tls_server_name"`
	TLSInsecureSkipVerify bool          `loki:"tls_insecure_skip_verify"`
}

// Enabled tells whether there are servers.
func (m MemcachedClient) Enabled() bool { return m.Addresses != "" || m.Host != "" }

// EmbeddedCache is a cache in this process.
type EmbeddedCache struct {
	Enabled      bool          `loki:"enabled"`
	MaxSizeMB    int           `loki:"max_size_mb"`
	MaxSizeItems int           `loki:"max_size_items"`
	TTL          time.Duration `loki:"ttl"`
}

// FIFOCache is the embedded cache in the words of old files.
type FIFOCache struct {
	MaxSizeBytes int           `loki:"max_size_bytes,bytes"`
	MaxSizeItems int           `loki:"max_size_items"`
	TTL          time.Duration `loki:"ttl"`
	Validity     time.Duration `loki:"validity"`
}

// ResultsCache is a cache of query results.
type ResultsCache struct {
	Cache       Cache  `loki:"cache"`
	Compression string `loki:"compression" allow:"|none|snappy"`
}

// ChunkStore is the block `chunk_store_config`.
type ChunkStore struct {
	ChunkCacheConfig       Cache         `loki:"chunk_cache_config"`
	WriteDedupeCacheConfig Cache         `loki:"write_dedupe_cache_config"`
	SkipWritebackOlderThan time.Duration `loki:"skip_query_writeback_cache_older_than"`
	CacheLookupsOlderThan  time.Duration `loki:"cache_lookups_older_than"`
}

func defaultCache() Cache {
	return Cache{
		DefaultValidity: time.Hour,
		Redis:           Redis{Timeout: 500 * time.Millisecond},
		Memcached:       Memcached{BatchSize: 4, Parallelism: 5},
		MemcachedClient: MemcachedClient{
			Service: "memcached", Timeout: 100 * time.Millisecond, MaxIdleConns: 16, UpdateInterval: time.Minute, ConsistentHash: true,
		},
		EmbeddedCache: EmbeddedCache{MaxSizeMB: 100, TTL: time.Hour},
		Background:    CacheBackground{WritebackGoroutines: 1, WritebackBuffer: 500_000, WritebackSizeLimit: 500 << 20},
		FIFOCache:     FIFOCache{MaxSizeBytes: 1 << 30, TTL: time.Hour},
	}
}

// defaultLocalCache is a cache that is kept in this process unless Redis is configured.
func defaultLocalCache() Cache {
	c := defaultCache()
	c.EmbeddedCache.Enabled = true
	return c
}

func defaultResultsCache() ResultsCache {
	return ResultsCache{Cache: defaultLocalCache()}
}

func defaultChunkStore() ChunkStore {
	return ChunkStore{ChunkCacheConfig: defaultLocalCache(), WriteDedupeCacheConfig: defaultCache()}
}

// NamedCache is a cache with the path of its block.
type NamedCache struct {
	Path string
	Cache
}

// Caches returns all caches, by path.
func (c *Config) Caches() []NamedCache {
	var out []NamedCache
	for path, one := range c.allCaches() {
		out = append(out, NamedCache{Path: path, Cache: *one})
	}
	slices.SortFunc(out, func(a, b NamedCache) int { return strings.Compare(a.Path, b.Path) })
	return out
}
