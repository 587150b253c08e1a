package config

import "time"

// Storage is the block `storage_config`. ObjectStore (config.go's method) tells what a period's object_store means.
type Storage struct {
	AWS                      S3             `loki:"aws"`
	Filesystem               Filesystem     `loki:"filesystem"`
	NamedStores              NamedStores    `loki:"named_stores"`
	ObjectPrefix             string         `loki:"object_prefix"`
	UseThanosObjstore        bool           `loki:"use_thanos_objstore"`
	ObjectStore              ThanosStore    `loki:"object_store"`
	BoltDBShipper            BoltDBShipper  `loki:"boltdb_shipper"`
	TSDBShipper              TSDBShipper    `loki:"tsdb_shipper"`
	IndexCacheValidity       time.Duration  `loki:"index_cache_validity"`
	IndexQueriesCacheConfig  Cache          `loki:"index_queries_cache_config"`
	DisableBroadIndexQueries bool           `loki:"disable_broad_index_queries"`
	MaxParallelGetChunk      int            `loki:"max_parallel_get_chunk"`
	MaxChunkBatchSize        int            `loki:"max_chunk_batch_size"`
	Hedging                  StorageHedging `loki:"hedging"`
}

// StorageHedging sends a second request when the first is slow.
type StorageHedging struct {
	At           time.Duration `loki:"at"` // 0: never
	UpTo         int           `loki:"up_to"`
	MaxPerSecond int           `loki:"max_per_second"`
}

// NamedStores are further object stores, by the names that periods call them.
type NamedStores struct {
	AWS        map[string]S3         `loki:"aws"`
	Filesystem map[string]Filesystem `loki:"filesystem"`
}

// S3 is a bucket (or several, separated by commas) of S3 or of a server that speaks its protocol.
type S3 struct {
	S3               string  `loki:"s3,url"` // s3://key:secret@host:port/bucket or s3://key:secret@region/bucket; objstore reads it
	S3ForcePathStyle bool    `loki:"s3forcepathstyle"`
	BucketNames      string  `loki:"bucketnames"`
	Endpoint         string  `loki:"endpoint,url"`
	Region           string  `loki:"region"`
	AccessKeyID      string  `loki:"access_key_id"`
	SecretAccessKey  string  `loki:"secret_access_key,secret"`
	SessionToken     string  `loki:"session_token,secret"`
	Insecure         bool    `loki:"insecure"`
	ChunkDelimiter   string  `loki:"chunk_delimiter"`
	HTTPConfig       S3HTTP  `loki:"http_config"`
	SignatureVersion string  `loki:"signature_version" allow:"v4"`
	StorageClass     string  `loki:"storage_class"`
	SSE              S3SSE   `loki:"sse"`
	SSEEncryption    bool    `loki:"sse_encryption"` // the old way to say sse.type: SSE-S3
	BackoffConfig    Backoff `loki:"backoff_config"`
	DisableDualstack bool    `loki:"disable_dualstack"`
}

// S3HTTP is the HTTP client for S3.
type S3HTTP struct {
	Timeout               time.Duration `loki:"timeout"`
	IdleConnTimeout       time.Duration `loki:"idle_conn_timeout"`
	ResponseHeaderTimeout time.Duration `loki:"response_header_timeout"`
	InsecureSkipVerify    bool          `loki:"insecure_skip_verify"`
	CAFile                string        `loki:"ca_file"`
}

// S3SSE is encryption by the server.
type S3SSE struct {
	Type                 string `loki:"type" allow:"|SSE-KMS|SSE-S3"`
	KMSKeyID             string `loki:"kms_key_id"`
	KMSEncryptionContext string `loki:"kms_encryption_context"`
}

// Filesystem is a folder as object store.
type Filesystem struct {
	Directory string `loki:"directory"`
}

// ThanosStore is `object_store` and `ruler_storage`: the newer way to write down an object store, in effect with
// storage_config.use_thanos_objstore.
type ThanosStore struct {
	StoragePrefix string           `loki:"storage_prefix"`
	S3            ThanosS3         `loki:"s3"`
	Filesystem    ThanosFilesystem `loki:"filesystem"`
}

// ThanosFilesystem is a folder as object store.
type ThanosFilesystem struct {
	Dir string `loki:"dir"`
}

// ThanosS3 is a bucket of S3 in the words of ThanosStore.
type ThanosS3 struct {
	Endpoint             string       `loki:"endpoint,url"`
	Region               string       `loki:"region"`
	BucketName           string       `loki:"bucket_name"`
	AccessKeyID          string       `loki:"access_key_id"`
	SecretAccessKey      string       `loki:"secret_access_key,secret"`
	SessionToken         string       `loki:"session_token,secret"`
	Insecure             bool         `loki:"insecure"`
	BucketLookupType     string       `loki:"bucket_lookup_type" allow:"auto|path|virtual-hosted"`
	DualstackEnabled     bool         `loki:"dualstack_enabled"`
	StorageClass         string       `loki:"storage_class"`
	MaxRetries           int          `loki:"max_retries"`
	NativeAWSAuthEnabled bool         `loki:"native_aws_auth_enabled"`
	SSE                  S3SSE        `loki:"sse"`
	HTTP                 ThanosS3HTTP `loki:"http"`
}

// ThanosS3HTTP is the HTTP client of a ThanosS3.
type ThanosS3HTTP struct {
	IdleConnTimeout       time.Duration `loki:"idle_conn_timeout"`
	ResponseHeaderTimeout time.Duration `loki:"response_header_timeout"`
	InsecureSkipVerify    bool          `loki:"insecure_skip_verify"`
	TLSCAPath             string        `loki:"tls_ca_path"`
}

// BoltDBShipper is `storage_config.boltdb_shipper`: the index.
type BoltDBShipper struct {
	ActiveIndexDirectory string        `loki:"active_index_directory"`
	SharedStore          string        `loki:"shared_store"`            // Loki 2: where the tables go; empty: the period's object_store
	SharedStoreKeyPrefix string        `loki:"shared_store_key_prefix"` // Loki 2: before the tables' names; see Period.Index.PathPrefix
	CacheLocation        string        `loki:"cache_location"`
	CacheTTL             time.Duration `loki:"cache_ttl"`
	ResyncInterval       time.Duration `loki:"resync_interval"`
	QueryReadyNumDays    int           `loki:"query_ready_num_days"`
	BuildPerTenantIndex  bool          `loki:"build_per_tenant_index"`
	IngesterName         string        `loki:"ingestername"`
	IngesterDBRetain     time.Duration `loki:"ingesterdbretainperiod"`
	Mode                 string        `loki:"mode"`
}

// TSDBShipper is `storage_config.tsdb_shipper`: the index of periods with the store tsdb.
type TSDBShipper struct {
	ActiveIndexDirectory string        `loki:"active_index_directory"`
	SharedStore          string        `loki:"shared_store"`
	SharedStoreKeyPrefix string        `loki:"shared_store_key_prefix"`
	CacheLocation        string        `loki:"cache_location"`
	CacheTTL             time.Duration `loki:"cache_ttl"`
	ResyncInterval       time.Duration `loki:"resync_interval"`
	QueryReadyNumDays    int           `loki:"query_ready_num_days"`
	Mode                 string        `loki:"mode"`
}

func defaultS3() S3 {
	return S3{
		HTTPConfig:       S3HTTP{IdleConnTimeout: 90 * time.Second},
		SignatureVersion: "v4",
		StorageClass:     "STANDARD",
		BackoffConfig:    Backoff{MinPeriod: 100 * time.Millisecond, MaxPeriod: 3 * time.Second, MaxRetries: 5},
	}
}

func defaultThanosStore() ThanosStore {
	return ThanosStore{S3: ThanosS3{
		BucketLookupType: "auto",
		DualstackEnabled: true,
		MaxRetries:       10,
		HTTP:             ThanosS3HTTP{IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: 2 * time.Minute},
	}}
}

func defaultStorage() Storage {
	return Storage{
		AWS:         defaultS3(),
		ObjectStore: defaultThanosStore(),
		BoltDBShipper: BoltDBShipper{
			SharedStoreKeyPrefix: indexPathPrefix,
			CacheTTL:             24 * time.Hour,
			ResyncInterval:       5 * time.Minute,
			Mode:                 "RW",
		},
		TSDBShipper: TSDBShipper{
			SharedStoreKeyPrefix: indexPathPrefix,
			CacheTTL:             24 * time.Hour,
			ResyncInterval:       5 * time.Minute,
			Mode:                 "RW",
		},
		IndexCacheValidity:      5 * time.Minute,
		IndexQueriesCacheConfig: defaultCache(),
		MaxParallelGetChunk:     150,
		MaxChunkBatchSize:       50,
		Hedging:                 StorageHedging{UpTo: 2, MaxPerSecond: 5},
	}
}
