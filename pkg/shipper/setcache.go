package shipper

import (
	"container/list"
	"sync"
)

// setKey names the streams of a tenant in a file.
type setKey struct{ path, tenant string }

// setCache keeps decoded series sets, bounded in bytes; the least recently used goes first.
type setCache struct {
	limit   int64
	metrics *metrics

	mu    sync.Mutex
	bytes int64
	sets  map[setKey]*cachedSet
	// order holds the finished sets, least recently used first.
	order *list.List
}

type cachedSet struct {
	key setKey
	// ready is closed when set and err are set.
	ready chan struct{}
	set   *seriesSet
	err   error
	bytes int64
	elem  *list.Element
}

func newSetCache(limit int64, m *metrics) *setCache {
	return &setCache{limit: limit, metrics: m, sets: make(map[setKey]*cachedSet), order: list.New()}
}

// get returns a set and decodes it if it is not there. Whoever asks for the same set meanwhile waits for it.
func (c *setCache) get(key setKey, decode func() (*seriesSet, error)) (*seriesSet, error) {
	c.mu.Lock()
	e := c.sets[key]
	if e != nil {
		if e.elem != nil {
			c.order.MoveToBack(e.elem)
		}
		c.mu.Unlock()
		<-e.ready
		return e.set, e.err
	}
	e = &cachedSet{key: key, ready: make(chan struct{})}
	c.sets[key] = e
	c.mu.Unlock()

	c.metrics.decodes.Inc()
	e.set, e.err = decode()
	if e.err == nil {
		e.bytes = e.set.bytes()
	}
	close(e.ready)

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets[key] != e { // The file was forgotten meanwhile.
		return e.set, e.err
	}
	if e.err != nil {
		delete(c.sets, key)
		return nil, e.err
	}
	e.elem = c.order.PushBack(e)
	c.bytes += e.bytes
	for c.bytes > c.limit && c.order.Len() > 0 {
		c.dropLocked(c.order.Front().Value.(*cachedSet))
	}
	c.metrics.seriesBytes.Set(float64(c.bytes))
	return e.set, nil
}

func (c *setCache) dropLocked(e *cachedSet) {
	delete(c.sets, e.key)
	if e.elem != nil {
		c.order.Remove(e.elem)
		e.elem = nil
		c.bytes -= e.bytes
	}
}

// forget drops the sets of a file.
func (c *setCache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.sets {
		if key.path == path {
			c.dropLocked(e)
		}
	}
	c.metrics.seriesBytes.Set(float64(c.bytes))
}
