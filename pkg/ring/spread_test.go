package ring

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// memberView makes the view of members that are all ACTIVE; member i has tokens[i].
func memberView(tokens [][]uint32, factor int) *view {
	members := make([]Member, len(tokens))
	for i, t := range tokens {
		members[i] = Member{ID: fmt.Sprintf("member-%04d", i), State: Active, Healthy: true, Tokens: t}
	}
	return newView(members, nil, viewConfig{factor: factor})
}

// loads counts the streams that each member holds.
func loads(v *view, streams int) map[string]float64 {
	out := map[string]float64{}
	for i, m := range v.members {
		if v.writable[i] {
			out[m.ID] = 0
		}
	}
	var dst []Member
	for s := range streams {
		dst = v.replicas(dst[:0], Token("tenant", uint64(s)))
		for _, m := range dst {
			out[m.ID]++
		}
	}
	return out
}

// spread returns by how much the most loaded member exceeds the least loaded one.
func spread(loads map[string]float64) float64 {
	lo, hi := 1e18, 0.0
	for _, n := range loads {
		lo, hi = min(lo, n), max(hi, n)
	}
	return hi/lo - 1
}

func minMax(xs []float64) (lo, hi float64) {
	return slices.Min(xs), slices.Max(xs)
}

// grow lets n members join one after the other.
func grow(t testing.TB, n int, rnd *rand.Rand) [][]uint32 {
	t.Helper()
	var all [][]uint32
	for range n {
		tokens := spreadTokens(all, nil, 128, rnd)
		require.Len(t, tokens, 128)
		require.True(t, slices.IsSorted(tokens))
		all = append(all, tokens)
	}
	return all
}

// sizes are the numbers of members that are tried.
func sizes() []int {
	if os.Getenv("LOGSTORE_SOAK") != "" {
		return []int{3, 10, 100, 1000}
	}
	return []int{3, 10, 100}
}

// Equal members own equal parts of the ring, hold equally many streams, and do so while one is dead. A member that dies, or
// comes, moves no more streams than it must.
func TestBalance(t *testing.T) {
	for _, n := range sizes() {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		all := grow(t, n, rnd)
		v := memberView(all, 2)
		lo, hi := minMax(v.shares)
		require.Less(t, hi/lo, 1.03, "parts of the ring")
		// So many streams that chance moves a member's load by less than 1 %.
		streams := 10_000 * n
		whole := spread(loads(v, streams))
		require.Less(t, whole, 0.10)

		dead := memberView(all, 2)
		members := slices.Clone(dead.members)
		members[n/2].Healthy = false
		dead = newView(members, nil, viewConfig{factor: 2})
		afterDeath := spread(loads(dead, streams))
		require.Less(t, afterDeath, 0.10)
		lost := moved(t, v, dead, streams, members[n/2].ID)
		require.InDelta(t, 2/float64(n), lost, 0.2/float64(n), "what the dead member held, and nothing else")

		more := memberView(append(slices.Clip(all), spreadTokens(all, nil, 128, rnd)), 2)
		joined := moved(t, v, more, streams, more.members[n].ID)
		require.InDelta(t, 2/float64(n+1), joined, 0.5/float64(n+1))
		t.Logf("%d members: ring max/min %.3f, streams +%.1f %%, with one dead +%.1f %%; copies that move: at a death %.2f %%, at a join %.2f %%",
			n, hi/lo, 100*whole, 100*afterDeath, 100*lost/2, 100*joined/2)
	}
}

// moved returns how many copies of a stream change their member on average. All of them must leave or reach the given one, or
// replace it.
func moved(t *testing.T, before, after *view, streams int, who string) float64 {
	t.Helper()
	n := 0
	var a, b []Member
	for s := range streams {
		token := Token("tenant", uint64(s))
		a, b = before.replicas(a[:0], token), after.replicas(b[:0], token)
		for _, m := range b {
			if !has(a, m.ID) {
				n++
				require.True(t, has(a, who) || has(b, who), "a stream moves that has nothing to do with the change")
			}
		}
	}
	return float64(n) / float64(streams)
}

func TestSpreadKeepsOwnTokens(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := grow(t, 4, rnd)
	own := thinTokens(all[3], 64)
	require.Len(t, own, 64)
	more := spreadTokens(all[:3], own, 64, rnd)
	lo, hi := minMax(memberView([][]uint32{all[0], all[1], all[2], append(slices.Clone(own), more...)}, 2).shares)
	require.Less(t, hi/lo, 1.05)
	require.Len(t, spreadTokens(nil, nil, 1, rnd), 1)
	require.Len(t, spreadTokens([][]uint32{{7}}, nil, 3, rnd), 3)
	require.Empty(t, spreadTokens([][]uint32{{7}}, []uint32{1}, 0, rnd))
}
