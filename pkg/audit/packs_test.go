package audit_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/pkg/audit"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

// packs returns the packs in the bucket by name, opened.
func (w *world) packs(t *testing.T) map[store.PackName]*sidecar.Pack {
	t.Helper()
	out := map[store.PackName]*sidecar.Pack{}
	require.NoError(t, w.List(t.Context(), store.PackPrefix, func(o objstore.ObjectInfo) error {
		n, ok := store.ParsePackKey(o.Key)
		require.True(t, ok, o.Key)
		data, err := w.GetRange(t.Context(), o.Key, int64(n.Middle.From), int64(n.Middle.Len()))
		require.NoError(t, err)
		out[n], err = sidecar.OpenPack(data, n.Tenant)
		require.NoError(t, err)
		require.Equal(t, int64(out[n].Size()), o.Size)
		return nil
	}))
	return out
}

// count returns how many sidecars the packs hold.
func count(packs map[store.PackName]*sidecar.Pack) (n int) {
	for _, p := range packs {
		n += p.Len()
	}
	return n
}

// chunks returns the chunks that the index names.
func (w *world) chunks(t *testing.T) (out []model.ChunkRef) {
	t.Helper()
	tables, err := w.bucket.Tables(t.Context(), audit.AllDays)
	require.NoError(t, err)
	seen := map[model.ChunkRef]bool{}
	for i := range tables {
		for k := range tables[i].Files {
			require.NoError(t, w.bucket.Scan(t.Context(), &tables[i], &tables[i].Files[k], audit.Visitor{Chunk: func(n audit.Named) error {
				if !seen[n.ChunkRef] {
					seen[n.ChunkRef] = true
					out = append(out, n.ChunkRef)
				}
				return nil
			}}))
		}
	}
	return out
}

// packing makes the builder pack from now on.
func (w *world) packing(perPass int) {
	w.restart(perPass)
	w.builder.Packed = w.store.SidecarToPack
}

// TestPacksOfRecordedBuckets packs the sidecars of each chunk once, on the day on which it begins, and again when its table changes.
func TestPacksOfRecordedBuckets(t *testing.T) {
	for _, name := range []string{"l29-v12-tenant-compacted", "l29-periods", "l37-tsdb-raw"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name, 10)
			w.packing(10)
			w.finish(t)
			packs := w.packs(t)
			byTable := map[string]int{}
			for _, ref := range w.chunks(t) {
				byTable[fmt.Sprint(ref.Tenant, schema.Day(ref.From))]++
			}
			want := 0
			for _, n := range byTable {
				if n >= store.MinPacked {
					want += n
				}
			}
			require.Positive(t, want)
			require.InDelta(t, want, count(packs), 1, "but for one that cannot be read")
			require.Equal(t, float64(len(packs)), w.metric(t, "logstore_compactor_sidecar_packs_total"))
			require.Zero(t, w.report(t).Others, "they are known as ours")
			for n, p := range packs {
				w.sound(t, n, p)
			}

			w.packing(10)
			require.NoError(t, w.builder.Pass(t.Context()))
			require.Zero(t, w.left(t))
			require.Equal(t, packs, w.packs(t), "nothing changed")

			w.touchTables(t)
			w.packing(10)
			w.finish(t)
			w.ripen(t)
			again := w.packs(t)
			require.Equal(t, count(packs), count(again))
			for n := range again {
				require.NotContains(t, packs, n, "it is of other files")
			}
		})
	}
}

// sound checks a pack's sidecars against those that lie alone.
func (w *world) sound(t *testing.T, n store.PackName, p *sidecar.Pack) {
	t.Helper()
	data, err := w.Bucket.Get(t.Context(), n.Key())
	require.NoError(t, err)
	found := 0
	for _, ref := range w.chunks(t) {
		object := p.Object(data, ref)
		if object == nil {
			continue
		}
		found++
		_, _, err := sidecar.Open(object, ref)
		require.NoError(t, err)
		require.GreaterOrEqual(t, ref.From, n.First)
		require.LessOrEqual(t, ref.From, n.Last)
	}
	require.Equal(t, p.Len(), found)
}

// metric returns the value of a metric without labels.
func (w *world) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := w.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// ripen lets the grace pass and makes passes until nothing is left to remove.
func (w *world) ripen(t *testing.T) {
	t.Helper()
	w.now = w.now.Add(store.PackGrace + time.Minute)
	changes := 1
	for i := 0; changes > 0; i++ {
		require.Less(t, i, 1000)
		changes = 0
		w.changed = func(string, string, bool) error { changes++; return nil }
		require.NoError(t, w.builder.Pass(t.Context()))
	}
	w.changed = nil
}

// TestPacksGoWithTheirTables removes packs of tables that are gone at once, and what is no pack, also where no sidecars are made any more.
// Leftovers of a pass that did not end go once others are there for long enough.
func TestPacksGoWithTheirTables(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	w.packing(1000)
	w.finish(t)
	packs := w.packs(t)
	require.NotEmpty(t, packs)

	var leftover store.PackName
	for leftover = range packs {
		break
	}
	gone := leftover
	leftover.State, leftover.Part = "00", 3
	gone.Table = "index_1"
	require.NoError(t, w.Put(t.Context(), leftover.Key(), []byte("of a table that is no more")))
	require.NoError(t, w.Put(t.Context(), gone.Key(), []byte("the same")))
	require.NoError(t, w.Put(t.Context(), store.PackPrefix+"what is this", nil))
	keys := func() (out []string) {
		require.NoError(t, w.List(t.Context(), store.PackPrefix, func(o objstore.ObjectInfo) error { out = append(out, o.Key); return nil }))
		return out
	}
	w.packing(0)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Len(t, keys(), len(packs)+1)
	require.Contains(t, keys(), leftover.Key())
	w.packing(1000)
	w.ripen(t)
	require.Equal(t, packs, w.packs(t))

	w.touchTables(t)
	w.packing(0)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Equal(t, packs, w.packs(t), "they are the only place of what they hold")
	tables, err := w.bucket.Tables(t.Context(), audit.AllDays)
	require.NoError(t, err)
	for _, table := range tables {
		for _, f := range table.Files {
			require.NoError(t, w.bucket.Index[table.Period].Delete(t.Context(), f.Key))
		}
	}
	w.packing(0)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.Empty(t, keys())
	w.lists = 0
	w.now = w.now.Add(48 * time.Hour)
	require.NoError(t, w.builder.Pass(t.Context()))
	require.LessOrEqual(t, w.lists, 1, "without packs there is nothing to do")
}

// TestPackingFails leaves a table open whose packs cannot be written, and packs it in the next pass.
func TestPackingFails(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	w.packing(1000)
	broken := fmt.Errorf("out of reach")
	n := 0
	w.builder.Packed = func(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error) {
		if n++; n > 6 {
			return nil, broken
		}
		return w.store.SidecarToPack(ctx, name, there)
	}
	require.ErrorIs(t, w.builder.Pass(t.Context()), broken)
	require.Positive(t, w.left(t))
	w.builder.Packed = w.store.SidecarToPack
	w.finish(t)
	require.Positive(t, count(w.packs(t)))
}

// TestPackParts begins another part before one becomes too large, and reads each sidecar once.
func TestPackParts(t *testing.T) {
	w := newWorld(t, "l29-v12-raw", 1000)
	w.packing(1000)
	asked := map[string]int{}
	var mu sync.Mutex
	w.builder.Packed = func(_ context.Context, name schema.ChunkName, there bool) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked[name.Key()]++; !there {
			t.Errorf("%s has a sidecar", name.Key())
		}
		if len(asked) > 8 {
			return make([]byte, 100), nil
		}
		return make([]byte, 6<<20), nil
	}
	w.finish(t)
	parts, last := map[string][]store.PackName{}, 0
	for n, p := range w.packs(t) {
		require.LessOrEqual(t, p.Size(), 16<<20+1000)
		key := n.Tenant + n.Table
		parts[key] = append(parts[key], n)
		last = max(last, n.Part)
	}
	require.Positive(t, last)
	for _, list := range parts {
		slices.SortFunc(list, func(a, b store.PackName) int { return a.Part - b.Part })
		for i, n := range list {
			require.Equal(t, i, n.Part)
			require.True(t, i == 0 || list[i-1].Last <= n.First)
		}
	}
	for key, n := range asked {
		require.Equal(t, 1, n, key)
	}
	results, err := testutil.GatherAndCount(w.reg, "logstore_compactor_sidecar_packs_total")
	require.NoError(t, err)
	require.Equal(t, 1, results)
}
