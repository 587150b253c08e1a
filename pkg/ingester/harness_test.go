package ingester

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/tenant"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

const (
	waitLong  = 10 * time.Second
	waitShort = time.Millisecond
)

// memStore keeps what was flushed. Its behaviour can be changed while it is in use.
type memStore struct {
	mu      sync.Mutex
	objects map[model.ChunkRef][]byte
	rows    map[model.ChunkRef]labels.Labels
	// putObject and putIndex, if set, are asked first.
	putObject func(ctx context.Context, ref model.ChunkRef) error
	putIndex  func(ctx context.Context, entries []schema.IndexEntry) error
	// calls count the attempts.
	objectCalls, indexCalls int
}

func newMemStore() *memStore {
	return &memStore{objects: map[model.ChunkRef][]byte{}, rows: map[model.ChunkRef]labels.Labels{}}
}

func (m *memStore) PutObject(ctx context.Context, ref model.ChunkRef, object []byte) (bool, error) {
	m.mu.Lock()
	m.objectCalls++
	fail := m.putObject
	m.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, ref); err != nil {
			return false, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, there := m.objects[ref]
	m.objects[ref] = bytes.Clone(object)
	return !there, nil
}

func (m *memStore) PutIndex(ctx context.Context, entries []schema.IndexEntry) error {
	m.mu.Lock()
	m.indexCalls++
	fail := m.putIndex
	m.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, entries); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if _, ok := m.objects[e.Ref]; !ok {
			return errors.New("an index row of a chunk that was not stored")
		}
		m.rows[e.Ref] = e.Labels
	}
	return nil
}

func (m *memStore) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *memStore) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

// entry is what a test knows of a stored entry.
type entry struct {
	tenant, stream string
	ts             int64
	line, meta     string
}

func (e entry) compare(o entry) int {
	return cmp.Or(strings.Compare(e.tenant, o.tenant), strings.Compare(e.stream, o.stream), cmp.Compare(e.ts, o.ts),
		strings.Compare(e.line, o.line), strings.Compare(e.meta, o.meta))
}

func entriesOf(t testing.TB, tenant string, lbls labels.Labels, c *chunk.Chunk) []entry {
	t.Helper()
	var out []entry
	for i := range c.Blocks {
		b := chunk.GetBatch()
		require.NoError(t, b.Load(&c.Blocks[i]))
		require.NoError(t, b.Walk())
		for k := range b.Len() {
			var meta strings.Builder
			for _, p := range b.Metadata(k, nil) {
				fmt.Fprintf(&meta, "%s=%s;", p.Name, p.Value)
			}
			out = append(out, entry{tenant, lbls.String(), b.Ts[k], string(b.Line(k)), meta.String()})
		}
		chunk.PutBatch(b)
	}
	return out
}

// all returns every entry in the store.
func (m *memStore) all(t testing.TB) []entry {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []entry
	for ref, lbls := range m.rows {
		c, err := chunk.OpenRef(m.objects[ref], ref)
		require.NoError(t, err)
		require.True(t, labels.Equal(lbls, c.Labels))
		require.True(t, c.Ordered())
		out = append(out, entriesOf(t, ref.Tenant, c.Labels, c)...)
	}
	return out
}

// inMemory returns every entry that the ingester answers with.
func inMemory(t testing.TB, i *Ingester, tenants ...string) []entry {
	t.Helper()
	var out []entry
	for _, id := range tenants {
		ctx := tenant.Inject(t.Context(), id)
		streams, err := i.Select(ctx, logql.Selection{Interval: model.Interval{Start: minTime, End: -minTime}})
		require.NoError(t, err)
		for _, s := range streams {
			for _, p := range s.Pieces {
				c, err := p.Open(ctx)
				require.NoError(t, err)
				out = append(out, entriesOf(t, id, s.Labels, c)...)
			}
		}
	}
	return out
}

func sorted(list []entry) []entry {
	slices.SortFunc(list, entry.compare)
	return list
}

// distinct is what a query shows: each entry once.
func distinct(list []entry) []entry { return slices.Compact(sorted(slices.Clone(list))) }

// node is an ingester under test.
type node struct {
	*Ingester
	t     testing.TB
	store *memStore
	stop  context.CancelFunc
	done  chan error
	reg   *prometheus.Registry
	lim   *limits.Overrides
}

func testConfig(dir string) Config {
	cfg := DefaultConfig
	cfg.WALDir = dir
	cfg.MemoryLimit = 256 << 20
	cfg.HeadLimit = 64 << 20
	cfg.SealWorkers = 2
	cfg.ConcurrentFlushes = 4
	cfg.MinBackoff = 10 * time.Millisecond
	cfg.MaxBackoff = 100 * time.Millisecond
	cfg.FlushOnShutdown = false
	return cfg
}

func testLimits() limits.Limits {
	l := limits.DefaultLimits()
	l.PerStreamRateLimit = 0
	l.MaxGlobalStreamsPerUser = 0
	return l
}

func build(t testing.TB, cfg Config, store *memStore, fs wal.FS, other ...Store) *node {
	t.Helper()
	lim, err := limits.New(testLimits())
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	use := Store(store)
	if len(other) > 0 {
		use = other[0]
	}
	i, err := New(cfg, Deps{Store: use, Limits: lim, Periods: schema.Periods{schema.DefaultPeriod}, FS: fs, Registry: reg,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	return &node{Ingester: i, t: t, store: store, reg: reg, lim: lim, done: make(chan error, 1)}
}

// start builds an ingester and waits until it runs.
func start(t testing.TB, cfg Config, store *memStore, fs wal.FS, other ...Store) *node {
	t.Helper()
	n := build(t, cfg, store, fs, other...)
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, 20*time.Second, time.Millisecond)
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.done <- n.Run(ctx) }()
}

// end stops the ingester and waits.
func (n *node) end() {
	n.t.Helper()
	n.stop()
	select {
	case err := <-n.done:
		require.NoError(n.t, err)
	case <-time.After(60 * time.Second):
		n.t.Fatal("Run did not return")
	}
}

func labelled(text map[string]string, entries ...wire.PushEntry) wire.Stream {
	l := labels.FromMap(text)
	return wire.Stream{Labels: l, Text: l.String(), Hash: labels.StableHash(l), Entries: entries}
}

func app(name string, entries ...wire.PushEntry) wire.Stream {
	return labelled(map[string]string{"app": name}, entries...)
}

func at(ts int64, line string, meta ...string) wire.PushEntry {
	e := wire.PushEntry{Timestamp: ts, Line: []byte(line)}
	for k := 0; k < len(meta); k += 2 {
		e.Metadata = append(e.Metadata, model.Pair{Name: meta[k], Value: meta[k+1]})
	}
	return e
}

func expect(tenant string, streams ...wire.Stream) []entry {
	var out []entry
	for _, s := range streams {
		for _, e := range s.Entries {
			var meta strings.Builder
			for _, p := range e.Metadata {
				fmt.Fprintf(&meta, "%s=%s;", p.Name, p.Value)
			}
			out = append(out, entry{tenant, s.Labels.String(), e.Timestamp, string(e.Line), meta.String()})
		}
	}
	return out
}

func (n *node) push(tenant string, streams ...wire.Stream) {
	n.t.Helper()
	require.NoError(n.t, n.Push(context.Background(), tenant, streams))
}
