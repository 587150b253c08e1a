package engine

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/pipeline"
	"logstore/pkg/model"
)

// entry is a log line that passed the pipeline.
type entry struct {
	stream *stream
	ts     int64
	// place orders entries of one stream that have the same time.
	place place
	// hash is that of the stored line and metadata, to find repeats.
	hash uint64
	line string
	res  *pipeline.Result
}

// place is where an entry stands in its stream: the first instant of its block, and its number in it.
type place struct {
	block int64
	index int
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.block, o.block), cmp.Compare(p.index, o.index))
}

// entryBytes is about what an entry takes besides its line.
const entryBytes = 112

// order compares entries in the query's direction. Entries of one stream and instant stand in the order of arrival, or
// backward in its reverse; those of several streams in the order of labels.
type order model.Direction

// better reports whether time a comes before time b.
func (o order) better(a, b int64) bool {
	if model.Direction(o) == model.Forward {
		return a < b
	}
	return a > b
}

// worst is the time behind all others.
func (o order) worst() int64 {
	if model.Direction(o) == model.Forward {
		return math.MaxInt64
	}
	return math.MinInt64
}

func (o order) compare(a, b *entry) int {
	c := 0
	switch {
	case a.ts != b.ts:
		c = cmp.Compare(a.ts, b.ts)
	case a.stream != b.stream:
		if c := labels.Compare(a.stream.labels, b.stream.labels); c != 0 {
			return c
		}
		return cmp.Compare(a.stream.tenant, b.stream.tenant)
	default:
		c = a.place.compare(b.place)
	}
	if model.Direction(o) == model.Backward {
		return -c
	}
	return c
}

// collector gathers the entries of a result. Only the query's own goroutine uses it, but for threshold.
type collector interface {
	// add takes the entries of one block, each once and in order.
	add(entries []entry) error
	// settled is told that no entry to come is better than the given time, and reports whether the result is complete.
	settled(edge int64) bool
	// threshold returns a time behind which entries are not wanted any more. It may be called by every goroutine.
	threshold() int64
	// perBlock is the most entries that one block needs to yield.
	perBlock() int
	// result returns the entries in order.
	result() []entry
}

// repeatKey finds entries that are stored twice.
type repeatKey struct {
	stream *stream
	ts     int64
	hash   uint64
}

// places finds repeats. It has the first place of each entry, whichever copy came first: copies are read side by side, and the order of
// entries of one instant would else be another one each time.
type places struct {
	first map[repeatKey]place
	// moved is set once an entry got another place than it came with, until settle.
	moved bool
}

func newPlaces() places { return places{first: map[repeatKey]place{}} }

func (e *entry) repeatKey() repeatKey { return repeatKey{e.stream, e.ts, e.hash} }

// repeat reports whether an entry is there, and takes note of it.
func (p *places) repeat(e *entry) bool {
	key := e.repeatKey()
	first, repeat := p.first[key]
	if !repeat || e.place.compare(first) < 0 {
		p.first[key] = e.place
		p.moved = p.moved || repeat
	}
	return repeat
}

// drop forgets an entry.
func (p *places) drop(e *entry) { delete(p.first, e.repeatKey()) }

// settle gives entries, which are all that are there, their first place.
func (p *places) settle(entries []entry) {
	if !p.moved {
		return
	}
	for i := range entries {
		entries[i].place = p.first[entries[i].repeatKey()]
	}
	p.moved = false
}

// best is the collector of the first limit entries.
type best struct {
	order   order
	limit   int
	acct    *account
	seen    places
	entries []entry // a heap, the worst on top, once it is full
	full    bool
	limitAt atomic.Int64
}

func newBest(o order, limit int, acct *account) *best {
	b := &best{order: o, limit: limit, acct: acct, seen: newPlaces()}
	b.limitAt.Store(o.worst())
	return b
}

func (b *best) Len() int           { return len(b.entries) }
func (b *best) Less(i, j int) bool { return b.order.compare(&b.entries[i], &b.entries[j]) > 0 }
func (b *best) Swap(i, j int)      { b.entries[i], b.entries[j] = b.entries[j], b.entries[i] }
func (b *best) Push(any)           { panic("BUG: entries are appended before heap.Init") }
func (b *best) Pop() any           { panic("BUG: entries are replaced, not popped") }

func (b *best) add(entries []entry) error {
	for i := range entries {
		e := &entries[i]
		if b.full && b.order.compare(e, &b.entries[0]) >= 0 {
			return nil // those behind it are worse still
		}
		if b.seen.repeat(e) {
			continue
		}
		if b.full {
			worst := &b.entries[0]
			b.seen.drop(worst)
			if err := b.acct.hold(int64(len(e.line) - len(worst.line))); err != nil {
				return err
			}
			*worst = *e
			heap.Fix(b, 0)
		} else {
			if err := b.acct.hold(int64(len(e.line)) + entryBytes); err != nil {
				return err
			}
			b.entries = append(b.entries, *e)
			if b.full = len(b.entries) == b.limit; b.full {
				heap.Init(b)
			}
		}
		if b.full {
			b.limitAt.Store(b.entries[0].ts)
		}
	}
	return nil
}

func (b *best) settled(edge int64) bool {
	return b.full && b.order.better(b.entries[0].ts, edge)
}

func (b *best) threshold() int64 { return b.limitAt.Load() }
func (b *best) perBlock() int    { return b.limit }

func (b *best) result() []entry {
	b.seen.settle(b.entries)
	slices.SortFunc(b.entries, func(x, y entry) int { return b.order.compare(&x, &y) })
	return b.entries
}

// thinned is the collector that leaves at least interval between an entry and the next, over all streams together, and
// begins anew at each whole hour.
type thinned struct {
	order    order
	limit    int
	interval int64
	acct     *account
	seen     places
	pending  []entry // unordered
	taken    []entry
	limitAt  atomic.Int64
}

func newThinned(o order, limit int, interval time.Duration, acct *account) *thinned {
	t := &thinned{order: o, limit: limit, interval: int64(interval), acct: acct, seen: newPlaces()}
	t.limitAt.Store(o.worst())
	return t
}

func (t *thinned) add(entries []entry) error {
	for i := range entries {
		e := &entries[i]
		if t.seen.repeat(e) {
			continue
		}
		if err := t.acct.hold(int64(len(e.line)) + entryBytes); err != nil {
			return err
		}
		t.pending = append(t.pending, *e)
	}
	return nil
}

func (t *thinned) settled(edge int64) bool {
	t.seen.settle(t.pending)
	slices.SortFunc(t.pending, func(x, y entry) int { return t.order.compare(&x, &y) })
	done := 0
	for ; done < len(t.pending) && t.order.better(t.pending[done].ts, edge) && len(t.taken) < t.limit; done++ {
		e := &t.pending[done]
		t.seen.drop(e)
		if t.due(e.ts) {
			t.taken = append(t.taken, *e)
		} else {
			_ = t.acct.hold(-int64(len(e.line)) - entryBytes) // giving back never fails
		}
	}
	t.pending = slices.Delete(t.pending, 0, done)
	if len(t.taken) < t.limit {
		return false
	}
	t.limitAt.Store(t.taken[len(t.taken)-1].ts)
	return true
}

// due reports whether enough time has passed since the last entry taken.
func (t *thinned) due(ts int64) bool {
	if len(t.taken) == 0 {
		return true
	}
	last := t.taken[len(t.taken)-1].ts
	return abs(ts-last) >= t.interval || floorDiv(ts, int64(time.Hour)) != floorDiv(last, int64(time.Hour))
}

func abs(n int64) int64 { return max(n, -n) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (t *thinned) threshold() int64 { return t.limitAt.Load() }
func (t *thinned) perBlock() int    { return math.MaxInt }
func (t *thinned) result() []entry {
	t.settled(t.order.worst())
	return t.taken
}
