package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// TestCollectorsKeepTheOrderOfCopies has entries of one instant in copies, in blocks of two replicas that were cut elsewhere. Whichever
// block is read first, the result is in the same order.
func TestCollectorsKeepTheOrderOfCopies(t *testing.T) {
	st := &stream{labels: labels.FromStrings("app", "a")}
	copied := func(block int64, index int, hash uint64) entry {
		return entry{stream: st, ts: 100 + int64(hash/10), place: place{block, index}, hash: hash, line: "line"}
	}
	// In the order of arrival: 1, 2, 3 of one instant, 11 and 12 of the next.
	blocks := [][]entry{
		{copied(90, 7, 1), copied(90, 8, 2)},
		{copied(100, 0, 3), copied(100, 1, 11), copied(100, 2, 12)},
		{copied(95, 4, 2), copied(95, 5, 3), copied(95, 6, 11)},
		{copied(105, 0, 1), copied(110, 0, 12)},
	}
	for _, direction := range []model.Direction{model.Forward, model.Backward} {
		want := []uint64{1, 2, 3, 11, 12}
		if direction == model.Backward {
			want = []uint64{12, 11, 3, 2, 1}
		}
		for _, interval := range []time.Duration{0, 1} {
			for range 100 {
				o := order(direction)
				var c collector = newBest(o, 10, &account{})
				if interval > 0 {
					c = newThinned(o, 10, interval, &account{})
				}
				for _, i := range rand.Perm(len(blocks)) {
					b := slices.Clone(blocks[i])
					if direction == model.Backward {
						slices.Reverse(b)
					}
					require.NoError(t, c.add(b))
				}
				var got []uint64
				for _, e := range c.result() {
					got = append(got, e.hash)
				}
				if interval > 0 { // one of each instant
					require.Equal(t, []uint64{want[0], thinnedSecond(want)}, got)
					continue
				}
				require.Equal(t, want, got)
			}
		}
	}
}

// thinnedSecond is the first entry of the second instant.
func thinnedSecond(hashes []uint64) uint64 {
	for _, h := range hashes {
		if h/10 != hashes[0]/10 {
			return h
		}
	}
	return 0
}
