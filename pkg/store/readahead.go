package store

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"logstore/pkg/sidecar"
)

// maxAhead bounds the tables that are read ahead of a query at a time, one run of each.
const maxAhead = 8

// ahead is the progress of a query through its tables.
type ahead struct {
	// order are the tables, oldest first.
	order []*wantedTable
	// last is the number of the table that was asked for last, asked how many were.
	last, asked int
}

// begin puts the tables into order.
func (a *ahead) begin(tables map[packTable]*wantedTable) {
	a.order = slices.SortedFunc(maps.Values(tables), func(x, y *wantedTable) int { return cmp.Compare(x.refs[0].From, y.refs[0].From) })
	for i, t := range a.order {
		t.number = i
	}
}

// next returns the tables that are to be read ahead when a table is asked for: none when it was before, else twice as many with each
// table, in the direction in which the query goes. A query that has enough after a few tables has read little more. The siblings' lock
// is held.
func (a *ahead) next(t *wantedTable) (out []*wantedTable, backward bool) {
	if t.asked {
		return nil, false
	}
	t.asked = true
	backward = t.number < a.last
	if a.asked == 0 {
		backward = 2*t.number >= len(a.order)-1
	}
	a.last = t.number
	a.asked++
	step := 1
	if backward {
		step = -1
	}
	for k := 1; k <= min(1<<min(a.asked, 8), maxAhead); k++ {
		i := t.number + k*step
		if i < 0 || i >= len(a.order) {
			break
		}
		if n := a.order[i]; !n.asked && !n.ahead {
			n.ahead = true
			out = append(out, n)
		}
	}
	return out, backward
}

// readAhead reads packs of the tables that a query will most likely ask for next, if what was read can stay in memory until then. What it
// starts ends with the context.
func (s *Store) readAhead(ctx context.Context, b *siblings, t *wantedTable, want sidecar.Parts) {
	if s.sidecars.cfg.CacheBytes < 4*maxAhead*maxRun {
		return
	}
	b.mu.Lock()
	tables, backward := b.ahead.next(t)
	b.mu.Unlock()
	for _, next := range tables {
		go s.readTable(ctx, next, want, backward)
	}
}

// readTable reads the run of a table that a query wants first.
func (s *Store) readTable(ctx context.Context, t *wantedTable, want sidecar.Parts, backward bool) {
	parts, err := s.planTable(ctx, t, want)
	if err != nil || len(parts) == 0 {
		return
	}
	first := func(n int) int {
		if backward {
			return n - 1
		}
		return 0
	}
	p := parts[first(len(parts))]
	runs, err := s.plannedRuns(ctx, p)
	if err != nil || len(runs) == 0 {
		return
	}
	_, _ = s.runOf(ctx, p, runs[first(len(runs))]) // whoever asks for it will see
}
