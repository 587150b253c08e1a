package engine

import (
	"context"
	"math"
	"slices"
	"time"

	"logstore/pkg/logql"
	"logstore/pkg/sidecar"
)

// total is what is known of all entries of a piece.
type total struct {
	sidecar.Totals
	// known says that there are Totals; else First and Last are the bounds of the piece.
	known bool
	// after is the first instant of any piece behind this one.
	after int64
}

// count adds what the totals of pieces answer: those all entries of which are of one series and fall into one bucket, and that share no
// instant with another piece of the stream, so that no entry can be there twice. It returns the streams with the pieces that are left. In
// most counts over much recent data these are few or none, so that there is nothing to give to workers.
func (s *scan) count(ctx context.Context, w *worker, streams []*stream) ([]*stream, error) {
	if !s.skip.columns || !s.plan.pipe.Trivial() {
		return streams, nil
	}
	left := streams[:0]
	for _, st := range streams {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.countStream(w, st); len(st.pieces) > 0 {
			left = append(left, st)
		}
	}
	return left, w.flush()
}

// countStream adds pieces of a stream by their totals and removes them from it.
func (s *scan) countStream(w *worker, st *stream) {
	totals := s.totalsOf(w.totals[:0], st)
	w.totals = totals
	var b *binding
	before, k := int64(math.MinInt64), -1 // the last instant of any piece before this one
	st.pieces = slices.DeleteFunc(st.pieces, func(piece) bool {
		k++
		t := &totals[k]
		alone := k == 0 || before < t.First
		before = max(before, t.Last)
		if !t.known || !alone || t.after <= t.Last || !s.plan.fixed(st.labels, t.MetaBytes > 0) {
			return false
		}
		j := s.buckets.index(t.First)
		if j != s.buckets.index(t.Last) {
			return false
		}
		if b == nil {
			b = &binding{stream: st}
		}
		s.q.acct.chunks.Add(1)
		w.addTotal(b, j, &t.Totals)
		return true
	})
}

// addTotal adds all entries of a piece to bucket j.
func (w *worker) addTotal(b *binding, j int, t *sidecar.Totals) {
	w.q.acct.described.Add(int64(t.Blocks))
	if !w.buckets.wanted(j) {
		return
	}
	sum := float64(t.Entries)
	if w.skip.lengths {
		sum = float64(t.LineBytes)
	}
	w.passed += int64(t.Entries)
	w.grown += w.fixedSeries(b).sum.addCell(j, sum)
}

// totalsOf appends what is known of the pieces of a stream, in their order. Those that are longer than a bucket are not asked.
func (s *scan) totalsOf(dst []total, st *stream) []total {
	const rounding = int64(time.Millisecond) // of the bounds
	for i := range st.pieces {
		p := &st.pieces[i]
		t := total{Totals: sidecar.Totals{First: p.first, Last: p.last}}
		if long := p.last-p.first > 2*rounding && s.buckets.index(p.first+rounding) != s.buckets.index(p.last-rounding); !long {
			if asked, ok := p.Piece.(logql.Totaler); ok {
				if known, ok := asked.Totals(); ok {
					t.Totals, t.known = known, true
				}
			}
		}
		dst = append(dst, t)
	}
	after := int64(math.MaxInt64)
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i].after = after
		after = min(after, dst[i].First)
	}
	return dst
}
