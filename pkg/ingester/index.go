package ingester

import (
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// index finds a tenant's streams by their labels.
type index struct {
	mu sync.RWMutex
	// all and the lists of postings are in no order. Removed streams stay in them until they are many.
	all      []*stream
	postings map[string]map[string][]*stream
	removed  int
}

func (x *index) add(s *stream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.postings == nil {
		x.postings = map[string]map[string][]*stream{}
	}
	x.all = append(x.all, s)
	s.labels.Range(func(l labels.Label) {
		values := x.postings[l.Name]
		if values == nil {
			values = map[string][]*stream{}
			x.postings[l.Name] = values
		}
		values[l.Value] = append(values[l.Value], s)
	})
}

// remove takes note that a stream is dead.
func (x *index) remove() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removed++
	if x.removed < len(x.all) && (x.removed < 256 || 2*x.removed < len(x.all)) {
		return
	}
	keep := func(list []*stream) []*stream {
		var out []*stream
		for _, s := range list {
			if !s.dead.Load() {
				out = append(out, s)
			}
		}
		return out
	}
	x.all = keep(x.all)
	for name, values := range x.postings {
		for value, list := range values {
			if list = keep(list); len(list) == 0 {
				delete(values, value)
			} else {
				values[value] = list
			}
		}
		if len(values) == 0 {
			delete(x.postings, name)
		}
	}
	x.removed = 0
}

// find returns the streams that all matchers accept.
func (x *index) find(matchers []*labels.Matcher) []*stream {
	x.mu.RLock()
	defer x.mu.RUnlock()
	candidates, rest, ok := x.candidatesLocked(matchers)
	if !ok {
		return nil
	}
	tests := make([]labelTest, 0, len(rest))
	for _, m := range rest {
		tests = append(tests, labelTest{m: m, known: map[string]bool{}})
	}
	var found []*stream
next:
	for _, s := range candidates {
		if s.dead.Load() {
			continue
		}
		for i := range tests {
			if !tests[i].accepts(s.labels) {
				continue next
			}
		}
		found = append(found, s)
	}
	return found
}

// labelTest remembers what a matcher said about a value: streams share their values.
type labelTest struct {
	m     *labels.Matcher
	known map[string]bool
}

func (t *labelTest) accepts(l labels.Labels) bool {
	v := l.Get(t.m.Name)
	if t.m.Type == labels.MatchEqual || t.m.Type == labels.MatchNotEqual {
		return t.m.Matches(v)
	}
	ok, known := t.known[v]
	if !known {
		ok = t.m.Matches(v)
		if len(t.known) < 1<<16 {
			t.known[v] = ok
		}
	}
	return ok
}

// candidatesLocked returns the shortest list of streams that one matcher leaves, and the other matchers. ok is false if
// some matcher leaves none.
func (x *index) candidatesLocked(matchers []*labels.Matcher) (best []*stream, rest []*labels.Matcher, ok bool) {
	best = x.all
	chosen := -1
	var merged []*stream
	for i, m := range matchers {
		if m.Matches("") {
			continue
		}
		if m.Type == labels.MatchEqual {
			list := x.postings[m.Name][m.Value]
			if len(list) == 0 {
				return nil, nil, false
			}
			if len(list) < len(best) || chosen < 0 {
				best, chosen = list, i
			}
			continue
		}
		// A regular expression or an inequality: worth a union if few streams have what it accepts.
		n, any := 0, false
		for v, list := range x.postings[m.Name] {
			if m.Matches(v) {
				n, any = n+len(list), true
			}
		}
		if !any {
			return nil, nil, false
		}
		if n < len(best)/2 {
			merged = make([]*stream, 0, n)
			for v, list := range x.postings[m.Name] {
				if m.Matches(v) {
					merged = append(merged, list...)
				}
			}
			best, chosen = merged, i
		}
	}
	for i, m := range matchers {
		if i != chosen {
			rest = append(rest, m)
		}
	}
	return best, rest, true
}
