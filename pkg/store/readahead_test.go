package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

const aheadDays = 20

// newAhead returns a store with a pack of four sidecars for each of some days, and the chunks of each day.
func newAhead(t *testing.T, cacheBytes int64) (*described, [aheadDays][]model.ChunkRef) {
	t.Helper()
	d := &described{requests: &requests{Bucket: objstore.NewMemory()}, t: t, ctx: t.Context()}
	p := schema.DefaultPeriod
	var err error
	cfg := DefaultSidecarConfig
	cfg.CacheBytes = cacheBytes
	d.store, err = New(Deps{
		Periods: schema.Periods{p}, Stores: map[string]ObjectStore{p.ObjectStore: {Bucket: d.requests}}, Sidecars: cfg, Registerer: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	d.store.sidecars.now = func() time.Time { return time.Unix(0, midnight).AddDate(0, 0, 2*aheadDays) }
	var days [aheadDays][]model.ChunkRef
	for day := range days {
		w := &sidecar.PackWriter{Tenant: "acme"}
		for i := range MinPacked {
			ref := model.ChunkRef{Tenant: "acme", Fingerprint: uint64(i), From: midnight/1e6 + int64(day)*schema.MillisPerDay, Checksum: 7}
			ref.Through = ref.From + 1000
			days[day] = append(days[day], ref)
			w.Add(ref, (&sidecar.Object{Ref: ref, Size: 1 << 20}).Append(nil))
		}
		data, middle := w.Bytes()
		n := PackName{Tenant: "acme", Table: d.store.tableOf(days[day][0]).table, State: "feed", First: w.First(), Last: w.Last(), Middle: middle}
		require.NoError(t, d.Put(d.ctx, n.Key(), data))
	}
	return d, days
}

// TestReadAhead asks for the days one after the other and looks which packs were read by then: more and more ahead of the query, in
// its direction, and none if memory would not keep them.
func TestReadAhead(t *testing.T) {
	backward := func(i int) int { return aheadDays - 1 - i }
	forward := func(i int) int { return i }
	for name, c := range map[string]struct {
		day   func(int) int
		parts sidecar.Parts
		cache int64
		want  map[int]float64
	}{
		"backward":       {backward, sidecar.Filters, 64 << 20, map[int]float64{0: 3, 1: 3, 2: 3, 3: 8, 7: 8, 8: 17, 16: 17, 17: 20, 19: 20}},
		"forward":        {forward, sidecar.Filters, 64 << 20, map[int]float64{0: 3, 2: 3, 3: 8, 8: 17, 19: 20}},
		"counts":         {forward, sidecar.Columns, 64 << 20, map[int]float64{0: 3, 2: 3, 3: 8, 8: 17, 19: 20}},
		"little memory":  {backward, sidecar.Filters, 16 << 20, map[int]float64{0: 1, 1: 2, 19: 20}},
		"here and there": {func(i int) int { return i * 7 % aheadDays }, sidecar.Filters, 64 << 20, map[int]float64{19: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, days := newAhead(t, c.cache)
				family := &siblings{store: d.store}
				for _, refs := range days {
					var list []piece
					for _, ref := range refs {
						list = append(list, piece{store: d.store, name: schema.ChunkName{ChunkRef: ref}})
					}
					family.pieces = append(family.pieces, list)
				}
				for i := range days {
					for _, ref := range days[c.day(i)] {
						o, err := d.store.sidecarOf(t.Context(), schema.ChunkName{ChunkRef: ref}, c.parts, family)
						require.NoError(t, err)
						require.Equal(t, ref, o.Ref)
					}
					synctest.Wait()
					if n, ok := c.want[i]; ok {
						require.Equal(t, n, d.packRequests("sidecars"), "after %d days", i+1)
					}
				}
				require.Equal(t, float64(aheadDays), d.packRequests("sidecars"), "each once")
				require.Equal(t, 1.0, d.packRequests("list"))
				require.Zero(t, d.sidecars)
			})
		})
	}
}
