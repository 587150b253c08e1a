package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"logstore/pkg/api"
	"logstore/pkg/audit"
	"logstore/pkg/compactor"
	"logstore/pkg/compress"
	"logstore/pkg/config"
	"logstore/pkg/deletes"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/ring"
	"logstore/pkg/schema"
	"logstore/pkg/store"
)

// newDeletes builds what keeps delete requests. Without retention nobody processes them, so that there are none.
func (a *App) newDeletes() error {
	c := a.cfg.Compactor
	if !c.RetentionEnabled || c.DeleteRequestStore == "" {
		return nil
	}
	bucket, _, err := a.buckets.Get(c.DeleteRequestStore)
	if err != nil {
		return err
	}
	cfg := deletes.DefaultConfig
	cfg.KeyPrefix = c.DeleteRequestStoreKeyPrefix
	cfg.Directory = filepath.Join(c.WorkingDirectory, "deletes")
	cfg.CancelPeriod, cfg.MaxInterval = c.DeleteRequestCancelPeriod, c.DeleteMaxInterval
	// A member may show for so long what it had before a request was seen processed: old listings, and chunks that are kept in
	// memory after they were flushed.
	cfg.Linger = a.compactionGrace() + a.indexStaleness() + a.cfg.Ingester.ChunkRetainPeriod
	a.deletes, err = deletes.New(cfg, deletes.Deps{
		Bucket: bucket, Limits: a.limits, Logger: a.logger.With("component", "deletes"), Registerer: a.registry,
	})
	return err
}

// compactionGrace is how long superseded index files stay: twice as long as a lookup uses a listing.
func (a *App) compactionGrace() time.Duration { return 2 * a.cfg.Storage.BoltDBShipper.ResyncInterval }

// indexStaleness is how long after the removal of an index file a lookup may use it: a listing is used for so long while the
// bucket does not answer.
func (a *App) indexStaleness() time.Duration { return 3 * a.cfg.Storage.BoltDBShipper.ResyncInterval }

// newCompactor builds the compactor, unless no period has an index that it knows.
func (a *App) newCompactor() error {
	newest := -1
	for i := range a.periods {
		if a.periods[i].Store == schema.StoreBoltDB {
			newest = i
		}
	}
	if newest < 0 {
		return nil
	}
	cfg, err := a.compactorConfig()
	if err != nil {
		return err
	}
	index, err := a.buckets.Index()
	if err != nil {
		return err
	}
	sidecars, err := a.sidecarBuilder(index, cfg.Directory)
	if err != nil {
		return err
	}
	a.compactor, err = compactor.New(cfg, compactor.Deps{
		Periods: a.periods, Bucket: func(period int) objstore.Bucket { return index[period] }, Chunks: describedChunks{a.store, a.logger},
		Limits: a.limits, Deletes: a.deletes,
		OnChunkDeleted: func(ctx context.Context, name schema.ChunkName) error {
			return a.store.DeleteSidecar(ctx, name.ChunkRef)
		},
		AfterPass: sidecars,
		Owner:     a.ownsCompaction, Flush: a.flushNow, Disk: a.chunkDisk,
		Logger: a.logger.With("component", "compactor"), Registerer: a.registry,
	})
	return err
}

// sidecarBuilder returns what builds missing sidecars after each pass of the compactor, and packs them. If there are to be none, it removes
// packs that were made before, as their tables change.
func (a *App) sidecarBuilder(index []objstore.Bucket, dir string) (func(context.Context) error, error) {
	cfg := a.cfg.Logstore.Sidecar
	if !cfg.Enabled {
		cfg.BuildPerPass = 0
	}
	chunks, err := a.buckets.Chunks()
	if err != nil {
		return nil, err
	}
	b := &audit.SidecarBuilder{
		Bucket: &audit.Bucket{Periods: a.periods, Index: index, Chunks: chunks, Dir: filepath.Join(dir, "work-sidecars")},
		Build:  a.store.BuildSidecar, Current: a.store.CurrentSidecar, Packed: a.store.SidecarToPack, PerPass: cfg.BuildPerPass,
	}
	b.Register(a.registry)
	return b.Pass, nil
}

func (a *App) compactorConfig() (compactor.Config, error) {
	cfg, c, own := compactor.DefaultConfig, a.cfg.Compactor, a.cfg.Logstore
	host, _ := os.Hostname() // It only tells members apart.
	cfg.Directory, cfg.ID = filepath.Join(c.WorkingDirectory, "tables"), a.instanceID()+"@"+host+":"+c.WorkingDirectory
	cfg.Interval, cfg.RetentionInterval = c.CompactionInterval, c.ApplyRetentionInterval
	cfg.RetentionEnabled, cfg.DeleteDelay, cfg.DeleteWorkers = c.RetentionEnabled, c.RetentionDeleteDelay, c.RetentionDeleteWorkerCount
	cfg.TableTimeout, cfg.DeleteBatch = c.RetentionTableTimeout, c.DeleteBatchSize
	cfg.Parallelism, cfg.UploadParallelism = c.MaxCompactionParallelism, c.UploadParallelism
	cfg.NewestTables, cfg.SkipNewest = c.TablesToCompact, c.SkipLatestNTables
	cfg.Grace, cfg.Staleness = a.compactionGrace(), a.indexStaleness()
	cfg.MergeAfter, cfg.MaxBytes, cfg.MaxDiskPercent = own.MergeChunksAfter, int64(own.MaxBytes), own.MaxDiskPercent
	cfg.MaxChunkSpan = max(cfg.MaxChunkSpan, 2*a.cfg.Ingester.MaxChunkAge)
	if a.cfg.Ingester.ChunkTargetSize > 0 {
		cfg.ChunkTarget = a.cfg.Ingester.ChunkTargetSize
	}
	if a.cfg.Ingester.ChunkBlockSize > 0 {
		cfg.BlockSize = a.cfg.Ingester.ChunkBlockSize
	}
	var err error
	cfg.ChunkEncoding, err = compress.Parse(a.cfg.Ingester.ChunkEncoding)
	return cfg, err
}

// compactorToken is the place on the ring whose owner compacts.
var compactorToken = ring.Token("", 0)

// ownsCompaction reports whether the ring wants this member to compact. The lock in the bucket has the last word.
func (a *App) ownsCompaction() bool {
	owner, ok := a.ring.Owner(compactorToken)
	return ok && owner.ID == a.ring.Self().ID
}

// flushNow brings what is in memory into the bucket.
func (a *App) flushNow(ctx context.Context) error {
	return errors.Join(a.ingester.FlushWait(ctx), a.shipper.Flush(ctx))
}

// chunkDisk returns how full the disk of the first folder with chunks is.
func (a *App) chunkDisk() (used, size int64, err error) {
	for _, p := range a.periods {
		bucket, where, err := a.buckets.Get(p.ObjectStore)
		if err != nil {
			return 0, 0, err
		}
		if where.Kind == config.KindFilesystem {
			return objstore.DiskUsage(bucket)
		}
	}
	return 0, 0, errors.New("no period has a filesystem store")
}

// describedChunks writes the sidecars of the chunks that the compactor writes.
type describedChunks struct {
	*store.Store
	logger *slog.Logger
}

// PutObject stores a chunk, and its sidecar behind it. A chunk without one is only read slower.
func (c describedChunks) PutObject(ctx context.Context, ref model.ChunkRef, object []byte) (bool, error) {
	written, err := c.Store.PutObject(ctx, ref, object)
	if err != nil {
		return false, err
	}
	if err := c.StoreSidecar(ctx, ref, object, nil); err != nil {
		c.logger.Warn("cannot store the sidecar of a compacted chunk", "err", err)
	}
	return written, nil
}

// runCompactor compacts while the ring wants it.
func (a *App) runCompactor(ctx context.Context) error {
	if a.compactor == nil {
		<-ctx.Done()
		return nil
	}
	return a.compactor.Run(ctx)
}

// compactorStatus is what /compactor/status shows.
func (a *App) compactorStatus() any {
	if a.compactor == nil {
		return struct{}{}
	}
	return a.compactor.Status()
}

// hideDeleted lets queries see nothing that is still to be deleted.
func (a *App) hideDeleted(sources []logql.Source) []logql.Source {
	if a.deletes == nil {
		return sources
	}
	for i, src := range sources {
		sources[i] = deletes.Hide(src, a.deletes.Filters)
	}
	return sources
}

// deletesAPI is nil, and not a nil pointer in an interface, if there are no delete requests.
func (a *App) deletesAPI() api.Deletes {
	if a.deletes == nil {
		return nil
	}
	return a.deletes
}

// firstRefresh bounds the wait for the delete requests at the start.
const firstRefresh = 10 * time.Second

// readDeletes reads the delete requests before the first query is answered. If the bucket does not answer, the next poll reads
// them: a store that does not start would help nobody.
func (a *App) readDeletes(ctx context.Context) {
	if a.deletes == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, firstRefresh)
	defer cancel()
	if err := a.deletes.Refresh(ctx); err != nil {
		a.logger.Error("cannot read the delete requests yet: until it works queries may show what is to be deleted", "err", err)
	}
}

// runDeletes looks for delete requests of other members.
func (a *App) runDeletes(ctx context.Context) error {
	if a.deletes == nil {
		<-ctx.Done()
		return nil
	}
	return a.deletes.Run(ctx)
}
