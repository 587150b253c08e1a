package pipeline

import (
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// Pipeline is a compiled list of stages. It is immutable and safe for concurrent use.
type Pipeline struct{}

// Build compiles the stages of a log query. The pipeline keeps all labels.
func Build(stages []syntax.Stage) (*Pipeline, error) { panic("skeleton") }

// BuildSample compiles the query of a range aggregation, its unwrap and the filters behind it. groupBy is the innermost
// grouping that decides which labels the result needs (nil: all of them): parsers extract only what is still wanted.
func BuildSample(agg *syntax.RangeAggregation, groupBy *syntax.Grouping) (*Pipeline, error) {
	panic("skeleton")
}

// NeedsLines reports whether Process must see lines at all; if not (no stage reads them), the engine may count entries
// from the columns alone.
func (p *Pipeline) NeedsLines() bool { panic("skeleton") }

// MayMatch reports whether some line of the loaded (not yet walked) block can pass the leading line filters. It searches
// b.Buf as a whole, so that a block without a hit is never walked.
func (p *Pipeline) MayMatch(b *chunk.Batch) bool { panic("skeleton") }

// Select appends to dst the indexes of the entries in [from, to) of the walked batch that pass the leading line filters,
// ascending. Process need not (and does not) apply those filters again to what Select returned.
func (p *Pipeline) Select(b *chunk.Batch, from, to int, dst []int32) []int32 { panic("skeleton") }

// Stream is a pipeline bound to the labels of one stream. It is not safe for concurrent use; its scratch memory is
// reused for each entry.
type Stream struct{}

// ForStream binds the pipeline.
func (p *Pipeline) ForStream(stream labels.Labels) *Stream { panic("skeleton") }

// Process runs the stages behind the leading line filters on one entry. The returned line is valid until the next call
// (it is line itself unless a stage changed it); the Result is interned: equal results of one Stream are the same pointer
// for as long as the Stream lives (within a bounded cache), so that its address can be a key of a fast path.
func (s *Stream) Process(ts int64, line []byte, meta []model.Pair) (out []byte, res *Result, ok bool) {
	panic("skeleton")
}

// Sample is Process for pipelines of BuildSample: it also returns the sample's value (1 without unwrap; the line's
// length for bytes_over_time and bytes_rate). err is the pipeline error that makes a metric query fail with status 400
// unless the query filters on __error__.
func (s *Stream) Sample(ts int64, line []byte, meta []model.Pair) (value float64, res *Result, ok bool, err error) {
	panic("skeleton")
}

// Result is the set of labels that an entry has after the pipeline.
type Result struct {
	// Labels are all of them together: stream's, structured metadata and parsed.
	Labels labels.Labels
	// Hash is Labels.Hash().
	Hash uint64
	// Stream, Metadata and Parsed are Labels by origin, for the categorize-labels encoding.
	Stream, Metadata, Parsed labels.Labels
}
