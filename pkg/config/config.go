package config

import (
	"errors"
	"fmt"
	"time"

	"logstore/pkg/limits"
)

const (
	defaultReplicationFactor = 1
	gossipReplicationFactor  = 3
	defaultPathPrefix        = "./data"
)

// Config is all that can be configured, in the shape of Loki's file. The tag `loki` names a key; its options are those
// of limits.Limits, and `date` for a day. What Load returns is complete: `common` is spread over the blocks, old
// keys over the new ones, and directories are set, so that a reader of a block need not look elsewhere.
type Config struct {
	Target              string          `loki:"target"`
	AuthEnabled         bool            `loki:"auth_enabled"`
	ShutdownDelay       time.Duration   `loki:"shutdown_delay"`
	HTTPPrefix          string          `loki:"http_prefix"`
	Server              Server          `loki:"server"`
	Common              Common          `loki:"common"`
	Distributor         Distributor     `loki:"distributor"`
	Ingester            Ingester        `loki:"ingester"`
	IngesterClient      MemberClient    `loki:"ingester_client"`
	PatternIngester     PatternIngester `loki:"pattern_ingester"`
	Querier             Querier         `loki:"querier"`
	QueryRange          QueryRange      `loki:"query_range"`
	Frontend            Frontend        `loki:"frontend"`
	QueryScheduler      QueryScheduler  `loki:"query_scheduler"`
	Ruler               Ruler           `loki:"ruler"`
	RulerStorage        RulerBucket     `loki:"ruler_storage"`
	Compactor           Compactor       `loki:"compactor"`
	Storage             Storage         `loki:"storage_config"`
	ChunkStore          ChunkStore      `loki:"chunk_store_config"`
	Schema              Schema          `loki:"schema_config"`
	Limits              LimitsBlock     `loki:"limits_config"`
	Memberlist          Memberlist      `loki:"memberlist"`
	RuntimeConfig       RuntimeFile     `loki:"runtime_config"`
	TenantLimitsPublish []string        `loki:"tenant_limits_allow_publish,list"`
	Tracing             Tracing         `loki:"tracing"`
	Logstore            Logstore        `loki:"logstore"`
}

// LimitsBlock is the block `limits_config`: the limits of every tenant that has none of its own.
type LimitsBlock struct {
	limits.Limits
	// PerTenantOverrideConfig and its period are where old files put runtime_config; they stand for it.
	PerTenantOverrideConfig string        `loki:"per_tenant_override_config"`
	PerTenantOverridePeriod time.Duration `loki:"per_tenant_override_period"`
}

// Common is the block `common`: what several blocks have in common.
type Common struct {
	PathPrefix             string        `loki:"path_prefix"`
	Storage                CommonStorage `loki:"storage"`
	PersistTokens          bool          `loki:"persist_tokens"`
	ReplicationFactor      int           `loki:"replication_factor"`
	Ring                   CommonRing    `loki:"ring"`
	InstanceInterfaceNames []string      `loki:"instance_interface_names,list"`
	InstanceAddr           string        `loki:"instance_addr"`
}

// CommonStorage is `common.storage`: at most one of the stores.
type CommonStorage struct {
	S3          S3               `loki:"s3"`
	Filesystem  CommonFilesystem `loki:"filesystem"`
	ObjectStore ThanosStore      `loki:"object_store"`
	Hedging     StorageHedging   `loki:"hedging"`
}

// CommonFilesystem is `common.storage.filesystem`.
type CommonFilesystem struct {
	ChunksDirectory string `loki:"chunks_directory"`
	RulesDirectory  string `loki:"rules_directory"`
}

// RuntimeFile is the block `runtime_config`: a file (or several, separated by commas) with limits of single tenants, which is read again
// and again while the store runs.
type RuntimeFile struct {
	File   string        `loki:"file"`
	Period time.Duration `loki:"period"`
}

// Default returns the configuration of a store without a file and without flags, before directories are set.
func Default() Config {
	return Config{
		Target:          "all",
		Server:          defaultServer(),
		Distributor:     defaultDistributor(),
		Ingester:        defaultIngester(),
		Querier:         defaultQuerier(),
		QueryRange:      defaultQueryRange(),
		Frontend:        defaultFrontend(),
		IngesterClient:  defaultMemberClient(),
		PatternIngester: defaultPatternIngester(),
		QueryScheduler:  defaultQueryScheduler(),
		Ruler:           defaultRuler(),
		RulerStorage:    defaultRulerBucket(),
		Compactor:       defaultCompactor(),
		Storage:         defaultStorage(),
		ChunkStore:      defaultChunkStore(),
		Schema:          defaultSchema(),
		Limits:          LimitsBlock{Limits: limits.DefaultLimits(), PerTenantOverridePeriod: 10 * time.Second},
		Common: Common{
			PathPrefix:             defaultPathPrefix,
			Storage:                CommonStorage{S3: defaultS3(), ObjectStore: defaultThanosStore(), Hedging: StorageHedging{UpTo: 2, MaxPerSecond: 5}},
			ReplicationFactor:      defaultReplicationFactor,
			Ring:                   defaultCommonRing(),
			InstanceInterfaceNames: []string{"eth0", "docker0"},
		},
		Memberlist:    defaultMemberlist(),
		Tracing:       Tracing{Enabled: true},
		Logstore:      defaultLogstore(),
		RuntimeConfig: RuntimeFile{Period: 10 * time.Second},
		TenantLimitsPublish: []string{
			"discover_log_levels", "discover_service_name", "log_level_fields", "max_entries_limit_per_query", "max_line_size_truncate",
			"max_query_bytes_read", "max_query_length", "max_query_lookback", "max_query_range", "max_query_series",
			"metric_aggregation_enabled", "otlp_config", "pattern_persistence_enabled", "query_timeout", "retention_period",
			"volume_enabled", "volume_max_series",
		},
	}
}

// Kinds of object stores.
const (
	KindS3         = "s3"
	KindFilesystem = "filesystem"
)

// ObjectStore is what a name of an object store stands for: S3, or a folder.
type ObjectStore struct {
	Kind      string
	S3        S3     // of Kind S3
	Directory string // of Kind filesystem
	Prefix    string // before every key
}

var errStoreUnsupported = errors.New("not supported, only s3 (also called aws), filesystem and the names of " +
	"storage_config.named_stores.aws and .filesystem: copy the objects to one of these")

// ObjectStore returns what the name of an object store stands for: that of a period, a shared store, a delete request store.
func (c *Config) ObjectStore(name string) (ObjectStore, error) {
	st := &c.Storage
	if s3, ok := st.NamedStores.AWS[name]; ok {
		return ObjectStore{Kind: KindS3, S3: s3, Prefix: st.ObjectPrefix}, nil
	}
	if fs, ok := st.NamedStores.Filesystem[name]; ok {
		return ObjectStore{Kind: KindFilesystem, Directory: fs.Directory, Prefix: st.ObjectPrefix}, nil
	}
	switch name {
	case "s3", "aws", "s3-thanos":
		if st.UseThanosObjstore {
			return ObjectStore{Kind: KindS3, S3: st.ObjectStore.S3.plain(), Prefix: st.ObjectStore.StoragePrefix}, nil
		}
		return ObjectStore{Kind: KindS3, S3: st.AWS, Prefix: st.ObjectPrefix}, nil
	case "filesystem":
		if st.UseThanosObjstore {
			return ObjectStore{Kind: KindFilesystem, Directory: st.ObjectStore.Filesystem.Dir, Prefix: st.ObjectStore.StoragePrefix}, nil
		}
		return ObjectStore{Kind: KindFilesystem, Directory: st.Filesystem.Directory, Prefix: st.ObjectPrefix}, nil
	}
	return ObjectStore{}, fmt.Errorf("the object store %q is %w", name, errStoreUnsupported)
}

// RulerStore returns where the rules live and whether the API may change them.
func (c *Config) RulerStore() (store ObjectStore, writable bool, err error) {
	if c.Storage.UseThanosObjstore {
		b := &c.RulerStorage
		switch b.Backend {
		case "s3":
			return ObjectStore{Kind: KindS3, S3: b.S3.plain(), Prefix: b.StoragePrefix}, true, nil
		case "filesystem":
			return ObjectStore{Kind: KindFilesystem, Directory: b.Filesystem.Dir, Prefix: b.StoragePrefix}, true, nil
		case "local":
			return ObjectStore{Kind: KindFilesystem, Directory: b.Local.Directory}, false, nil
		}
		return ObjectStore{}, false, fmt.Errorf("the rule store %q is not supported, only s3, filesystem, local", b.Backend)
	}
	st := &c.Ruler.Storage
	switch st.Type {
	case "s3", "aws":
		return ObjectStore{Kind: KindS3, S3: st.S3}, true, nil
	case "local", "filesystem":
		return ObjectStore{Kind: KindFilesystem, Directory: st.Local.Directory}, st.Type == "filesystem", nil
	}
	return ObjectStore{}, false, fmt.Errorf("the rule store %q is not supported, only s3, filesystem, local", st.Type)
}

// plain says the same in the words of S3.
func (t ThanosS3) plain() S3 {
	s := defaultS3()
	s.Endpoint = t.Endpoint
	s.Region = t.Region
	s.BucketNames = t.BucketName
	s.AccessKeyID = t.AccessKeyID
	s.SecretAccessKey = t.SecretAccessKey
	s.SessionToken = t.SessionToken
	s.Insecure = t.Insecure
	s.S3ForcePathStyle = t.BucketLookupType == "path"
	s.DisableDualstack = !t.DualstackEnabled
	s.SSE = t.SSE
	s.BackoffConfig.MaxRetries = t.MaxRetries
	if t.StorageClass != "" {
		s.StorageClass = t.StorageClass
	}
	s.HTTPConfig = S3HTTP{
		IdleConnTimeout:       t.HTTP.IdleConnTimeout,
		ResponseHeaderTimeout: t.HTTP.ResponseHeaderTimeout,
		InsecureSkipVerify:    t.HTTP.InsecureSkipVerify,
		CAFile:                t.HTTP.TLSCAPath,
	}
	return s
}
