package cache

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// LocalConfig describes a cache in this process.
type LocalConfig struct {
	// MaxBytes bounds keys and values; zero means no such cache.
	MaxBytes int64
	// MaxItems bounds the number of values; zero means no bound.
	MaxItems int
	// TTL is how long a value is kept after it was put; zero means until there is no room.
	TTL time.Duration
}

// itemBytes is about what an item takes besides its key and value.
const itemBytes = 160

// Local is a cache in this process: what was not asked for the longest goes first.
type Local struct {
	cfg     LocalConfig
	now     func() time.Time
	metrics *metrics

	mu    sync.Mutex
	items map[string]*list.Element // of *item
	order *list.List               // the one asked for last in front
	bytes int64
}

type item struct {
	key     string
	value   []byte
	expires time.Time // zero: never
}

func (i *item) size() int64 { return int64(len(i.key)) + int64(len(i.value)) + itemBytes }

// NewLocal returns an empty cache.
func NewLocal(name string, cfg LocalConfig, deps Deps) *Local {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Local{
		cfg: cfg, now: deps.Now, metrics: newMetrics(name, "local", deps.Registerer),
		items: map[string]*list.Element{}, order: list.New(),
	}
}

// Get implements Cache.
func (l *Local) Get(_ context.Context, keys ...string) [][]byte {
	out := make([][]byte, len(keys))
	now := l.now()
	hits := 0
	l.mu.Lock()
	for i, key := range keys {
		e := l.items[key]
		if e == nil {
			continue
		}
		it := itemOf(e)
		if !it.expires.IsZero() && !now.Before(it.expires) {
			l.removeLocked(e)
			continue
		}
		l.order.MoveToFront(e)
		out[i] = it.value
		hits++
	}
	l.mu.Unlock()
	l.metrics.fetched.Add(float64(len(keys)))
	l.metrics.hits.Add(float64(hits))
	return out
}

// Put implements Cache. A value that is larger than an eighth of the cache is not kept, for it would drive out many others.
func (l *Local) Put(key string, value []byte) {
	it := &item{key: key, value: value}
	if len(value) == 0 || it.size() > l.cfg.MaxBytes/8 {
		return
	}
	if l.cfg.TTL > 0 {
		it.expires = l.now().Add(l.cfg.TTL)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.items[key]; e != nil {
		l.removeLocked(e)
	}
	l.items[key] = l.order.PushFront(it)
	l.bytes += it.size()
	for l.bytes > l.cfg.MaxBytes || l.cfg.MaxItems > 0 && len(l.items) > l.cfg.MaxItems {
		l.removeLocked(l.order.Back())
		l.metrics.evicted.Inc()
	}
	l.metrics.items.Set(float64(len(l.items)))
	l.metrics.bytes.Set(float64(l.bytes))
}

func (l *Local) removeLocked(e *list.Element) {
	it := itemOf(e)
	l.order.Remove(e)
	delete(l.items, it.key)
	l.bytes -= it.size()
}

func itemOf(e *list.Element) *item {
	it, ok := e.Value.(*item)
	if !ok {
		panic("BUG: something else than an item in the cache")
	}
	return it
}

// Run implements Cache; there is nothing to do.
func (l *Local) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
