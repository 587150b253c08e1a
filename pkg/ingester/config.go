package ingester

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"logstore/pkg/compress"
	"logstore/pkg/wire"
)

// Config has the settings of the ingester. Names in comments are Loki's keys below `ingester:`.
type Config struct {
	// BlockSize (chunk_block_size) is the uncompressed size at which a block is cut.
	BlockSize int
	// TargetSize (chunk_target_size) is the compressed size at which a chunk is full; 0: after ten blocks.
	TargetSize int
	// Encoding (chunk_encoding) is the codec of new chunks.
	Encoding compress.Encoding
	// MaxChunkAge (max_chunk_age) is the greatest span of a chunk, in the time of its entries and on the clock. Half of it
	// is how far behind its stream's newest entry an entry may be.
	MaxChunkAge time.Duration
	// SyncPeriod (sync_period) is the time after which all members end the chunk of a stream at the same entry, in the time of the
	// entries; 0: never. A chunk that has less than SyncMinUtilization (sync_min_utilization) of the target size, in uncompressed
	// bytes, goes on.
	SyncPeriod         time.Duration
	SyncMinUtilization float64
	// ChunkIdle (chunk_idle_period) is when a chunk that gets no entries is flushed.
	ChunkIdle time.Duration
	// ChunkRetain (chunk_retain_period) is how long a chunk stays in memory after it was stored and indexed.
	ChunkRetain time.Duration

	// FlushCheck (flush_check_period) is the time between two looks at all streams.
	FlushCheck time.Duration
	// ConcurrentFlushes (concurrent_flushes) bounds the chunks that are stored at a time.
	ConcurrentFlushes int
	// FlushTimeout (flush_op_timeout) bounds one attempt to store a chunk or a batch of index rows.
	FlushTimeout time.Duration
	// MinBackoff and MaxBackoff (flush_op_backoff) bound the pause before the next attempt.
	MinBackoff, MaxBackoff time.Duration
	// FlushOnShutdown (wal.flush_on_shutdown) flushes everything before Run returns, for ShutdownTimeout at most.
	// What is not flushed stays in the log.
	FlushOnShutdown bool
	ShutdownTimeout time.Duration

	// WALDir (wal.dir) is the folder of the logs; empty (wal.enabled: false): there is none, and a crash loses what was not flushed.
	WALDir string
	// WALSync makes a push wait for fsync.
	WALSync bool
	// WALSegmentSize is the size of a segment of the log.
	WALSegmentSize int64
	// WALSize is the size that the log is held at by checkpoints of pieces that have entries in old segments.
	WALSize int64
	// NamedErrors (max_returned_stream_errors) is how many refused entries of a stream are named to the client, 0: all, up to
	// wire.MaxRefusedEntries. They are counted in any case.
	NamedErrors int
	// CheckpointPeriod (wal.checkpoint_duration) is the longest time between two looks at the size of the log.
	CheckpointPeriod time.Duration
	// DiskFull (wal.disk_full_threshold) is the share of the disk of the logs, 0 to 1, beyond which pushes are refused; 0: they are
	// when it takes no more. With DiskSpare the disk must have fewer free bytes than that, too; 0: the share alone counts.
	DiskFull  float64
	DiskSpare int64

	// ReplayMemory (wal.replay_memory_ceiling) bounds the memory of entries during a replay, below MemoryLimit: what is above is
	// flushed before the replay goes on. 0: MemoryLimit alone counts.
	ReplayMemory int64
	// MemoryLimit bounds the memory of entries: beyond it pushes are refused. From three quarters on chunks are flushed before they are
	// full. 0: a quarter of what the process may use, from the cgroup or the machine.
	MemoryLimit int64
	// HeadLimit bounds the memory of entries that are not compressed; beyond it the larger heads are sealed early. 0: a
	// quarter of MemoryLimit, at most 64 MiB.
	HeadLimit int64
	// SealWorkers is the number of goroutines that compress; 0: one for each processor.
	SealWorkers int
}

// DefaultConfig has Loki's defaults where Loki has the setting, but zstd for gzip and a flush on shutdown.
var DefaultConfig = Config{
	BlockSize:   256 << 10,
	TargetSize:  1572864,
	Encoding:    compress.Zstd,
	MaxChunkAge: 2 * time.Hour,
	SyncPeriod:  time.Hour, SyncMinUtilization: 0.1,
	ChunkIdle:         30 * time.Minute,
	FlushCheck:        30 * time.Second,
	ConcurrentFlushes: 32,
	FlushTimeout:      10 * time.Minute,
	MinBackoff:        time.Second,
	MaxBackoff:        time.Minute,
	FlushOnShutdown:   true,
	ShutdownTimeout:   30 * time.Second,
	WALSegmentSize:    64 << 20,
	WALSize:           1 << 30,
	CheckpointPeriod:  5 * time.Minute,
	NamedErrors:       10,
	DiskFull:          0.9,
	DiskSpare:         2 << 30,
	ReplayMemory:      4 << 30,
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive, it is %d", name, v))
		}
	}
	positive("chunk_block_size", int64(c.BlockSize))
	positive("max_chunk_age", int64(c.MaxChunkAge))
	positive("chunk_idle_period", int64(c.ChunkIdle))
	positive("flush_check_period", int64(c.FlushCheck))
	positive("concurrent_flushes", int64(c.ConcurrentFlushes))
	positive("flush_op_timeout", int64(c.FlushTimeout))
	positive("flush_op_backoff.min_period", int64(c.MinBackoff))
	if c.MaxBackoff < c.MinBackoff {
		errs = append(errs, errors.New("flush_op_backoff.max_period must not be less than min_period"))
	}
	if c.TargetSize < 0 || c.ChunkRetain < 0 || c.MemoryLimit < 0 || c.HeadLimit < 0 || c.SealWorkers < 0 || c.ShutdownTimeout < 0 || c.ReplayMemory < 0 || c.NamedErrors < 0 || c.SyncPeriod < 0 || c.SyncMinUtilization < 0 {
		errs = append(errs, errors.New("sizes and durations must not be negative"))
	}
	if !c.Encoding.Valid() {
		errs = append(errs, fmt.Errorf("chunk_encoding: %w", compress.ErrUnknown))
	}
	if c.WALDir != "" {
		positive("wal.checkpoint_duration", int64(c.CheckpointPeriod))
		if c.DiskFull < 0 || c.DiskFull > 1 || c.DiskSpare < 0 {
			errs = append(errs, fmt.Errorf("wal.disk_full_threshold must be from 0 to 1, and the spare bytes not negative: %g, %d", c.DiskFull, c.DiskSpare))
		}
		if c.WALSegmentSize < 4096 || c.WALSize < 2*c.WALSegmentSize {
			errs = append(errs, fmt.Errorf("the log must hold at least two segments of at least 4096 bytes: %d, %d", c.WALSize, c.WALSegmentSize))
		}
	}
	return errors.Join(errs...)
}

// withDefaults fills in what depends on the machine.
func (c Config) withDefaults() Config {
	if c.MemoryLimit == 0 {
		c.MemoryLimit = max(AvailableMemory()/4, 64<<20)
	}
	if c.HeadLimit == 0 {
		c.HeadLimit = min(c.MemoryLimit/4, 64<<20)
	}
	if c.NamedErrors == 0 || c.NamedErrors > wire.MaxRefusedEntries {
		c.NamedErrors = wire.MaxRefusedEntries
	}
	if c.SealWorkers == 0 {
		c.SealWorkers = runtime.GOMAXPROCS(0)
	}
	if c.TargetSize == 0 {
		c.TargetSize = 10 * c.BlockSize
	}
	return c
}
