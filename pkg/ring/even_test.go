package ring

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEven lets members leave for good: the others' parts of the ring become equal again, each step moves few streams, and all of
// them together not many more than what the parts differed by.
func TestEven(t *testing.T) {
	for _, tc := range []struct{ members, leave int }{{3, 1}, {4, 1}, {5, 1}, {5, 2}, {10, 1}, {10, 5}, {100, 1}, {100, 30}} {
		rnd := rand.New(rand.NewPCG(5, uint64(tc.members)))
		all := grow(t, tc.members, rnd)
		for range tc.leave {
			k := rnd.IntN(len(all))
			all = slices.Delete(all, k, k+1)
		}
		v := memberView(all, 2)
		lo, hi := minMax(v.shares)
		before, steps, most, sum := hi/lo, 0, 0.0, 0.0
		streams := 2_000 * len(all)
		for least, ok := uneven(v.shares); ok; least, ok = uneven(v.shares) {
			require.Less(t, steps, 20*len(all), "it does not come to an end")
			others := slices.Delete(slices.Clone(all), least, least+1)
			all[least] = evenStep(others, all[least], rnd)
			require.Len(t, all[least], 128)
			next := memberView(all, 2)
			if steps < 50 {
				n := copiesMoved(v, next, streams)
				most, sum = max(most, n), sum+n
			}
			v = next
			steps++
		}
		lo, hi = minMax(v.shares)
		loads := spread(loads(v, 10_000*len(all)))
		t.Logf("%d of %d leave: ring max/min %.2f before, %.3f after %d moves; streams +%.1f %%; copies that moved: %.1f %% at most at once, %.1f %% in all",
			tc.leave, tc.members, before, hi/lo, steps, 100*loads, 100*most/2, 100*sum/2)
		require.Less(t, hi/lo, 1.08)
		require.Less(t, loads, 0.10)
		require.Less(t, most/2, 0.15)
	}
}

// copiesMoved returns how many copies of a stream change their member on average.
func copiesMoved(before, after *view, streams int) float64 {
	n := 0
	var a, b []Member
	for s := range streams {
		token := Token("tenant", uint64(s))
		a, b = before.replicas(a[:0], token), after.replicas(b[:0], token)
		for _, m := range b {
			if !has(a, m.ID) {
				n++
			}
		}
	}
	return float64(n) / float64(streams)
}

// Members whose parts are equal do not move. Those that come at once know little of each other, so that they may move a few times before.
func TestEvenAtRest(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 5 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(30 * time.Minute)
		tokens := nodes[1].Self().Tokens
		time.Sleep(20 * time.Minute)
		require.Equal(t, tokens, nodes[1].Self().Tokens)
		// One leaves for good.
		nodes[0].end()
		time.Sleep(2 * time.Hour)
		for _, node := range nodes[1:] {
			lo, hi := minMax(node.view.Load().shares)
			require.Less(t, hi/lo, 1.08, node.log.String())
			require.Len(t, node.Self().Tokens, 128)
		}
		endAll(nodes[1:]...)
	})
}
