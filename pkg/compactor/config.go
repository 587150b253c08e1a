package compactor

import (
	"errors"
	"fmt"
	"time"

	"logstore/pkg/compress"
)

// Config holds the settings of the blocks compactor and logstore.
type Config struct {
	// Directory takes copies of index files while they are merged.
	Directory string
	// ID names this process in the lock: two processes must not have the same.
	ID string
	// Interval is the time between two passes over all tables.
	Interval time.Duration
	// RetentionInterval is the time between two passes of retention; 0: with each compaction.
	RetentionInterval time.Duration
	// RetentionEnabled makes retention_period, retention_stream and delete requests remove anything.
	RetentionEnabled bool
	// DeleteDelay is how long the objects of removed chunks are kept at least.
	DeleteDelay time.Duration
	// DeleteWorkers bounds the chunks that are removed at a time.
	DeleteWorkers int
	// TableTimeout bounds the work on one table; 0: no bound.
	TableTimeout time.Duration
	// DeleteBatch is how many delete requests are processed in one pass.
	DeleteBatch int
	// Parallelism is how many tables are worked on at a time, UploadParallelism how many files of one are uploaded.
	Parallelism, UploadParallelism int
	// NewestTables is how many tables are compacted, from the newest on; 0: all. SkipNewest leaves out so many first.
	NewestTables, SkipNewest int
	// Grace is how long a file stays after another one stands for it: longer than readers use a listing of a table.
	Grace time.Duration
	// Staleness is how long after the removal of a file lookups may still use it.
	Staleness time.Duration
	// MergeAfter is the age of days whose small chunks are merged; 0 merges none.
	MergeAfter time.Duration
	// MaxChunkSpan is the longest time from the first to the last entry of a chunk, of those too that were written under
	// other settings. A delete request is carried out on the tables of all days that are no further away.
	MaxChunkSpan time.Duration
	// ChunkTarget is the compressed size of a full chunk.
	ChunkTarget int
	// ChunkEncoding is the codec of merged chunks.
	ChunkEncoding compress.Encoding
	// BlockSize is the uncompressed size of a block.
	BlockSize int
	// MaxBytes removes the oldest days while the chunks in the folder are larger; 0: no bound.
	MaxBytes int64
	// MaxDiskPercent removes the oldest days while more than so much of the disk is used; 0: no bound.
	MaxDiskPercent float64
	// LockTTL is how long the lock is held without being renewed.
	LockTTL time.Duration
}

// DefaultConfig holds Loki's defaults where Loki has the setting.
var DefaultConfig = Config{
	Directory: "compactor", ID: "compactor", Interval: 10 * time.Minute, DeleteDelay: 2 * time.Hour, DeleteWorkers: 150, DeleteBatch: 70,
	Parallelism: 1, UploadParallelism: 10, Grace: 10 * time.Minute, Staleness: 15 * time.Minute, MergeAfter: 48 * time.Hour,
	MaxChunkSpan: 48 * time.Hour, ChunkTarget: 1536 << 10, ChunkEncoding: compress.Zstd, BlockSize: 256 << 10, LockTTL: 2 * time.Minute,
}

// Validate reports the first setting that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Directory == "" || c.ID == "":
		return errors.New("compactor.working_directory or the compactor's id is empty")
	case c.Interval <= 0:
		return fmt.Errorf("compactor.compaction_interval %s must be above zero", c.Interval)
	case c.RetentionInterval < 0 || c.DeleteDelay < 0 || c.TableTimeout < 0 || c.MergeAfter < 0 || c.MaxChunkSpan < 0:
		return errors.New("the periods of block compactor must not be negative")
	case c.DeleteWorkers < 1 || c.Parallelism < 1 || c.UploadParallelism < 1 || c.DeleteBatch < 1:
		return errors.New("compactor.retention_delete_worker_count, max_compaction_parallelism, upload_parallelism and delete_batch_size must be at least 1")
	case c.NewestTables < 0 || c.SkipNewest < 0:
		return errors.New("compactor.tables_to_compact and skip_latest_n_tables must not be negative")
	case c.Grace < 0 || c.Staleness < 0 || c.LockTTL < time.Second:
		return errors.New("the compactor's grace and staleness must not be negative, its lock must hold a second")
	case c.MaxBytes < 0 || c.MaxDiskPercent < 0 || c.MaxDiskPercent > 100:
		return errors.New("logstore.retention.max_bytes must not be negative, max_disk_percent must be from 0 to 100")
	case c.ChunkTarget < 1 || c.BlockSize < 1 || !c.ChunkEncoding.Valid():
		return errors.New("the size and encoding of merged chunks are not valid")
	}
	return nil
}

// chunkDelay is how long the object of a chunk stays after its rows were removed from a published file.
func (c *Config) chunkDelay() time.Duration { return max(c.DeleteDelay, c.Grace+c.Staleness) }
