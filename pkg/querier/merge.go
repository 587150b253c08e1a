package querier

import (
	"cmp"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
)

// matrixPart is the series of a metric query for a stretch of its steps. The series must not be changed: others may share
// them.
type matrixPart struct {
	first, last int64 // steps in nanoseconds, both inclusive
	series      engine.Matrix
}

// labelIndex finds things by their labels.
type labelIndex[T any] struct {
	byHash map[uint64][]int
	labels func(*T) labels.Labels
	list   []T
}

func newLabelIndex[T any](of func(*T) labels.Labels) *labelIndex[T] {
	return &labelIndex[T]{byHash: map[uint64][]int{}, labels: of}
}

// get returns the thing of the labels, or adds the one that make makes.
func (x *labelIndex[T]) get(l labels.Labels, create func() T) *T {
	h := l.Hash()
	for _, i := range x.byHash[h] {
		if labels.Equal(x.labels(&x.list[i]), l) {
			return &x.list[i]
		}
	}
	x.byHash[h] = append(x.byHash[h], len(x.list))
	x.list = append(x.list, create())
	return &x.list[len(x.list)-1]
}

// joinMatrix joins parts that do not overlap.
func joinMatrix(parts []matrixPart) engine.Matrix {
	if len(parts) == 1 {
		return parts[0].series
	}
	slices.SortFunc(parts, func(a, b matrixPart) int { return cmp.Compare(a.first, b.first) })
	x := newLabelIndex(func(s *engine.Series) labels.Labels { return s.Labels })
	// Points are counted first, so that each series gets its memory once.
	sizes := map[uint64]int{}
	for i := range parts {
		for j := range parts[i].series {
			sizes[parts[i].series[j].Labels.Hash()] += len(parts[i].series[j].Points)
		}
	}
	for i := range parts {
		for j := range parts[i].series {
			in := &parts[i].series[j]
			s := x.get(in.Labels, func() engine.Series {
				return engine.Series{Labels: in.Labels, Points: make([]engine.Point, 0, sizes[in.Labels.Hash()])}
			})
			s.Points = append(s.Points, in.Points...)
		}
	}
	out := engine.Matrix(x.list)
	slices.SortFunc(out, func(a, b engine.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// cutMatrix returns the points between two steps in nanoseconds, both inclusive. The points are shared.
func cutMatrix(m engine.Matrix, first, last int64) engine.Matrix {
	from, to := floorDiv(first, 1e6), floorDiv(last, 1e6)
	out := make(engine.Matrix, 0, len(m))
	for i := range m {
		points := m[i].Points
		lo := sort.Search(len(points), func(k int) bool { return points[k].T >= from })
		hi := lo + sort.Search(len(points)-lo, func(k int) bool { return points[lo+k].T > to })
		if lo < hi {
			out = append(out, engine.Series{Labels: m[i].Labels, Points: points[lo:hi:hi]})
		}
	}
	return out
}

// matrixBytes is about how much memory the series take.
func matrixBytes(m engine.Matrix) int64 {
	n := int64(0)
	for i := range m {
		n += int64(m[i].Labels.ByteSize()) + 64 + 16*int64(len(m[i].Points))
	}
	return n
}

// joinLogs appends the entries of later parts, which come behind those of earlier ones in the query's direction.
func joinLogs(parts []engine.Streams) engine.Streams {
	if len(parts) == 1 {
		return parts[0]
	}
	x := newLabelIndex(func(s *engine.LogStream) labels.Labels { return s.Labels })
	for _, part := range parts {
		for i := range part {
			s := x.get(part[i].Labels, func() engine.LogStream { return engine.LogStream{Labels: part[i].Labels} })
			s.Entries = append(s.Entries, part[i].Entries...)
		}
	}
	out := engine.Streams(x.list)
	if out == nil {
		out = engine.Streams{}
	}
	slices.SortFunc(out, func(a, b engine.LogStream) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// countEntries returns how many entries the streams have, and about how much memory they take.
func countEntries(streams engine.Streams) (entries int, bytes int64) {
	for i := range streams {
		entries += len(streams[i].Entries)
		for j := range streams[i].Entries {
			bytes += int64(len(streams[i].Entries[j].Line)) + 64
		}
	}
	return entries, bytes
}
