package api

import (
	"net/http"
	"strings"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
)

const (
	encodingFlagsHeader = "X-Loki-Response-Encoding-Flags"
	flagCategorize      = "categorize-labels"
)

// encodingFlags returns the flags that the client asked for, known or not, in its order: they are echoed.
func encodingFlags(r *http.Request) (flags []string, categorize bool) {
	for _, h := range r.Header.Values(encodingFlagsHeader) {
		for f := range strings.SplitSeq(h, ",") {
			if f = strings.TrimSpace(f); f != "" {
				flags = append(flags, f)
				categorize = categorize || f == flagCategorize
			}
		}
	}
	return flags, categorize
}

// queryRange answers a log query with streams and a metric query with a matrix.
func (a *API) queryRange(w http.ResponseWriter, r *http.Request) error {
	p, err := a.rangeParams(r)
	if err != nil {
		return err
	}
	return a.runQuery(w, r, p)
}

func (a *API) rangeParams(r *http.Request) (engine.Params, error) {
	p := engine.Params{Text: r.Form.Get("query")}
	var err error
	if p.Start, p.End, err = a.bounds(r); err != nil {
		return p, err
	}
	if p.Limit, err = limitParam(r); err != nil {
		return p, err
	}
	if p.Direction, err = directionParam(r); err != nil {
		return p, err
	}
	if p.Step, err = stepParam(r, p.Start, p.End); err != nil {
		return p, err
	}
	if p.Interval, err = intervalParam(r); err != nil {
		return p, err
	}
	if p.Expr, err = syntax.Parse(p.Text); err != nil {
		return p, err
	}
	if _, metric := p.Expr.(syntax.SampleExpr); !metric && p.Start == p.End {
		p.End++ // equal bounds mean that very instant
	}
	return p, nil
}

// queryInstant answers a metric query at one time with a vector or a scalar.
func (a *API) queryInstant(w http.ResponseWriter, r *http.Request) error {
	p := engine.Params{Text: r.Form.Get("query"), Instant: true}
	var err error
	if p.End, err = timeParam(r, "time", a.deps.Now().UnixNano()); err != nil {
		return err
	}
	p.Start = p.End
	if p.Limit, err = limitParam(r); err != nil {
		return err
	}
	if p.Direction, err = directionParam(r); err != nil {
		return err
	}
	if p.Expr, err = syntax.Parse(p.Text); err != nil {
		return err
	}
	if _, ok := p.Expr.(*syntax.LogQuery); ok {
		return badRequest("log queries are not supported as an instant query type, please change your query to a range query type")
	}
	return a.runQuery(w, r, p)
}

func (a *API) runQuery(w http.ResponseWriter, r *http.Request, p engine.Params) error {
	flags, categorize := encodingFlags(r)
	p.Categorize = categorize
	res, err := a.deps.Querier.Query(r.Context(), p)
	if err != nil {
		return err
	}
	return writeResult(w, res, flags, categorize)
}

// formatQuery pretty-prints a query; a bad one is reported in an envelope of its own.
func (a *API) formatQuery(w http.ResponseWriter, r *http.Request) error {
	e, err := syntax.Parse(r.Form.Get("query"))
	if err != nil {
		return writeJSON(w, http.StatusBadRequest, map[string]string{"status": "invalid-query", "error": err.Error()})
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "success", "data": syntax.Format(e)})
}
