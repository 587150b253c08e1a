package config

import (
	"slices"
	"time"

	"logstore/pkg/limits"
)

// Distributor is the block `distributor`.
type Distributor struct {
	Ring                ServiceRing     `loki:"ring"`
	MaxRecvMsgSize      int             `loki:"max_recv_msg_size,bytes"`     // of a push as it comes
	MaxDecompressedSize int             `loki:"max_decompressed_size,bytes"` // of a push once decompressed
	PushWorkerCount     int             `loki:"push_worker_count"`
	OTLPConfig          DistributorOTLP `loki:"otlp_config"`
	RateStore           RateStore       `loki:"rate_store"`
}

// RateStore is `distributor.rate_store`: how the distributor learns the rates of streams, to split those that are too fast.
type RateStore struct {
	StreamRateUpdateInterval time.Duration `loki:"stream_rate_update_interval"`
	IngesterRequestTimeout   time.Duration `loki:"ingester_request_timeout"`
	MaxRequestParallelism    int           `loki:"max_request_parallelism"`
}

// DistributorOTLP is `distributor.otlp_config`. Load hands it on to the limits.
type DistributorOTLP struct {
	DefaultResourceAttributes []string `loki:"default_resource_attributes_as_index_labels,list"`
}

// Ingester is the block `ingester`.
type Ingester struct {
	Lifecycler              Lifecycler    `loki:"lifecycler"`
	ConcurrentFlushes       int           `loki:"concurrent_flushes"`
	FlushCheckPeriod        time.Duration `loki:"flush_check_period"`
	FlushOpBackoff          Backoff       `loki:"flush_op_backoff"`
	FlushOpTimeout          time.Duration `loki:"flush_op_timeout"`
	ChunkRetainPeriod       time.Duration `loki:"chunk_retain_period"`
	ChunkIdlePeriod         time.Duration `loki:"chunk_idle_period"`
	ChunkBlockSize          int           `loki:"chunk_block_size,bytes"`
	ChunkTargetSize         int           `loki:"chunk_target_size,bytes"`
	ChunkEncoding           string        `loki:"chunk_encoding" allow:"none|gzip|lz4-64k|lz4-256k|lz4-1M|lz4|snappy|flate|zstd"`
	MaxChunkAge             time.Duration `loki:"max_chunk_age"`
	SyncPeriod              time.Duration `loki:"sync_period"`
	SyncMinUtilization      float64       `loki:"sync_min_utilization"`
	MaxReturnedStreamErrors int           `loki:"max_returned_stream_errors"`
	QueryStoreMaxLookBack   time.Duration `loki:"query_store_max_look_back_period"`
	AutoforgetUnhealthy     bool          `loki:"autoforget_unhealthy"`
	// AutoforgetGiven is whether it was set: dead members are forgotten without it, too, after a longer time.
	AutoforgetGiven           bool
	WAL                       WAL           `loki:"wal"`
	IndexShards               int           `loki:"index_shards"`
	MaxDroppedStreams         int           `loki:"max_dropped_streams"`
	ShutdownMarkerPath        string        `loki:"shutdown_marker_path"`
	OwnedStreamsCheckInterval time.Duration `loki:"owned_streams_check_interval"`
}

// Backoff says how often and how fast an operation is tried again.
type Backoff struct {
	MinPeriod  time.Duration `loki:"min_period"`
	MaxPeriod  time.Duration `loki:"max_period"`
	MaxRetries int           `loki:"max_retries"`
}

// WAL is `ingester.wal`.
type WAL struct {
	Enabled             bool          `loki:"enabled"`
	Dir                 string        `loki:"dir"`
	CheckpointDuration  time.Duration `loki:"checkpoint_duration"`
	FlushOnShutdown     bool          `loki:"flush_on_shutdown"`
	ReplayMemoryCeiling int           `loki:"replay_memory_ceiling,bytes"`
	DiskFullThreshold   float64       `loki:"disk_full_threshold"`
	// DiskFullGiven is whether the threshold was set: by its default a disk is not full as long as there is much space.
	DiskFullGiven bool
}

func defaultDistributor() Distributor {
	return Distributor{
		Ring:                ServiceRing{KVStore: KVStore{Store: RingInMemory}},
		MaxRecvMsgSize:      100 << 20,
		MaxDecompressedSize: 5000 << 20,
		PushWorkerCount:     256,
		OTLPConfig: DistributorOTLP{
			DefaultResourceAttributes: slices.Clone(limits.DefaultOTLPConfig().DefaultIndexLabels),
		},
		RateStore: RateStore{
			StreamRateUpdateInterval: time.Second,
			IngesterRequestTimeout:   500 * time.Millisecond,
			MaxRequestParallelism:    200,
		},
	}
}

func defaultIngester() Ingester {
	return Ingester{
		Lifecycler:                defaultLifecycler(),
		ConcurrentFlushes:         32,
		FlushCheckPeriod:          30 * time.Second,
		FlushOpBackoff:            Backoff{MinPeriod: 10 * time.Second, MaxPeriod: time.Minute, MaxRetries: 10},
		FlushOpTimeout:            10 * time.Minute,
		ChunkIdlePeriod:           30 * time.Minute,
		ChunkBlockSize:            256 << 10,
		ChunkTargetSize:           1536 << 10,
		ChunkEncoding:             "zstd",
		MaxChunkAge:               2 * time.Hour,
		SyncPeriod:                time.Hour,
		SyncMinUtilization:        0.1,
		MaxReturnedStreamErrors:   10,
		IndexShards:               32,
		MaxDroppedStreams:         10,
		OwnedStreamsCheckInterval: 30 * time.Second,
		WAL: WAL{
			Enabled:             true,
			CheckpointDuration:  5 * time.Minute,
			ReplayMemoryCeiling: 4 << 30,
			DiskFullThreshold:   0.9,
		},
	}
}
