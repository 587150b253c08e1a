package app

import (
	"os"

	"logstore/pkg/config"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
	"logstore/pkg/store"
)

// periods says the schema in schema's words.
func periods(cfg *config.Config) (schema.Periods, error) {
	var out schema.Periods
	for _, p := range cfg.Schema.Configs {
		version, err := schema.ParseVersion(p.Schema)
		if err != nil {
			return nil, err
		}
		out = append(out, schema.PeriodConfig{
			From: p.From, Store: p.Store, ObjectStore: p.ObjectStore, Schema: version, RowShards: uint32(p.RowShards),
			IndexPrefix: p.Index.Prefix, PathPrefix: p.Index.PathPrefix, IndexPeriod: p.Index.Period,
		})
	}
	return out, out.Validate()
}

// newStorage builds the buckets, the index and the store over them.
func (a *App) newStorage() error {
	ps, err := periods(a.cfg)
	if err != nil {
		return err
	}
	a.periods = ps
	a.buckets = newBuckets(a.cfg, a.logger.With("component", "objstore"), a.registry)
	stores := map[string]store.ObjectStore{}
	index := make([]objstore.Bucket, len(ps))
	for i, p := range ps {
		bucket, where, err := a.buckets.get(p.ObjectStore)
		if err != nil {
			return err
		}
		stores[p.ObjectStore] = store.ObjectStore{
			Bucket: bucket, Filesystem: where.Kind == config.KindFilesystem, ChunkDelimiter: where.S3.ChunkDelimiter,
		}
		index[i] = bucket
		if shared := a.cfg.Storage.BoltDBShipper.SharedStore; shared != "" && p.Store == schema.StoreBoltDB {
			if index[i], _, err = a.buckets.get(shared); err != nil {
				return err
			}
		}
	}
	a.shipper, err = shipper.New(a.shipperConfig(), shipper.Deps{
		Periods: ps, Bucket: func(i int) objstore.Bucket { return index[i] }, Uploaded: a.tellIndexChanged,
		Logger: a.logger.With("component", "shipper"), Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	deps := store.Deps{
		Periods: ps, Stores: stores, Indexes: map[string]store.Index{schema.StoreBoltDB: a.shipper}, Registerer: a.registry,
		Cache: objectCache{a.caches.chunks}, SkipWriteBackOlderThan: a.cfg.ChunkStore.SkipWritebackOlderThan,
	}
	if a.cfg.ChunkStore.WriteDedupeCacheConfig.Redis.Endpoint != "" || a.cfg.ChunkStore.WriteDedupeCacheConfig.EmbeddedCache.Enabled {
		deps.Written = objectCache{a.caches.written}
	}
	a.store, err = store.New(deps)
	return err
}

func (a *App) shipperConfig() shipper.Config {
	c, s := shipper.DefaultConfig, a.cfg.Storage.BoltDBShipper
	c.ActiveIndexDirectory, c.CacheLocation = s.ActiveIndexDirectory, s.CacheLocation
	c.CacheTTL, c.ResyncInterval = s.CacheTTL, s.ResyncInterval
	c.IndexCacheValidity = a.cfg.Storage.IndexCacheValidity
	c.BuildPerTenantIndex = s.BuildPerTenantIndex
	c.IngesterID = a.instanceID()
	return c
}

// instanceID names this process in the bucket: lifecycler.id, or the host.
func (a *App) instanceID() string {
	if id := a.cfg.Storage.BoltDBShipper.IngesterName; id != "" {
		return id
	}
	if id := a.cfg.Ingester.Lifecycler.ID; id != "" {
		return id
	}
	host, err := os.Hostname()
	if err != nil {
		return "logstore"
	}
	return host
}
