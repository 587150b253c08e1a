package cache

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Cache keeps values by key. It is safe for concurrent use, and none of its methods fails: what cannot be had is a miss, and
// what cannot be kept is dropped.
type Cache interface {
	// Get returns a value for each key, in the order of the keys; nil for a miss. The values are shared: nobody changes
	// them. It takes no longer than ReadBudget, and less if ctx ends before.
	Get(ctx context.Context, keys ...string) [][]byte
	// Put keeps a value, which must not be empty. It never waits; the value may be found at once, later or never. The
	// cache owns the bytes from now on: nobody changes them.
	Put(key string, value []byte)
	// Run works in the background until ctx ends, and returns when all it started has ended. Get and Put may be called
	// before, during and after; a cache that does not run may keep nothing.
	Run(ctx context.Context) error
}

// ReadBudget is the longest that a Get waits for a cache that is not in this process.
const ReadBudget = 50 * time.Millisecond

// Config describes a cache. The zero value is a cache that keeps nothing.
type Config struct {
	// Name is that of the cache in metrics and in the log.
	Name string
	// Prefix goes before every key in Redis and memcached.
	Prefix string
	Local  LocalConfig
	Redis  RedisConfig
	// Memcached is used unless there is a Redis.
	Memcached MemcachedConfig
	// Write bounds what waits to be written to Redis or memcached.
	Write WriteConfig
}

// Deps are what a cache works with.
type Deps struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock of expiry in this process; nil means time.Now.
	Now func() time.Time
}

// New returns the cache that the Config describes: in this process if Local has a size, in Redis if it has an endpoint,
// in memcached if that has servers, both one before the other, or one that keeps nothing.
func New(cfg Config, deps Deps) (Cache, error) {
	if err := errors.Join(cfg.Redis.Validate(), cfg.Memcached.Validate()); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	var tiers []Cache
	if cfg.Local.MaxBytes > 0 {
		tiers = append(tiers, NewLocal(cfg.Name, cfg.Local, deps))
	}
	if cfg.Redis.Endpoint != "" {
		r, err := NewRedis(cfg, deps)
		if err != nil {
			return nil, err
		}
		tiers = append(tiers, traced{Cache: r, name: cfg.Name, system: "redis"})
	}
	if cfg.Redis.Endpoint == "" && cfg.Memcached.enabled() {
		tiers = append(tiers, traced{Cache: NewMemcached(cfg, deps), name: cfg.Name, system: "memcached"})
	}
	switch len(tiers) {
	case 0:
		return Nothing{}, nil
	case 1:
		return tiers[0], nil
	}
	return NewTiered(tiers[0], tiers[1]), nil
}

// Nothing is a cache that keeps nothing.
type Nothing struct{}

// Get implements Cache.
func (Nothing) Get(_ context.Context, keys ...string) [][]byte { return make([][]byte, len(keys)) }

// Put implements Cache.
func (Nothing) Put(string, []byte) {}

// Run implements Cache.
func (Nothing) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
