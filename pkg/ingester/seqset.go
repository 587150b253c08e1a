package ingester

import (
	"encoding/binary"
	"slices"

	"logstore/pkg/decbuf"
)

// seqSet is a set of order numbers, which begin at 1. Nearly always it is a single stretch. The zero value is empty.
type seqSet struct {
	first seqSpan
	more  []seqSpan
}

// seqSpan has both ends inside.
type seqSpan struct{ lo, hi uint64 }

func (s *seqSet) empty() bool { return s.first.hi == 0 }

// last returns the greatest number, 0 if there is none.
func (s *seqSet) last() uint64 {
	if len(s.more) > 0 {
		return s.more[len(s.more)-1].hi
	}
	return s.first.hi
}

func (s *seqSet) contains(n uint64) bool {
	if n < s.first.lo || n == 0 {
		return false
	}
	if n <= s.first.hi {
		return true
	}
	i, found := slices.BinarySearchFunc(s.more, n, func(p seqSpan, n uint64) int {
		switch {
		case p.hi < n:
			return -1
		case p.lo > n:
			return 1
		}
		return 0
	})
	return found && s.more[i].lo <= n
}

func (s *seqSet) add(n uint64) { s.addSpan(seqSpan{n, n}) }

func (s *seqSet) addSpan(p seqSpan) {
	switch {
	case p.hi == 0:
		return
	case s.first.hi == 0:
		s.first = p
		return
	case len(s.more) == 0 && p.lo >= s.first.lo && p.lo <= s.first.hi+1:
		s.first.hi = max(s.first.hi, p.hi)
		return
	}
	all := make([]seqSpan, 0, len(s.more)+2)
	all = append(append(all, s.first), s.more...)
	at, _ := slices.BinarySearchFunc(all, p, func(a, b seqSpan) int {
		if a.lo < b.lo {
			return -1
		}
		return 1
	})
	all = slices.Insert(all, at, p)
	out := all[:1]
	for _, q := range all[1:] {
		if l := &out[len(out)-1]; q.lo <= l.hi+1 {
			l.hi = max(l.hi, q.hi)
		} else {
			out = append(out, q)
		}
	}
	s.first, s.more = out[0], slices.Clone(out[1:])
	if len(s.more) == 0 {
		s.more = nil
	}
}

// union adds all numbers of t.
func (s *seqSet) union(t *seqSet) {
	s.addSpan(t.first)
	for _, p := range t.more {
		s.addSpan(p)
	}
}

// containsAll reports whether every number of t is in s.
func (s *seqSet) containsAll(t *seqSet) bool {
	for p := range t.spans {
		inside := s.first.lo <= p.lo && p.hi <= s.first.hi
		for _, q := range s.more {
			inside = inside || q.lo <= p.lo && p.hi <= q.hi
		}
		if !inside {
			return false
		}
	}
	return true
}

func (s *seqSet) spans(yield func(seqSpan) bool) {
	if s.empty() || !yield(s.first) {
		return
	}
	for _, p := range s.more {
		if !yield(p) {
			return
		}
	}
}

// appendTo writes the set: the number of spans, and for each the distance from the end of the one before and its length.
func (s *seqSet) appendTo(dst []byte) []byte {
	n := 0
	for range s.spans {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	at := uint64(0)
	for p := range s.spans {
		dst = binary.AppendUvarint(dst, p.lo-at)
		dst = binary.AppendUvarint(dst, p.hi-p.lo)
		at = p.hi
	}
	return dst
}

// readSeqSet is the inverse of appendTo.
func readSeqSet(d *decbuf.Buf) seqSet {
	var s seqSet
	n := d.Uvarint()
	at := uint64(0)
	for ; n > 0 && !d.Failed(); n-- {
		lo := at + d.Uvarint()
		hi := lo + d.Uvarint()
		if lo <= at || hi < lo {
			d.Fail("order numbers do not ascend")
			return s
		}
		s.addSpan(seqSpan{lo, hi})
		at = hi
	}
	return s
}
