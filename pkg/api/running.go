package api

import (
	"net/http"
	"strings"

	"logstore/pkg/querier"
	"logstore/pkg/tenant"
)

// runningQueries lists the tenant's queries under way on this member, the oldest first.
func (a *API) runningQueries(w http.ResponseWriter, r *http.Request) error {
	ids, err := tenant.IDs(r.Context())
	if err != nil {
		return err
	}
	id := strings.Join(ids, "|")
	return writeJSON(w, http.StatusOK, map[string][]querier.Running{"queries": a.deps.Querier.Running(id)})
}

// stopQuery ends one of the tenant's queries; its client is told why.
func (a *API) stopQuery(w http.ResponseWriter, r *http.Request) error {
	ids, err := tenant.IDs(r.Context())
	if err != nil {
		return err
	}
	id := strings.Join(ids, "|")
	if !a.deps.Querier.Stop(id, r.PathValue("id")) {
		return &statusError{status: http.StatusNotFound, text: "no such query is running here"}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxSource bounds what a client may say about what asks.
const maxSource = 256

// sourceOf returns what asks, in the words of the client: the value of Source in X-Query-Tags ("Source=logvolhist,Other=x"), or
// the whole header if it has none.
func sourceOf(r *http.Request) string {
	tags := r.Header.Get("X-Query-Tags")
	if len(tags) > maxSource {
		tags = tags[:maxSource]
	}
	for tag := range strings.SplitSeq(tags, ",") {
		if name, value, ok := strings.Cut(tag, "="); ok && strings.EqualFold(strings.TrimSpace(name), "source") {
			return strings.TrimSpace(value)
		}
	}
	return tags
}
