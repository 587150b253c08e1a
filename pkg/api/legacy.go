package api

import (
	"net/http"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
)

// legacyQuery answers a log query in the form of Loki's first API.
func (a *API) legacyQuery(w http.ResponseWriter, r *http.Request) error {
	if re := r.Form.Get("regexp"); re != "" {
		r.Form.Set("query", r.Form.Get("query")+" |~ "+quote(re))
	}
	p, err := a.rangeParams(r)
	if err != nil {
		return err
	}
	if _, ok := p.Expr.(*syntax.LogQuery); !ok {
		return badRequest("legacy endpoints only support streams result type")
	}
	res, err := a.deps.Querier.Query(r.Context(), p)
	if err != nil {
		return err
	}
	streams, _ := res.Value.(engine.Streams)
	w.Header().Set("Content-Type", jsonType)
	e := &encoder{w: w}
	e.raw(`{"streams":[`)
	for i := range streams {
		e.comma(i)
		e.legacyStream(&streams[i])
	}
	e.raw(`],"stats":`)
	e.stats(res.Stats)
	e.raw("}")
	e.flush()
	return ignoreGone(e.err)
}

// quote writes s as a LogQL string.
func quote(s string) string { return string(appendString(nil, s)) }

func writeLegacyNames(w http.ResponseWriter, names []string) error {
	type answer struct {
		Values []string `json:"values,omitempty"`
	}
	return writeJSON(w, http.StatusOK, answer{Values: names})
}

func (a *API) legacyLabelNames(w http.ResponseWriter, r *http.Request) error {
	names, err := a.askNames(r)
	if err != nil {
		return err
	}
	return writeLegacyNames(w, names)
}

func (a *API) legacyLabelValues(w http.ResponseWriter, r *http.Request) error {
	values, err := a.askValues(r)
	if err != nil {
		return err
	}
	return writeLegacyNames(w, values)
}
