package changes

import (
	"math/rand/v2"
	"slices"
	"sync"

	"logstore/pkg/model"
)

// minute is the length of the spans that are told apart, in nanoseconds.
const minute = int64(60e9)

// maxMinutes bounds the minutes that are told apart for a tenant: a week is 10080. Those before count as one.
const maxMinutes = 16384

// Log counts what was written. It is safe for concurrent use.
type Log struct {
	epoch uint64

	mu      sync.Mutex
	tenants map[string]*tenantLog
}

type tenantLog struct {
	mu sync.Mutex
	// counts ascend by minute, and all are at or after floor.
	counts []Count
	// floor is the first minute that is told apart; before counts the pushes below it.
	floor  int64
	before uint64
}

// Count is how many pushes had entries in a minute since 1970.
type Count struct {
	Minute int64
	Pushes uint64
}

// NewLog returns an empty log with an epoch of its own.
func NewLog() *Log { return &Log{epoch: rand.Uint64(), tenants: map[string]*tenantLog{}} }

func (l *Log) tenant(id string) *tenantLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tenants[id]
}

func (l *Log) tenantOrNew(id string) *tenantLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tenants[id]
	if t == nil {
		t = &tenantLog{floor: minInt}
		l.tenants[id] = t
	}
	return t
}

const (
	minInt = -1 << 63
	maxInt = 1<<63 - 1
)

// Touch says that entries of the tenant were written between two instants in nanoseconds, both inclusive. Calling it for more
// than was written is harmless.
func (l *Log) Touch(tenant string, first, last int64) {
	t := l.tenant(tenant)
	if t == nil {
		t = l.tenantOrNew(tenant)
	}
	from, to := floorDiv(first, minute), floorDiv(last, minute)
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < t.floor {
		t.before++
		from = t.floor
	}
	if to-from >= maxMinutes {
		t.foldLocked(to - maxMinutes/2)
		t.before++
		from = t.floor
	}
	for m := from; m <= to; m++ {
		t.touchLocked(m)
	}
	if len(t.counts) > maxMinutes {
		t.foldLocked(t.counts[len(t.counts)/2].Minute)
	}
}

func (t *tenantLog) touchLocked(m int64) {
	n := len(t.counts)
	if n > 0 && t.counts[n-1].Minute == m { // nearly always
		t.counts[n-1].Pushes++
		return
	}
	i, ok := t.find(m)
	if ok {
		t.counts[i].Pushes++
		return
	}
	t.counts = slices.Insert(t.counts, i, Count{Minute: m, Pushes: 1})
}

func (t *tenantLog) find(m int64) (int, bool) {
	return slices.BinarySearchFunc(t.counts, m, func(c Count, m int64) int {
		switch {
		case c.Minute < m:
			return -1
		case c.Minute > m:
			return 1
		}
		return 0
	})
}

// foldLocked makes one of all minutes before floor.
func (t *tenantLog) foldLocked(floor int64) {
	i, _ := t.find(floor)
	t.before++
	t.counts = slices.Delete(t.counts, 0, i)
	t.floor = max(t.floor, floor)
}

// State returns what the log says about an interval.
func (l *Log) State(tenant string, span model.Interval) State {
	s := State{Epoch: l.epoch, Floor: minInt}
	t := l.tenant(tenant)
	if t == nil || span.End <= span.Start {
		return s
	}
	from, to := floorDiv(span.Start, minute), floorDiv(span.End-1, minute)
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Floor, s.Before = t.floor, t.before
	lo, _ := t.find(from)
	hi, _ := t.find(min(to, maxInt-1) + 1)
	s.Counts = slices.Clone(t.counts[lo:hi])
	return s
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
