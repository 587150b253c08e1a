package api

import (
	"net/http"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/querier"
)

// defaultFieldLimit is how many fields, or values of one, are returned.
const defaultFieldLimit = 1000

// fieldParams reads the parameters of the field endpoints: a log query over the newest line_limit lines.
func (a *API) fieldParams(r *http.Request) (p engine.Params, limit int, err error) {
	p.Text = r.Form.Get("query")
	if p.Start, p.End, err = a.bounds(r); err != nil {
		return p, 0, err
	}
	if p.Limit, err = intParam(r, "line_limit", defaultLimit); err != nil {
		return p, 0, err
	}
	name := "limit"
	if r.Form.Get(name) == "" {
		name = "field_limit"
	}
	if limit, err = intParam(r, name, defaultFieldLimit); err != nil {
		return p, 0, err
	}
	if p.Limit < 1 || limit < 1 {
		return p, 0, badRequest("limit must be a positive value")
	}
	if p.Step, err = stepParam(r, p.Start, p.End); err != nil {
		return p, 0, err
	}
	p.Expr, err = syntax.Parse(p.Text)
	return p, limit, err
}

func (a *API) detectedFields(w http.ResponseWriter, r *http.Request) error {
	p, limit, err := a.fieldParams(r)
	if err != nil {
		return err
	}
	fields, err := a.deps.Querier.DetectedFields(r.Context(), p, limit)
	if err != nil {
		return err
	}
	type answer struct {
		Fields []querier.Field `json:"fields,omitempty"`
		Limit  int             `json:"limit,omitempty"`
	}
	if len(fields) == 0 {
		return writeJSON(w, http.StatusOK, answer{})
	}
	return writeJSON(w, http.StatusOK, answer{Fields: fields, Limit: limit})
}

func (a *API) detectedFieldValues(w http.ResponseWriter, r *http.Request) error {
	p, limit, err := a.fieldParams(r)
	if err != nil {
		return err
	}
	values, err := a.deps.Querier.DetectedFieldValues(r.Context(), p, r.PathValue("name"), limit)
	if err != nil {
		return err
	}
	type answer struct {
		Values []string `json:"values,omitempty"`
		Limit  int      `json:"limit,omitempty"`
	}
	if len(values) == 0 {
		return writeJSON(w, http.StatusOK, answer{})
	}
	return writeJSON(w, http.StatusOK, answer{Values: values, Limit: limit})
}

func (a *API) detectedLabels(w http.ResponseWriter, r *http.Request) error {
	req, err := a.labelRequest(r)
	if err != nil {
		return err
	}
	found, err := a.deps.Querier.DetectedLabels(r.Context(), req)
	if err != nil {
		return err
	}
	type answer struct {
		DetectedLabels []querier.DetectedLabel `json:"detectedLabels,omitempty"`
	}
	return writeJSON(w, http.StatusOK, answer{DetectedLabels: found})
}
