package store

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// prune removes the sidecars that lie alone.
func (d *described) prune(refs ...model.ChunkRef) {
	d.t.Helper()
	for _, ref := range refs {
		require.NoError(d.t, d.Bucket.Delete(d.ctx, sidecarKey(ref)))
	}
}

// TestPacksAlone answers from packs alone, also where nothing stays in memory.
func TestPacksAlone(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	var want []string
	var read []float64
	fetched := func() float64 { return testutil.ToFloat64(d.store.metrics.fetchedBytes) }
	for _, q := range queries {
		d.open()
		want, read = append(want, d.run(q, 5000)), append(read, fetched())
	}
	d.pack(0, d.refs...)
	d.prune(d.refs...)
	for _, memory := range []int64{64 << 20, 0} {
		d.cfg.CacheBytes = memory
		for i, q := range queries {
			d.open()
			require.Equal(t, want[i], d.run(q, 5000), q)
			require.Zero(t, d.sidecars, q)
			require.Equal(t, read[i], fetched(), "of chunks: %s", q)
			require.Zero(t, testutil.ToFloat64(d.store.metrics.packsFailed))
		}
	}
}

// TestPackedPieceAlone finds the sidecar of a chunk that nobody else is asked for with in a pack, and another beside packs, without a
// request for what is not there.
func TestPackedPieceAlone(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.pack(0, d.refs[1:]...)
	d.prune(d.refs[1:]...)
	d.open()
	outline := func(ref model.ChunkRef) {
		t.Helper()
		d.reset()
		o, err := d.store.Piece(ref).(logql.Outliner).Outline(d.ctx, sidecar.Filters)
		require.NoError(t, err)
		require.NotNil(t, o)
	}
	outline(d.refs[2])
	require.Equal(t, []int{1, 1, 0, 0}, []int{d.lists, d.ranges, d.whole, d.sidecars}, "the list and the pack, which is small")
	outline(d.refs[3])
	require.Equal(t, []int{0, 1, 0, 0}, []int{d.lists, d.ranges, d.whole, d.sidecars}, "the pack")
	outline(d.refs[0])
	require.Equal(t, []int{0, 0, 1, 1}, []int{d.lists, d.ranges, d.whole, d.sidecars}, "one beside the pack")
	outline(d.refs[3])
	require.Equal(t, []int{0, 0, 0, 0}, []int{d.lists, d.ranges, d.whole, d.sidecars}, "it is in memory")
	require.Equal(t, 2.0, d.packRequests("sidecars"))
	require.Equal(t, 2.0, d.results("packed"))

	empty := newDescribed(t)
	empty.cache = nil
	empty.open()
	for i, ref := range empty.refs {
		o, err := empty.store.Piece(ref).(logql.Outliner).Outline(empty.ctx, sidecar.Filters)
		require.NoError(t, err)
		require.NotNil(t, o)
		require.Equal(t, i+1, empty.sidecars)
	}
	require.Equal(t, []int{1, 0}, []int{empty.lists, empty.ranges}, "no pack is asked for where there is none")
}

// TestForgottenSidecars reads from its pack what was in memory when a query began and is not any more.
func TestForgottenSidecars(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.pack(0, d.refs...)
	d.prune(d.refs...)
	d.open()
	known, _ := d.store.Piece(d.refs[4]).(logql.Outliner).Outline(d.ctx, sidecar.Filters)
	require.NotNil(t, known)
	streams, err := d.store.Select(d.ctx, logql.Selection{Interval: model.Interval{Start: midnight, End: at(describedLines)}})
	require.NoError(t, err)
	for range 2 {
		for _, s := range streams {
			for _, p := range s.Pieces {
				o, err := p.(logql.Outliner).Outline(d.ctx, sidecar.Filters)
				require.NoError(t, err)
				require.NotNil(t, o)
				for _, ref := range d.refs {
					d.store.sidecars.drop(ref)
				}
			}
		}
	}
	require.Zero(t, d.sidecars)
	require.Zero(t, d.whole)
}

// TestLacksSidecar counts those in packs.
func TestLacksSidecar(t *testing.T) {
	d := newDescribed(t)
	d.cache = nil
	d.pack(0, d.refs[1:]...)
	d.prune(d.refs...)
	d.open()
	object := make([]byte, d.cfg.MinChunk)
	require.True(t, d.store.LacksSidecar(d.ctx, d.refs[0], object))
	require.False(t, d.store.LacksSidecar(d.ctx, d.refs[1], object))
	require.False(t, d.store.LacksSidecar(d.ctx, d.refs[7], object))
	// A day that is not over has no packs.
	d.open()
	d.store.sidecars.now = func() time.Time { return time.Unix(0, midnight) }
	require.True(t, d.store.LacksSidecar(d.ctx, d.refs[1], object))
	require.Zero(t, d.lists)
}
