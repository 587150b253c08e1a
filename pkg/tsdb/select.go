package tsdb

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// Query says which series of a file are wanted.
type Query struct {
	// Tenant is set to look into a file of all tenants.
	Tenant   string
	Matchers []*labels.Matcher
}

// Select returns the references of the series that all matchers accept, ascending. A matcher that accepts the empty string
// also accepts series without the label.
func (x *Index) Select(q Query) ([]uint32, error) {
	var found []uint32
	narrowed := false
	if q.Tenant != "" {
		refs, err := x.equal(TenantLabel, q.Tenant)
		if err != nil || len(refs) == 0 {
			return nil, err
		}
		found, narrowed = refs, true
	}
	// What must have a label narrows the set, what may lack it takes series away: the first kind goes first.
	for _, m := range q.Matchers {
		if m.Matches("") {
			continue
		}
		refs, err := x.accepted(m, true)
		if err != nil {
			return nil, err
		}
		if narrowed {
			refs = intersect(found, refs)
		}
		if found, narrowed = refs, true; len(found) == 0 {
			return nil, nil
		}
	}
	for _, m := range q.Matchers {
		if !m.Matches("") {
			continue
		}
		if !narrowed {
			all, err := x.postingsAt(x.all)
			if err != nil {
				return nil, err
			}
			found, narrowed = all, true
		}
		refused, err := x.accepted(m, false)
		if err != nil {
			return nil, err
		}
		found = subtract(found, refused)
	}
	if !narrowed {
		return x.postingsAt(x.all)
	}
	return found, nil
}

// equal returns the series that have a value.
func (x *Index) equal(name, value string) ([]uint32, error) {
	entries := x.label(name)
	i, ok := slices.BinarySearchFunc(entries, value, func(at uint32, value string) int {
		v, _ := x.entry(at)
		switch {
		case string(v) < value:
			return -1
		case string(v) > value:
			return 1
		}
		return 0
	})
	if !ok {
		return nil, nil
	}
	_, offset := x.entry(entries[i])
	return x.postingsAt(offset)
}

// accepted returns the series whose value of the label a matcher accepts, or those whose value it does not.
func (x *Index) accepted(m *labels.Matcher, want bool) ([]uint32, error) {
	if want && m.Type == labels.MatchEqual {
		return x.equal(m.Name, m.Value)
	}
	if set := m.SetMatches(); want && m.Type == labels.MatchRegexp && len(set) > 0 {
		var lists [][]uint32
		for _, value := range set {
			refs, err := x.equal(m.Name, value)
			if err != nil {
				return nil, err
			}
			lists = append(lists, refs)
		}
		return union(lists), nil
	}
	var lists [][]uint32
	for _, at := range x.label(m.Name) {
		value, offset := x.entry(at)
		if m.Matches(string(value)) != want {
			continue
		}
		refs, err := x.postingsAt(offset)
		if err != nil {
			return nil, err
		}
		lists = append(lists, refs)
	}
	return union(lists), nil
}

// union merges lists into an ascending one without repeats.
func union(lists [][]uint32) []uint32 {
	if len(lists) == 1 {
		return lists[0]
	}
	out := slices.Concat(lists...)
	slices.Sort(out)
	return slices.Compact(out)
}

// intersect returns what is in both ascending lists.
func intersect(a, b []uint32) []uint32 {
	out := make([]uint32, 0, min(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// subtract returns what is in a and not in b; both ascend.
func subtract(a, b []uint32) []uint32 {
	if len(b) == 0 {
		return a
	}
	out := make([]uint32, 0, len(a))
	for _, ref := range a {
		for len(b) > 0 && b[0] < ref {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != ref {
			out = append(out, ref)
		}
	}
	return out
}

// LabelNames calls fn for each label name, ascending, without TenantLabel.
func (x *Index) LabelNames(fn func(name string)) {
	for i := range x.names {
		if x.names[i].name != TenantLabel {
			fn(x.names[i].name)
		}
	}
}

// LabelValues calls fn for each value of a label, ascending. value is valid during the call.
func (x *Index) LabelValues(name string, fn func(value []byte)) {
	for _, at := range x.label(name) {
		value, _ := x.entry(at)
		fn(value)
	}
}

// Check reads everything in the file that a lookup may read.
func (x *Index) Check() error {
	r := x.NewReader()
	all, err := x.postingsAt(x.all)
	if err != nil {
		return err
	}
	for _, ref := range all {
		var s Series
		if err := r.Series(ref, &s); err != nil {
			return err
		}
		if _, _, err := s.Labels(); err != nil {
			return err
		}
		if err := s.Chunks(math.MinInt64, math.MaxInt64, func(Chunk) error { return nil }); err != nil {
			return err
		}
	}
	for i := range x.names {
		for _, at := range x.names[i].entries {
			_, offset := x.entry(at)
			refs, err := x.postingsAt(offset)
			if err != nil {
				return err
			}
			if len(intersect(refs, all)) != len(refs) {
				return fmt.Errorf("%w: a postings list of label %s has a series that the list of all lacks", ErrCorrupt, x.names[i].name)
			}
		}
	}
	return nil
}
