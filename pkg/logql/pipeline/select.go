package pipeline

import (
	"slices"

	"logstore/pkg/chunk"
	"logstore/pkg/logql/syntax"
)

// filterSet are the line filters over the stored line; all of them must keep it.
type filterSet struct{ filters []*lineMatcher }

func (f *filterSet) empty() bool { return len(f.filters) == 0 }

func (f *filterSet) add(st *syntax.LineFilter) error {
	m, err := newLineMatcher(st)
	if err != nil {
		return err
	}
	if c, ok := m.matcher.(constMatcher); ok && bool(c) != m.negate {
		return nil
	}
	f.filters = append(f.filters, m)
	return nil
}

// plan sorts the filters: what can be searched for in whole blocks comes first, and of it what is likely to be rare.
func (f *filterSet) plan() {
	slices.SortStableFunc(f.filters, func(a, b *lineMatcher) int { return b.rank() - a.rank() })
}

func (m *lineMatcher) rank() int {
	switch {
	case m.scan == nil && m.cheap():
		return 0
	case m.scan == nil:
		return -2
	}
	lits := make([]literal, 0, maxLiterals)
	for _, it := range m.scan.items {
		lits = append(lits, literal{it.lit, it.fold})
	}
	w := 1 + worth(lits)
	if m.negate {
		return w - 1<<12
	}
	if m.exact {
		w += 1 << 11
	}
	return w
}

func (m *lineMatcher) cheap() bool {
	switch m.matcher.(type) {
	case constMatcher, nonEmpty, *bytesMatcher:
		return true
	}
	return false
}

// MayMatch reports whether some line of the loaded (not yet walked) block can pass the leading line filters. It searches
// b.Buf as a whole, so that a block without a hit is never walked.
func (p *Pipeline) MayMatch(b *chunk.Batch) bool {
	for _, f := range p.leading.filters {
		if f.negate || f.scan == nil {
			if c, ok := f.matcher.(constMatcher); ok && bool(c) == f.negate {
				return false
			}
			continue
		}
		run := scanRun{s: f.scan}
		if at, _ := run.find(b.Buf, 0); at < 0 {
			return false
		}
	}
	return true
}

// MatchLine reports whether the leading line filters keep the line. It is what Select does, for entries that are in no
// block.
func (p *Pipeline) MatchLine(line []byte) bool {
	for _, f := range p.leading.filters {
		if !f.keeps(line) {
			return false
		}
	}
	return true
}

// Select appends to dst the indexes of the entries in [from, to) of the walked batch that pass the leading line filters,
// ascending. Process need not (and does not) apply those filters again to what Select returned.
func (p *Pipeline) Select(b *chunk.Batch, from, to int, dst []int32) []int32 {
	filters := p.leading.filters
	if len(filters) == 0 {
		for i := from; i < to; i++ {
			dst = append(dst, int32(i))
		}
		return dst
	}
	if from >= to {
		return dst
	}
	have := len(dst)
	first := filters[0]
	if first.scan != nil && ascending(b, from, to) {
		dst = first.search(b, from, to, dst)
	} else {
		for i := from; i < to; i++ {
			if first.keeps(b.Buf[b.Start[i]:b.End[i]]) {
				dst = append(dst, int32(i))
			}
		}
	}
	for _, f := range filters[1:] {
		kept := dst[:have]
		for _, i := range dst[have:] {
			if f.keeps(b.Buf[b.Start[i]:b.End[i]]) {
				kept = append(kept, i)
			}
		}
		dst = kept
	}
	return dst
}

// ascending reports whether the lines follow each other in the buffer; those of a block that came out of order do not.
func ascending(b *chunk.Batch, from, to int) bool {
	start, end := b.Start[from+1:to], b.End[from:to-1]
	for i := range start {
		if start[i] < end[i] {
			return false
		}
	}
	return true
}

// search looks for the filter's literals in the buffer as a whole and maps what it finds to lines. Between the lines there
// are bytes of other things: a hit counts only if it lies in a line.
func (m *lineMatcher) search(b *chunk.Batch, from, to int, dst []int32) []int32 {
	buf := b.Buf[:b.End[to-1]]
	run := scanRun{s: m.scan}
	pos := int(b.Start[from])
	// next is the first entry that is still undecided.
	next, i := from, from
	for {
		at, end := run.find(buf, pos)
		if at < 0 {
			break
		}
		for i < to && int(b.End[i]) <= at {
			i++
		}
		if i == to {
			break
		}
		if at < int(b.Start[i]) {
			pos = int(b.Start[i])
			continue
		}
		if end > int(b.End[i]) {
			pos = at + 1
			continue
		}
		pos = int(b.End[i])
		if !m.exact && !m.matcher.match(b.Buf[b.Start[i]:b.End[i]]) {
			continue
		}
		if m.negate {
			for ; next < i; next++ {
				dst = append(dst, int32(next))
			}
			next = i + 1
		} else {
			dst = append(dst, int32(i))
		}
	}
	if m.negate {
		for ; next < to; next++ {
			dst = append(dst, int32(next))
		}
	}
	return dst
}
