package app

import (
	"context"

	"logstore/pkg/buckets"
	"logstore/pkg/cache"
	"logstore/pkg/config"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/store"
)

// newStorage builds the buckets, the indexes and the store over them.
func (a *App) newStorage() error {
	var err error
	a.buckets, err = buckets.New(a.cfg, a.logger.With("component", "objstore"), a.registry)
	if err != nil {
		return err
	}
	a.periods = a.buckets.Periods
	chunks, err := a.buckets.Chunks()
	if err != nil {
		return err
	}
	index, err := a.buckets.Index()
	if err != nil {
		return err
	}
	deps := shipper.Deps{
		Periods: a.periods, Bucket: func(i int) objstore.Bucket { return index[i] }, Uploaded: a.tellIndexChanged,
		HandOver: a.indexHandOver(), Logger: a.logger.With("component", "shipper"), Registerer: a.registry,
	}
	if a.shipper, err = shipper.New(a.shipperConfig(), deps); err != nil {
		return err
	}
	indexes := map[string]store.Index{schema.StoreBoltDB: a.shipper}
	if a.cfg.Schema.Has(config.StoreTSDB) {
		if a.tsdb, err = shipper.NewTSDB(a.tsdbConfig(), deps); err != nil {
			return err
		}
		indexes[schema.StoreTSDB] = a.tsdb
	}
	storeDeps := store.Deps{
		Periods: a.periods, Stores: chunks, Indexes: indexes, Registerer: a.registry,
		SkipWriteBackOlderThan: a.cfg.ChunkStore.SkipWritebackOlderThan, Sidecars: sidecarConfig(a.cfg), Replicated: a.clustered() && a.replicationFactor() > 1,
	}
	if _, none := a.caches.chunks.(cache.Nothing); !none {
		storeDeps.Cache = objectCache{a.caches.chunks}
	}
	if written := a.cfg.ChunkStore.WriteDedupeCacheConfig; written.Redis.Endpoint != "" || written.EmbeddedCache.Enabled {
		storeDeps.Written = objectCache{a.caches.written}
	}
	a.store, err = store.New(storeDeps)
	return err
}

// runTSDB keeps the index of periods with store tsdb, if there is one.
func (a *App) runTSDB(ctx context.Context) error {
	if a.tsdb == nil {
		<-ctx.Done()
		return nil
	}
	return a.tsdb.Run(ctx)
}

// indexReady returns why queries of the last days would wait for their index tables, or nil.
func (a *App) indexReady() error {
	err := a.shipper.Ready()
	if err == nil && a.tsdb != nil {
		err = a.tsdb.Ready()
	}
	return err
}

func (a *App) shipperConfig() shipper.Config {
	c, s := shipper.DefaultConfig, a.cfg.Storage.BoltDBShipper
	c.ActiveIndexDirectory, c.CacheLocation = s.ActiveIndexDirectory, s.CacheLocation
	c.CacheTTL, c.ResyncInterval, c.QueryReadyDays = s.CacheTTL, s.ResyncInterval, s.QueryReadyNumDays
	c.CacheBytes = int64(a.cfg.Logstore.IndexCacheSize)
	c.RetainUploaded = s.IngesterDBRetain
	c.ShutdownTimeout = a.cfg.Logstore.ShutdownUploadTimeout
	c.IndexCacheValidity = a.cfg.Storage.IndexCacheValidity
	c.BuildPerTenantIndex = s.BuildPerTenantIndex
	c.IngesterID = a.instanceID()
	return c
}

func (a *App) tsdbConfig() shipper.CacheConfig {
	c, s := shipper.DefaultCacheConfig, a.cfg.Storage.TSDBShipper
	c.CacheLocation, c.CacheTTL, c.ResyncInterval = s.CacheLocation, s.CacheTTL, s.ResyncInterval
	c.QueryReadyDays, c.CacheBytes = s.QueryReadyNumDays, int64(a.cfg.Logstore.IndexCacheSize)
	return c
}

// sidecarConfig says logstore.sidecar in the store's words.
func sidecarConfig(cfg *config.Config) store.SidecarConfig {
	c, s := store.DefaultSidecarConfig, cfg.Logstore.Sidecar
	c.Enabled, c.FilterBits = s.Enabled, s.FilterBits
	c.MinChunk, c.CacheBytes = s.MinChunkSize, int64(s.CacheSize)
	return c
}
