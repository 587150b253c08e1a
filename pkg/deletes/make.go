package deletes

import (
	"context"
	"fmt"
	"time"

	"logstore/pkg/limits"
	"logstore/pkg/logql/syntax"
)

// Params say what is to be deleted.
type Params struct {
	Query string
	// Start and End are in milliseconds, both inside.
	Start, End int64
	// MaxInterval cuts a request with line filters into parts; 0 leaves it to the configuration.
	MaxInterval time.Duration
}

// invalid is an ErrInvalid with a text.
type invalid struct{ text string }

// Error implements error.
func (e invalid) Error() string { return e.text }

// Unwrap makes it an ErrInvalid.
func (e invalid) Unwrap() error { return ErrInvalid }

func refuse(format string, args ...any) error { return invalid{fmt.Sprintf(format, args...)} }

// Add makes a request. When it returns, the request is in the bucket and queries of this member apply it.
func (s *Store) Add(ctx context.Context, tenant string, p Params) (id string, err error) {
	if err := s.Allowed(tenant); err != nil {
		return "", err
	}
	now := s.now()
	parts, err := s.check(p, now)
	if err != nil {
		return "", err
	}
	release, err := s.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if err := s.refresh(ctx); err != nil {
		return "", err
	}
	e := &event{Tenant: tenant, Created: now.UnixMilli(), Query: p.Query, Parts: parts, Generation: now.UnixNano()}
	// The id has 32 bits: one that is taken is passed over.
	known := s.folded()
	for salt := p.Start ^ p.End; ; salt++ {
		e.ID = requestID(tenant, p.Query, now.UnixNano(), salt)
		if len(known.named(tenant, e.ID)) == 0 {
			break
		}
	}
	if err := e.put(ctx, s.bucket); err != nil {
		return "", err
	}
	if err := pointAdded.Hit(); err != nil {
		return "", err
	}
	s.events[e.key()] = e
	s.show()
	s.metrics.received.WithLabelValues(tenant).Inc()
	s.logger.Info("a delete request was made", "tenant", tenant, "request", e.ID, "query", p.Query, "parts", len(parts),
		"start", time.UnixMilli(p.Start).UTC(), "end", time.UnixMilli(p.End).UTC())
	return e.ID, nil
}

// Allowed returns ErrDisabled for tenants that may not delete.
func (s *Store) Allowed(tenant string) error {
	if s.limits.For(tenant).DeletionMode == limits.DeletionDisabled {
		return ErrDisabled
	}
	return nil
}

// check returns the spans of a request's parts.
func (s *Store) check(p Params, now time.Time) ([]span, error) {
	if p.End > now.UnixMilli() {
		return nil, refuse("deletes in the future are not allowed")
	}
	if p.Start >= p.End {
		return nil, refuse("start time can't be greater than or equal to end time")
	}
	q, err := syntax.ParseLog(p.Query)
	if err != nil {
		return nil, refuse("invalid query expression: %s", err)
	}
	length := time.Duration(p.End-p.Start) * time.Millisecond
	if p.MaxInterval > length {
		return nil, refuse("max_interval can't be greater than the interval to be deleted (%s)", length)
	}
	if !hasFilters(q) {
		return splitSpan(p.Start, p.End, 0), nil
	}
	interval := s.cfg.MaxInterval
	if p.MaxInterval > 0 && (interval == 0 || p.MaxInterval < interval) {
		interval = p.MaxInterval
	}
	return splitSpan(p.Start, p.End, interval.Milliseconds()), nil
}

// Cancel takes a request back. Without force that is only possible within the cancel period and before it is begun; with it,
// what is not processed yet is cancelled, and a request that is processed is forgotten.
func (s *Store) Cancel(ctx context.Context, tenant, id string, force bool) error {
	if err := s.Allowed(tenant); err != nil {
		return err
	}
	release, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.refresh(ctx); err != nil {
		return err
	}
	var found *Request
	for _, r := range s.Requests(tenant) {
		if r.ID == id {
			found = &r
		}
	}
	if found == nil {
		return ErrNotFound
	}
	now := s.now()
	if !force && (found.processed() > 0 || now.Sub(time.UnixMilli(found.Created)) > s.cfg.CancelPeriod) {
		return ErrStarted
	}
	e := &event{Tenant: tenant, ID: id, Generation: now.UnixNano(), cancel: true}
	if err := e.put(ctx, s.bucket); err != nil {
		return err
	}
	s.events[e.key()] = e
	s.show()
	s.logger.Info("a delete request was cancelled", "tenant", tenant, "request", id, "force", force)
	return nil
}
