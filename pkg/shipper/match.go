package shipper

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// query is what a lookup wants of the streams.
type query struct {
	matchers []*labels.Matcher
	// present asks for streams that have each matcher's label, also where the matcher accepts the empty string. Label
	// names and values with a selector are looked up so: the rows of a label that a stream lacks cannot speak for it.
	present                bool
	shardIndex, shardCount uint64
}

// match returns the numbers of the streams that a query wants, ascending.
func (s *seriesSet) match(q query) []uint32 {
	var found []uint32
	narrowed := false
	var rest []*labels.Matcher
	// Equalities narrow the set at the cost of a search; everything else is decided for what they leave.
	for _, m := range q.matchers {
		p := s.postings()[m.Name]
		switch {
		case p == nil:
			if q.present || !m.Matches("") {
				return nil
			}
		case m.Type == labels.MatchEqual && m.Value != "":
			found = intersect(found, p.of(m.Value), narrowed)
			narrowed = true
			if len(found) == 0 {
				return nil
			}
		default:
			rest = append(rest, m)
		}
	}
	for _, m := range rest {
		found = s.narrow(found, narrowed, m, q.present)
		narrowed = true
		if len(found) == 0 {
			return nil
		}
	}
	if !narrowed {
		found = s.all()
	}
	if q.shardCount > 1 {
		kept := make([]uint32, 0, len(found)/int(min(q.shardCount, 1<<10))+1)
		for _, i := range found {
			if s.stableHash(i)%q.shardCount == q.shardIndex {
				kept = append(kept, i)
			}
		}
		found = kept
	}
	return found
}

func (s *seriesSet) all() []uint32 {
	out := make([]uint32, len(s.ids))
	for i := range out {
		out[i] = uint32(i)
	}
	return out
}

// narrow keeps of found (of all streams if nothing has narrowed them yet) those that a matcher accepts.
func (s *seriesSet) narrow(found []uint32, narrowed bool, m *labels.Matcher, present bool) []uint32 {
	p := s.postings()[m.Name]
	absent := !present && m.Matches("")
	if narrowed && len(found) < len(p.values) {
		return s.filterByLabels(found, m, absent)
	}
	accepted, count := p.accept(m)
	if !narrowed && !absent {
		return p.collect(accepted, count)
	}
	if !narrowed {
		found = s.all()
	}
	// A byte per stream: whether it has the label, and whether the value is accepted.
	const has, yes = 1, 2
	state := make([]byte, len(s.ids))
	for i := range p.values {
		flag := byte(has)
		if accepted[i] {
			flag |= yes
		}
		for _, n := range p.at(i) {
			state[n] = flag
		}
	}
	kept := make([]uint32, 0, len(found))
	for _, n := range found {
		if state[n]&yes != 0 || (state[n] == 0 && absent) {
			kept = append(kept, n)
		}
	}
	return kept
}

// filterByLabels asks a matcher about the streams, when they are fewer than the label has values.
func (s *seriesSet) filterByLabels(found []uint32, m *labels.Matcher, absent bool) []uint32 {
	kept := make([]uint32, 0, len(found))
	for _, n := range found {
		value := s.labels[n].Get(m.Name)
		if (value == "" && absent) || (value != "" && m.Matches(value)) {
			kept = append(kept, n)
		}
	}
	return kept
}

// accept asks a matcher about each value. count is the number of streams that have an accepted one.
func (p *postings) accept(m *labels.Matcher) (accepted []bool, count int) {
	accepted = make([]bool, len(p.values))
	take := func(i int) {
		accepted[i] = true
		count += int(p.offsets[i+1] - p.offsets[i])
	}
	if set := m.SetMatches(); len(set) > 0 && m.Type == labels.MatchRegexp {
		for _, value := range set {
			if i, ok := slices.BinarySearch(p.values, value); ok && !accepted[i] {
				take(i)
			}
		}
		return accepted, count
	}
	for i, value := range p.values {
		if m.Matches(value) {
			take(i)
		}
	}
	return accepted, count
}

// collect returns the streams of the accepted values, ascending.
func (p *postings) collect(accepted []bool, count int) []uint32 {
	out := make([]uint32, 0, count)
	for i, ok := range accepted {
		if ok {
			out = append(out, p.at(i)...)
		}
	}
	slices.Sort(out)
	return out
}

// intersect returns what is in both ascending lists; without an earlier list it is the new one.
func intersect(a, b []uint32, narrowed bool) []uint32 {
	if !narrowed {
		return b
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	out := make([]uint32, 0, len(a))
	for _, n := range a {
		i, ok := slices.BinarySearch(b, n)
		if ok {
			out = append(out, n)
		}
		b = b[i:]
	}
	return out
}
