package engine

import (
	"math"
	"math/bits"
)

// store holds what one series has in each bucket. It is not safe for concurrent use.
type store interface {
	// add adds a sample to bucket j. It returns the bytes of memory that this took.
	add(j int, ts int64, v float64) int64
	// merge takes over what another store of the same kind holds; that one must not be used any more.
	merge(other store) int64
	// evaluate writes the value of each window and whether there is one.
	evaluate(b *buckets, out []float64, has []bool)
}

// pageBuckets is the number of buckets in a page. Pages exist only where there are samples.
const pageBuckets = 64

// page holds the cells of pageBuckets buckets.
type page[C any] struct {
	has   uint64 // bit i is set if cell i holds samples
	cells []C
}

// cellKind says how samples become a cell and cells a value.
type cellKind[C any] struct {
	// size is the number of bytes of a cell.
	size int64
	// first makes a cell of a sample, add adds one to it.
	first func(ts int64, v float64) C
	add   func(c *C, ts int64, v float64)
	// merge puts two cells together, the earlier one first.
	merge func(a, b C) C
	value func(c C) float64
}

// cellStore is a store with one cell per bucket.
type cellStore[C any] struct {
	kind  *cellKind[C]
	pages []page[C]
	// width is the number of cells of a page: fewer than pageBuckets if there are fewer buckets.
	width int
}

func newCellStore[C any](kind *cellKind[C], buckets int) *cellStore[C] {
	if buckets == 1 {
		// An instant query may have very many series of a single cell: each is one piece of memory.
		one := &struct {
			store cellStore[C]
			pages [1]page[C]
			cells [1]C
		}{}
		one.pages[0].cells = one.cells[:]
		one.store = cellStore[C]{kind: kind, pages: one.pages[:], width: 1}
		return &one.store
	}
	return &cellStore[C]{
		kind: kind, pages: make([]page[C], (buckets+pageBuckets-1)/pageBuckets), width: min(buckets, pageBuckets),
	}
}

// cell returns the cell of bucket j and whether it holds something already; it will.
func (s *cellStore[C]) cell(j int) (c *C, has bool, grown int64) {
	p := &s.pages[j/pageBuckets]
	if p.cells == nil {
		p.cells = make([]C, s.width)
		grown = int64(s.width) * s.kind.size
	}
	bit := uint64(1) << (j % pageBuckets)
	has = p.has&bit != 0
	p.has |= bit
	return &p.cells[j%pageBuckets], has, grown
}

func (s *cellStore[C]) add(j int, ts int64, v float64) int64 {
	c, has, grown := s.cell(j)
	if has {
		s.kind.add(c, ts, v)
	} else {
		*c = s.kind.first(ts, v)
	}
	return grown
}

// addCell adds what stands for many samples.
func (s *cellStore[C]) addCell(j int, other C) int64 {
	c, has, grown := s.cell(j)
	if has {
		*c = s.kind.merge(*c, other)
	} else {
		*c = other
	}
	return grown
}

func (s *cellStore[C]) merge(other store) int64 {
	o := other.(*cellStore[C])
	grown := int64(0)
	for i := range o.pages {
		p := &o.pages[i]
		if s.pages[i].cells == nil {
			s.pages[i] = *p
			continue
		}
		for set := p.has; set != 0; set &= set - 1 {
			k := bits.TrailingZeros64(set)
			grown += s.addCell(i*pageBuckets+k, p.cells[k])
		}
	}
	return grown
}

// get returns the cell of bucket j.
func (s *cellStore[C]) get(j int) (c C, has bool) {
	p := &s.pages[j/pageBuckets]
	if p.has>>(j%pageBuckets)&1 == 0 {
		return c, false
	}
	return p.cells[j%pageBuckets], true
}

// maybe is a cell or nothing.
type maybe[C any] struct {
	cell C
	has  bool
}

func (s *cellStore[C]) join(a, b maybe[C]) maybe[C] {
	switch {
	case !a.has:
		return b
	case !b.has:
		return a
	}
	return maybe[C]{s.kind.merge(a.cell, b.cell), true}
}

func (s *cellStore[C]) run(from, to int) (sum maybe[C]) {
	for j := from; j < to; j++ {
		c, has := s.get(j)
		sum = s.join(sum, maybe[C]{c, has})
	}
	return sum
}

func (s *cellStore[C]) evaluate(b *buckets, out []float64, has []bool) {
	window := func(k int) maybe[C] { return s.run(b.from[k], b.to[k]) }
	if b.shared {
		window = s.slide(b)
	}
	for k := range b.from {
		if w := window(k); w.has {
			out[k], has[k] = s.kind.value(w.cell), true
		}
	}
}

// slide returns a function that must be called for each step in order and returns its window. Cells are put together at
// most three times each, however many windows they are in: the window is kept as two halves, of which the left one has
// the sums of all its ends and the right one grows.
func (s *cellStore[C]) slide(b *buckets) func(k int) maybe[C] {
	ends := make([]maybe[C], b.len()+1) // ends[j] is the sum of buckets j to middle
	middle, right := 0, 0
	var grown maybe[C] // the sum of buckets middle to right
	return func(k int) maybe[C] {
		from, to := b.from[k], b.to[k]
		grown = s.join(grown, s.run(max(right, middle), to))
		right = max(right, to)
		if from >= middle {
			ends[to] = maybe[C]{}
			for j := to - 1; j >= from; j-- {
				c, has := s.get(j)
				ends[j] = s.join(maybe[C]{c, has}, ends[j+1])
			}
			middle, grown = to, maybe[C]{}
		}
		return s.join(ends[from], grown)
	}
}

// sums are the cells of counts, bytes and sums.
var sums = cellKind[float64]{
	size:  8,
	first: func(_ int64, v float64) float64 { return v },
	add:   func(c *float64, _ int64, v float64) { *c += v },
	merge: func(a, b float64) float64 { return a + b },
	value: func(c float64) float64 { return c },
}

// minima and maxima pass over NaN.
var minima = extreme(func(a, b float64) bool { return a < b })
var maxima = extreme(func(a, b float64) bool { return a > b })

func extreme(better func(a, b float64) bool) cellKind[float64] {
	pick := func(a, b float64) float64 {
		if better(b, a) || math.IsNaN(a) {
			return b
		}
		return a
	}
	return cellKind[float64]{
		size:  8,
		first: func(_ int64, v float64) float64 { return v },
		add:   func(c *float64, _ int64, v float64) { *c = pick(*c, v) },
		merge: pick,
		value: func(c float64) float64 { return c },
	}
}

// mean is the cell of averages.
type mean struct{ n, sum float64 }

var means = cellKind[mean]{
	size:  16,
	first: func(_ int64, v float64) mean { return mean{1, v} },
	add:   func(c *mean, _ int64, v float64) { c.n++; c.sum += v },
	merge: func(a, b mean) mean { return mean{a.n + b.n, a.sum + b.sum} },
	value: func(c mean) float64 { return c.sum / c.n },
}

// spread is the cell of variances: the number of samples, their mean and the sum of the squares of the distances to it.
type spread struct{ n, mean, squares float64 }

func (s *spread) add(v float64) {
	s.n++
	d := v - s.mean
	s.mean += d / s.n
	s.squares += d * (v - s.mean)
}

func (s *spread) variance() float64 { return s.squares / s.n }

func mergeSpreads(a, b spread) spread {
	n := a.n + b.n
	d := b.mean - a.mean
	return spread{n: n, mean: a.mean + d*b.n/n, squares: a.squares + b.squares + d*d*a.n*b.n/n}
}

func spreads(value func(s spread) float64) cellKind[spread] {
	return cellKind[spread]{
		size:  24,
		first: func(_ int64, v float64) spread { return spread{n: 1, mean: v} },
		add:   func(c *spread, _ int64, v float64) { c.add(v) },
		merge: mergeSpreads,
		value: value,
	}
}

var variances = spreads(func(s spread) float64 { return s.variance() })
var deviations = spreads(func(s spread) float64 { return math.Sqrt(s.variance()) })

// timed is the cell of first and last samples.
type timed struct {
	ts int64
	v  float64
}

// earliest keeps the earlier sample, of equal ones the first seen; latest the later one, of equal ones the last seen.
var earliest = edges(func(a, b timed) bool { return b.ts < a.ts })
var latest = edges(func(a, b timed) bool { return b.ts >= a.ts })

// edges keeps b instead of a where replace says so.
func edges(replace func(a, b timed) bool) cellKind[timed] {
	pick := func(a, b timed) timed {
		if replace(a, b) {
			return b
		}
		return a
	}
	return cellKind[timed]{
		size:  16,
		first: func(ts int64, v float64) timed { return timed{ts, v} },
		add:   func(c *timed, ts int64, v float64) { *c = pick(*c, timed{ts, v}) },
		merge: pick,
		value: func(c timed) float64 { return c.v },
	}
}
