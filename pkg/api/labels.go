package api

import (
	"net/http"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/querier"
)

// labelRequest reads the parameters of the label endpoints.
func (a *API) labelRequest(r *http.Request) (querier.LabelRequest, error) {
	interval, err := a.interval(r)
	if err != nil {
		return querier.LabelRequest{}, err
	}
	matchers, err := selector(r.Form.Get("query"))
	return querier.LabelRequest{Matchers: matchers, Interval: interval}, err
}

// selector parses an optional stream selector; {} is none.
func selector(text string) ([]*labels.Matcher, error) {
	if text == "" || text == "{}" {
		return nil, nil
	}
	return syntax.ParseMatchers(text)
}

// writeNames answers with a list; "data" is absent when it is empty, as in Loki.
func writeNames(w http.ResponseWriter, names []string) error {
	type answer struct {
		Status string   `json:"status"`
		Data   []string `json:"data,omitempty"`
	}
	return writeJSON(w, http.StatusOK, answer{Status: "success", Data: names})
}

func (a *API) labelNames(w http.ResponseWriter, r *http.Request) error {
	names, err := a.askNames(r)
	if err != nil {
		return err
	}
	return writeNames(w, names)
}

func (a *API) askNames(r *http.Request) ([]string, error) {
	req, err := a.labelRequest(r)
	if err != nil {
		return nil, err
	}
	return a.deps.Querier.LabelNames(r.Context(), req)
}

func (a *API) labelValues(w http.ResponseWriter, r *http.Request) error {
	values, err := a.askValues(r)
	if err != nil {
		return err
	}
	return writeNames(w, values)
}

func (a *API) askValues(r *http.Request) ([]string, error) {
	req, err := a.labelRequest(r)
	if err != nil {
		return nil, err
	}
	return a.deps.Querier.LabelValues(r.Context(), r.PathValue("name"), req)
}

func (a *API) series(w http.ResponseWriter, r *http.Request) error {
	interval, err := a.seriesInterval(r)
	if err != nil {
		return err
	}
	selectors, err := seriesSelectors(append(r.Form["match[]"], r.Form["match"]...))
	if err != nil {
		return err
	}
	series, err := a.deps.Querier.Series(r.Context(), selectors, interval)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	e := &encoder{w: w}
	e.raw(`{"status":"success","data":[`)
	for i, s := range series {
		e.comma(i)
		e.labels(s)
		e.flushIfFull()
	}
	e.raw(`]}`)
	e.flush()
	return ignoreGone(e.err)
}

// seriesSelectors parses the match parameters: none, or a lone {}, means all series.
func seriesSelectors(texts []string) ([][]*labels.Matcher, error) {
	if len(texts) == 0 || len(texts) == 1 && (texts[0] == "{}" || texts[0] == "") {
		return nil, nil
	}
	selectors := make([][]*labels.Matcher, 0, len(texts))
	for _, text := range texts {
		matchers, err := selector(text)
		if err != nil {
			return nil, err
		}
		if len(matchers) == 0 {
			return nil, badRequest("0 matchers in group: {}")
		}
		selectors = append(selectors, matchers)
	}
	return selectors, nil
}
