package engine

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// naive calculates what a store must yield from all samples of a window, in the order of time.
var naive = map[string]func(v []float64) float64{
	"sum": func(v []float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum
	},
	"min": func(v []float64) float64 { return slices.Min(v) },
	"max": func(v []float64) float64 { return slices.Max(v) },
	"avg": func(v []float64) float64 { return mean2(v) },
	"stdvar": func(v []float64) float64 {
		m, sum := mean2(v), 0.0
		for _, x := range v {
			sum += (x - m) * (x - m)
		}
		return sum / float64(len(v))
	},
	"first":  func(v []float64) float64 { return v[0] },
	"last":   func(v []float64) float64 { return v[len(v)-1] },
	"median": func(v []float64) float64 { return quantile(0.5, slices.Clone(v)) },
}

func mean2(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

var newStores = map[string]func(*buckets) store{
	"sum": cells(&sums), "min": cells(&minima), "max": cells(&maxima), "avg": cells(&means), "stdvar": cells(&variances),
	"first": cells(&earliest), "last": cells(&latest),
	"median": func(b *buckets) store { return newQuantileStore(0.5, b) },
}

func TestStores(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		s := steps{start: 1000, step: 1 + r.Int64N(20), n: 1 + r.IntN(150)}
		b := newBuckets(s, time.Duration(1+r.Int64N(120)), 0)
		samples := make([]timed, r.IntN(600))
		first, last := b.span()
		for i := range samples {
			samples[i] = timed{first - 3 + r.Int64N(last-first+6), math.Round(r.NormFloat64() * 100)}
		}
		// Each instant once, so that first and last have one answer.
		slices.SortFunc(samples, func(a, b timed) int { return cmp.Compare(a.ts, b.ts) })
		samples = slices.CompactFunc(samples, func(a, b timed) bool { return a.ts == b.ts })
		for name, newStore := range newStores {
			parts := []store{newStore(b), newStore(b), newStore(b)}
			for _, i := range r.Perm(len(samples)) {
				if j := b.index(samples[i].ts); b.wanted(j) {
					parts[r.IntN(3)].add(j, samples[i].ts, samples[i].v)
				}
			}
			parts[0].merge(parts[1])
			parts[0].merge(parts[2])
			out, has := make([]float64, s.n), make([]bool, s.n)
			parts[0].evaluate(b, out, has)
			for k := range s.n {
				var window []float64
				for _, x := range samples {
					if x.ts > b.bounds[b.from[k]] && x.ts <= b.bounds[b.to[k]] {
						window = append(window, x.v)
					}
				}
				require.Equal(t, len(window) > 0, has[k], "%s at %d", name, k)
				if len(window) > 0 {
					require.InDelta(t, naive[name](window), out[k], 1e-6, "%s at %d of %d", name, k, s.n)
				}
			}
		}
	}
}

func TestExtremesPassOverNaN(t *testing.T) {
	b := newBuckets(steps{start: 10, step: 1, n: 1}, 10, 0)
	for name, want := range map[string]float64{"min": 3, "max": 5} {
		s := newStores[name](b)
		for _, v := range []float64{math.NaN(), 3, math.NaN(), 5} {
			s.add(0, 1, v)
		}
		out, has := make([]float64, 1), make([]bool, 1)
		s.evaluate(b, out, has)
		require.Equal(t, want, out[0], name)
	}
}

func TestQuantile(t *testing.T) {
	f := func(q, want float64, v ...float64) {
		t.Helper()
		got := quantile(q, v)
		require.True(t, got == want || math.IsNaN(got) && math.IsNaN(want), "want %v got %v", want, got)
	}
	f(0.5, 2.5, 4, 1, 3, 2)
	f(0, 1, 4, 1)
	f(1, 4, 4, 1)
	f(0.25, 1.75, 4, 1)
	f(-1, math.Inf(-1), 1)
	f(2, math.Inf(1), 1)
	f(0.5, math.NaN())
	f(math.NaN(), math.NaN(), 1)
}

func TestCounterRate(t *testing.T) {
	second := int64(time.Second)
	window := []timed{{10 * second, 100}, {20 * second, 130}, {30 * second, 10}, {40 * second, 20}}
	// 30, then from zero to 10, then 10 more.
	require.InDelta(t, 50.0/60, counterRate(window, 0, 60*second, nil), 1e-5)
	require.Zero(t, counterRate(window[:1], 0, 60*second, nil))
}
