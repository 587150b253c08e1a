package querier

import (
	"time"

	"logstore/pkg/logql"
	"logstore/pkg/model"
)

// takeSized counts a piece by what its index says, without opening it, and reports whether the index says anything. As Loki
// does, it goes window by window: a piece counts in proportion to the part of its time that is in the window, truncated
// to whole kilobytes and entries. The stream counts once for each window in which pieces of it are first met.
func (t *tally) takeSized(p logql.Piece) bool {
	s, ok := p.(logql.SizedPiece)
	if !ok {
		return false
	}
	kb, entries, ok := s.Size()
	if !ok {
		return false
	}
	if t.seen == nil {
		t.seen = map[int64]bool{}
	}
	first, met := int64(0), false
	for w := range t.windows(p) {
		part, touches := share(p, w)
		if !touches {
			continue
		}
		if !met {
			first, met = w.Start, true
		}
		t.bytes[t.at(w.Start)] += int64(float64(kb)*part) * 1024
		t.entries += int64(float64(entries) * part)
	}
	if met {
		t.sized++
		t.seen[first] = true
	}
	return true
}

// windows yields the parts of the interval that the piece may touch: the steps, or days if there are none.
func (t *tally) windows(p logql.Piece) func(yield func(model.Interval) bool) {
	width, origin := t.step, t.interval.Start
	if width <= 0 {
		width, origin = int64(24*time.Hour), 0
	}
	return func(yield func(model.Interval) bool) {
		first, last := p.Bounds()
		at := max(t.interval.Start, first)
		for at <= min(last, t.interval.End-1) {
			start := at - mod(at-origin, width)
			w := model.Interval{Start: max(start, t.interval.Start), End: min(start+width, t.interval.End)}
			if w.End < t.interval.End {
				w.End -= int64(time.Millisecond) // as a query is split
			}
			if !yield(w) {
				return
			}
			at = start + width
		}
	}
}

// share returns which part of a piece's time is in a window, and whether the piece belongs to the window at all: if it begins
// before the window's end, and does not end before its start.
func share(p logql.Piece, w model.Interval) (part float64, touches bool) {
	first, last := p.Bounds()
	if first >= w.End || last < w.Start {
		return 0, false
	}
	if first >= w.Start && last <= w.End {
		return 1, true
	}
	return float64(min(last, w.End)-max(first, w.Start)) / float64(last-first), true
}
