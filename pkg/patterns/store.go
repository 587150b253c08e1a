package patterns

import (
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Store has a miner for each stream of each tenant. It is safe for concurrent use.
type Store struct {
	cfg        Config
	maxStreams int

	mu      sync.RWMutex
	tenants map[string]map[string]*mined
}

// mined is a stream and its miner.
type mined struct {
	labels labels.Labels

	mu    sync.Mutex
	miner *Miner
	// newest is the time of the newest line, by which idle streams are found.
	newest int64
}

// Line is what a store is trained with.
type Line struct {
	Timestamp int64
	Text      []byte
	Level     string
}

// NewStore returns a store of at most maxStreams streams per tenant; lines of further streams do not count until others
// have been idle for Config.Keep.
func NewStore(cfg Config, maxStreams int) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, maxStreams: maxStreams, tenants: map[string]map[string]*mined{}}, nil
}

// Stream returns what trains a stream, or nil if the tenant has too many. Name is the stream's labels as text.
func (s *Store) Stream(tenant, name string, lbs labels.Labels) func(Line) {
	s.mu.RLock()
	m := s.tenants[tenant][name]
	s.mu.RUnlock()
	if m == nil {
		if m = s.add(tenant, name, lbs); m == nil {
			return nil
		}
	}
	return m.train
}

func (s *Store) add(tenant, name string, lbs labels.Labels) *mined {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := s.tenants[tenant]
	if streams == nil {
		streams = map[string]*mined{}
		s.tenants[tenant] = streams
	}
	if m := streams[name]; m != nil {
		return m
	}
	if len(streams) >= s.maxStreams {
		return nil
	}
	m := &mined{labels: lbs, miner: NewMiner(s.cfg)}
	streams[name] = m
	return m
}

func (m *mined) train(l Line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.miner.Train(l.Timestamp, l.Text, l.Level)
	m.newest = max(m.newest, l.Timestamp)
}

// Patterns returns the templates of the streams that all matchers accept, in [from, to), most frequent first.
func (s *Store) Patterns(tenant string, matchers []*labels.Matcher, from, to, step int64) []Pattern {
	s.mu.RLock()
	var streams []*mined
	for _, m := range s.tenants[tenant] {
		if matches(m.labels, matchers) {
			streams = append(streams, m)
		}
	}
	s.mu.RUnlock()
	var all []Pattern
	for _, m := range streams {
		m.mu.Lock()
		all = append(all, m.miner.Patterns(from, to, step)...)
		m.mu.Unlock()
	}
	return Merge(all)
}

func matches(lbs labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(lbs.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Prune forgets streams without a line for Config.Keep before now, and what the others counted before that.
func (s *Store) Prune(now time.Time) {
	oldest := now.Add(-s.cfg.Keep).UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant, streams := range s.tenants {
		for name, m := range streams {
			m.mu.Lock()
			idle := m.newest < oldest
			if !idle {
				m.miner.Prune(oldest)
			}
			m.mu.Unlock()
			if idle {
				delete(streams, name)
			}
		}
		if len(streams) == 0 {
			delete(s.tenants, tenant)
		}
	}
}
