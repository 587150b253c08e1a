package app

import (
	"context"
	"path/filepath"
	"time"

	"logstore/pkg/api"
	"logstore/pkg/deletes"
	"logstore/pkg/logql"
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
	cfg.Linger = a.indexStaleness()
	a.deletes, err = deletes.New(cfg, deletes.Deps{
		Bucket: bucket, Limits: a.limits, Logger: a.logger.With("component", "deletes"), Registerer: a.registry,
	})
	return err
}

// indexStaleness is how old a table's listing may be that a lookup of any member uses.
func (a *App) indexStaleness() time.Duration { return 2 * a.cfg.Storage.BoltDBShipper.ResyncInterval }

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
