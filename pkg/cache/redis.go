package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// Redis is a cache in a Redis server, a sentinel group or a cluster. What is put is written later, many values at a time;
// reads of many keys are one pipeline, in a cluster one for each node that the keys' slots are on.
type Redis struct {
	prefix     string
	client     redis.UniversalClient
	timeout    time.Duration // of a write
	expiration time.Duration
	breaker    *breaker
	writes     *writeBehind
	metrics    *metrics
}

// quiet turns the client's own log off: the breaker says what there is to say, once.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf implements the client's logger.
func (silence) Printf(context.Context, string, ...any) {}

// NewRedis returns a cache in Redis. It does not connect yet.
func NewRedis(cfg Config, deps Deps) (*Redis, error) {
	quiet()
	o, err := cfg.Redis.options()
	if err != nil {
		return nil, fmt.Errorf("cannot use cache %s: %w", cfg.Name, err)
	}
	r := &Redis{
		prefix: cfg.Prefix, client: redis.NewUniversalClient(o), timeout: o.WriteTimeout, expiration: cfg.Redis.Expiration,
		metrics: newMetrics(cfg.Name, "redis", deps.Registerer),
	}
	r.breaker = newBreaker(cfg.Name, deps.Logger, r.metrics, r.probe)
	r.writes = newWriteBehind(cfg.Write, r.metrics, r.write)
	return r, nil
}

// Get implements Cache.
func (r *Redis) Get(ctx context.Context, keys ...string) [][]byte {
	out := make([][]byte, len(keys))
	if len(keys) == 0 || !r.breaker.allow() {
		return out
	}
	r.metrics.fetched.Add(float64(len(keys)))
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, min(ReadBudget, r.timeout))
	defer cancel()
	commands := make([]*redis.StringCmd, len(keys))
	_, err := r.client.Pipelined(limited, func(p redis.Pipeliner) error {
		for i, key := range keys {
			commands[i] = p.Get(limited, r.prefix+key)
		}
		return nil
	})
	r.metrics.seconds.Observe(time.Since(start).Seconds())
	if err != nil && ctx.Err() == nil {
		r.judgeRead(commands, err)
	}
	for i, c := range commands {
		data, err := c.Bytes()
		if err != nil {
			continue
		}
		value, ok := open(r.prefix+keys[i], data)
		if !ok {
			r.metrics.corrupt.Inc()
			continue
		}
		out[i] = value
		r.metrics.hits.Inc()
	}
	return out
}

// judgeRead opens the breaker unless every command that failed failed because there is no such value, or a foreign one.
func (r *Redis) judgeRead(commands []*redis.StringCmd, err error) {
	seen := false
	for _, c := range commands {
		switch cmdErr := c.Err(); {
		case cmdErr == nil, errors.Is(cmdErr, redis.Nil):
			seen = true
		case isReply(cmdErr) && strings.HasPrefix(cmdErr.Error(), "WRONGTYPE"):
			seen = true
			r.metrics.corrupt.Inc()
		default:
			r.metrics.failures.Inc()
			r.breaker.failed(cmdErr)
			return
		}
	}
	if !seen {
		r.metrics.failures.Inc()
		r.breaker.failed(err)
	}
}

// isReply reports whether the error is an answer of the server and not the want of one.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// Put implements Cache.
func (r *Redis) Put(key string, value []byte) {
	if len(value) == 0 || !r.breaker.allow() {
		return
	}
	r.writes.put(pair{key: key, value: value})
}

// write sends a batch to Redis.
func (r *Redis) write(ctx context.Context, batch []pair) {
	if !r.breaker.allow() {
		r.metrics.dropped.Add(float64(len(batch)))
		return
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	_, err := r.client.Pipelined(limited, func(p redis.Pipeliner) error {
		for _, v := range batch {
			key := r.prefix + v.key
			p.Set(limited, key, seal(key, v.value), r.expiration)
		}
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return
	}
	r.metrics.failures.Inc()
	// A server that takes no writes, for want of memory or because it is a replica, may still be read.
	if !isReply(err) {
		r.breaker.failed(err)
	}
}

// Run implements Cache.
func (r *Redis) Run(ctx context.Context) error {
	if err := r.probe(ctx); err != nil && ctx.Err() == nil {
		r.breaker.failed(err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.breaker.run(ctx); return nil })
	g.Go(func() error { r.writes.run(ctx); return nil })
	err := g.Wait()
	if closing := r.client.Close(); closing != nil {
		return fmt.Errorf("cannot close the client of cache %s: %w", r.metricsName(), closing)
	}
	return err
}

func (r *Redis) metricsName() string { return r.breaker.name }

// probe asks for a sign of life: once to connect, and once more to see whether answers come in time.
func (r *Redis) probe(ctx context.Context) error {
	for _, budget := range []time.Duration{r.timeout, min(ReadBudget, r.timeout)} {
		if err := r.ping(ctx, budget); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) ping(ctx context.Context, budget time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() })
	}
	return r.client.Ping(ctx).Err()
}
