package config

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/limits"
)

func itoa(i int) string { return strconv.Itoa(i) }

// validate reports every value that the store cannot run with. The decoder has seen to types and lists of words before.
func (c *Config) validate(add addError) {
	negatives("", reflect.ValueOf(c).Elem(), add)
	if err := refuseTarget(c.Target); err != nil {
		add("target", "%s", err)
	}
	c.validateServer(add)
	c.validateAuth(add)
	if r := c.Logstore.Tracing.SampleRatio; r > 1 {
		add("logstore.tracing.sample_ratio", "%v is not allowed, only a number from 0 to 1", r)
	}
	c.validateIngester(add)
	c.validateStores(add)
	c.Schema.validate(c, add)
	c.validateRuler(add)
	c.validateLimits(add)
	for path, cache := range c.allCaches() {
		if r := cache.Redis; r.MasterName != "" && r.Endpoint == "" {
			add(path+".redis.endpoint", "it is missing while master_name is set")
		}
		if cache.Redis.Endpoint != "" && cache.MemcachedClient.Enabled() {
			add(path+".memcached_client", "there is Redis already; a cache is in one of the two")
		}
	}
	if c.RuntimeConfig.Period <= 0 && c.RuntimeConfig.File != "" {
		add("runtime_config.period", "%s is not allowed, only a duration above 0", limits.FormatDuration(c.RuntimeConfig.Period))
	}
}

func (c *Config) validateServer(add addError) {
	for path, port := range map[string]int{
		"server.http_listen_port": c.Server.HTTPListenPort, "server.grpc_listen_port": c.Server.GRPCListenPort,
		"memberlist.bind_port": c.Memberlist.BindPort, "memberlist.advertise_port": c.Memberlist.AdvertisePort,
		"ingester.lifecycler.port": c.Ingester.Lifecycler.Port,
	} {
		if port > 65535 {
			add(path, "%d is no port (0 to 65535)", port)
		}
	}
	for path, t := range map[string]ServerTLS{"server.http_tls_config": c.Server.HTTPTLSConfig, "server.grpc_tls_config": c.Server.GRPCTLSConfig} {
		if t != (ServerTLS{}) && !t.Enabled() {
			add(path, "a certificate and a key are both needed (cert_file and key_file)")
		}
		switch verifies := strings.Contains(t.ClientAuthType, "Verify"); {
		case verifies && t.ClientCA == "" && t.ClientCAFile == "":
			add(path+".client_auth_type", "%s needs the authorities of clients (client_ca_file)", t.ClientAuthType)
		case (t.ClientAuthType == "" || t.ClientAuthType == "NoClientCert") && (t.ClientCA != "" || t.ClientCAFile != ""):
			add(path+".client_ca_file", "it has no effect without a client_auth_type such as RequireAndVerifyClientCert")
		}
	}
	for _, p := range [...]struct{ path, prefix string }{{"server.http_path_prefix", c.Server.HTTPPathPrefix}, {"http_prefix", c.HTTPPrefix}} {
		if p.prefix != "" && (!strings.HasPrefix(p.prefix, "/") || strings.ContainsAny(p.prefix, "{}?# ")) {
			add(p.path, "%q is not allowed, only a path that begins with a slash", p.prefix)
		}
	}
}

func (c *Config) validateIngester(add addError) {
	i := &c.Ingester
	for path, n := range map[string]int{
		"ingester.chunk_block_size": i.ChunkBlockSize, "ingester.concurrent_flushes": i.ConcurrentFlushes,
		"ingester.lifecycler.num_tokens":              i.Lifecycler.NumTokens,
		"ingester.lifecycler.ring.replication_factor": i.Lifecycler.Ring.ReplicationFactor,
		"distributor.max_recv_msg_size":               c.Distributor.MaxRecvMsgSize,
		"distributor.max_decompressed_size":           c.Distributor.MaxDecompressedSize,
		"querier.max_concurrent":                      c.Querier.MaxConcurrent,
	} {
		if n == 0 {
			add(path, "0 is not allowed, only an integer above 0")
		}
	}
	for path, period := range map[string]time.Duration{
		"ingester.flush_check_period": i.FlushCheckPeriod, "ingester.chunk_idle_period": i.ChunkIdlePeriod,
		"ingester.max_chunk_age": i.MaxChunkAge, "ingester.flush_op_timeout": i.FlushOpTimeout,
		"storage_config.boltdb_shipper.resync_interval": c.Storage.BoltDBShipper.ResyncInterval,
		"compactor.compaction_interval":                 c.Compactor.CompactionInterval,
		"storage_config.tsdb_shipper.resync_interval":   c.Storage.TSDBShipper.ResyncInterval,
		"logstore.shutdown_upload_timeout":              c.Logstore.ShutdownUploadTimeout,
	} {
		if period == 0 {
			add(path, "0 is not allowed, only a duration above 0")
		}
	}
	if i.WAL.Enabled && i.WAL.Dir == "" {
		add("ingester.wal.dir", "it is empty while the WAL is enabled")
	}
	if u := i.SyncMinUtilization; u > 1 {
		add("ingester.sync_min_utilization", "%v is not allowed, only a number from 0 to 1", u)
	}
	if u := i.WAL.DiskFullThreshold; u < 0 || u > 1 {
		add("ingester.wal.disk_full_threshold", "%v is not allowed, only a number from 0 to 1", u)
	}
	if c.Querier.QueryStoreOnly && c.Querier.QueryIngesterOnly {
		add("querier.query_store_only", "it cannot be true together with query_ingester_only")
	}
}

// validateStores checks the object stores that are in use, and only these.
func (c *Config) validateStores(add addError) {
	for path, name := range map[string]string{
		"storage_config.boltdb_shipper.shared_store": c.Storage.BoltDBShipper.SharedStore,
		"storage_config.tsdb_shipper.shared_store":   c.Storage.TSDBShipper.SharedStore,
		"compactor.shared_store":                     c.Compactor.SharedStore,
		"compactor.delete_request_store":             c.Compactor.DeleteRequestStore,
	} {
		if name == "" {
			continue
		}
		if _, err := c.ObjectStore(name); err != nil {
			add(path, "%s", err)
		}
	}
	if own := &c.Logstore; (own.MaxBytes > 0 || own.MaxDiskPercent > 0) && !c.Storage.usesFolder(c) {
		add("logstore.max_bytes", "max_bytes and max_disk_percent bound filesystem stores, and no period has one")
	}
	if p := c.Logstore.MaxDiskPercent; p > 100 {
		add("logstore.max_disk_percent", "%v is not allowed, only a number from 0 to 100", p)
	}
	seen := map[string]bool{}
	for _, name := range append(c.Schema.stores(), c.Storage.BoltDBShipper.SharedStore, c.Compactor.SharedStore) {
		store, err := c.ObjectStore(name)
		if err != nil || seen[name] {
			continue
		}
		seen[name] = true
		store.validate(c.blockOf(name, store.Kind), add)
	}
	if a, b := c.Storage.BoltDBShipper.SharedStoreKeyPrefix, c.Compactor.SharedStoreKeyPrefix; c.Compactor.SharedStore != "" && a != b {
		add("compactor.shared_store_key_prefix", "%q differs from storage_config.boltdb_shipper.shared_store_key_prefix %q: "+
			"the compactor would look elsewhere", b, a)
	}
}

// blockOf returns the path of the block that describes an object store.
func (c *Config) blockOf(name, kind string) string {
	_, s3 := c.Storage.NamedStores.AWS[name]
	_, fs := c.Storage.NamedStores.Filesystem[name]
	switch {
	case s3:
		return "storage_config.named_stores.aws." + name
	case fs:
		return "storage_config.named_stores.filesystem." + name
	case c.Storage.UseThanosObjstore:
		return "storage_config.object_store." + kind
	case kind == KindS3:
		return "storage_config.aws"
	}
	return "storage_config.filesystem"
}

func (o ObjectStore) validate(path string, add addError) {
	switch {
	case o.Kind == KindFilesystem && o.Directory == "":
		add(path, "the directory is missing")
	case o.Kind == KindS3 && o.S3.S3 == "" && o.S3.BucketNames == "":
		add(path, "the bucket is missing: set s3 (s3://key:secret@host:port/bucket) or bucketnames")
	}
}

func (c *Config) validateRuler(add addError) {
	store, _, err := c.RulerStore()
	path := "ruler.storage"
	kind := path + ".type"
	if c.Storage.UseThanosObjstore {
		path, kind = "ruler_storage", "ruler_storage.backend"
	}
	if err != nil {
		add(kind, "%s", err)
	} else if store.Kind == KindS3 {
		store.validate(path+".s3", add)
	}
	for key, address := range map[string]string{
		"ruler.external_url": c.Ruler.ExternalURL, "ruler.alertmanager_url": c.Ruler.AlertmanagerURL,
	} {
		if key == "ruler.alertmanager_url" && c.Ruler.EnableAlertmanagerDiscovery {
			continue
		}
		for _, part := range parseList(address) {
			// The parser's own error would quote the address, password and all.
			if u, err := url.Parse(part); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				add(key, "%q is no http or https URL", limits.RedactURL(part))
			}
		}
	}
	if c.Ruler.EvaluationInterval == 0 {
		add("ruler.evaluation_interval", "0 is not allowed, only a duration above 0")
	}
}

func (c *Config) validateLimits(add addError) {
	for _, err := range flatten(c.Limits.Validate()) {
		key, message, _ := strings.Cut(err.Error(), ": ")
		add("limits_config."+key, "%s", message)
	}
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// negatives reports numbers below zero, which mean nothing here. The limits see to their own.
func negatives(path string, v reflect.Value, add addError) {
	for _, f := range fieldsOf(v.Type()) {
		p, e := joinPath(path, f.name), v.FieldByIndex(f.index)
		switch {
		case p == "limits_config" || p == "ingester.query_store_max_look_back_period":
		case isBlock(e.Type()):
			negatives(p, e, add)
		case e.CanInt() && e.Int() < 0, e.CanFloat() && e.Float() < 0:
			add(p, "%s is not allowed, it is negative", scalarText(e, f))
		}
	}
}

// warnings returns what is allowed and probably not meant.
func (c *Config) warnings(isSet func(path string) bool) []string {
	var w []string
	warn := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	life := &c.Ingester.Lifecycler
	gossip := life.Ring.KVStore.Store == RingMemberlist
	if n := life.Ring.ReplicationFactor; n > 1 && !gossip {
		warn("replication_factor is %d, and the ring is in memory: a member alone keeps one copy", n)
	}
	if gossip && c.Storage.usesFolder(c) {
		warn("the ring has several members, and the object store is a folder: every member must see the same folder")
	}
	if !c.Compactor.RetentionEnabled && (c.Limits.RetentionPeriod > 0 || len(c.Limits.RetentionStream) > 0) {
		warn("limits_config.retention_period and retention_stream delete nothing while compactor.retention_enabled is false")
	}
	for _, r := range c.Schema.ReadOnly(time.Now()) {
		if r.Until.IsZero() || r.Until.After(time.Now()) {
			warn("%s", r.Why)
		}
	}
	if !c.Ingester.WAL.Enabled {
		warn("ingester.wal.enabled is false: a crash loses what is not flushed yet")
	}
	c.authWarnings(warn, gossip)
	if isSet("ruler.enable_sharding") && c.Ruler.EnableSharding && c.Ruler.Ring.KVStore.Store == RingInMemory && gossip {
		warn("ruler.enable_sharding with ruler.ring in memory: each member would evaluate all rules; they are shared by the members' ring")
	}
	return w
}

func (s *Storage) usesFolder(c *Config) bool {
	for _, name := range c.Schema.stores() {
		if store, err := c.ObjectStore(name); err == nil && store.Kind == KindFilesystem {
			return true
		}
	}
	return false
}
