package objstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Codes by which S3 and its likes ask for fewer requests.
var throttleCodes = []string{
	"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled",
	"RequestThrottledException", "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded", "ServiceUnavailable",
}

// Codes of a 4xx answer that may be gone when the request is sent again: the body was damaged or late on its way, another
// writer was at the same key, or the clocks differ (for which the SDK has made up by then).
var passingCodes = []string{
	"RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "OperationAborted", "RequestTimeTooSkewed",
	"RequestExpired",
	// Servers over plain files answer so while another request makes or removes a folder on the way.
	"ExistingObjectIsDirectory",
}

// requestError turns an error of the SDK into this package's: ctx is the caller's context, attempt the one of the request.
func requestError(ctx, attempt context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(context.Cause(attempt), errStalled) {
		return &RequestError{Err: errStalled, temporary: true}
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() != 0 {
		return answerError(answer, err)
	}
	if sent, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return &RequestError{Err: sent.Err, temporary: !isCertificateError(err)}
	}
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTruncated) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	if api, ok := errors.AsType[*smithy.OperationError](err); ok {
		// Something before the request was sent: no credentials, no end point. The SDK has tried what can be tried.
		return &RequestError{Err: api.Err, temporary: retryable(api.Err)}
	}
	// A body that broke off.
	return &RequestError{Err: err, temporary: true}
}

// answerError judges an answer that is no success, or a success that cannot be read.
func answerError(answer *awshttp.ResponseError, err error) error {
	e := &RequestError{Status: answer.HTTPStatusCode(), RequestID: answer.ServiceRequestID()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
	}
	if e.Status < 300 {
		// The answer's body, a listing, was cut or damaged.
		return &RequestError{Status: e.Status, Err: fmt.Errorf("cannot understand the answer: %w", answer.Err), temporary: true}
	}
	if e.Status == http.StatusNotFound && e.Code != "NoSuchBucket" {
		return ErrNotFound
	}
	e.throttled = e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable || slices.Contains(throttleCodes, e.Code)
	e.temporary = e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusRequestTimeout ||
		slices.Contains(passingCodes, e.Code)
	return e
}

// isCertificateError reports whether the server's certificate was refused, which no repetition changes.
func isCertificateError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}
