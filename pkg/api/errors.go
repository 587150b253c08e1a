package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"logstore/pkg/auth"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// statusClientClosed is what proxies log when a client left before its answer.
const statusClientClosed = 499

// statusError is an error with the status that it is answered with.
type statusError struct {
	status     int
	text       string
	retryAfter time.Duration
}

func (e *statusError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &statusError{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// writeError answers with the error: a short plain text, the reason first, since clients log only the first line.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, text := statusOf(r, err)
	setRetryAfter(w, status, err)
	writeText(w, status, text)
}

func setRetryAfter(w http.ResponseWriter, status int, err error) {
	if after := retryAfter(status, err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(time.Second, after.Round(time.Second))/time.Second)))
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that left needs no answer
}

// statusOf maps an error to its status and text. It is the only place that knows both.
func statusOf(r *http.Request, err error) (int, string) {
	var known *statusError
	switch {
	case errors.As(err, &known):
		return known.status, known.text
	case errors.Is(err, auth.ErrNoCredentials), errors.Is(err, auth.ErrBadCredentials):
		return http.StatusUnauthorized, err.Error()
	case errors.Is(err, auth.ErrScope), errors.Is(err, auth.ErrTenant):
		return http.StatusForbidden, err.Error()
	case errors.Is(err, auth.ErrBusy):
		return http.StatusServiceUnavailable, err.Error()
	case errors.Is(err, tenant.ErrNoOrgID):
		return http.StatusUnauthorized, err.Error()
	case errors.Is(err, tenant.ErrTooManyOrgIDs), errors.Is(err, tenant.ErrInvalid):
		return http.StatusBadRequest, err.Error()
	case isSyntax(err), errors.Is(err, querier.ErrLimit), engine.IsBadQuery(err):
		return http.StatusBadRequest, err.Error()
	case errors.Is(err, querier.ErrVolumeDisabled):
		return http.StatusNotFound, err.Error()
	case errors.Is(err, querier.ErrQueued), errors.Is(err, querier.ErrOutstanding):
		return http.StatusTooManyRequests, err.Error()
	case errors.Is(err, querier.ErrStopped):
		return http.StatusUnprocessableEntity, err.Error()
	case clientGone(r, err):
		return statusClientClosed, "the client closed the connection"
	case errors.Is(err, querier.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, err.Error()
	case errors.Is(err, wire.ErrUnavailable):
		return http.StatusServiceUnavailable, err.Error()
	}
	return http.StatusInternalServerError, err.Error()
}

func isSyntax(err error) bool {
	var e *syntax.ParseError
	return errors.As(err, &e)
}

// retryAfter tells clients when to come again: without it some retry at once and others never.
func retryAfter(status int, err error) time.Duration {
	var known *statusError
	if errors.As(err, &known) && known.retryAfter > 0 {
		return known.retryAfter
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		return time.Second
	}
	return 0
}
