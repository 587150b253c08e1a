package engine

import (
	"context"

	"github.com/grafana/regexp"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
)

// labelReplace writes a label of the columns whose source label matches.
func (e *evaluation) labelReplace(ctx context.Context, r *syntax.LabelReplace) (*matrix, error) {
	m, err := e.evaluateMatrix(ctx, r.Expr)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile("^(?:" + r.Regex + ")$")
	if err != nil {
		return nil, buildError(err)
	}
	builder := labels.NewBuilder(labels.EmptyLabels())
	for i, c := range m.columns {
		source := c.labels.Get(r.Src)
		match := re.FindStringSubmatchIndex(source)
		if match == nil {
			continue
		}
		builder.Reset(c.labels)
		builder.Set(r.Dst, string(re.ExpandString(nil, r.Replacement, source, match))) // an empty value deletes
		m.columns[i] = &column{labels: builder.Labels(), values: c.values, has: c.has}
	}
	return m, nil
}
