package api

import (
	"errors"
	"net/http"

	"logstore/pkg/distributor"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

func header(r *http.Request) wire.Header {
	return wire.Header{
		ContentType: r.Header.Get("Content-Type"), ContentEncoding: r.Header.Get("Content-Encoding"), ContentLength: r.ContentLength,
	}
}

// push takes snappy protobuf or JSON. The good entries are stored even if others are refused.
func (a *API) push(w http.ResponseWriter, r *http.Request) error {
	req, err := wire.ReadPush(r.Body, header(r), a.cfg.Push)
	if err != nil {
		return unreadable(r, err)
	}
	defer req.Release()
	if err := a.deps.Push(r.Context(), req); err != nil {
		return pushFailed(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// unreadable is the error of a body that cannot be decoded.
func unreadable(r *http.Request, err error) error {
	var large *wire.SizeError
	switch {
	case errors.As(err, &large):
		return &statusError{status: http.StatusRequestEntityTooLarge, text: err.Error()}
	case r.Context().Err() != nil:
		return r.Context().Err()
	}
	return badRequest("%v", err)
}

// pushFailed gives the error of the distributor its status and, where a client should come again, the time to wait.
func pushFailed(err error) error {
	var refused *distributor.PushError
	if errors.As(err, &refused) {
		return &statusError{status: refused.Status, text: refused.Text, retryAfter: refused.RetryAfter}
	}
	return err
}

// pushOTLP takes OTLP logs. Its errors are a google.rpc.Status in protobuf, and what is not final is 503, since exporters
// drop data on 500.
func (a *API) pushOTLP(w http.ResponseWriter, r *http.Request) error {
	err := a.readOTLP(r)
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	status, text := statusOf(r, err)
	if status == http.StatusUnauthorized {
		return err
	}
	if status == http.StatusInternalServerError {
		status = http.StatusServiceUnavailable
	}
	setRetryAfter(w, status, err)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(status)
	_, err = w.Write(wire.AppendStatus(nil, text))
	return ignoreGone(err)
}

func (a *API) readOTLP(r *http.Request) error {
	id, err := tenant.ID(r.Context())
	if err != nil {
		return err
	}
	req, err := wire.ReadOTLP(r.Body, header(r), a.cfg.Push, a.deps.Limits.For(id).OTLP(), a.deps.Now().UnixNano())
	if err != nil {
		return unreadable(r, err)
	}
	defer req.Release()
	if err := a.deps.Push(r.Context(), req); err != nil {
		return pushFailed(err)
	}
	return nil
}
