package engine

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// sampleStore keeps all samples of a series.
type sampleStore struct {
	samples []timed
	// value calculates a window's value of its samples in the order of time. It may reorder scratch, which has at least as
	// much room as there are samples.
	value func(window []timed, start, end int64, scratch []float64) float64
}

const sampleBytes = 16

func (s *sampleStore) add(_ int, ts int64, v float64) int64 {
	before := cap(s.samples)
	s.samples = append(s.samples, timed{ts, v})
	return int64(cap(s.samples)-before) * sampleBytes
}

func (s *sampleStore) merge(other store) int64 {
	before := cap(s.samples)
	s.samples = append(s.samples, other.(*sampleStore).samples...)
	return int64(cap(s.samples)-before) * sampleBytes
}

func (s *sampleStore) evaluate(b *buckets, out []float64, has []bool) {
	slices.SortStableFunc(s.samples, func(x, y timed) int { return cmp.Compare(x.ts, y.ts) })
	scratch := make([]float64, 0, len(s.samples))
	at := func(ts int64) int {
		return sort.Search(len(s.samples), func(i int) bool { return s.samples[i].ts > ts })
	}
	for k := range b.from {
		start, end := b.bounds[b.from[k]], b.bounds[b.to[k]]
		if window := s.samples[at(start):at(end)]; len(window) > 0 {
			out[k], has[k] = s.value(window, start, end, scratch), true
		}
	}
}

// quantileOf returns the value function of quantile_over_time.
func quantileOf(q float64) func(window []timed, start, end int64, scratch []float64) float64 {
	return func(window []timed, _, _ int64, scratch []float64) float64 {
		values := scratch[:0]
		for _, s := range window {
			values = append(values, s.v)
		}
		return quantile(q, values)
	}
}

// quantile interpolates between the two values nearest to q. It sorts the values, NaN first.
func quantile(q float64, values []float64) float64 {
	switch {
	case len(values) == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	slices.Sort(values)
	rank := q * float64(len(values)-1)
	low := math.Floor(rank)
	high := min(low+1, float64(len(values)-1))
	weight := rank - low
	return values[int(low)]*(1-weight) + values[int(high)]*weight
}

// counterRate is the value function of rate_counter: the increase of a counter that may begin anew at zero, per second.
//
// Like that of Prometheus it widens the increase beyond the samples, but the store whose answers are the reference does
// so by the range in milliseconds where its samples' times are nanoseconds, and counts the range from the first sample
// back. Little is left of the widening, and it is kept here so that answers agree.
func counterRate(window []timed, start, end int64, _ []float64) float64 {
	if len(window) < 2 {
		return 0
	}
	first, last := window[0], window[len(window)-1]
	increase := last.v - first.v
	for i := 1; i < len(window); i++ {
		if window[i].v < window[i-1].v {
			increase += window[i-1].v
		}
	}
	interval := time.Duration(end - start)
	sampled := float64(last.ts - first.ts)
	if sampled > 0 {
		widen := float64(interval.Milliseconds())
		if gap := sampled / float64(len(window)-1); widen >= gap*1.1 {
			widen = gap / 2
		}
		if increase > 0 && first.v >= 0 {
			widen = min(widen, sampled*first.v/increase) // a counter does not begin below zero
		}
		increase *= (sampled + widen) / sampled
	}
	return increase / interval.Seconds()
}
