package querier_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/sidecar"
	"logstore/pkg/tenant"
)

// TestTallyOfDescriptions wants the same sizes from descriptions of blocks as from the blocks, whatever the bounds, and nothing
// opened where timestamps are whole milliseconds or the bounds fall between the entries.
func TestTallyOfDescriptions(t *testing.T) {
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	opts := enginetest.Options{BlockEntries: 50, PieceEntries: 400, Encoding: 9}
	plain := enginetest.New(opts)
	opts.Described = &sidecar.Options{BitsPerKey: 6, MaxBytes: 1 << 20}
	described := enginetest.New(opts)
	opts.Replicas, opts.Live = 2, true
	replicas := enginetest.New(opts)
	for i := range 3000 {
		// The second stream has nanoseconds, the third one many lines in an instant.
		at := int64(i) * 1e6 * 1000
		for k, ts := range []int64{at + rnd.Int64N(900)*1e6, at + rnd.Int64N(9e8), int64(i/30) * 30 * 1e9} {
			e := model.Entry{Timestamp: ts, Line: fmt.Sprintf("%d %0*d", i, rnd.IntN(80), 0)}
			if i%3 != k {
				e.Metadata = []model.Pair{{Name: "user", Value: fmt.Sprint(rnd.IntN(20))}}
			}
			l := labels.FromStrings("app", fmt.Sprint(k))
			plain.Add(l, e)
			described.Add(l, e)
			replicas.Add(l, e)
		}
	}
	volumes := func(l *limits.Limits) { l.VolumeEnabled = true }
	want := newQuerier(t, &pushes{}, volumes, plain)
	got := newQuerier(t, &pushes{}, volumes, described)
	twice := newQuerier(t, &pushes{}, volumes, replicas)
	ctx := tenant.Inject(t.Context(), "x")
	for range 40 {
		iv := model.Interval{Start: rnd.Int64N(1e12), End: 15e11 + rnd.Int64N(16e11)}
		if rnd.IntN(2) == 0 {
			iv.Start, iv.End = iv.Start/1e6*1e6, iv.End/1e6*1e6
		}
		v := querier.VolumeRequest{Matchers: selector(t, `{app=~".+"}`), Interval: iv, Step: []int64{0, 60e9, 77e9 + 5, 10e9}[rnd.IntN(4)]}
		a, err := want.Volume(ctx, v)
		require.NoError(t, err)
		s, err := want.IndexStats(ctx, v.Matchers, iv)
		require.NoError(t, err)
		b, err := got.Volume(ctx, v)
		require.NoError(t, err)
		require.Equal(t, a, b)
		u, err := got.IndexStats(ctx, v.Matchers, iv)
		require.NoError(t, err)
		require.Equal(t, s, u)
		c, err := twice.Volume(ctx, v)
		require.NoError(t, err)
		require.Equal(t, a, c)
	}
	require.Zero(t, described.Opened.Load())
	described.Read.Store(0)
	for k := range int64(20) {
		_, err := got.Volume(ctx, querier.VolumeRequest{
			Matchers: selector(t, `{app=~"0|1"}`), Interval: model.Interval{Start: 33e9, End: 3000e9 - k*1e6}, Step: 17e9,
		})
		require.NoError(t, err)
	}
	// A second of stream 1 has its entry within one of 900 milliseconds.
	require.Less(t, described.Read.Load(), int64(20))
}
