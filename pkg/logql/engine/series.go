package engine

import (
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/pipeline"
)

// rangeSeries is one series of a range aggregation. It has labels, or else a key that the pipeline makes labels of.
type rangeSeries struct {
	labels labels.Labels
	key    string
	hash   uint64
	store  store
	// sum is the store of an additive plan.
	sum *cellStore[float64]
	// next is another series of the same hash in the same set.
	next *rangeSeries
}

// seriesSet finds series by their labels, or all of them by their keys.
type seriesSet struct {
	list   []*rangeSeries
	byHash map[uint64]*rangeSeries
	byKey  keyTable
}

// seriesBytes is about what a series takes besides its labels and cells.
const seriesBytes = 256

// get returns the series of the labels, or makes it with newStore. grown is the memory that this took.
func (s *seriesSet) get(l labels.Labels, newStore func() store) (series *rangeSeries, grown int64) {
	hash := l.Hash()
	if r := s.find(hash, l); r != nil {
		return r, 0
	}
	r := &rangeSeries{labels: l, hash: hash, store: newStore()}
	r.sum, _ = r.store.(*cellStore[float64])
	s.insert(r)
	return r, labelBytes(l) + seriesBytes
}

// find returns the series of the labels, or nil.
func (s *seriesSet) find(hash uint64, l labels.Labels) *rangeSeries {
	for r := s.byHash[hash]; r != nil; r = r.next {
		if labels.Equal(r.labels, l) {
			return r
		}
	}
	return nil
}

func (s *seriesSet) insert(r *rangeSeries) {
	if s.byHash == nil {
		s.byHash = map[uint64]*rangeSeries{}
	}
	s.list = append(s.list, r)
	r.next = s.byHash[r.hash]
	s.byHash[r.hash] = r
}

// merge takes over the series of another set, which must not be used any more.
func (s *seriesSet) merge(other *seriesSet) (grown int64) {
	for _, o := range other.byKey.list() {
		if r := s.byKey.find(o.hash, o.key); r != nil {
			grown += r.store.merge(o.store)
			continue
		}
		s.byKey.insert(o)
	}
	for _, o := range other.list {
		if r := s.find(o.hash, o.labels); r != nil {
			grown += r.store.merge(o.store)
			continue
		}
		s.insert(o)
	}
	return grown
}

// binding is what a worker knows of a stream.
type binding struct {
	stream *stream
	// pipe is nil until an entry is run through it: it costs more than a few entries.
	pipe *pipeline.Stream
	// fixed is the series of all entries that have the labels of the stream alone; nil until there are some.
	fixed *rangeSeries
	// lastKey is the latest key and lastKeyed its series.
	lastKey   []byte
	lastKeyed *rangeSeries
	// last is the latest Result and its series, byResult are others: a Result's address stands for its labels.
	last       *pipeline.Result
	lastSeries *rangeSeries
	byResult   map[*pipeline.Result]*rangeSeries
}

// maxRemembered bounds the Results that a binding remembers; when there are more, all are forgotten.
const maxRemembered = 1 << 14
