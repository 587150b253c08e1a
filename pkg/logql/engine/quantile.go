package engine

import (
	"cmp"
	"math"
	"slices"
)

// quantileStore is the store of quantile_over_time. It keeps all samples, so that quantiles are exact, until the query's
// memory becomes scarce; then it keeps a sketch per bucket, whose quantiles are off by a hundredth at most.
type quantileStore struct {
	sampleStore
	q       float64
	buckets *buckets
	// sketches are by bucket; nil while samples are kept.
	sketches map[int]*sketch
}

func newQuantileStore(q float64, b *buckets) *quantileStore {
	return &quantileStore{sampleStore: sampleStore{value: quantileOf(q)}, q: q, buckets: b}
}

func (s *quantileStore) add(j int, ts int64, v float64) int64 {
	if s.sketches == nil {
		return s.sampleStore.add(j, ts, v)
	}
	sk, grown := s.sketch(j)
	return grown + sk.add(v, 1)
}

// sketch returns the sketch of a bucket, and the bytes that a new one takes.
func (s *quantileStore) sketch(j int) (sk *sketch, grown int64) {
	if sk = s.sketches[j]; sk == nil {
		sk, grown = &sketch{}, sketchBytes
		s.sketches[j] = sk
	}
	return sk, grown
}

// shrink makes sketches of the samples. It returns the bytes that this took, which are less than none as a rule.
func (s *quantileStore) shrink() int64 {
	if s.sketches != nil {
		return 0
	}
	s.sketches = map[int]*sketch{}
	grown := -int64(cap(s.samples)) * sampleBytes
	for _, e := range s.samples {
		sk, more := s.sketch(s.buckets.index(e.ts))
		grown += more + sk.add(e.v, 1)
	}
	s.samples = nil
	return grown
}

func (s *quantileStore) merge(other store) int64 {
	o := other.(*quantileStore)
	if s.sketches == nil && o.sketches == nil {
		return s.sampleStore.merge(&o.sampleStore)
	}
	grown := s.shrink() + o.shrink()
	for j, sk := range o.sketches {
		mine, more := s.sketch(j)
		grown += more + mine.merge(sk)
	}
	return grown
}

func (s *quantileStore) evaluate(b *buckets, out []float64, has []bool) {
	if s.sketches == nil {
		s.sampleStore.evaluate(b, out, has)
		return
	}
	for k := range b.from {
		var sum sketch
		for j := b.from[k]; j < b.to[k]; j++ {
			if sk := s.sketches[j]; sk != nil {
				sum.merge(sk)
			}
		}
		if sum.n > 0 {
			out[k], has[k] = sum.quantile(s.q), true
		}
	}
}

// sketch counts values in bins whose bounds grow by a hundredth, after Masson, Rim, Lee: "DDSketch: a fast and
// fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019. The zero value is empty.
type sketch struct {
	// n counts all values, nan and zero those that are not in bins.
	n, nan, zero uint64
	// bins are sorted by index.
	bins []bin
}

// bin counts the values between two powers of growth. Indexes of negative values are negative, from the largest magnitude
// on; those of positive ones positive.
type bin struct {
	index int32
	count uint32
}

const (
	sketchBytes = 96
	binBytes    = 8
	// maxBins bounds a sketch: beyond it the two bins of the smallest magnitude become one.
	maxBins = 4096
	// accuracy is the relative error of a bin's value.
	accuracy = 0.005
	growth   = (1 + accuracy) / (1 - accuracy)
	// indexBase makes the index of every float64 above zero positive.
	indexBase = 80_000
)

var logGrowth = math.Log(growth)

func binIndex(v float64) int32 {
	i := int32(math.Ceil(math.Log(math.Abs(v))/logGrowth)) + indexBase
	if v < 0 {
		return -i
	}
	return i
}

// value is in the middle of the bin.
func (b bin) value() float64 {
	i, sign := b.index, 1.0
	if i < 0 {
		i, sign = -i, -1
	}
	return sign * 2 * math.Exp(float64(i-indexBase)*logGrowth) / (growth + 1)
}

// add counts a value several times. It returns the bytes of memory that this took.
func (s *sketch) add(v float64, times uint32) int64 {
	s.n += uint64(times)
	switch {
	case math.IsNaN(v):
		s.nan += uint64(times)
		return 0
	case v == 0:
		s.zero += uint64(times)
		return 0
	}
	v = max(-math.MaxFloat64, min(math.MaxFloat64, v))
	return s.addBin(bin{binIndex(v), times})
}

func (s *sketch) addBin(b bin) int64 {
	i, found := slices.BinarySearchFunc(s.bins, b.index, func(b bin, index int32) int { return cmp.Compare(b.index, index) })
	if found {
		s.bins[i].count += min(b.count, math.MaxUint32-s.bins[i].count)
		return 0
	}
	before := cap(s.bins)
	s.bins = slices.Insert(s.bins, i, b)
	grown := int64(cap(s.bins)-before) * binBytes
	if len(s.bins) > maxBins {
		s.collapse()
	}
	return grown
}

// collapse makes one bin of two beside zero.
func (s *sketch) collapse() {
	i, _ := slices.BinarySearchFunc(s.bins, 0, func(b bin, index int32) int { return cmp.Compare(b.index, index) })
	from := min(i, len(s.bins)-2) // the two smallest positive ones
	keep := from + 1
	if i > len(s.bins)-2 { // or the two largest negative ones
		from, keep = i-1, i-2
	}
	s.bins[keep].count += min(s.bins[from].count, math.MaxUint32-s.bins[keep].count)
	s.bins = slices.Delete(s.bins, from, from+1)
}

// merge adds another sketch, which stays as it is.
func (s *sketch) merge(o *sketch) int64 {
	s.n, s.nan, s.zero = s.n+o.n, s.nan+o.nan, s.zero+o.zero
	grown := int64(0)
	for _, b := range o.bins {
		grown += s.addBin(b)
	}
	return grown
}

// quantile is the sketch's idea of what the function of that name returns for the values.
func (s *sketch) quantile(q float64) float64 {
	switch {
	case s.n == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	rank := q * float64(s.n-1)
	low := math.Floor(rank)
	weight := rank - low
	return s.at(uint64(low))*(1-weight) + s.at(min(uint64(low)+1, s.n-1))*weight
}

// at returns the value of that rank: NaN first, then in ascending order.
func (s *sketch) at(rank uint64) float64 {
	if rank < s.nan {
		return math.NaN()
	}
	rank -= s.nan
	zeroDone := false
	for _, b := range s.bins {
		if b.index > 0 && !zeroDone {
			zeroDone = true
			if rank < s.zero {
				return 0
			}
			rank -= s.zero
		}
		if rank < uint64(b.count) {
			return b.value()
		}
		rank -= uint64(b.count)
	}
	return 0
}
