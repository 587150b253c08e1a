package ring

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// loads returns the share of the ring that each member stores, as a replica set has factor members.
func loads(members [][]uint32, factor int) []float64 {
	points := pointsOf(members, nil)
	out := make([]float64, len(members))
	last := points[len(points)-1].token
	for i, p := range points {
		size := float64(p.token - last)
		last = p.token
		var seen []int32
		for j := i; len(seen) < factor; j++ {
			o := points[j%len(points)].owner
			dup := false
			for _, s := range seen {
				dup = dup || s == o
			}
			if !dup {
				seen = append(seen, o)
				out[o] += size / ringSize
			}
		}
	}
	return out
}

func minMax(xs []float64) (lo, hi float64) {
	lo, hi = xs[0], xs[0]
	for _, x := range xs {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

func TestSpreadSim(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10, 30, 100, 300, 1000} {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		var ms [][]uint32
		for range n {
			ms = append(ms, spreadTokens(ms, nil, 128, rnd))
			require.Len(t, ms[len(ms)-1], 128)
		}
		s := fmt.Sprint(n)
		for rf := 1; rf <= min(3, n-1); rf++ {
			lo, hi := minMax(loads(ms, rf))
			s += fmt.Sprintf(" rf%d %.3f", rf, hi/lo)
		}
		if n > 3 {
			worst := 0.0
			for range 5 {
				k := rnd.IntN(n)
				rest := append(append([][]uint32{}, ms[:k]...), ms[k+1:]...)
				lo, hi := minMax(loads(rest, 2))
				worst = max(worst, hi/lo)
			}
			s += fmt.Sprintf(" gone %.3f", worst)
		}
		t.Log(s)
	}
}
