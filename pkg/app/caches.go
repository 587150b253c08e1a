package app

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/buckets"
	"logstore/pkg/cache"
	"logstore/pkg/config"
	"logstore/pkg/ingester"
)

// caches are all caches of the process. One that is not configured keeps nothing.
type caches struct {
	chunks, written, index                          cache.Cache
	results, instant, stats, volume, series, labels cache.Cache
}

// defaultCacheMB is the size of a cache in this process in Loki's defaults. Nine of them would be too much for a small machine,
// so a cache that has just this size is held to a share of the memory.
const defaultCacheMB = 100

// Shares of the memory that a cache of the default size may take: the large ones and the others.
const (
	largeShare = 16
	smallShare = 64
)

// newCaches builds the caches that the configuration describes.
func (a *App) newCaches() error {
	c, q := a.cfg, &a.cfg.QueryRange
	for _, one := range []struct {
		into         *cache.Cache
		name, prefix string
		on           bool
		cfg          config.Cache
		share        int64
		// compression is that of values: "snappy" or none.
		compression string
	}{
		{&a.caches.chunks, "chunks", "lsc1:", true, c.ChunkStore.ChunkCacheConfig, largeShare, ""},
		{&a.caches.written, "write-dedupe", "lsw1:", true, c.ChunkStore.WriteDedupeCacheConfig, smallShare, ""},
		{&a.caches.index, "index-queries", "lsi1:", true, c.Storage.IndexQueriesCacheConfig, smallShare, ""},
		{&a.caches.results, "results", "lsr1:", q.CacheResults, q.ResultsCache.Cache, largeShare, q.ResultsCache.Compression},
		{&a.caches.instant, "instant-metric-results", "lsm1:", q.CacheInstantMetricResults, q.InstantMetricResultsCache.Cache, smallShare, q.InstantMetricResultsCache.Compression},
		{&a.caches.stats, "index-stats-results", "lst1:", q.CacheIndexStatsResults, q.IndexStatsResultsCache.Cache, smallShare, q.IndexStatsResultsCache.Compression},
		{&a.caches.volume, "volume-results", "lsv1:", q.CacheVolumeResults, q.VolumeResultsCache.Cache, smallShare, q.VolumeResultsCache.Compression},
		{&a.caches.series, "series-results", "lss1:", q.CacheSeriesResults, q.SeriesResultsCache.Cache, smallShare, q.SeriesResultsCache.Compression},
		{&a.caches.labels, "label-results", "lsl1:", q.CacheLabelResults, q.LabelResultsCache.Cache, smallShare, q.LabelResultsCache.Compression},
	} {
		*one.into = cache.Nothing{}
		if !one.on {
			continue
		}
		cfg, err := a.cacheConfig(one.name, one.prefix, one.cfg, ingester.AvailableMemory()/one.share)
		if err != nil {
			return fmt.Errorf("cannot build cache %s: %w", one.name, err)
		}
		made, err := cache.New(cfg, cache.Deps{Logger: a.logger.With("component", "cache"), Registerer: a.registry})
		if err != nil {
			return fmt.Errorf("cannot build cache %s: %w", one.name, err)
		}
		if one.compression == "snappy" {
			made = cache.NewCompressed(made)
		}
		*one.into = made
	}
	return nil
}

// cacheConfig says the same in the words of package cache.
func (a *App) cacheConfig(name, prefix string, c config.Cache, share int64) (cache.Config, error) {
	out := cache.Config{Name: name, Prefix: prefix, Write: cache.WriteConfig{
		Goroutines: c.Background.WritebackGoroutines, MaxItems: c.Background.WritebackBuffer, MaxBytes: int64(c.Background.WritebackSizeLimit),
	}}
	if e := c.EmbeddedCache; e.Enabled {
		out.Local = cache.LocalConfig{MaxBytes: int64(e.MaxSizeMB) << 20, MaxItems: e.MaxSizeItems, TTL: e.TTL}
		if e.MaxSizeMB == defaultCacheMB {
			out.Local.MaxBytes = min(out.Local.MaxBytes, share)
		}
	}
	out.Redis = buckets.Redis(c)
	if m := c.MemcachedClient; m.Enabled() {
		out.Memcached = cache.MemcachedConfig{
			Addresses: m.Addresses, Host: m.Host, Service: m.Service, Timeout: m.Timeout, MaxIdle: m.MaxIdleConns, MaxItemSize: m.MaxItemSize,
			ConsistentHash: m.ConsistentHash, Update: m.UpdateInterval, BatchSize: c.Memcached.BatchSize, Parallelism: c.Memcached.Parallelism,
			Expiration: c.Memcached.Expiration,
		}
		if out.Memcached.Expiration == 0 {
			out.Memcached.Expiration = c.DefaultValidity
		}
		if m.TLSEnabled {
			var err error
			if out.Memcached.TLS, err = a.clientTLS("memcached", config.GRPCClient{
				TLSCertPath: m.TLSCertPath, TLSKeyPath: m.TLSKeyPath, TLSCAPath: m.TLSCAPath, TLSServerName: m.TLSServerName,
				TLSInsecureSkipVerify: m.TLSInsecureSkipVerify,
			}); err != nil {
				return out, fmt.Errorf("memcached_client: %w", err)
			}
		}
	}
	return out, nil
}

// run works in the background until ctx ends.
func (c *caches) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, one := range []cache.Cache{c.chunks, c.written, c.index, c.results, c.instant, c.stats, c.volume, c.series, c.labels} {
		g.Go(func() error { return one.Run(ctx) })
	}
	return g.Wait()
}

// objectCache is a cache in the words of package store.
type objectCache struct{ cache.Cache }

// Get implements store.Cache.
func (c objectCache) Get(ctx context.Context, key string) ([]byte, bool) {
	v := c.Cache.Get(ctx, key)[0]
	return v, v != nil
}

// Put implements store.Cache.
func (c objectCache) Put(_ context.Context, key string, object []byte) { c.Cache.Put(key, object) }
