package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"logstore/pkg/auth"
	"logstore/pkg/deletes"
	"logstore/pkg/tenant"
)

// Deletes keeps delete requests; *deletes.Store does.
type Deletes interface {
	Allowed(tenant string) error
	Refresh(ctx context.Context) error
	Add(ctx context.Context, tenant string, p deletes.Params) (id string, err error)
	Cancel(ctx context.Context, tenant, id string, force bool) error
	Requests(tenant string) []deletes.Request
	Generation(tenant string) string
}

// requestIDHeader carries the id of a new request, since the answer has no body.
const requestIDHeader = "X-Delete-Request-ID"

func (a *API) deleteRoutes() {
	if a.deps.Deletes == nil {
		return
	}
	const path = "/loki/api/v1/delete"
	a.tenantRoute(path, auth.Manage, a.makeDelete, http.MethodPost, http.MethodPut)
	a.tenantRoute(path, auth.Read, a.listDeletes, http.MethodGet)
	a.tenantRoute(path, auth.Manage, a.cancelDelete, http.MethodDelete)
	a.tenantRoute("/loki/api/v1/cache/generation_numbers", auth.Read, a.generationNumbers, http.MethodGet)
	a.route("/compactor/ui/api/v1/deletes", auth.Admin, a.listAllDeletes, http.MethodGet)
	a.tenantRoute("/compactor/ui/api/v1/deletes", auth.Manage, a.makeDelete, http.MethodPost)
}

// deleteError gives the errors of requests their status.
func deleteError(err error) error {
	switch {
	case errors.Is(err, deletes.ErrDisabled):
		return &statusError{status: http.StatusForbidden, text: err.Error()}
	case errors.Is(err, deletes.ErrNotFound):
		return &statusError{status: http.StatusNotFound, text: err.Error()}
	case errors.Is(err, deletes.ErrInvalid), errors.Is(err, deletes.ErrStarted):
		return badRequest("%s", err)
	}
	return err
}

// makeDelete takes a request. As in Loki its parameters are those of the query string alone.
func (a *API) makeDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	if err := a.deps.Deletes.Allowed(id); err != nil {
		return deleteError(err)
	}
	p, err := a.deleteParams(r.URL.Query())
	if err != nil {
		return err
	}
	request, err := a.deps.Deletes.Add(r.Context(), id, p)
	if err != nil {
		return deleteError(err)
	}
	w.Header().Set(requestIDHeader, request)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) deleteParams(q url.Values) (p deletes.Params, err error) {
	if p.Query = q.Get("query"); p.Query == "" {
		return p, badRequest("query not set")
	}
	if q.Get("start") == "" {
		return p, badRequest("start time not set")
	}
	if p.Start, err = deleteTime(q.Get("start")); err != nil {
		return p, badRequest("invalid start time: %s", err)
	}
	p.End = a.deps.Now().UnixMilli()
	if end := q.Get("end"); end != "" {
		if p.End, err = deleteTime(end); err != nil {
			return p, badRequest("invalid end time: %s", err)
		}
	}
	if text := q.Get("max_interval"); text != "" {
		d, err := model.ParseDuration(text)
		if err != nil {
			return p, badRequest("invalid max_interval: %s", err)
		}
		p.MaxInterval = time.Duration(d)
	}
	return p, nil
}

var errDeleteTime = errors.New("require unix seconds or RFC3339 format")

// deleteTime reads ten digits of seconds, or RFC 3339, to milliseconds. Other numbers are refused: taken for another unit
// they would delete what nobody meant.
func deleteTime(text string) (int64, error) {
	const digits = 10
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if len(text) != digits || n < 0 {
			return 0, errDeleteTime
		}
		return n * 1000, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, errDeleteTime
	}
	return t.UnixMilli(), nil
}

// deleteRequest is a request as it is listed. Times are seconds.
type deleteRequest struct {
	RequestID string  `json:"request_id"`
	StartTime float64 `json:"start_time"`
	EndTime   float64 `json:"end_time"`
	Query     string  `json:"query"`
	Status    string  `json:"status"`
	CreatedAt float64 `json:"created_at"`
	UserID    string  `json:"user_id"`
}

func shownRequest(r deletes.Request, tenant string) deleteRequest {
	seconds := func(ms int64) float64 { return float64(ms) / 1000 }
	return deleteRequest{
		RequestID: r.ID, StartTime: seconds(r.Start), EndTime: seconds(r.End), Query: r.Query, Status: r.Status(),
		CreatedAt: seconds(r.Created), UserID: tenant,
	}
}

// listDeletes lists the tenant's requests, or those that overlap a span.
func (a *API) listDeletes(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	if err := a.deps.Deletes.Allowed(id); err != nil {
		return deleteError(err)
	}
	q := r.URL.Query()
	startText, endText := q.Get("start"), q.Get("end")
	ranged := startText != "" || endText != ""
	var start, end int64
	if ranged {
		if startText == "" || endText == "" {
			return badRequest("start and end must be set both or none")
		}
		if start, err = deleteTime(startText); err != nil {
			return badRequest("invalid start time: %s", err)
		}
		if end, err = deleteTime(endText); err != nil {
			return badRequest("invalid end time: %s", err)
		}
	}
	if err := a.deps.Deletes.Refresh(r.Context()); err != nil {
		return err
	}
	out := []deleteRequest{}
	for _, request := range a.deps.Deletes.Requests(id) {
		if !ranged || (request.Start <= end && request.End >= start) {
			out = append(out, shownRequest(request, ""))
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

// listAllDeletes lists the requests of all tenants, for operators.
func (a *API) listAllDeletes(w http.ResponseWriter, r *http.Request) error {
	status := r.URL.Query().Get("status")
	if err := a.deps.Deletes.Refresh(r.Context()); err != nil {
		return err
	}
	out := []deleteRequest{}
	for _, request := range a.deps.Deletes.Requests("") {
		if status == "" || request.Status() == status {
			out = append(out, shownRequest(request, request.Tenant))
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

// cancelDelete cancels one request. Without an id it refuses: Loki cancels all requests then, which nobody can mean.
func (a *API) cancelDelete(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	request := q.Get("request_id")
	if request == "" {
		return badRequest("request_id not set")
	}
	force := false
	if text := q.Get("force"); text != "" {
		if force, err = strconv.ParseBool(text); err != nil {
			return badRequest("invalid force: %q is no boolean", text)
		}
	}
	if err := a.deps.Deletes.Cancel(r.Context(), id, request, force); err != nil {
		return deleteError(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// generationNumbers tells caches of results when the tenant's requests changed last.
func (a *API) generationNumbers(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.deps.Deletes.Generation(id))
}

// compactorStatus shows what the compactor did last and whether this member is the one that works.
func (a *API) compactorStatus(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.deps.Compactor())
}
