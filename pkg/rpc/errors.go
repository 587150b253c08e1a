package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// Errors of calls.
var (
	// ErrUnreachable is wrapped by errors of calls that did not reach the member, or whose connection broke.
	ErrUnreachable = errors.New("member cannot be reached")
	// ErrUnknown is wrapped if the member has no handler of that name: it may be of another version.
	ErrUnknown = errors.New("member does not know the call")
	// ErrCluster is wrapped if the member is of another cluster.
	ErrCluster = errors.New("member of another cluster")
	// ErrSecret is returned if the caller does not show the member's secret.
	ErrSecret = errors.New("the caller does not know the secret of the cluster (logstore.auth.cluster_secret)")
)

// RemoteError is an error that a handler of another member returned. errors.Is finds what it wrapped there, if that was
// registered.
type RemoteError struct {
	Member string
	Text   string
	known  []error
}

// Error returns the handler's text with the member's address.
func (e *RemoteError) Error() string { return e.Member + ": " + e.Text }

// Unwrap returns the registered errors that the handler's error was.
func (e *RemoteError) Unwrap() []error { return e.known }

// registry holds errors by name; all members have the same.
var registry struct {
	mu    sync.RWMutex
	names []string
	errs  map[string]error
}

// RegisterError lets an error keep its identity on its way between members, under a name that all members know. It is called
// while the process is built.
func RegisterError(name string, err error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if registry.errs == nil {
		registry.errs = map[string]error{}
	}
	if _, ok := registry.errs[name]; !ok {
		registry.names = append(registry.names, name)
	}
	registry.errs[name] = err
}

// headerErrors names the trailer with the names of registered errors.
const headerErrors = "logstore-errors"

func init() {
	RegisterError("unavailable", wire.ErrUnavailable)
	RegisterError("no-org-id", tenant.ErrNoOrgID)
	RegisterError("deadline", context.DeadlineExceeded)
	RegisterError("canceled", context.Canceled)
	RegisterError("unknown-call", ErrUnknown)
	RegisterError("cluster", ErrCluster)
	RegisterError("secret", ErrSecret)
}

// namesOf returns the names of the registered errors that err is.
func namesOf(err error) []string {
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	var names []string
	for _, name := range registry.names {
		if errors.Is(err, registry.errs[name]) {
			names = append(names, name)
		}
	}
	return names
}

// toStatus returns what gRPC sends for a handler's error. Aborted marks it: gRPC itself never says that.
func toStatus(err error) (metadata.MD, error) {
	return metadata.Pairs(headerErrors, strings.Join(namesOf(err), ",")), status.Error(codes.Aborted, strings.ToValidUTF8(err.Error(), "?"))
}

// remoteError returns the error of another member's handler, with the names of the registered errors that it was.
func remoteError(member, text, names string) *RemoteError {
	e := &RemoteError{Member: member, Text: text}
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	for name := range strings.SplitSeq(names, ",") {
		if known := registry.errs[name]; known != nil {
			e.known = append(e.known, known)
		}
	}
	return e
}

// fromStatus turns the end of a call into an error.
func fromStatus(ctx context.Context, member string, err error, trailer metadata.MD) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("call of %s: %w", member, context.Cause(ctx))
	}
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("call of %s: %w: %w", member, ErrUnreachable, err)
	}
	switch st.Code() {
	case codes.Aborted:
		return remoteError(member, st.Message(), strings.Join(trailer.Get(headerErrors), ","))
	case codes.DeadlineExceeded:
		return fmt.Errorf("call of %s: %w", member, context.DeadlineExceeded)
	}
	return fmt.Errorf("call of %s: %w: %s", member, ErrUnreachable, st.Message())
}
