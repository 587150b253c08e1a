package config

import (
	"path/filepath"
	"strings"

	"logstore/pkg/limits"
)

// deriver completes a configuration after file and flags were read: it spreads what is said in one place over the
// places that it holds for, without touching a key that was set itself.
type deriver struct {
	c   *Config
	set map[string]position
}

func (d deriver) run() {
	d.directories()
	d.commonStorage()
	d.rings()
	d.replicationFactor()
	d.oldKeys()
	d.caches()
	d.indexPaths()
}

// isSet tells whether a key, or one beneath it, was set.
func (d deriver) isSet(path string) bool {
	if _, ok := d.set[path]; ok {
		return true
	}
	for p := range d.set {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// derive sets a value that was not set itself.
func derive[T any](d deriver, path string, to *T, value T) {
	if !d.isSet(path) {
		*to = value
	}
}

// directories fills what lives under path_prefix. Where the prefix is set the names are Loki's, so that a store which
// takes over a folder finds the tables that wait there.
func (d deriver) directories() {
	c := d.c
	in := func(name string) string { return filepath.Join(c.Common.PathPrefix, name) }
	active, cache, rules := "index", "index-cache", "rules"
	if d.isSet("common.path_prefix") {
		active, cache = "boltdb-shipper-active", "boltdb-shipper-cache"
	}
	derive(d, "ingester.wal.dir", &c.Ingester.WAL.Dir, in("wal"))
	c.Ingester.AutoforgetGiven = d.isSet("ingester.autoforget_unhealthy")
	c.Ingester.WAL.DiskFullGiven = d.isSet("ingester.wal.disk_full_threshold")
	derive(d, "ingester.shutdown_marker_path", &c.Ingester.ShutdownMarkerPath, c.Common.PathPrefix)
	derive(d, "storage_config.boltdb_shipper.active_index_directory", &c.Storage.BoltDBShipper.ActiveIndexDirectory, in(active))
	derive(d, "storage_config.boltdb_shipper.cache_location", &c.Storage.BoltDBShipper.CacheLocation, in(cache))
	derive(d, "storage_config.tsdb_shipper.active_index_directory", &c.Storage.TSDBShipper.ActiveIndexDirectory, in("tsdb-shipper-active"))
	derive(d, "storage_config.tsdb_shipper.cache_location", &c.Storage.TSDBShipper.CacheLocation, in("tsdb-shipper-cache"))
	derive(d, "compactor.working_directory", &c.Compactor.WorkingDirectory, in("compactor"))
	derive(d, "ruler.rule_path", &c.Ruler.RulePath, in("rules-temp"))
	derive(d, "ruler.wal.dir", &c.Ruler.WAL.Dir, in("ruler-wal"))
	derive(d, "common.storage.filesystem.chunks_directory", &c.Common.Storage.Filesystem.ChunksDirectory, in("chunks"))
	derive(d, "common.storage.filesystem.rules_directory", &c.Common.Storage.Filesystem.RulesDirectory, in(rules))
	if c.Common.PersistTokens {
		derive(d, "ingester.lifecycler.tokens_file_path", &c.Ingester.Lifecycler.TokensFilePath, in("ingester.tokens"))
	}
}

func (d deriver) commonStorage() {
	c, common := d.c, &d.c.Common.Storage
	fs := common.Filesystem
	derive(d, "storage_config.filesystem.directory", &c.Storage.Filesystem.Directory, fs.ChunksDirectory)
	derive(d, "ruler.storage.local.directory", &c.Ruler.Storage.Local.Directory, fs.RulesDirectory)
	if common.S3 != defaultS3() {
		if !d.isSet("ruler.storage.s3") && !d.isSet("ruler.storage.local") {
			derive(d, "ruler.storage.type", &c.Ruler.Storage.Type, "s3")
		}
		replace(&c.Storage.AWS, defaultS3(), common.S3)
		replace(&c.Ruler.Storage.S3, defaultS3(), common.S3)
	}
	if d.isSet("common.storage.hedging") {
		derive(d, "storage_config.hedging", &c.Storage.Hedging, common.Hedging)
	}
	d.thanosStorage()
}

// replace sets a block in which nothing differs from its defaults.
func replace[T comparable](to *T, defaults, value T) {
	if *to == defaults {
		*to = value
	}
}

func (d deriver) thanosStorage() {
	c, common := d.c, &d.c.Common.Storage.ObjectStore
	rules := &c.RulerStorage
	if common.S3 != defaultThanosStore().S3 && *rules == defaultRulerBucket() {
		rules.Backend = "s3"
	}
	replace(&c.Storage.ObjectStore, defaultThanosStore(), *common)
	replace(&rules.S3, defaultThanosStore().S3, common.S3)
	if common.Filesystem.Dir != "" && rules.Filesystem.Dir == "" {
		rules.Filesystem = common.Filesystem
	}
	if c.Storage.ObjectStore.Filesystem.Dir == "" {
		c.Storage.ObjectStore.Filesystem.Dir = c.Storage.Filesystem.Directory
	}
	for _, dir := range []*string{&rules.Filesystem.Dir, &rules.Local.Directory} {
		if *dir == "" {
			*dir = c.Common.Storage.Filesystem.RulesDirectory
		}
	}
}

// rings makes all rings gossip if the common ring does, or if there are members to join; and hands on the address.
func (d deriver) rings() {
	c, ring, life := d.c, &d.c.Common.Ring, &d.c.Ingester.Lifecycler
	if m := life.Ring.KVStore.Memberlist; m != nil && !d.isSet("memberlist") {
		c.Memberlist = *m
	}
	if m := c.Distributor.Ring.KVStore.Memberlist; m != nil && !d.isSet("memberlist") && life.Ring.KVStore.Memberlist == nil {
		c.Memberlist = *m
	}
	if len(c.Memberlist.JoinMembers) > 0 {
		derive(d, "common.ring.kvstore.store", &ring.KVStore.Store, RingMemberlist)
	}
	derive(d, "ingester.lifecycler.ring.kvstore.store", &life.Ring.KVStore.Store, ring.KVStore.Store)
	derive(d, "distributor.ring.kvstore.store", &c.Distributor.Ring.KVStore.Store, ring.KVStore.Store)
	derive(d, "ruler.ring.kvstore.store", &c.Ruler.Ring.KVStore.Store, ring.KVStore.Store)
	derive(d, "compactor.compactor_ring.kvstore.store", &c.Compactor.CompactorRing.KVStore.Store, ring.KVStore.Store)

	if d.isSet("common.instance_addr") {
		derive(d, "common.ring.instance_addr", &ring.InstanceAddr, c.Common.InstanceAddr)
		derive(d, "memberlist.advertise_addr", &c.Memberlist.AdvertiseAddr, c.Common.InstanceAddr)
	}
	derive(d, "memberlist.advertise_port", &c.Memberlist.AdvertisePort, c.Memberlist.BindPort)
	if d.isSet("common.instance_interface_names") {
		derive(d, "common.ring.instance_interface_names", &ring.InstanceInterfaceNames, c.Common.InstanceInterfaceNames)
	}
	const in = "ingester.lifecycler."
	derive(d, in+"id", &life.ID, ring.InstanceID)
	derive(d, in+"address", &life.Address, ring.InstanceAddr)
	derive(d, in+"port", &life.Port, ring.InstancePort)
	derive(d, in+"interface_names", &life.InterfaceNames, ring.InstanceInterfaceNames)
	derive(d, in+"availability_zone", &life.AvailabilityZone, ring.InstanceAvailabilityZone)
	derive(d, in+"enable_inet6", &life.EnableInet6, ring.InstanceEnableIPv6)
	derive(d, in+"num_tokens", &life.NumTokens, ring.NumTokens)
	derive(d, in+"heartbeat_period", &life.HeartbeatPeriod, ring.HeartbeatPeriod)
	derive(d, in+"ring.heartbeat_timeout", &life.Ring.HeartbeatTimeout, ring.HeartbeatTimeout)
	derive(d, in+"ring.zone_awareness_enabled", &life.Ring.ZoneAwarenessEnabled, ring.ZoneAwarenessEnabled)
	if ring.TokensFilePath != "" {
		derive(d, in+"tokens_file_path", &life.TokensFilePath, ring.TokensFilePath)
	}
}

// replicationFactor takes the first of the three keys that is set. Without any, members that gossip keep the three copies
// that Loki keeps, for their operators rely on them; a single member keeps one.
func (d deriver) replicationFactor() {
	c := d.c
	factor := defaultReplicationFactor
	if c.Ingester.Lifecycler.Ring.KVStore.Store == RingMemberlist {
		factor = gossipReplicationFactor
	}
	switch {
	case d.isSet("common.replication_factor"):
		factor = c.Common.ReplicationFactor
	case d.isSet("common.ring.replication_factor"):
		factor = c.Common.Ring.ReplicationFactor
	}
	derive(d, "ingester.lifecycler.ring.replication_factor", &c.Ingester.Lifecycler.Ring.ReplicationFactor, factor)
	c.Common.ReplicationFactor = c.Ingester.Lifecycler.Ring.ReplicationFactor
	c.Common.Ring.ReplicationFactor = c.Ingester.Lifecycler.Ring.ReplicationFactor
}

// oldKeys spreads keys that stand elsewhere since some release.
func (d deriver) oldKeys() {
	c := d.c
	old := func(path string, do func()) {
		if d.isSet(path) {
			do()
		}
	}
	old("querier.engine.timeout", func() {
		derive(d, "limits_config.query_timeout", &c.Limits.QueryTimeout, c.Querier.Engine.Timeout)
	})
	old("querier.query_timeout", func() {
		derive(d, "limits_config.query_timeout", &c.Limits.QueryTimeout, c.Querier.QueryTimeout)
	})
	old("query_range.split_queries_by_interval", func() {
		derive(d, "limits_config.split_queries_by_interval", &c.Limits.SplitQueriesByInterval, c.QueryRange.SplitQueriesByInterval)
	})
	old("compactor.deletion_mode", func() {
		mode := c.Compactor.DeletionMode
		if mode == "" || mode == "whole-stream-deletion" {
			mode = limits.DeletionFilterAndDelete
		}
		derive(d, "limits_config.deletion_mode", &c.Limits.DeletionMode, mode)
	})
	old("limits_config.per_tenant_override_config", func() {
		derive(d, "runtime_config.file", &c.RuntimeConfig.File, c.Limits.PerTenantOverrideConfig)
	})
	old("limits_config.per_tenant_override_period", func() {
		derive(d, "runtime_config.period", &c.RuntimeConfig.Period, c.Limits.PerTenantOverridePeriod)
	})
	old("http_prefix", func() {
		derive(d, "server.http_path_prefix", &c.Server.HTTPPathPrefix, c.HTTPPrefix)
	})
	c.Limits.OTLPConfig.DefaultIndexLabels = c.Distributor.OTLPConfig.DefaultResourceAttributes
	for _, s3 := range []*S3{&c.Storage.AWS, &c.Ruler.Storage.S3} {
		if s3.SSEEncryption && s3.SSE.Type == "" {
			s3.SSE.Type = "SSE-S3"
		}
	}
}

// caches turns old keys into new ones, and the embedded cache off where Redis or memcached is.
func (d deriver) caches() {
	for path, cache := range d.c.allCaches() {
		fifo := cache.FIFOCache
		if d.isSet(path + ".fifocache") {
			derive(d, path+".embedded_cache.ttl", &cache.EmbeddedCache.TTL, max(fifo.TTL, fifo.Validity))
			derive(d, path+".embedded_cache.max_size_items", &cache.EmbeddedCache.MaxSizeItems, fifo.MaxSizeItems)
			derive(d, path+".embedded_cache.max_size_mb", &cache.EmbeddedCache.MaxSizeMB, fifo.MaxSizeBytes>>20)
		}
		if cache.Redis.EnableTLS {
			derive(d, path+".redis.tls_enabled", &cache.Redis.TLSEnabled, true)
		}
		switch {
		case cache.Redis.Endpoint != "" || cache.MemcachedClient.Enabled():
			derive(d, path+".embedded_cache.enabled", &cache.EmbeddedCache.Enabled, false)
		case cache.EnableFIFOCache:
			derive(d, path+".embedded_cache.enabled", &cache.EmbeddedCache.Enabled, true)
		}
	}
}

// allCaches returns every cache by the path of its block.
func (c *Config) allCaches() map[string]*Cache {
	q := &c.QueryRange
	return map[string]*Cache{
		"storage_config.index_queries_cache_config":      &c.Storage.IndexQueriesCacheConfig,
		"chunk_store_config.chunk_cache_config":          &c.ChunkStore.ChunkCacheConfig,
		"chunk_store_config.write_dedupe_cache_config":   &c.ChunkStore.WriteDedupeCacheConfig,
		"query_range.results_cache.cache":                &q.ResultsCache.Cache,
		"query_range.index_stats_results_cache.cache":    &q.IndexStatsResultsCache.Cache,
		"query_range.volume_results_cache.cache":         &q.VolumeResultsCache.Cache,
		"query_range.instant_metric_results_cache.cache": &q.InstantMetricResultsCache.Cache,
		"query_range.series_results_cache.cache":         &q.SeriesResultsCache.Cache,
		"query_range.label_results_cache.cache":          &q.LabelResultsCache.Cache,
	}
}

// indexPaths hands Loki 2's key prefixes on to the periods, where Loki 3 has them, and the stores that were left open.
func (d deriver) indexPaths() {
	c := d.c
	for i := range c.Schema.Configs {
		p := &c.Schema.Configs[i]
		path := "schema_config.configs[" + itoa(i) + "].index.path_prefix"
		prefix := ""
		switch {
		case p.Store == StoreTSDB && d.isSet("storage_config.tsdb_shipper.shared_store_key_prefix"):
			prefix = c.Storage.TSDBShipper.SharedStoreKeyPrefix
		case p.Store == StoreBoltDBShipper && d.isSet("storage_config.boltdb_shipper.shared_store_key_prefix"):
			prefix = c.Storage.BoltDBShipper.SharedStoreKeyPrefix
		}
		if prefix != "" {
			derive(d, path, &p.Index.PathPrefix, prefix)
		}
	}
	if n := len(c.Schema.Configs); n > 0 && c.Compactor.DeleteRequestStore == "" {
		c.Compactor.DeleteRequestStore = c.Schema.Configs[n-1].ObjectStore
		if c.Compactor.SharedStore != "" {
			c.Compactor.DeleteRequestStore = c.Compactor.SharedStore
		}
	}
}
