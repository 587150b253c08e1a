package ring

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"slices"
)

// Random tokens give equal members unequal loads: of 128 tokens each, one member gets some 20 % more than another. A newcomer
// therefore looks at the ring and takes its share evenly, from those who have most, out of their largest ranges. What it
// takes is all that moves.

const ringSize = 1 << 32

// span is a range of the ring, (start, start+size], that ends in a token of its owner. Sizes go up to the whole ring.
type span struct {
	start uint32
	size  uint64
}

// donor is a member that may give up ranges: its spans as a heap, the largest first, and their sum.
type donor struct {
	spans []span
	share uint64
}

func (d *donor) Len() int           { return len(d.spans) }
func (d *donor) Less(i, j int) bool { return d.spans[i].size > d.spans[j].size }
func (d *donor) Swap(i, j int)      { d.spans[i], d.spans[j] = d.spans[j], d.spans[i] }
func (d *donor) Push(x any)         { d.spans = append(d.spans, x.(span)) }
func (d *donor) Pop() any {
	last := d.spans[len(d.spans)-1]
	d.spans = d.spans[:len(d.spans)-1]
	return last
}

// donors is a heap of donors, the one with the largest share first.
type donors []*donor

func (d donors) Len() int           { return len(d) }
func (d donors) Less(i, j int) bool { return d[i].share > d[j].share }
func (d donors) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d donors) Push(x any)         { panic("BUG: donors do not grow") }
func (d donors) Pop() any           { panic("BUG: donors do not shrink") }

// spreadTokens returns n tokens, ascending, for a member that joins others, whose tokens are given, or that has the own
// tokens already and needs n more. None of them is taken.
func spreadTokens(others [][]uint32, own []uint32, n int, rnd *rand.Rand) []uint32 {
	points := pointsOf(others, own)
	if len(points) == 0 {
		return evenTokens(n, rnd)
	}
	all, mine := donorsOf(points, len(others))
	members := uint64(len(all) + 1)
	heap.Init(&all)
	out := make([]uint32, 0, n)
	for left := uint64(n); left > 0 && len(all) > 0; left-- {
		var want uint64
		if target := ringSize / members; target > mine {
			want = (target - mine) / left
		}
		d := all[0]
		s := d.spans[0]
		if s.size < 2 {
			break // the ring is full
		}
		// A token that took a whole range would be the owner's own.
		take := min(max(want, 1), s.size-1)
		out = append(out, s.start+uint32(take))
		d.spans[0] = span{s.start + uint32(take), s.size - take}
		d.share -= take
		mine += take
		heap.Fix(d, 0)
		heap.Fix(&all, 0)
	}
	slices.Sort(out)
	return out
}

// evenTokens divides an empty ring.
func evenTokens(n int, rnd *rand.Rand) []uint32 {
	out, offset := make([]uint32, n), rnd.Uint32()
	for i := range out {
		out[i] = offset + uint32(uint64(i)*ringSize/uint64(n))
	}
	slices.Sort(out)
	return out
}

// pointsOf returns the ring of the others' tokens and, as the member after the last, the own ones.
func pointsOf(others [][]uint32, own []uint32) []point {
	var points []point
	for i, tokens := range append(slices.Clip(others), own) {
		for _, t := range tokens {
			points = append(points, point{t, int32(i)})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.owner, b.owner)) })
	return slices.CompactFunc(points, func(a, b point) bool { return a.token == b.token })
}

// donorsOf returns the members 0 to n-1 that have tokens with their ranges, and the share of member n.
func donorsOf(points []point, n int) (all donors, share uint64) {
	byOwner := make([]donor, n+1)
	last := points[len(points)-1].token
	for _, p := range points {
		size := uint64(p.token - last)
		if len(points) == 1 {
			size = ringSize
		}
		d := &byOwner[p.owner]
		d.spans, d.share = append(d.spans, span{last, size}), d.share+size
		last = p.token
	}
	for i := range byOwner[:n] {
		if d := &byOwner[i]; len(d.spans) > 0 {
			heap.Init(d)
			all = append(all, d)
		}
	}
	return all, byOwner[n].share
}

// thinTokens returns n of tokens, which has more, evenly chosen.
func thinTokens(tokens []uint32, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = tokens[i*len(tokens)/n]
	}
	return out
}
