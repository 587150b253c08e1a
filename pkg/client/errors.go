package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// StatusError is an answer that is no 2xx.
type StatusError struct {
	Status int
	Path   string
	// Message is the text of the answer, at most a few hundred bytes of it.
	Message string
	// RetryAfter is how long the store asks to wait, or 0.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
	switch {
	case e.Message == "":
		return "the store answers " + status
	case strings.Contains(e.Message, "\n"):
		return e.Message // it may point at a place in the query, line over line
	}
	return fmt.Sprintf("%s (%s)", e.Message, status)
}

// maxMessage is how much of an answer's text is kept.
const maxMessage = 4 << 10

func newStatusError(r Request, resp *http.Response, body []byte) *StatusError {
	e := &StatusError{Status: resp.StatusCode, Path: r.Path, RetryAfter: retryAfter(resp.Header)}
	e.Message = strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), maxMessage)]), "?"))
	// Some answers are JSON with the text in it, those of proxies are pages.
	var envelope struct{ Error, Message string }
	switch {
	case json.Unmarshal(body, &envelope) == nil && envelope.Error+envelope.Message != "":
		e.Message = envelope.Error
		if e.Message == "" {
			e.Message = envelope.Message
		}
	case strings.HasPrefix(e.Message, "<"):
		e.Message = ""
	}
	return e
}

// unreachableError is a request without an answer.
type unreachableError struct {
	address string
	err     error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach %s: %v", e.address, e.err)
}
func (e *unreachableError) Unwrap() error { return e.err }

// unreachable drops the URL from the error of a request: it is long, and known.
func (c *Client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &unreachableError{address: c.Address(), err: err}
}

// temporary tells whether the same request may succeed later.
func temporary(err error) bool {
	var refused *StatusError
	if errors.As(err, &refused) {
		return refused.Status == http.StatusTooManyRequests || refused.Status >= 500 && refused.Status != http.StatusNotImplemented
	}
	var unreachable *unreachableError
	return errors.As(err, &unreachable) && !isCertificate(err)
}

// isCertificate tells whether the certificate of one side was not accepted.
func isCertificate(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "HTTP response to HTTPS client")
}

// Advice returns a sentence about what to do about an error, or "".
func Advice(err error) string {
	var refused *StatusError
	if errors.As(err, &refused) {
		return refused.advice()
	}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case errors.As(err, &authority):
		return "name the authority that signed the store's certificate with -ca-cert (LOKI_CA_CERT_PATH)"
	case errors.As(err, &host):
		return "the certificate is for another name: use that in -addr, or give it with -tls-server-name"
	case strings.Contains(text, "HTTP response to HTTPS client"):
		return "the store does not speak TLS there: write http:// in -addr"
	case strings.Contains(text, "certificate required"):
		return "the store wants a client certificate: give it with -cert and -key"
	case ended(err, text):
		return "the store ended the connection; if it wants a client certificate, give it with -cert and -key"
	case strings.Contains(text, "remote error: tls:") && strings.Contains(text, "certificate"):
		return "the store refuses the client certificate: check -cert, and which authorities the store trusts"
	case errors.As(err, &dns):
		return "check the host in -addr (LOKI_ADDR)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the store, or name its address with -addr (LOKI_ADDR)"
	case errors.Is(err, context.DeadlineExceeded):
		return "the store took too long: ask for a shorter time range, or give -timeout"
	}
	return ""
}

// ended tells whether a store that speaks TLS closed the connection. One that misses a certificate says so, but its alert may come
// too late to be seen.
func ended(err error, text string) bool {
	return strings.Contains(text, "https://") && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		strings.Contains(text, "client conn could not be established"))
}

func (e *StatusError) advice() string {
	switch {
	case e.Status == http.StatusUnauthorized && strings.Contains(e.Message, "no org id"):
		return "the store has several tenants: name one with -org-id (LOKI_ORG_ID)"
	case e.Status == http.StatusUnauthorized:
		return "give a user with -username and -password, or a token with -bearer-token-file (LOKI_USERNAME, LOKI_PASSWORD, LOKI_BEARER_TOKEN_FILE)"
	case e.Status == http.StatusForbidden:
		return "the user may not do this, or not for this tenant: check -username, the token and -org-id"
	case e.Status == http.StatusNotFound && strings.Contains(e.Message, "page not found"):
		return "check -addr: it holds the store's http_path_prefix, if it has one, and nothing behind that"
	case e.Status == http.StatusBadRequest && strings.Contains(e.Message, "HTTP request to an HTTPS server"):
		return "the store speaks TLS: write https:// in -addr"
	case e.Status == http.StatusBadRequest && lengthLimit.MatchString(e.Message):
		return "ask for a shorter time range (-since, -from, -to), or raise the tenant's max_query_length"
	case e.Status == http.StatusTooManyRequests:
		return "the store limits how much it takes at a time: try again later, or raise the limit that it names"
	case e.Status == http.StatusRequestEntityTooLarge:
		return "send less at a time"
	}
	return ""
}
