package pipeline

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/model"
)

// Stream is a pipeline bound to the labels of one stream. It is not safe for concurrent use; its scratch memory is
// reused for each entry.
type Stream struct {
	lineState
	p      *Pipeline
	stages []boundStage
	unwrap *boundUnwrap
	// groups are the labels of a by clause; nil if results hold all labels.
	groups  []*slot
	results resultCache
	// plain is set if no entry differs from the stream's labels but by its metadata.
	plain bool
}

func newStream(p *Pipeline, stream labels.Labels) *Stream {
	s := &Stream{p: p, plain: p.Trivial()}
	s.byName = make(map[string]*slot, stream.Len()+8)
	s.results.byTouch = map[string]*Result{}
	s.results.byLabels = map[string]*Result{}
	s.seq = 1
	stream.Range(func(l labels.Label) {
		sl := s.pin(l.Name)
		sl.inBase, sl.base = true, l.Value
	})
	if p.grouped {
		s.groups = make([]*slot, 0, len(p.groupBy))
		for _, name := range p.groupBy {
			s.groups = append(s.groups, s.pin(name))
		}
		s.closed = p.closed()
	}
	for _, name := range p.exclude {
		s.pin(name).excluded = true
	}
	for _, st := range p.stages {
		s.stages = append(s.stages, st.bind(s))
	}
	if p.unwrap != nil {
		s.unwrap = p.unwrap.bind(s)
	}
	return s
}

// closed reports whether labels that neither the grouping nor a stage names cannot matter.
func (p *Pipeline) closed() bool {
	for _, st := range p.stages {
		if _, ok := st.(*labelFilterStage); !ok {
			return false
		}
	}
	return true
}

// Process runs the stages behind the leading line filters on one entry. The returned line is valid until the next call
// (it is line itself unless a stage changed it); the Result is interned: equal results of one Stream are the same pointer
// for as long as the Stream lives (within a bounded cache), so that its address can be a key of a fast path.
func (s *Stream) Process(ts int64, line []byte, meta []model.Pair) (out []byte, res *Result, ok bool) {
	if s.plain && len(meta) == 0 && s.results.last != nil && len(s.results.lastKey) == 0 && s.groups == nil {
		return line, s.results.last, true
	}
	line, ok = s.run(ts, line, meta)
	if !ok {
		return nil, nil, false
	}
	return line, s.result(), true
}

func (s *Stream) run(ts int64, line []byte, meta []model.Pair) ([]byte, bool) {
	s.begin(ts, meta)
	for _, st := range s.stages {
		var ok bool
		if line, ok = st.process(line); !ok {
			return nil, false
		}
	}
	return line, true
}

// Sample is Process for pipelines of BuildSample: it also returns the sample's value (1 without unwrap; the line's
// length for bytes_over_time and bytes_rate). err is the pipeline error that makes a metric query fail with status 400
// unless the query filters on __error__; it is always an *Error.
func (s *Stream) Sample(ts int64, line []byte, meta []model.Pair) (value float64, res *Result, ok bool, err error) {
	if value, ok = s.sample(ts, line, meta); !ok {
		return 0, nil, false, nil
	}
	res = s.result()
	if s.failed() {
		return value, res, true, s.failure(res.Labels)
	}
	return value, res, true, nil
}

// SampleKey is Sample for pipelines that are Grouped: in place of a Result it returns a key that is equal for entries of
// equal labels, whatever their streams. Pipeline.GroupLabels makes labels of it. The key is valid until the next call.
func (s *Stream) SampleKey(ts int64, line []byte, meta []model.Pair) (value float64, key []byte, ok bool, err error) {
	if value, ok = s.sample(ts, line, meta); !ok {
		return 0, nil, false, nil
	}
	s.results.key = s.results.key[:0]
	s.groupKey()
	key = s.results.key
	if s.failed() {
		return value, key, true, s.failure(s.p.GroupLabels(key))
	}
	return value, key, true, nil
}

// sample runs the stages and returns the value of the entry.
func (s *Stream) sample(ts int64, line []byte, meta []model.Pair) (value float64, ok bool) {
	line, ok = s.run(ts, line, meta)
	if !ok {
		return 0, false
	}
	value = 1
	if s.p.bytes {
		value = float64(len(line))
	}
	if s.unwrap != nil {
		return s.unwrap.value()
	}
	return value, true
}

// failed reports whether the entry has an error that the query does not ask for.
func (s *Stream) failed() bool { return s.err != "" && !s.p.preserve }

func (s *Stream) failure(series labels.Labels) *Error {
	return &Error{Kind: s.err, Details: s.details, Series: series}
}

// Error is an error that a stage left in an entry of a metric query.
type Error struct {
	// Kind is the value of __error__, such as JSONParserErr.
	Kind    string
	Details string
	Series  labels.Labels
}

// Error says how to get rid of the error, too.
func (e *Error) Error() string {
	return fmt.Sprintf("pipeline error: '%s' for series: '%s'. Use a label filter to intentionally skip this error "+
		"(e.g. | __error__!=\"%s\"), or match empty errors to skip all of them (e.g. | __error__=\"\"). "+
		"The label filter can also be specified after unwrap (e.g. | unwrap latency | __error__=\"\").",
		e.Kind, e.Series, e.Kind)
}
