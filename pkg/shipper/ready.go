package shipper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"logstore/pkg/schema"
)

// ErrNotReady is wrapped by what Ready returns before the tables of the last days are here.
var ErrNotReady = errors.New("index tables of the last days are being fetched")

// Ready returns why queries of the last days would still wait for downloads, or nil.
func (c *copies[F]) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.QueryReadyDays > 0 && !c.ready {
		return fmt.Errorf("%w: query_ready_num_days is %d", ErrNotReady, c.cfg.QueryReadyDays)
	}
	return nil
}

// wantedReady reports whether the copies of a table must be here at all times.
func (c *copies[F]) wantedReady(key tableKey) bool {
	today := schema.Day(c.now().UnixMilli())
	return c.cfg.QueryReadyDays > 0 && key.day <= today && key.day >= today-int64(c.cfg.QueryReadyDays)
}

// prepare fetches all files of the tables that must be ready, the newest table first.
func (c *copies[F]) prepare(ctx context.Context) error {
	today := schema.Day(c.now().UnixMilli())
	from := (today - int64(c.cfg.QueryReadyDays)) * schema.MillisPerDay
	var keys []tableKey
	for _, span := range c.periods.Spans(from, c.now().UnixMilli()) {
		if c.periods[span.Period].Store == c.format.store {
			keys = append(keys, tableKey{span.Period, span.Day})
		}
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range keys {
		t := c.table(key)
		_, release, err := t.open(ctx, func(schema.IndexFile) bool { return true })
		if err != nil {
			return fmt.Errorf("cannot fetch index table %s: %w", t.name, err)
		}
		release()
	}
	return nil
}

// prepareLogged is prepare for those who try again later.
func (c *copies[F]) prepareLogged(ctx context.Context) {
	if c.cfg.QueryReadyDays == 0 {
		return
	}
	begin := time.Now()
	if err := c.prepare(ctx); err != nil {
		if ctx.Err() == nil {
			c.logger.Warn("index tables of the last days are not all here yet", "err", err)
		}
		return
	}
	c.mu.Lock()
	first := !c.ready
	c.ready = true
	c.mu.Unlock()
	if first {
		c.logger.Info("index tables of the last days are here", "days", c.cfg.QueryReadyDays, "duration", time.Since(begin))
	}
}

// readyRetry is how soon a failed fetch of the last days' tables is tried again while the process is not ready.
const readyRetry = 5 * time.Second

// becomeReady fetches the tables of the last days until it succeeds or the context ends.
func (c *copies[F]) becomeReady(ctx context.Context) {
	for c.prepareLogged(ctx); c.Ready() != nil; c.prepareLogged(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyRetry):
		}
	}
}
