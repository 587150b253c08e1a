package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// metric runs a metric query over a time range, in pieces where the store does not take it whole.
func (q *query) metric(ctx context.Context, io *command.IO, cl *client.Client, r client.Range, p *printer) error {
	all := &stats{}
	show := newProgress(io, r, q.quiet)
	show.query.Direction = client.Forward
	defer show.end()
	m := &metricRange{client: cl, stats: all, progress: show.reached}
	result, err := m.run(ctx, r)
	show.end()
	if err != nil {
		return err
	}
	if err := p.result(result); err != nil {
		return err
	}
	all.note(io, q.stats)
	return q.check(!isEmpty(result))
}

func isEmpty(r *client.Result) bool {
	return len(r.Streams)+len(r.Matrix)+len(r.Vector) == 0 && r.Scalar == nil
}

// metricRange runs metric queries that may be longer than the store takes.
type metricRange struct {
	client   *client.Client
	stats    *stats
	progress func(time.Time, int)
}

// run asks for the whole range, and if that is refused for its length for pieces of it whose points are those of the whole.
func (m *metricRange) run(ctx context.Context, r client.Range) (*client.Result, error) {
	r.Limit, r.Direction = 0, ""
	result, err := m.client.QueryRange(ctx, r)
	if err == nil {
		m.stats.add(result)
		return result, nil
	}
	if r.Step == 0 {
		r.Step = max(time.Second, r.End.Sub(r.Start).Truncate(250*time.Second)/250) // the store's choice for the whole
	}
	points := 0
	if d, ok := client.LengthLimit(err); ok {
		points = int(d / r.Step)
	} else if n, ok := client.PointsLimit(err); ok {
		points = n - 1
	}
	if points < 1 || !r.Start.Add(time.Duration(points)*r.Step).Before(r.End) {
		return nil, err
	}
	return m.pieces(ctx, r, points)
}

func (m *metricRange) pieces(ctx context.Context, r client.Range, points int) (*client.Result, error) {
	whole := &client.Result{Type: client.Matrix}
	series := map[model.Fingerprint]*model.SampleStream{}
	for at := r.Start; !at.After(r.End); at = at.Add(time.Duration(points) * r.Step) {
		part := r
		part.Start = at
		// Both ends have a point: the next piece begins a step behind this one.
		part.End = at.Add(time.Duration(points-1) * r.Step)
		if part.End.After(r.End) {
			part.End = r.End
		}
		if part.End.Equal(part.Start) {
			part.End = part.Start.Add(1) // an empty range is refused
		}
		result, err := m.client.QueryRange(ctx, part)
		if err != nil {
			return nil, err
		}
		if result.Type != client.Matrix {
			return nil, fmt.Errorf("the store answers a metric query with a %s", result.Type)
		}
		m.stats.add(result)
		for _, s := range result.Matrix {
			key := s.Metric.Fingerprint()
			if series[key] == nil {
				series[key] = &model.SampleStream{Metric: s.Metric}
				whole.Matrix = append(whole.Matrix, series[key])
			}
			series[key].Values = append(series[key].Values, s.Values...)
		}
		m.progress(part.End, len(whole.Matrix))
	}
	slices.SortFunc(whole.Matrix, func(a, b *model.SampleStream) int { return cmp.Compare(a.Metric.String(), b.Metric.String()) })
	return whole, nil
}

// result writes the result of a metric query: JSON, a JSON object for each series, or a table.
func (p *printer) result(r *client.Result) error {
	var value any
	switch r.Type {
	case client.Matrix:
		value = emptyNotNull(r.Matrix)
	case client.Vector:
		value = emptyNotNull(r.Vector)
	case client.Scalar:
		value = r.Scalar
	case client.Streams:
		entries, err := r.Entries()
		if err != nil {
			return err
		}
		return p.page(entries)
	}
	switch p.mode {
	case modeTable:
		return p.table(r)
	case modeJSONL, modeExport:
		return p.series(r)
	}
	return p.io.JSON(value)
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (p *printer) series(r *client.Result) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	for _, s := range r.Matrix {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	for _, s := range r.Vector {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	if r.Scalar != nil {
		if err := enc.Encode(r.Scalar); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// table writes a row for each point: its time, the labels, the value.
func (p *printer) table(r *client.Result) error {
	names := map[string]bool{}
	for _, s := range r.Matrix {
		collect(names, s.Metric)
	}
	for _, s := range r.Vector {
		collect(names, s.Metric)
	}
	columns := slices.Sorted(maps.Keys(names))
	rows := [][]string{slices.Concat([]string{"time"}, columns, []string{"value"})}
	add := func(m model.Metric, t model.Time, v model.SampleValue) {
		row := []string{t.Time().In(p.location).Format(time.RFC3339)}
		for _, name := range columns {
			row = append(row, cell(string(m[model.LabelName(name)])))
		}
		rows = append(rows, append(row, v.String()))
	}
	for _, s := range r.Matrix {
		for _, v := range s.Values {
			add(s.Metric, v.Timestamp, v.Value)
		}
	}
	for _, s := range r.Vector {
		add(s.Metric, s.Timestamp, s.Value)
	}
	if r.Scalar != nil {
		add(nil, r.Scalar.Timestamp, r.Scalar.Value)
	}
	return p.io.Table(rows...)
}

func collect(names map[string]bool, m model.Metric) {
	for name := range m {
		names[string(name)] = true
	}
}

// cell keeps the text of a table's cell on its line and in its column.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(text)
}
