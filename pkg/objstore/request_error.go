package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// RequestError is a store's refusal of a request, or the failure to ask it.
type RequestError struct {
	// Status is the HTTP status, or 0 if there was no answer.
	Status int
	// Code and Message are the store's own words, such as SlowDown.
	Code, Message string
	// RequestID is what the store's operator can look up.
	RequestID string
	// Err is the cause if there was no answer, or one that made no sense.
	Err error

	temporary, throttled bool
}

// Error implements error.
func (e *RequestError) Error() string {
	if e.Status == 0 || e.Code == "" && e.Err != nil {
		return e.Err.Error()
	}
	text := fmt.Sprintf("HTTP %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Errors of a body that did not arrive as it was sent.
var (
	// ErrTruncated is returned when a body is shorter than announced. It is an io.ErrUnexpectedEOF too.
	ErrTruncated = fmt.Errorf("object was truncated on the way: %w", io.ErrUnexpectedEOF)
	// ErrCorrupt is returned when a body's checksum or length is not that of the object that was put.
	ErrCorrupt = errors.New("object differs from what was put")
)

// errStalled ends a request in which nothing moved for too long.
var errStalled = errors.New("no byte moved for too long")

// retryable reports whether the same request may succeed when it is sent again.
func retryable(err error) bool {
	if e, ok := errors.AsType[*RequestError](err); ok {
		return e.temporary || e.throttled
	}
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrBadKey), errors.Is(err, context.Canceled):
		return false
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, ErrCorrupt), errors.Is(err, errStalled):
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// throttled reports whether the store asked for fewer requests.
func throttled(err error) bool {
	e, ok := errors.AsType[*RequestError](err)
	return ok && e.throttled
}

// statusOf returns the HTTP status that says best what err is, for metrics.
func statusOf(err error) string {
	if err == nil {
		return "200"
	}
	if e, ok := errors.AsType[*RequestError](err); ok && e.Status != 0 {
		return fmt.Sprint(e.Status)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return "404"
	case errors.Is(err, ErrBadKey):
		return "400"
	case errors.Is(err, context.Canceled):
		return "cancel"
	}
	return "error"
}
