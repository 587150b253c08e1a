package shipper

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"logstore/pkg/schema"
)

// manySpans is the number of days from which on a lookup first asks which tables there are. A query over years would
// otherwise list thousands of tables that never were.
const manySpans = 8

// tableNames are the tables of a period that are in the bucket.
type tableNames struct {
	mu     sync.Mutex
	listed time.Time
	// stale tells that the listing is known to lack something.
	stale   bool
	names   map[string]bool
	listing *turn
}

// existing returns the spans whose tables are in the bucket or among the local ones. The listing is as fresh as those of
// tables.
func (c *copies[F]) existing(ctx context.Context, spans []schema.Span, local map[tableKey]bool) ([]schema.Span, error) {
	if len(spans) <= manySpans {
		return spans, nil
	}
	out := make([]schema.Span, 0, manySpans)
	for len(spans) > 0 {
		period := spans[0].Period
		names, err := c.tablesOf(ctx, period)
		if err != nil {
			return nil, err
		}
		for len(spans) > 0 && spans[0].Period == period {
			span := spans[0]
			if names[c.periods[period].Table(span.Day)] || local[tableKey{period, span.Day}] {
				out = append(out, span)
			}
			spans = spans[1:]
		}
	}
	return out, nil
}

// tablesOf lists the tables of a period.
func (c *copies[F]) tablesOf(ctx context.Context, period int) (map[string]bool, error) {
	t := &c.names[period]
	err := share(ctx, &t.mu, func() (**turn, bool) {
		return &t.listing, !t.stale && !t.listed.IsZero() && c.now().Sub(t.listed) <= c.cfg.ResyncInterval
	}, func(ctx context.Context) error {
		began := c.now()
		t.mu.Lock()
		t.stale = false
		t.mu.Unlock()
		prefix := c.periods[period].PathPrefix
		names := make(map[string]bool)
		err := c.bucket(period).ListDirs(ctx, prefix, func(dir string) error {
			names[strings.TrimSuffix(strings.TrimPrefix(dir, prefix), "/")] = true
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot list index tables in %s: %w", c.bucket(period).Name(), err)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.listed, t.names = began, names
		return nil
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names, err
}

// tables returns the tables that have local files.
func (l *localFiles) tables() map[tableKey]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[tableKey]bool)
	for _, f := range l.files {
		out[tableKey{f.period, f.day}] = true
	}
	return out
}
