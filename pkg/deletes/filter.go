package deletes

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// Filter is a part compiled. It is immutable and safe for concurrent use.
type Filter struct {
	Part Part
	// First and Last bound what is deleted in nanoseconds, both inclusive.
	First, Last int64

	matchers []*labels.Matcher
	// pipe is nil if all lines of the streams go.
	pipe *pipeline.Pipeline
}

// NewFilter compiles a part.
func NewFilter(p Part) (*Filter, error) {
	q, err := syntax.ParseLog(p.Query)
	if err != nil {
		return nil, fmt.Errorf("cannot read the query of delete request %s: %w", p.Name(), err)
	}
	f := &Filter{Part: p, matchers: q.Matchers}
	f.First, f.Last = p.Bounds()
	if len(q.Stages) > 0 {
		if f.pipe, err = pipeline.Build(q.Stages); err != nil {
			return nil, fmt.Errorf("cannot read the query of delete request %s: %w", p.Name(), err)
		}
	}
	return f, nil
}

// hasFilters reports whether a query chooses lines, not only streams.
func hasFilters(q *syntax.LogQuery) bool { return len(q.Stages) > 0 }

// WholeStreams reports whether the filter takes all lines within its span.
func (f *Filter) WholeStreams() bool { return f.pipe == nil }

// MatchStream reports whether the filter is about a stream.
func (f *Filter) MatchStream(lbls labels.Labels) bool {
	for _, m := range f.matchers {
		if !m.Matches(lbls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Overlaps reports whether some instant of the closed span lies in the filter's.
func (f *Filter) Overlaps(first, last int64) bool { return first <= f.Last && last >= f.First }

// Covers reports whether nothing of the closed span is left.
func (f *Filter) Covers(first, last int64) bool {
	return f.pipe == nil && f.First <= first && last <= f.Last
}

// Matcher tells which entries of one stream are to go. It is not safe for concurrent use.
type Matcher struct {
	filters []*Filter
	streams []*pipeline.Stream
}

// NewMatcher binds filters that are about a stream.
func NewMatcher(filters []*Filter, lbls labels.Labels) *Matcher {
	m := &Matcher{filters: filters, streams: make([]*pipeline.Stream, len(filters))}
	for i, f := range filters {
		if f.pipe != nil {
			m.streams[i] = f.pipe.ForStream(lbls)
		}
	}
	return m
}

// Match reports whether one of the filters wants the entry gone.
func (m *Matcher) Match(ts int64, line []byte, metadata []model.Pair) bool {
	for i, f := range m.filters {
		if ts < f.First || ts > f.Last {
			continue
		}
		if f.pipe == nil {
			return true
		}
		if !f.pipe.MatchLine(line) {
			continue
		}
		if f.pipe.Trivial() {
			return true
		}
		if _, _, ok := m.streams[i].Process(ts, line, metadata); ok {
			return true
		}
	}
	return false
}
