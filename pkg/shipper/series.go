package shipper

import (
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/schema"
)

// seriesSet holds streams of one tenant with postings by label. It is immutable; what a write adds may be merged with other
// sets before anybody asks for it, so that postings are made by the first lookup.
type seriesSet struct {
	// ids ascend; labels are parallel to them.
	ids    []schema.SeriesID
	labels []labels.Labels

	postingsOnce sync.Once
	names        map[string]*postings

	hashOnce sync.Once
	hashes   []uint64
}

// postings say which streams have which value of a label.
type postings struct {
	// values ascend.
	values []string
	// series[offsets[i]:offsets[i+1]] are the streams with values[i], ascending.
	offsets []uint32
	series  []uint32
}

// newSeriesSet takes both slices; they must be in ascending order of ids, each id once.
func newSeriesSet(ids []schema.SeriesID, lbls []labels.Labels) *seriesSet {
	return &seriesSet{ids: ids, labels: lbls}
}

// postings returns the postings of each label.
func (s *seriesSet) postings() map[string]*postings {
	s.postingsOnce.Do(func() {
		s.names = make(map[string]*postings)
		builders := make(map[string]*postingsBuilder)
		for i := range s.labels {
			s.labels[i].Range(func(l labels.Label) {
				b := builders[l.Name]
				if b == nil {
					b = &postingsBuilder{numbers: make(map[string]uint32)}
					builders[l.Name] = b
				}
				b.add(uint32(i), l.Value)
			})
		}
		for name, b := range builders {
			s.names[name] = b.build()
		}
	})
	return s.names
}

// postingsBuilder numbers the values of one label in the order in which they come.
type postingsBuilder struct {
	numbers map[string]uint32
	values  []string
	counts  []uint32
	series  []uint32
	number  []uint32
}

func (b *postingsBuilder) add(series uint32, value string) {
	n, ok := b.numbers[value]
	if !ok {
		n = uint32(len(b.values))
		b.numbers[value] = n
		b.values = append(b.values, value)
		b.counts = append(b.counts, 0)
	}
	b.counts[n]++
	b.series = append(b.series, series)
	b.number = append(b.number, n)
}

func (b *postingsBuilder) build() *postings {
	order := make([]uint32, len(b.values))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int {
		switch vx, vy := b.values[x], b.values[y]; {
		case vx < vy:
			return -1
		case vx > vy:
			return 1
		}
		return 0
	})
	p := &postings{
		values:  make([]string, len(order)),
		offsets: make([]uint32, len(order)+1),
		series:  make([]uint32, len(b.series)),
	}
	// The counts turn into the place where the next stream of a value goes.
	at := uint32(0)
	for rank, n := range order {
		p.values[rank] = b.values[n]
		p.offsets[rank] = at
		at, b.counts[n] = at+b.counts[n], at
	}
	p.offsets[len(order)] = at
	for i, n := range b.number {
		p.series[b.counts[n]] = b.series[i]
		b.counts[n]++
	}
	return p
}

// of returns the streams with a value.
func (p *postings) of(value string) []uint32 {
	i, ok := slices.BinarySearch(p.values, value)
	if !ok {
		return nil
	}
	return p.at(i)
}

func (p *postings) at(i int) []uint32 { return p.series[p.offsets[i]:p.offsets[i+1]] }

// stableHash returns the hash by which a query's shards are told apart.
func (s *seriesSet) stableHash(i uint32) uint64 {
	s.hashOnce.Do(func() {
		s.hashes = make([]uint64, len(s.labels))
		for i := range s.labels {
			s.hashes[i] = labels.StableHash(s.labels[i])
		}
	})
	return s.hashes[i]
}

// bytes estimates the memory of the set.
func (s *seriesSet) bytes() int64 {
	n := int64(len(s.ids)) * int64(len(schema.SeriesID{})+16+8)
	var buf []byte
	for i := range s.labels {
		buf = s.labels[i].Bytes(buf[:0])
		n += int64(len(buf))
	}
	for name, p := range s.postings() {
		n += int64(len(name)) + 128 + int64(len(p.values))*20 + int64(len(p.series))*4
	}
	return n
}

// find returns the number of a stream.
func (s *seriesSet) find(id *schema.SeriesID) (int, bool) {
	return slices.BinarySearchFunc(s.ids, id, func(a schema.SeriesID, b *schema.SeriesID) int { return a.Compare(b) })
}

// mergeSets makes one set of several that share no stream.
func mergeSets(sets ...*seriesSet) *seriesSet {
	n := 0
	for _, s := range sets {
		n += len(s.ids)
	}
	ids := make([]schema.SeriesID, 0, n)
	lbls := make([]labels.Labels, 0, n)
	at := make([]int, len(sets))
	for len(ids) < n {
		least := -1
		for i, s := range sets {
			if at[i] < len(s.ids) && (least < 0 || s.ids[at[i]].Compare(&sets[least].ids[at[least]]) < 0) {
				least = i
			}
		}
		ids = append(ids, sets[least].ids[at[least]])
		lbls = append(lbls, sets[least].labels[at[least]])
		at[least]++
	}
	return newSeriesSet(ids, lbls)
}
