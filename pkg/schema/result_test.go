package schema

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// TestMergeSeries compares with a map, for random lists.
func TestMergeSeries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		want := map[SeriesID]map[model.ChunkRef]bool{}
		var lists [][]Series
		for range rng.IntN(6) {
			var list []Series
			for n := range byte(8) {
				if rng.IntN(2) == 0 {
					continue
				}
				s := Series{ID: SeriesID{n}}
				if want[s.ID] == nil {
					want[s.ID] = map[model.ChunkRef]bool{}
				}
				for range rng.IntN(4) {
					ref := model.ChunkRef{From: int64(rng.IntN(3)), Checksum: uint32(rng.IntN(2))}
					s.Chunks = append(s.Chunks, ChunkName{ChunkRef: ref, Layout: Layout(rng.IntN(2))})
					want[s.ID][ref] = true
				}
				list = append(list, s)
			}
			lists = append(lists, list)
		}
		got := MergeSeries(lists...)
		require.Len(t, got, len(want))
		require.True(t, slices.IsSortedFunc(got, func(a, b Series) int { return a.ID.Compare(&b.ID) }))
		for _, s := range got {
			require.Len(t, s.Chunks, len(want[s.ID]))
			require.True(t, slices.IsSortedFunc(s.Chunks, func(a, b ChunkName) int { return compareChunks(&a, &b) }))
			for _, c := range s.Chunks {
				require.True(t, want[s.ID][c.ChunkRef])
			}
		}
	}
}
