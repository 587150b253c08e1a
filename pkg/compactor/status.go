package compactor

import (
	"maps"
	"sync"
	"time"

	"logstore/pkg/schema"
)

// Status is what the compactor's page shows.
type Status struct {
	// Owner tells whether this member works, Fence is the number of its lock.
	Owner bool   `json:"owner"`
	Fence uint64 `json:"fence"`
	// LastRun and LastSuccess are zero before the first; LastError is empty after a success.
	LastRun     time.Time `json:"last_run"`
	LastSuccess time.Time `json:"last_success"`
	LastError   string    `json:"last_error,omitempty"`
	// Tables is how many tables the last run saw, Pending how many files wait for their removal.
	Tables  int `json:"tables"`
	Pending int `json:"pending_files"`
	// Marked and Deleted count chunks by day since the start of the process: taken out of the index, and removed.
	Marked  map[string]int `json:"chunks_marked"`
	Deleted map[string]int `json:"chunks_deleted"`
}

// status is shared between cycles and the page.
type status struct {
	metrics *metrics

	mu sync.Mutex
	s  Status
}

// maxDays bounds the days that are counted each by itself.
const maxDays = 1000

func (s *status) marked(day string, why reason, n int) {
	if why == reasonMerge {
		return // Its lines are in another chunk.
	}
	s.count(&s.s.Marked, day, n)
	s.metrics.expired.WithLabelValues(day).Add(float64(n))
}

func (s *status) deleted(day string, n int) {
	s.count(&s.s.Deleted, day, n)
	s.metrics.freed.WithLabelValues(day).Add(float64(n))
}

func (s *status) count(m *map[string]int, day string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *m == nil || len(*m) > maxDays {
		*m = map[string]int{}
		s.metrics.expired.Reset()
		s.metrics.freed.Reset()
	}
	(*m)[day] += n
}

func (s *status) update(fn func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.s)
}

// Status returns what the compactor did last.
func (c *Compactor) Status() Status {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	out := c.status.s
	out.Marked, out.Deleted = maps.Clone(out.Marked), maps.Clone(out.Deleted)
	c.lock.mu.Lock()
	defer c.lock.mu.Unlock()
	out.Fence = c.lock.fence
	out.Owner = !c.lock.until.IsZero() && c.now().Before(c.lock.until)
	return out
}

func dayText(day int64) string {
	return time.UnixMilli(day * schema.MillisPerDay).UTC().Format(time.DateOnly)
}
