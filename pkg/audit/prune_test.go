package audit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/audit"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

// alone returns the chunks whose sidecars lie alone.
func (w *world) alone(t *testing.T) map[model.ChunkRef]bool {
	t.Helper()
	out := map[model.ChunkRef]bool{}
	require.NoError(t, w.Bucket.List(t.Context(), store.SidecarPrefix, func(o objstore.ObjectInfo) error {
		ref, ok := store.ParseSidecarKey(o.Key)
		require.True(t, ok)
		out[ref] = true
		return nil
	}))
	return out
}

// described returns the chunks that have a sidecar.
func (w *world) described(t *testing.T) map[model.ChunkRef]bool {
	t.Helper()
	out := w.alone(t)
	packs := w.packs(t)
	for _, ref := range w.chunks(t) {
		for _, p := range packs {
			if _, ok := p.Find(ref); ok {
				out[ref] = true
			}
		}
	}
	return out
}

// reader returns a store in which no sidecar stays in memory, as a query finds it that comes now; it knows which packs there are.
func (w *world) reader(t *testing.T) *store.Store {
	t.Helper()
	w.deps.Sidecars.CacheBytes = 0
	s := w.open(t)
	w.reads(t, s, w.described(t))
	return s
}

// reads wants a store to find the sidecars of chunks.
func (w *world) reads(t *testing.T, s *store.Store, refs map[model.ChunkRef]bool) {
	t.Helper()
	for ref := range refs {
		o, err := s.Piece(ref).(logql.Outliner).Outline(t.Context(), sidecar.Filters)
		require.NoError(t, err)
		require.NotNil(t, o, "%+v", ref)
	}
}

// hideFile takes a file of the table that has most, and returns what puts it back.
func (w *world) hideFile(t *testing.T) (restore func()) {
	t.Helper()
	tables, err := w.bucket.Tables(t.Context(), audit.AllDays)
	require.NoError(t, err)
	table := slices.MaxFunc(tables, func(x, y audit.Table) int { return len(x.Files) - len(y.Files) })
	require.Greater(t, len(table.Files), 1)
	b, key := w.bucket.Index[table.Period], table.Files[0].Key
	body, err := b.Get(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, b.Delete(t.Context(), key))
	return func() { require.NoError(t, b.Put(t.Context(), key, body)) }
}

// TestPacksAreTheOnlyPlace removes the sidecars that lie alone once packs have what they hold for long enough, but for those that no pack
// has. Late chunks come into the packs of their day, for which chunks and sidecars are not read again.
func TestPacksAreTheOnlyPlace(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	restore := w.hideFile(t)
	large := w.chunks(t)[0]
	packing := func() {
		w.packing(1000)
		w.builder.Packed = func(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error) {
			if name.ChunkRef == large {
				return nil, nil
			}
			return w.store.SidecarToPack(ctx, name, there)
		}
	}
	packing()
	w.finish(t)
	before, packed := w.described(t), count(w.packs(t))
	few := w.alone(t)
	require.InDelta(t, len(w.chunks(t)), len(few), 10, "but for those that only the table of another day names")
	require.Equal(t, before, few, "nothing is removed yet")
	packing()
	w.now = w.now.Add(store.PackGrace)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Equal(t, few, w.alone(t), "packs are younger than this")
	reader := w.reader(t)

	packing()
	w.ripen(t)
	require.True(t, w.alone(t)[large])
	require.Equal(t, len(few)-packed, len(w.alone(t)), "what no pack has stays alone")
	require.Equal(t, before, w.described(t))
	require.Equal(t, float64(packed), w.metric(t, "logstore_compactor_sidecars_pruned_total"))
	w.reads(t, reader, before)
	w.reads(t, w.open(t), before)
	require.Equal(t, len(before), w.report(t).Described)

	restore()
	late := w.chunks(t)
	require.Greater(t, len(late), len(few))
	packing()
	w.now = w.now.Add(time.Hour)
	old := w.packs(t)
	w.gets, w.peeks = 0, 0
	built := map[model.ChunkRef]bool{}
	w.builder.Build = func(ctx context.Context, name schema.ChunkName) (bool, error) {
		built[name.ChunkRef] = true
		return w.store.BuildSidecar(ctx, name)
	}
	w.finish(t)
	require.Len(t, built, len(late)-len(few), "late chunks alone")
	require.LessOrEqual(t, w.gets, 3*len(built)+len(old), "late chunks, their sidecars, and each old pack once")
	w.reads(t, reader, before)
	reader = w.reader(t)
	w.ripen(t)
	all := w.described(t)
	require.Len(t, all, len(late))
	for ref := range built {
		require.True(t, all[ref])
	}
	require.Greater(t, count(w.packs(t)), packed)
	w.reads(t, reader, all)
	for n, p := range w.packs(t) {
		w.sound(t, n, p)
	}
	require.Equal(t, len(late), w.report(t).Described)
}

// TestUntouchedTables asks for nothing but lists once all is packed and pruned.
func TestUntouchedTables(t *testing.T) {
	w := newWorld(t, "l29-v12-tenant-compacted", 1000)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	w.packing(1000)
	w.now = w.now.Add(24 * time.Hour)
	w.gets, w.peeks, w.lists = 0, 0, 0
	w.changed = func(op, key string, _ bool) error { return fmt.Errorf("%s %s", op, key) }
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Equal(t, []int{0, 0, 1}, []int{w.gets, w.peeks, w.lists}, "the packs are listed")
}

// TestPruningInPieces removes a few sidecars in each pass, and notes that it is done after the last.
func TestPruningInPieces(t *testing.T) {
	w := newWorld(t, "l29-v12-tenant-compacted", 1000)
	w.packing(1000)
	w.finish(t)
	w.packing(1)
	all := len(w.alone(t))
	require.Greater(t, all, 2*64)
	w.now = w.now.Add(store.PackGrace + time.Minute)
	for passes := 1; ; passes++ {
		before := len(w.alone(t))
		require.NoError(t, w.builder.Pass(t.Context()))
		left := len(w.alone(t))
		require.LessOrEqual(t, before-left, 64)
		if before == left {
			require.GreaterOrEqual(t, passes, all/64)
			break
		}
	}
	require.Less(t, len(w.alone(t)), store.MinPacked*4)
}

// TestLostPacks makes packs anew that were lost, wholly or in their directory, whose table has not changed.
func TestLostPacks(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		w := newWorld(t, "l29-v12-tenant-compacted", 1000)
		w.packing(1000)
		w.finish(t)
		want, packs := w.described(t), w.packs(t)
		if when == "after" {
			w.ripen(t)
		}
		names := slices.SortedFunc(maps.Keys(packs), func(a, b store.PackName) int { return strings.Compare(a.Key(), b.Key()) })
		require.NoError(t, w.Delete(t.Context(), names[0].Key()))
		if when == "before" {
			data, err := w.Bucket.Get(t.Context(), names[1].Key())
			require.NoError(t, err)
			data[names[1].Middle.From+20] ^= 1
			require.NoError(t, w.Put(t.Context(), names[1].Key(), data))
		}
		w.packing(1000)
		w.now = w.now.Add(store.PackGrace + time.Minute)
		require.NoError(t, w.builder.Pass(t.Context()))
		w.packing(1000)
		w.finish(t)
		w.ripen(t)
		require.Equal(t, want, w.described(t))
		require.Equal(t, packs, w.packs(t))
		w.reads(t, w.reader(t), want)
	}
}

// TestDamagedOldPacks takes nothing from an old pack that is damaged, and describes its chunks anew.
func TestDamagedOldPacks(t *testing.T) {
	w := newWorld(t, "l29-v12-tenant-compacted", 1000)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	want := w.described(t)
	for n := range w.packs(t) {
		data, err := w.Bucket.Get(t.Context(), n.Key())
		require.NoError(t, err)
		for i := range data {
			if i%97 == 0 && (i < n.Middle.From || i >= n.Middle.To) {
				data[i] ^= 1
			}
		}
		require.NoError(t, w.Put(t.Context(), n.Key(), data))
	}
	w.touchTables(t)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	require.Equal(t, want, w.described(t))
	for n, p := range w.packs(t) {
		w.sound(t, n, p)
	}
}

// TestFewSidecarsInPacks keeps a pack for what is in no other place.
func TestFewSidecarsInPacks(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	w.deps.Sidecars.MinChunk = 1 << 20
	w.store = w.open(t)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	require.Empty(t, w.alone(t))
	want := w.described(t)
	require.NotEmpty(t, want)
	w.touchTables(t)
	w.packing(1000)
	w.gets = 0
	built := 0
	w.builder.Build = func(ctx context.Context, name schema.ChunkName) (bool, error) {
		built++
		return w.store.BuildSidecar(ctx, name)
	}
	packed := map[model.ChunkRef]bool{}
	w.builder.Packed = func(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error) {
		packed[name.ChunkRef] = true
		return w.store.SidecarToPack(ctx, name, there)
	}
	old := w.packs(t)
	w.finish(t)
	for ref := range want {
		require.False(t, packed[ref], "it is in an old pack")
	}
	require.LessOrEqual(t, built, len(w.chunks(t))-len(want))
	require.LessOrEqual(t, w.gets, len(old)+built, "small chunks are not read again")
	w.ripen(t)
	require.Equal(t, want, w.described(t))
}

// TestLastSidecarsOfAPack keeps a pack for a few that are in no other place.
func TestLastSidecarsOfAPack(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	packs := w.packs(t)
	n := slices.MinFunc(slices.Collect(maps.Keys(packs)), func(a, b store.PackName) int { return strings.Compare(a.Key(), b.Key()) })
	data, err := w.Bucket.Get(t.Context(), n.Key())
	require.NoError(t, err)
	refs, small := packs[n].Refs(), sidecar.PackWriter{Tenant: n.Tenant}
	require.GreaterOrEqual(t, len(refs), store.MinPacked)
	for i, ref := range refs {
		if i < 2 {
			small.Add(ref, packs[n].Object(data, ref))
		} else {
			require.NoError(t, w.store.DeleteChunk(t.Context(), schema.ChunkName{ChunkRef: ref, Layout: w.bucket.Periods.LayoutOf(ref.From)}))
		}
	}
	require.NoError(t, w.Delete(t.Context(), n.Key()))
	data, n.Middle = small.Bytes()
	n.Last = small.Last()
	require.NoError(t, w.Put(t.Context(), n.Key(), data))
	w.touchTables(t)
	w.packing(1000)
	w.finish(t)
	w.ripen(t)
	require.NotContains(t, w.packs(t), n)
	has := w.described(t)
	for i, ref := range refs {
		require.Equal(t, i < 2, has[ref])
	}
	require.False(t, w.alone(t)[refs[0]])
}

var errKilled = errors.New("killed")

// TestKilledPasses ends a pass before and after each change of the bucket that packing and pruning make, at first and after the tables
// changed: a chunk that had a sidecar has it all the time, for readers that know the packs of now and for those that know them of a while
// ago, and in the end everything is as if nothing had been.
func TestKilledPasses(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	restore := w.hideFile(t)
	had, died := map[model.ChunkRef]bool{}, map[string]int{}
	kill := func() {
		seen := map[string]bool{}
		w.changed = func(op, key string, done bool) error {
			step := fmt.Sprint(op, key, done)
			if seen[step] {
				return nil
			}
			seen[step] = true
			if strings.HasPrefix(key, store.SidecarPrefix) && len(seen)%20 > 0 {
				return nil // There are many of them.
			}
			died[op+" "+strings.Join(strings.SplitN(key, "/", 3)[:2], "/")]++
			return errKilled
		}
	}
	live := func(stale *store.Store) {
		t.Helper()
		for i := 0; ; i++ {
			require.Less(t, i, 5000)
			w.packing(1000)
			before := w.now
			err := w.builder.Pass(t.Context())
			w.now = before
			changed := w.changed
			w.changed = nil
			has := w.described(t)
			for ref := range had {
				require.True(t, has[ref], "%+v lost its sidecar", ref)
			}
			had = has
			if i%10 == 0 || err == nil {
				w.reads(t, w.reader(t), has)
				if stale != nil {
					w.reads(t, stale, has)
				}
			}
			w.changed = changed
			if err == nil && w.left(t) == 0 {
				return
			}
			if err != nil {
				require.ErrorIs(t, err, errKilled)
			}
		}
	}
	for round := range 3 {
		if round == 1 {
			restore()
		} else if round == 2 {
			w.touchTables(t)
		}
		kill()
		live(nil)
		w.changed = nil
		stale := w.reader(t)
		w.now = w.now.Add(store.PackGrace + time.Minute)
		kill()
		live(stale)
		w.changed = nil
		w.now = w.now.Add(-store.PackGrace)
	}
	w.packing(1000)
	w.ripen(t)
	t.Log(died)
	for _, step := range []string{"put logstore/sidecar", "put logstore/sidecar-packs", "put __logstore__/sidecars", "delete logstore/sidecar", "delete logstore/sidecar-packs", "delete __logstore__/sidecars"} {
		require.Positive(t, died[step], step)
	}

	whole := newWorld(t, "l29-v12-raw", 1000)
	whole.packing(1000)
	whole.finish(t)
	whole.ripen(t)
	require.Equal(t, whole.described(t), w.described(t))
	require.Equal(t, whole.alone(t), w.alone(t))
	require.Len(t, w.packs(t), len(whole.packs(t)))
	require.Equal(t, count(whole.packs(t)), count(w.packs(t)))
}
