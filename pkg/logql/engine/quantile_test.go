package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSketch holds a sketch's quantiles against the exact ones.
func TestSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"normal": func() float64 { return 1000 * r.NormFloat64() }, "latency": func() float64 { return math.Exp(3 * r.NormFloat64()) },
		"whole": func() float64 { return float64(r.IntN(20) - 5) }, "huge": func() float64 { return math.Exp(600 * (r.Float64() - 0.2)) },
	} {
		for _, n := range []int{1, 2, 100, 20_000} {
			var parts [3]sketch
			values := make([]float64, n)
			for i := range values {
				values[i] = draw()
				parts[r.IntN(3)].add(values[i], 1)
			}
			parts[0].merge(&parts[1])
			parts[0].merge(&parts[2])
			require.LessOrEqual(t, len(parts[0].bins), maxBins)
			slices.Sort(values)
			for _, q := range []float64{0.5, 0.9, 0.99, 1} {
				if name == "huge" && q < 0.99 {
					continue // more bins than a sketch has: the smaller values are lumped together
				}
				rank := q * float64(n-1)
				low, high := values[int(rank)], values[min(int(rank)+1, n-1)]
				got := parts[0].quantile(q)
				slack := 0.01 * max(math.Abs(low), math.Abs(high))
				require.True(t, got >= low-slack && got <= high+slack, "%s: quantile %g of %d is %g, not between %g and %g", name, q, n, got, low, high)
			}
		}
	}
	var s sketch
	require.True(t, math.IsNaN(s.quantile(0.5)))
	for _, v := range []float64{math.NaN(), math.Inf(-1), -1, 0, 0, 1, math.Inf(1)} {
		s.add(v, 1)
	}
	require.True(t, math.IsNaN(s.at(0)))
	require.InDelta(t, -1, s.at(2), 0.01)
	require.Equal(t, 0.0, s.at(4))
	require.InDelta(t, 1, s.at(5), 0.01)
	require.Equal(t, math.Inf(1), s.quantile(2))
}

// TestQuantileStoreShrinks wants the same windows, within a hundredth, of less memory.
func TestQuantileStoreShrinks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	b := newBuckets(steps{start: 1000, step: 50, n: 20}, 200*time.Nanosecond, 0)
	exact, early, late := newQuantileStore(0.9, b), newQuantileStore(0.9, b), newQuantileStore(0.9, b)
	early.shrink()
	first, last := b.span()
	bytes := int64(0)
	for range 50_000 {
		ts, v := first+r.Int64N(last-first), 100+20*r.NormFloat64()
		j := b.index(ts)
		bytes += exact.add(j, ts, v)
		if r.IntN(2) == 0 {
			early.add(j, ts, v)
		} else {
			late.add(j, ts, v)
		}
	}
	early.merge(late) // one of them has samples, the other one sketches
	want, has := make([]float64, 20), make([]bool, 20)
	exact.evaluate(b, want, has)
	got, hasToo := make([]float64, 20), make([]bool, 20)
	early.evaluate(b, got, hasToo)
	require.Equal(t, has, hasToo)
	for k := range want {
		require.InEpsilon(t, want[k], got[k], 0.01)
	}
	freed := -exact.shrink()
	require.Greater(t, freed, bytes*3/4)
	exact.evaluate(b, got, has)
	require.InEpsilon(t, want[3], got[3], 0.01)
}
