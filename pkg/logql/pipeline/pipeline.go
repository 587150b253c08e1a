package pipeline

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/sidecar"
)

// Pipeline is a compiled list of stages. It is immutable and safe for concurrent use.
type Pipeline struct {
	// leading are the line filters over the stored line.
	leading filterSet
	// stages run in Process, in this order.
	stages []stage

	sample    bool
	bytes     bool
	unwrap    *unwrap
	groupBy   []string
	grouped   bool
	exclude   []string
	preserve  bool
	readsLine bool

	// texts and pairs are what blocks must hold, metadata the names of metadata that can matter to a grouped pipeline.
	texts        []sidecar.Demand
	pairs        []pairDemand
	metadataOnly bool
	metadata     []string
}

// stage is a compiled stage; bind resolves its labels in a Stream.
type stage interface {
	bind(s *Stream) boundStage
}

// boundStage is a stage of one Stream. It returns the line for the stages behind it, and whether the entry is kept.
type boundStage interface {
	process(line []byte) ([]byte, bool)
}

// Build compiles the stages of a log query. The pipeline keeps all labels.
func Build(stages []syntax.Stage) (*Pipeline, error) {
	p := &Pipeline{}
	if err := p.compile(stages, needs{all: true}); err != nil {
		return nil, err
	}
	p.readsLine = true
	return p, nil
}

// BuildSample compiles the query of a range aggregation, its unwrap and the filters behind it. groupBy is the innermost
// grouping that decides which labels the result needs (nil: all of them): parsers extract only what is still wanted.
// With a by clause the results hold the grouping labels only, so it must be one whose series may be merged before the
// range is aggregated: that of the range aggregation itself, or of a sum around a count, a rate, bytes or a sum.
func BuildSample(agg *syntax.RangeAggregation, groupBy *syntax.Grouping) (*Pipeline, error) {
	p := &Pipeline{sample: true, bytes: agg.Op == "bytes_over_time" || agg.Op == "bytes_rate"}
	var stages []syntax.Stage
	if agg.Query != nil {
		stages = agg.Query.Stages
	}
	stages = dropLineWriters(reorder(stages), p.bytes)
	final := needs{all: true}
	switch {
	case groupBy == nil:
	case groupBy.Without:
		p.exclude = groupBy.Labels
	default:
		p.grouped, p.groupBy = true, groupBy.Labels
		final = needs{names: groupBy.Labels}
	}
	if agg.Unwrap != nil {
		u, err := newUnwrap(agg.Unwrap)
		if err != nil {
			return nil, err
		}
		p.unwrap = u
		if !p.grouped {
			p.exclude = append([]string{agg.Unwrap.Label}, p.exclude...)
		}
		final = final.with(agg.Unwrap.Label)
		for _, f := range agg.Unwrap.Filters {
			final = final.with(filterNames(f)...)
		}
	}
	if err := p.compile(stages, final); err != nil {
		return nil, err
	}
	return p, nil
}

// compile fills in the leading filters and the stages. final is what the result and the unwrap need.
func (p *Pipeline) compile(stages []syntax.Stage, final needs) error {
	stages = reorder(stages)
	hints, err := newHints(stages, final, p.grouped)
	if err != nil {
		return err
	}
	p.preserve = p.grouped && slices.Contains(hints.required.names, errorLabel)
	original := true
	for i, st := range stages {
		f, isFilter := st.(*syntax.LineFilter)
		if isFilter && original {
			if err := p.leading.add(f); err != nil {
				return err
			}
			continue
		}
		c, err := compileStage(st, hints.forStage(stages, i, final))
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		switch st.(type) {
		case *syntax.LineFormat, *syntax.UnpackParser, *syntax.Decolorize:
			original = false
		}
		p.readsLine = p.readsLine || readsLine(st)
		p.stages = append(p.stages, c)
	}
	p.leading.plan()
	p.texts, p.pairs = p.leading.textDemands(), pairDemands(stages)
	p.metadataOnly, p.metadata = p.unwrap == nil && metadataOnly(stages), metadataNames(stages, p.groupBy)
	return nil
}

// compileStage returns nil for a stage that has nothing to do.
func compileStage(st syntax.Stage, h parserHints) (stage, error) {
	switch st := st.(type) {
	case *syntax.LineFilter:
		m, err := newLineMatcher(st)
		if err != nil {
			return nil, err
		}
		return &lineFilterStage{match: m}, nil
	case *syntax.LabelFilterStage:
		return newLabelFilter(st.Filter)
	case *syntax.JSONParser:
		if len(st.Extractions) > 0 {
			return newJSONExpressions(st, h)
		}
		return newJSONParser(h), nil
	case *syntax.LogfmtParser:
		return newLogfmtParser(st, h)
	case *syntax.RegexpParser:
		return newRegexpParser(st, h)
	case *syntax.PatternParser:
		return newPatternParser(st, h)
	case *syntax.UnpackParser:
		return newUnpackParser(h), nil
	case *syntax.LineFormat:
		return newLineFormat(st)
	case *syntax.LabelFormat:
		return newLabelFormat(st)
	case *syntax.Decolorize:
		return decolorize{}, nil
	case *syntax.Drop:
		return &dropStage{items: st.Items}, nil
	case *syntax.Keep:
		return &keepStage{items: st.Items}, nil
	}
	return nil, fmt.Errorf("unknown stage %T", st)
}

// NeedsLines reports whether Process must see lines at all; if not (no stage reads them), the engine may count entries
// from the columns alone and call Sample with a nil line. Where ValueIsLength holds as well, the value of a sample is
// then the length that the columns give.
func (p *Pipeline) NeedsLines() bool { return p.readsLine || !p.leading.empty() }

// ValueIsLength reports whether a sample's value is the length of the line: bytes_over_time and bytes_rate.
func (p *Pipeline) ValueIsLength() bool { return p.bytes }

// Trivial reports whether no stage stands behind the leading filters, so that the result of an entry depends on the stream
// and its metadata only.
func (p *Pipeline) Trivial() bool { return len(p.stages) == 0 && p.unwrap == nil }

// Grouped reports whether results hold the labels of a by clause and nothing else.
func (p *Pipeline) Grouped() bool { return p.grouped }

// ForStream binds the pipeline.
func (p *Pipeline) ForStream(stream labels.Labels) *Stream { return newStream(p, stream) }
