package audit_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
	"logstore/pkg/audit"
	"logstore/pkg/buckets"
	"logstore/pkg/config"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

// counting counts what is fetched from a bucket.
type counting struct {
	hooked
	gets, peeks, lists int
}

// hooked is a bucket that tells of changes. on is called, one call at a time, before one takes place and after that; its error is that of
// the change.
type hooked struct {
	objstore.Bucket
	on *func(op, key string, done bool) error
}

// telling guards the calls of on.
var telling sync.Mutex

func (h *hooked) tell(op, key string, done bool) error {
	telling.Lock()
	defer telling.Unlock()
	if *h.on == nil {
		return nil
	}
	return (*h.on)(op, key, done)
}

func (h *hooked) change(op, key string, do func() error) error {
	if err := h.tell(op, key, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return h.tell(op, key, true)
}

func (h *hooked) Put(ctx context.Context, key string, body []byte) error {
	return h.change("put", key, func() error { return h.Bucket.Put(ctx, key, body) })
}

func (h *hooked) Delete(ctx context.Context, key string) error {
	return h.change("delete", key, func() error { return h.Bucket.Delete(ctx, key) })
}

func (c *counting) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	c.peeks++
	return c.Bucket.GetRange(ctx, key, offset, length)
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, error) {
	c.gets++
	return c.Bucket.Get(ctx, key)
}

func (c *counting) List(ctx context.Context, prefix string, fn func(objstore.ObjectInfo) error) error {
	c.lists++
	return c.Bucket.List(ctx, prefix, fn)
}

// world is a recorded bucket in which sidecars are built.
type world struct {
	*counting
	// changed is what hooked calls.
	changed func(op, key string, done bool) error
	deps    store.Deps
	store   *store.Store
	bucket  *audit.Bucket
	builder *audit.SidecarBuilder
	reg     *prometheus.Registry
	now     time.Time
}

func newWorld(t *testing.T, name string, perPass int) *world {
	t.Helper()
	c := lokibuckets.Open(t, name)
	env := map[string]string{"DATA_DIR": filepath.Dir(c.Config), "HTTP_PORT": "1", "GRPC_PORT": "2"}
	setup, err := config.Load([]string{"-config.file=" + c.Config, "-config.expand-env"}, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	require.NoError(t, err)
	bs, err := buckets.New(setup.Config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	chunks, err := bs.Chunks()
	require.NoError(t, err)
	index, err := bs.Index()
	require.NoError(t, err)
	w := &world{counting: &counting{}, now: time.Now()}
	w.counting.on = &w.changed
	for name, o := range chunks {
		w.Bucket, o.Bucket = o.Bucket, w.counting
		chunks[name] = o
	}
	same := map[objstore.Bucket]objstore.Bucket{}
	for i, b := range index {
		if same[b] == nil {
			same[b] = &hooked{b, &w.changed}
		}
		index[i] = same[b]
	}
	w.deps = store.Deps{Periods: bs.Periods, Stores: chunks, Sidecars: store.DefaultSidecarConfig}
	w.deps.Sidecars.MinChunk = 1
	w.store = w.open(t)
	w.bucket = &audit.Bucket{Periods: bs.Periods, Index: index, Chunks: chunks, Dir: filepath.Join(t.TempDir(), "work")}
	require.NoError(t, os.MkdirAll(w.bucket.Dir, 0o777))
	w.restart(perPass)
	return w
}

// open makes a store that has nothing in memory.
func (w *world) open(t *testing.T) *store.Store {
	t.Helper()
	w.deps.Registerer = prometheus.NewRegistry()
	s, err := store.New(w.deps)
	require.NoError(t, err)
	return s
}

// restart begins with what is in the bucket alone.
func (w *world) restart(perPass int) {
	w.reg = prometheus.NewRegistry()
	w.builder = &audit.SidecarBuilder{Bucket: w.bucket, Build: w.store.BuildSidecar, Current: w.store.CurrentSidecar, PerPass: perPass, Now: func() time.Time { return w.now }}
	w.builder.Register(w.reg)
}

func (w *world) report(t *testing.T) *audit.Report {
	t.Helper()
	require.NoError(t, os.MkdirAll(w.bucket.Dir, 0o777))
	r, err := audit.Check(t.Context(), w.bucket, audit.Options{Days: audit.AllDays, Quick: true})
	require.NoError(t, err)
	return r
}

// left returns how many tables are not done.
func (w *world) left(t *testing.T) float64 {
	t.Helper()
	families, err := w.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "logstore_compactor_sidecar_tables_left" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

// TestSidecarsOfRecordedBuckets builds the sidecars of buckets that Loki wrote, some chunks in each pass and each chunk once, and leaves
// a bucket alone that has all.
func TestSidecarsOfRecordedBuckets(t *testing.T) {
	for _, name := range []string{"l29-v12-tenant-compacted", "l29-periods", "l37-tsdb-raw"} {
		t.Run(name, func(t *testing.T) {
			const perPass = 7
			w := newWorld(t, name, perPass)
			before := w.report(t)
			require.Zero(t, before.Sidecars)
			require.Greater(t, before.Chunks, perPass)
			passes := 0
			for ; passes == 0 || w.left(t) > 0; passes++ {
				require.Less(t, passes, before.Chunks)
				w.gets, w.lists = 0, 0
				require.NoError(t, w.builder.Pass(t.Context()))
				require.LessOrEqual(t, w.gets, perPass)
			}
			after := w.report(t)
			require.Equal(t, before.Chunks-before.Redundant-before.ByKind[audit.NotIndexed], after.Sidecars)
			require.Zero(t, after.Strays)
			require.Positive(t, after.Own, "what says that tables are done")
			require.Equal(t, before.Others, after.Others)
			require.Equal(t, before.Problems, after.Problems)
			require.GreaterOrEqual(t, passes, after.Sidecars/perPass)

			w.restart(perPass)
			w.gets = 0
			require.NoError(t, w.builder.Pass(t.Context()))
			require.Zero(t, w.left(t))
			require.Zero(t, w.gets)
			w.lists = 0
			require.NoError(t, w.builder.Pass(t.Context()), "an idle pass")
			require.Zero(t, w.lists)
		})
	}
}

// TestSidecarsOfOddChunks passes over chunks that need no sidecar, or cannot be read, and comes to the others behind them; a table that
// changes is looked at again.
func TestSidecarsOfOddChunks(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 3)
	var keys []string
	require.NoError(t, w.Bucket.List(t.Context(), "", func(o objstore.ObjectInfo) error {
		if _, err := schema.ParseChunkPath(o.Key); err == nil {
			keys = append(keys, o.Key)
		}
		return nil
	}))
	require.NoError(t, w.Put(t.Context(), keys[0], []byte("no chunk")))
	require.NoError(t, w.Delete(t.Context(), keys[1]))
	small := map[string]bool{}
	w.builder.Build = func(ctx context.Context, name schema.ChunkName) (bool, error) {
		if name.Fingerprint%2 == 0 {
			small[name.Key()] = true
			return false, nil
		}
		return w.store.BuildSidecar(ctx, name)
	}
	w.finish(t)
	r := w.report(t)
	require.NotEmpty(t, small)
	require.InDelta(t, len(keys)-len(small), r.Sidecars, 2)
	require.Positive(t, r.Sidecars)

	w.deleteSidecars(t)
	require.Zero(t, w.report(t).Sidecars)
	w.now = w.now.Add(24 * time.Hour)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Zero(t, w.report(t).Sidecars, "the table has not changed")
	w.touchTables(t)
	w.now = w.now.Add(24 * time.Hour)
	w.finish(t)
	require.Equal(t, r.Sidecars, w.report(t).Sidecars)
	results, err := testutil.GatherAndCount(w.reg, "logstore_compactor_sidecar_chunks_total")
	require.NoError(t, err)
	require.Equal(t, 3, results, "built, small, failed")
}

// TestSidecarsOfOldVersions makes sidecars anew that are of an old version, or no sidecars at all, a few in each pass, and looks at the
// beginnings of the others once.
func TestSidecarsOfOldVersions(t *testing.T) {
	const perPass = 2
	w := newWorld(t, "l29-v12-raw", 1000)
	w.finish(t)
	good := map[string][]byte{}
	require.NoError(t, w.Bucket.List(t.Context(), store.SidecarPrefix, func(o objstore.ObjectInfo) error {
		data, err := w.Bucket.Get(t.Context(), o.Key)
		good[o.Key] = data
		return err
	}))
	spoiled := 0
	for key, data := range good {
		if spoiled++; spoiled > 5 {
			break
		}
		old := append([]byte(nil), data...)
		old[4] = sidecar.Version - 1
		if spoiled == 1 {
			old = []byte("LSS")
		}
		require.NoError(t, w.Put(t.Context(), key, old))
	}
	require.Greater(t, len(good), 5)
	w.restart(perPass)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Zero(t, w.left(t), "tables are done, as far as this version is")

	// The tables were done by a program of another version.
	w.restart(perPass)
	w.touchTables(t)
	w.gets, w.peeks = 0, 0
	for passes := 1; passes == 1 || w.left(t) > 0; passes++ {
		require.NoError(t, w.builder.Pass(t.Context()))
		require.LessOrEqual(t, w.gets, passes*perPass)
		require.LessOrEqual(t, w.peeks, passes*perPass*16)
		require.Less(t, passes, 100)
	}
	require.Equal(t, 5, w.gets, "chunks read")
	require.InDelta(t, len(good), w.peeks, 5, "each once, but those for which a pass has no room")
	for key, want := range good {
		data, err := w.Bucket.Get(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, want, data, key)
	}
}

// finish makes passes until no table is left.
func (w *world) finish(t *testing.T) {
	t.Helper()
	for range 100 {
		require.NoError(t, w.builder.Pass(t.Context()))
		if w.left(t) == 0 {
			return
		}
	}
	t.Fatal("tables are left")
}

// deleteSidecars removes all of them.
func (w *world) deleteSidecars(t *testing.T) {
	t.Helper()
	var keys []string
	require.NoError(t, w.Bucket.List(t.Context(), store.SidecarPrefix, func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	}))
	for _, key := range keys {
		require.NoError(t, w.Delete(t.Context(), key))
	}
}

// touchTables gives the index files other names.
func (w *world) touchTables(t *testing.T) {
	t.Helper()
	tables, err := w.bucket.Tables(t.Context(), audit.AllDays)
	require.NoError(t, err)
	for i := range tables {
		b := w.bucket.Index[tables[i].Period]
		for _, f := range tables[i].Files {
			body, err := b.Get(t.Context(), f.Key)
			require.NoError(t, err)
			dir, name := f.Key[:strings.LastIndexByte(f.Key, '/')+1], f.Key[strings.LastIndexByte(f.Key, '/')+1:]
			require.NoError(t, b.Put(t.Context(), dir+"moved-"+name, body))
			require.NoError(t, b.Delete(t.Context(), f.Key))
		}
	}
}
