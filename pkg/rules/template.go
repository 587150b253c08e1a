package rules

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

// templateVariables stand before every template, as in Prometheus.
const templateVariables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// checkTemplate tells whether a text is a template.
func checkTemplate(alert, text string) error {
	data := template.AlertTemplateData(nil, nil, "", promql.Sample{})
	return template.NewTemplateExpander(context.Background(), templateVariables+text, "__alert_"+alert, data, 0, nil, nil, nil).ParseTest()
}

// expander expands the templates of one alert.
type expander struct {
	name     string
	data     any
	now      model.Time
	query    template.QueryFunc
	external *url.URL
}

func newExpander(alert string, s Sample, opts *Options, ts time.Time, query QueryFunc) *expander {
	data := template.AlertTemplateData(s.Labels.Map(), opts.ExternalLabels.Map(), opts.ExternalURL.String(), promql.Sample{F: s.Value})
	return &expander{
		name: "__alert_" + alert, data: data, now: model.TimeFromUnixNano(ts.UnixNano()), external: opts.ExternalURL,
		query: func(ctx context.Context, text string, ts time.Time) (promql.Vector, error) {
			samples, err := query(ctx, text, ts)
			if err != nil {
				return nil, err
			}
			vector := make(promql.Vector, len(samples))
			for i, s := range samples {
				vector[i] = promql.Sample{Metric: s.Labels, F: s.Value, T: s.Time}
			}
			return vector, nil
		},
	}
}

// expand returns the expanded text, or a text that says what went wrong and an error.
func (e *expander) expand(ctx context.Context, text string) (string, error) {
	out, err := template.NewTemplateExpander(ctx, templateVariables+text, e.name, e.data, e.now, e.query, e.external, nil).Expand()
	if err != nil {
		return fmt.Sprintf("<error expanding template: %s>", err), err
	}
	return out, nil
}

// expandAll expands the values of a map into labels.
func (e *expander) expandAll(ctx context.Context, texts map[string]string, set func(name, value string)) error {
	var first error
	for name, text := range texts {
		out, err := e.expand(ctx, text)
		if err != nil && first == nil {
			first = err
		}
		set(name, out)
	}
	return first
}

func annotationsOf(ctx context.Context, e *expander, texts map[string]string) (labels.Labels, error) {
	b := labels.NewScratchBuilder(len(texts))
	err := e.expandAll(ctx, texts, b.Add)
	b.Sort()
	return b.Labels(), err
}
