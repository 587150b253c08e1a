package cache

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/errgroup"
)

// MemcachedConfig describes memcached servers.
type MemcachedConfig struct {
	// Addresses are host:port, dns+host:port (all addresses of a name), dnssrv+name or dnssrvnoa+name, separated by commas.
	// Host and Service name an SRV record instead, _service._tcp.host; without such a record the addresses of the host count.
	Addresses, Host, Service string
	// Timeout bounds a write; a read is bounded by it and by ReadBudget.
	Timeout time.Duration
	// MaxIdle is the most idle connections to a server; zero leaves it to the client.
	MaxIdle int
	// MaxItemSize is the size from which on values are not kept; zero leaves it to the servers.
	MaxItemSize int
	// ConsistentHash moves only a server's share of the keys when it comes or goes; otherwise a key's server is its hash modulo
	// their number.
	ConsistentHash bool
	// Update is how often names are looked up again; zero means never.
	Update time.Duration
	// BatchSize is the most keys of one read, and Parallelism how many reads of one server there are at a time; zero bounds nothing.
	BatchSize, Parallelism int
	// Expiration is how long servers keep a value; zero means until there is no room.
	Expiration time.Duration
	// TLS is nil for plain text.
	TLS *tls.Config
}

func (c MemcachedConfig) enabled() bool { return c.Addresses != "" || c.Host != "" }

// longestExpiration is that from which on memcached takes seconds for a date.
const longestExpiration = 30 * 24 * time.Hour

// Memcached is a cache in memcached servers, each with a part of the keys and a breaker of its own: what a dead server would have is
// missing, and the others are asked on.
type Memcached struct {
	name, prefix string
	cfg          MemcachedConfig
	logger       *slog.Logger
	metrics      *metrics
	writes       *writeBehind
	// wrong is the last complaint about names, which is not repeated.
	wrong string

	mu    sync.RWMutex
	nodes []*node // by address
}

// node is one server.
type node struct {
	addr    string
	client  *memcache.Client
	breaker *breaker
	slots   chan struct{} // nil does not bound
	stop    context.CancelFunc
}

// NewMemcached returns a cache in memcached. It does not connect yet: names are looked up when it runs, and
// until then nothing is kept.
func NewMemcached(cfg Config, deps Deps) *Memcached {
	c := cfg.Memcached
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Expiration > longestExpiration {
		c.Expiration = longestExpiration
	}
	m := &Memcached{name: cfg.Name, prefix: cfg.Prefix, cfg: c, logger: deps.Logger, metrics: newMetrics(cfg.Name, "memcached", deps.Registerer)}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	m.writes = newWriteBehind(cfg.Write, m.metrics, m.write)
	return m
}

// keyOf is the name of a key in memcached, which takes no more than 250 bytes and no blanks. The envelope holds the key itself.
func (m *Memcached) keyOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return m.prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// pick returns the server of a key, or nil if there is none.
func (m *Memcached) pick(key string) *node {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.nodes) == 0 {
		return nil
	}
	if !m.cfg.ConsistentHash {
		return m.nodes[crc32.ChecksumIEEE([]byte(key))%uint32(len(m.nodes))]
	}
	var best *node
	most := uint64(0)
	for _, n := range m.nodes {
		h := fnv.New64a()
		_, _ = h.Write([]byte(n.addr + "\x00" + key)) // never fails
		if v := mix(h.Sum64()); best == nil || v > most {
			best, most = n, v
		}
	}
	return best
}

// mix spreads what differs in few bits over all of them.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// wanted are the keys that one server is asked for.
type wanted struct {
	node  *node
	keys  []string
	found map[string]*memcache.Item
	err   error
}

// Get implements Cache. The servers are asked side by side; what does not come in time is a miss.
func (m *Memcached) Get(ctx context.Context, keys ...string) [][]byte {
	out := make([][]byte, len(keys))
	if ctx.Err() != nil || len(keys) == 0 {
		return out
	}
	m.metrics.fetched.Add(float64(len(keys)))
	start := time.Now()
	names, batches := m.batches(keys)
	answers := make(chan *wanted, len(batches))
	for _, b := range batches {
		go func() {
			if b.node.slots != nil {
				b.node.slots <- struct{}{}
				defer func() { <-b.node.slots }()
			}
			b.found, b.err = b.node.client.GetMulti(b.keys)
			answers <- b
		}()
	}
	timer := time.NewTimer(min(ReadBudget, m.cfg.Timeout))
	defer timer.Stop()
	found := map[string]*memcache.Item{}
	waiting := map[*wanted]bool{}
	for _, b := range batches {
		waiting[b] = true
	}
	for left := len(batches); left > 0; left-- {
		select {
		case b := <-answers:
			delete(waiting, b)
			if b.err != nil {
				m.metrics.failures.Inc()
				b.node.breaker.failed(b.err)
			}
			for k, v := range b.found {
				found[k] = v
			}
			continue
		case <-timer.C:
			for b := range waiting {
				m.metrics.failures.Inc()
				b.node.breaker.failed(errLate)
			}
		case <-ctx.Done():
		}
		break
	}
	m.metrics.seconds.Observe(time.Since(start).Seconds())
	for i, key := range keys {
		item := found[names[i]]
		if item == nil {
			continue
		}
		value, ok := open(m.prefix+key, item.Value)
		if !ok {
			m.metrics.corrupt.Inc()
			continue
		}
		out[i] = value
		m.metrics.hits.Inc()
	}
	return out
}

// errLate is why a server that did not answer in time is not asked for a while.
var errLate = errors.New("no answer in time")

// batches divides keys among their servers, as far as these may be asked.
func (m *Memcached) batches(keys []string) (names []string, batches []*wanted) {
	names = make([]string, len(keys))
	open := map[*node]*wanted{}
	refused := map[*node]bool{}
	for i, key := range keys {
		names[i] = m.keyOf(key)
		n := m.pick(names[i])
		if n == nil || refused[n] {
			continue
		}
		b := open[n]
		if b == nil && !n.breaker.allow() {
			refused[n] = true
			continue
		}
		if b == nil || m.cfg.BatchSize > 0 && len(b.keys) == m.cfg.BatchSize {
			b = &wanted{node: n}
			open[n] = b
			batches = append(batches, b)
		}
		b.keys = append(b.keys, names[i])
	}
	return names, batches
}

// Put implements Cache.
func (m *Memcached) Put(key string, value []byte) {
	if len(value) == 0 {
		return
	}
	if m.cfg.MaxItemSize > 0 && len(value) > m.cfg.MaxItemSize {
		m.metrics.dropped.Inc()
		return
	}
	if n := m.pick(m.keyOf(key)); n != nil && n.breaker.allow() {
		m.writes.put(pair{key: key, value: value})
	}
}

// write sends values, one after the other.
func (m *Memcached) write(ctx context.Context, batch []pair) {
	for _, v := range batch {
		if ctx.Err() != nil {
			return
		}
		name, key := m.keyOf(v.key), m.prefix+v.key
		n := m.pick(name)
		if n == nil || !n.breaker.allow() {
			m.metrics.dropped.Inc()
			continue
		}
		err := n.client.Set(&memcache.Item{Key: name, Value: seal(key, v.value), Expiration: int32(m.cfg.Expiration / time.Second)})
		switch {
		case err == nil:
		case strings.HasPrefix(err.Error(), "memcache: "):
			// An answer, most often that the value is too large for the server, and no reason to leave it alone.
			m.metrics.dropped.Inc()
		default:
			m.metrics.failures.Inc()
			n.breaker.failed(err)
		}
	}
}

// Run implements Cache.
func (m *Memcached) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	m.update(ctx, g)
	g.Go(func() error { m.writes.run(ctx); return nil })
	if m.cfg.Update > 0 {
		g.Go(func() error {
			tick := time.NewTicker(m.cfg.Update)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
					m.update(ctx, g)
				}
			}
		})
	}
	err := g.Wait()
	m.mu.Lock()
	nodes := m.nodes
	m.nodes = nil
	m.mu.Unlock()
	for _, n := range nodes {
		if closing := n.client.Close(); closing != nil && err == nil {
			err = fmt.Errorf("cannot close the client of cache %s: %w", m.name, closing)
		}
	}
	return err
}

// connect returns a server.
func (m *Memcached) connect(addr string) *node {
	n := &node{addr: addr, client: memcache.New(addr)}
	n.client.Timeout, n.client.MaxIdleConns = m.cfg.Timeout, m.cfg.MaxIdle
	if m.cfg.TLS != nil {
		n.client.DialContext = (&tls.Dialer{NetDialer: &net.Dialer{Timeout: m.cfg.Timeout}, Config: m.cfg.TLS}).DialContext
	}
	if m.cfg.Parallelism > 0 {
		n.slots = make(chan struct{}, m.cfg.Parallelism)
	}
	n.breaker = newBreaker(m.name+" at "+addr, m.logger, m.metrics, func(context.Context) error {
		if err := n.client.Ping(); err != nil {
			return err
		}
		// The first one may have had to connect.
		begin := time.Now()
		if err := n.client.Ping(); err != nil {
			return err
		}
		if time.Since(begin) > ReadBudget {
			return errLate
		}
		return nil
	})
	return n
}
