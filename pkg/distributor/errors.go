package distributor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// The statuses of a PushError besides those that limits configure.
const (
	statusBadRequest      = 400
	statusUnauthorized    = 401
	statusNoStreams       = 422
	statusTooMany         = 429
	statusClientGone      = 499
	statusUnavailable     = 503
	defaultRetryAfter     = 5 * time.Second
	maxRetryAfter         = time.Minute
	unavailableRetryAfter = 2 * time.Second
)

// PushError is the answer to a push of which something was refused. What is not named in it is stored.
type PushError struct {
	// Status is the status of the HTTP answer.
	Status int
	// Text is its body: the cause in the first line.
	Text string
	// RetryAfter is when the client may try again, 0 if it shouldn't.
	RetryAfter time.Duration
	cause      error
}

// Error returns the text.
func (e *PushError) Error() string { return e.Text }

// Unwrap returns the error behind this one, nil if the push itself is at fault.
func (e *PushError) Unwrap() error { return e.cause }

func tenantError(err error) error {
	status := statusBadRequest
	if errors.Is(err, tenant.ErrNoOrgID) {
		status = statusUnauthorized
	}
	return &PushError{Status: status, Text: err.Error(), cause: err}
}

// ingesterError is the answer if nothing of the push is known to be stored. It is never 500, on which some clients drop
// the batch.
func ingesterError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &PushError{Status: statusClientGone, Text: "push cancelled: " + ctx.Err().Error(), cause: err}
	}
	return &PushError{Status: statusUnavailable, Text: "cannot store push: " + err.Error(), RetryAfter: unavailableRetryAfter, cause: err}
}

// problem is a reason for which something was refused.
type problem struct {
	reason string
	status int
	// text is that of the first entry or stream, count how many there are.
	text  string
	count int
}

// problems are those of one request, in the order of their appearance. There are no more than there are reasons.
type problems []problem

// add counts a refusal and reports whether it is the first of its reason, whose text the caller must give.
func (p *problems) add(reason string, status int) *problem {
	for i := range *p {
		if (*p)[i].reason == reason {
			(*p)[i].count++
			return &(*p)[i]
		}
	}
	*p = append(*p, problem{reason: reason, status: status, count: 1})
	return &(*p)[len(*p)-1]
}

// answer returns the error that the client gets, nil if there is no problem. 429 and 503 outrank the others: then a retry may
// store more.
func (p problems) answer() error {
	if len(p) == 0 {
		return nil
	}
	total, status := 0, 0
	for i := range p {
		total += p[i].count
		status = max(status, p[i].status)
	}
	var b strings.Builder
	for i := range p {
		if i > 0 {
			b.WriteString("; ")
		}
		if total > 1 {
			fmt.Fprintf(&b, "%d errors like: ", p[i].count)
		}
		b.WriteString(p[i].text)
	}
	e := &PushError{Status: status, Text: b.String()}
	switch status {
	case statusTooMany:
		e.RetryAfter = defaultRetryAfter
	case statusUnavailable:
		e.RetryAfter = maxRetryAfter
	}
	return e
}

// refused adds what an ingester refused.
func (p *problems) refused(err *wire.RefusedError, tenantID string) {
	for i := range err.Refusals {
		r := &err.Refusals[i]
		status := statusBadRequest
		if r.Kind == wire.StreamLimit || r.Kind == wire.StreamRate {
			status = statusTooMany
		}
		if one := p.add(r.Kind.Reason(), status); one.text == "" {
			one.text = r.Text(tenantID)
		}
	}
}
