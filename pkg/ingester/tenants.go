package ingester

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
)

// shardCount is the number of stripes of the map of streams.
const shardCount = 256

// tenantState is what the ingester knows of a tenant.
type tenantState struct {
	name    string
	streams atomic.Int64
	index   index
}

// streamKey finds a stream in its shard.
type streamKey struct {
	tenant *tenantState
	hash   uint64
}

// stableHash is the hash by which streams are found and queries are split: labels.StableHash.
func stableHash(l labels.Labels) uint64 { return labels.StableHash(l) }

type shard struct {
	mu      sync.RWMutex
	streams map[streamKey]*stream
}

// streamMap holds all streams of all tenants.
type streamMap struct {
	shards [shardCount]shard

	mu      sync.RWMutex
	tenants map[string]*tenantState
}

func newStreamMap() *streamMap {
	m := &streamMap{tenants: map[string]*tenantState{}}
	for i := range m.shards {
		m.shards[i].streams = map[streamKey]*stream{}
	}
	return m
}

// tenant returns a tenant's state, or nil if it is unknown.
func (m *streamMap) tenant(name string) *tenantState {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.tenants[name]
}

// tenantOrNew returns a tenant's state, which is made if need be. The name is copied by the caller if it is borrowed.
func (m *streamMap) tenantOrNew(name string) *tenantState {
	if t := m.tenant(name); t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tenants[name]
	if t == nil {
		t = &tenantState{name: name}
		m.tenants[name] = t
	}
	return t
}

func (m *streamMap) shard(hash uint64) *shard { return &m.shards[hash%shardCount] }

// find returns a stream that is not known to be dead, or nil.
func (m *streamMap) find(t *tenantState, hash uint64, lbls labels.Labels) *stream {
	sh := m.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.findLocked(t, hash, lbls)
}

func (sh *shard) findLocked(t *tenantState, hash uint64, lbls labels.Labels) *stream {
	s := sh.streams[streamKey{t, hash}]
	for s != nil && !labels.Equal(s.labels, lbls) {
		s = s.next
	}
	return s
}

// add puts a stream into the map and the tenant's index unless there is one of these labels, which is then returned.
// admit is asked, under the lock, whether another stream of the tenant is allowed.
func (m *streamMap) add(s *stream, admit func() bool) (*stream, bool) {
	sh := m.shard(s.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if old := sh.findLocked(s.tenant, s.hash, s.labels); old != nil {
		return old, true
	}
	if !admit() {
		return nil, false
	}
	key := streamKey{s.tenant, s.hash}
	s.next = sh.streams[key]
	sh.streams[key] = s
	s.tenant.index.add(s)
	return s, true
}

// removeLocked takes a dead stream out. The shard's lock is held for writing.
func (sh *shard) removeLocked(s *stream) {
	key := streamKey{s.tenant, s.hash}
	if first := sh.streams[key]; first == s {
		if s.next == nil {
			delete(sh.streams, key)
		} else {
			sh.streams[key] = s.next
		}
	} else {
		for first.next != s {
			first = first.next
		}
		first.next = s.next
	}
	s.next = nil
	s.tenant.index.remove()
	s.tenant.streams.Add(-1)
}

// each calls fn for all streams of one shard; fn may lock the stream.
func (m *streamMap) each(i int, fn func(*stream)) {
	sh := &m.shards[i]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, s := range sh.streams {
		for ; s != nil; s = s.next {
			fn(s)
		}
	}
}

// Streams returns the number of streams in memory of each tenant that has any.
func (i *Ingester) Streams() map[string]int64 {
	i.streams.mu.RLock()
	defer i.streams.mu.RUnlock()
	out := make(map[string]int64, len(i.streams.tenants))
	for name, t := range i.streams.tenants {
		if n := t.streams.Load(); n > 0 {
			out[name] = n
		}
	}
	return out
}
