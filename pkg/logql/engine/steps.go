package engine

import (
	"slices"
	"sort"
	"time"
)

// maxSteps bounds the steps of a metric query, for its matrices have a place for each.
const maxSteps = 1 << 20

// steps are the instants at which a metric query is evaluated.
type steps struct {
	start, step int64
	n           int
}

// newSteps returns the steps of a metric query.
func newSteps(p Params) (steps, error) {
	if p.Instant || p.Start == p.End {
		return steps{start: p.End, step: 1, n: 1}, nil
	}
	if p.Step <= 0 {
		return steps{}, queryErrorf(ErrStep, "%s, it is %s", ErrStep, p.Step)
	}
	if p.End < p.Start {
		return steps{start: p.Start, step: int64(p.Step)}, nil
	}
	n := (p.End-p.Start)/int64(p.Step) + 1
	if n > maxSteps {
		return steps{}, queryErrorf(ErrStep, "the query has %d steps, %d are allowed", n, maxSteps)
	}
	return steps{start: p.Start, step: int64(p.Step), n: int(n)}, nil
}

// at returns the instant of step k.
func (s steps) at(k int) int64 { return s.start + int64(k)*s.step }

// index returns the step whose point has the time t in milliseconds, or -1.
func (s steps) index(t int64) int {
	k := sort.Search(s.n, func(k int) bool { return floorDiv(s.at(k), 1e6) >= t })
	if k == s.n || floorDiv(s.at(k), 1e6) != t {
		return -1
	}
	return k
}

// buckets divide time so that the window (t-range, t] of each step is a run of whole buckets.
type buckets struct {
	// bounds are ascending: bucket j is (bounds[j], bounds[j+1]].
	bounds []int64
	// from and to are the buckets [from, to) of each step's window; both ascend.
	from, to []int
	// wantedBefore counts the buckets below j that lie in some window.
	wantedBefore []int32
	// shared says that some bucket lies in several windows.
	shared bool
}

func newBuckets(s steps, interval, offset time.Duration) *buckets {
	b := &buckets{bounds: make([]int64, 0, 2*s.n), from: make([]int, s.n), to: make([]int, s.n)}
	for k := range s.n {
		end := s.at(k) - int64(offset)
		b.bounds = append(b.bounds, end-int64(interval), end)
	}
	slices.Sort(b.bounds)
	b.bounds = slices.Compact(b.bounds)
	for k := range s.n {
		end := s.at(k) - int64(offset)
		b.from[k], _ = slices.BinarySearch(b.bounds, end-int64(interval))
		b.to[k], _ = slices.BinarySearch(b.bounds, end)
		b.shared = b.shared || k > 0 && b.from[k] < b.to[k-1]
	}
	b.wantedBefore = make([]int32, max(1, len(b.bounds)))
	covered := 0 // buckets below this one are in windows seen so far, or in none
	k := 0
	for j := range b.len() {
		for k < s.n && b.from[k] <= j {
			covered = max(covered, b.to[k])
			k++
		}
		b.wantedBefore[j+1] = b.wantedBefore[j]
		if j < covered {
			b.wantedBefore[j+1]++
		}
	}
	return b
}

// len is the number of buckets.
func (b *buckets) len() int { return max(0, len(b.bounds)-1) }

// span returns the first and the last instant in any bucket.
func (b *buckets) span() (first, last int64) {
	return b.bounds[0] + 1, b.bounds[len(b.bounds)-1]
}

// index returns the bucket of an instant: -1 before the first one and len behind the last.
func (b *buckets) index(ts int64) int {
	return sort.Search(len(b.bounds), func(i int) bool { return b.bounds[i] >= ts }) - 1
}

// wanted reports whether bucket j lies in some window.
func (b *buckets) wanted(j int) bool {
	return j >= 0 && j < b.len() && b.wantedBefore[j+1] > b.wantedBefore[j]
}

// touches reports whether some instant of [first, last] lies in a window.
func (b *buckets) touches(first, last int64) bool {
	if b.len() == 0 || last < first {
		return false
	}
	i, j := max(0, b.index(first)), min(b.len()-1, b.index(last))
	return i <= j && b.wantedBefore[j+1] > b.wantedBefore[i]
}
