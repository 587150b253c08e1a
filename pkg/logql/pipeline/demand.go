package pipeline

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/sidecar"
)

// pairDemand is what the metadata of an entry must hold if its stream does not have the label.
type pairDemand struct {
	name   string
	demand sidecar.Demand
}

// textDemands are the texts that the leading line filters want in the stored line.
func (f *filterSet) textDemands() []sidecar.Demand {
	var out []sidecar.Demand
	for _, m := range f.filters {
		if m.negate {
			continue
		}
		for _, group := range m.groups {
			d := make(sidecar.Demand, 0, len(group))
			for _, l := range group {
				d = append(d, sidecar.Text(l.text, l.fold))
			}
			if len(d) > 0 && !d.Blind() {
				out = append(out, d)
			}
		}
	}
	return out
}

// pairDemands are those of the label filters before any stage that could make labels of something else than metadata. Stages that
// only drop labels change nothing: a filter that wants a value finds none then.
func pairDemands(stages []syntax.Stage) (out []pairDemand) {
	for _, st := range stages {
		switch st := st.(type) {
		case *syntax.LineFilter, *syntax.Drop, *syntax.Keep:
		case *syntax.LabelFilterStage:
			out = appendPairDemands(out, st.Filter)
		default:
			return out
		}
	}
	return out
}

func appendPairDemands(out []pairDemand, f syntax.LabelFilter) []pairDemand {
	switch f := f.(type) {
	case *syntax.AndFilter:
		return appendPairDemands(appendPairDemands(out, f.Left), f.Right)
	case *syntax.StringFilter:
		m := f.Matcher
		if strings.HasPrefix(m.Name, "__") || strings.HasSuffix(m.Name, extractedSuffix) {
			return out
		}
		values := []string{m.Value}
		switch m.Type {
		case labels.MatchEqual:
		case labels.MatchRegexp:
			values = m.SetMatches()
		default:
			return out
		}
		if len(values) == 0 || slices.Contains(values, "") {
			return out
		}
		d := pairDemand{name: m.Name}
		for _, v := range values {
			d.demand = append(d.demand, sidecar.Pair(m.Name, v))
		}
		return append(out, d)
	}
	return out
}

// Demands returns what a block of a stream must hold if one of its entries is to pass the pipeline.
func (p *Pipeline) Demands(stream labels.Labels) []sidecar.Demand {
	out := p.texts
	for _, d := range p.pairs {
		if !stream.Has(d.name) {
			out = append(out[:len(out):len(out)], d.demand)
		}
	}
	return out
}

// Demanding reports whether there is a stream for which the pipeline has demands.
func (p *Pipeline) Demanding() bool { return len(p.texts)+len(p.pairs) > 0 }

// MetadataOnly reports whether what becomes of an entry depends on the labels of its stream and on its metadata alone, but for the
// length of the line where ValueIsLength holds.
func (p *Pipeline) MetadataOnly() bool { return p.metadataOnly }

// metadataOnly reports whether stages look at nothing but labels.
func metadataOnly(stages []syntax.Stage) bool {
	for _, st := range stages {
		switch st.(type) {
		case *syntax.LabelFilterStage, *syntax.Drop, *syntax.Keep:
		default:
			return false
		}
	}
	return true
}

// WantsMetadata reports whether the metadata of a name can matter to the result of a pipeline of BuildSample that is
// MetadataOnly.
func (p *Pipeline) WantsMetadata(name string) bool {
	return !p.grouped || slices.Contains(p.metadata, name) || slices.Contains(p.metadata, name+extractedSuffix)
}

// metadataNames are the names that a grouped pipeline's result, its label filters, and what drops labels look at.
func metadataNames(stages []syntax.Stage, groupBy []string) []string {
	names := slices.Clone(groupBy)
	for _, st := range stages {
		switch st := st.(type) {
		case *syntax.LabelFilterStage:
			names = append(names, filterNames(st.Filter)...)
		case *syntax.Drop:
			for _, item := range st.Items {
				names = append(names, item.Name)
			}
		case *syntax.Keep:
			for _, item := range st.Items {
				names = append(names, item.Name)
			}
		}
	}
	return names
}
