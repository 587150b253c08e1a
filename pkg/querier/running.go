package querier

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"logstore/pkg/logql/engine"
)

// ErrStopped is returned by a query that somebody has stopped.
var ErrStopped = errors.New("the query was stopped by a request")

// Running is a query under way.
type Running struct {
	ID     string    `json:"id"`
	Tenant string    `json:"tenant"`
	Query  string    `json:"query"`
	Type   string    `json:"type"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Since  time.Time `json:"since"`
	// Source is what asked for it, if it said so.
	Source string `json:"source,omitempty"`
	// Queued is set while it waits for its turn.
	Queued bool `json:"queued"`
}

// registry holds the queries under way.
type registry struct {
	mu   sync.Mutex
	last uint64
	list map[uint64]*runningQuery
}

type runningQuery struct {
	Running
	stop context.CancelCauseFunc
	// waiting counts the parts that wait; guarded by the registry's mutex.
	waiting int
}

// add registers a query; its context ends when it is stopped. done must be called.
func (r *registry) add(ctx context.Context, tenant string, p *engine.Params, now time.Time) (q *runningQuery, inner context.Context, done func()) {
	inner, stop := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[uint64]*runningQuery{}
	}
	r.last++
	id := r.last
	q = &runningQuery{stop: stop, Running: Running{
		ID: strconv.FormatUint(id, 10), Tenant: tenant, Query: p.Text, Type: kindOf(*p),
		Start: time.Unix(0, p.Start).UTC(), End: time.Unix(0, p.End).UTC(), Since: now.UTC(), Source: SourceOf(ctx),
	}}
	r.list[id] = q
	return q, inner, func() {
		r.mu.Lock()
		delete(r.list, id)
		r.mu.Unlock()
		stop(nil)
	}
}

// wait notes that a part of the query begins (1) or ends (-1) to wait.
func (r *registry) wait(q *runningQuery, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.waiting += n
}

// Running returns the queries under way of a tenant, the oldest first.
func (q *Querier) Running(tenant string) []Running {
	q.registry.mu.Lock()
	defer q.registry.mu.Unlock()
	out := []Running{}
	for _, r := range q.registry.list {
		if r.Tenant == tenant {
			one := r.Running
			one.Queued = r.waiting > 0
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Running) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Stop ends a query of a tenant and reports whether there was such a one.
func (q *Querier) Stop(tenant, id string) bool {
	q.registry.mu.Lock()
	defer q.registry.mu.Unlock()
	for _, r := range q.registry.list {
		if r.Tenant == tenant && r.ID == id {
			r.stop(ErrStopped)
			return true
		}
	}
	return false
}

type sourceKey struct{}

// RuleSource is the source of queries of rules.
const RuleSource = "ruler"

// WithSource remembers what asked for a query, for the query log and the list of running queries.
func WithSource(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source)
}

// SourceOf returns what WithSource put into the context, or "".
func SourceOf(ctx context.Context) string {
	s, _ := ctx.Value(sourceKey{}).(string)
	return s
}
