package compactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/deletes"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// cycle is one pass: what became due is removed, then every table is looked at. Failures of one table do not keep the others.
func (c *Compactor) cycle(ctx context.Context) error {
	c.next = time.Time{}
	var errs []error
	ms, err := c.removeDue(ctx)
	if err != nil {
		return err
	}
	rules, err := c.newRules(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	tables, err := c.listTables(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, c.tables(ctx, tables, ms, rules))
	if err := ctx.Err(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, c.finishRequests(ctx, tables, rules))
	// What was published just now is due after the grace.
	errs = append(errs, c.sweepAll(ctx))
	if c.deps.AfterPass != nil && ctx.Err() == nil {
		errs = append(errs, c.deps.AfterPass(ctx))
	}
	err = errors.Join(errs...)
	if rules.enabled {
		c.metrics.retentionRuns.WithLabelValues(statusOf(err)).Inc()
		if err == nil {
			c.lastRetention = rules.now
			c.metrics.retentionLast.Set(float64(rules.now.Unix()))
		}
	}
	c.status.update(func(s *Status) { s.Tables = len(tables) })
	return err
}

// wake makes the next pass come at a time at the latest.
func (c *Compactor) wake(at time.Time) {
	if c.next.IsZero() || at.Before(c.next) {
		c.next = at
	}
}

// buckets returns the different buckets of index tables.
func (c *Compactor) buckets() []objstore.Bucket {
	var out []objstore.Bucket
	for i := range c.periods {
		if b := c.deps.Bucket(i); c.periods[i].Store == schema.StoreBoltDB && !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out
}

// bucketManifests are the manifests of each bucket.
type bucketManifests map[objstore.Bucket]manifests

// removeDue removes superseded files whose time has come.
func (c *Compactor) removeDue(ctx context.Context) (bucketManifests, error) {
	out := bucketManifests{}
	pending := 0
	for _, b := range c.buckets() {
		ms, err := readManifests(ctx, b)
		if err != nil {
			return nil, err
		}
		if out[b], err = c.removeSuperseded(ctx, b, ms); err != nil {
			return nil, err
		}
		for _, m := range out[b] {
			if m.Removed == 0 {
				pending += len(m.Superseded)
			}
			c.wake(m.next(c.cfg.Staleness))
		}
	}
	c.status.update(func(s *Status) { s.Pending = pending })
	return out, nil
}

// sweepAll removes marked chunks whose time has come.
func (c *Compactor) sweepAll(ctx context.Context) error {
	var errs []error
	for _, b := range c.buckets() {
		ms, err := readManifests(ctx, b)
		if err == nil {
			var next int64
			next, err = c.sweep(ctx, b, ms)
			if next > 0 {
				c.wake(time.UnixMilli(next))
			}
		}
		for _, m := range ms {
			c.wake(m.next(c.cfg.Staleness))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// newRules finds out what this pass is to remove. It returns rules that are usable with an error too: they remove less.
func (c *Compactor) newRules(ctx context.Context) (*ruleset, error) {
	r := &ruleset{c: c, now: c.now(), sizeCutoff: forever, tenants: map[string]*retention{}, filters: map[string][]*deletes.Filter{}}
	r.enabled = c.cfg.RetentionEnabled && r.now.Sub(c.lastRetention) >= c.cfg.RetentionInterval
	var errs []error
	cutoff, err := c.sizeCutoff(ctx)
	if err == nil {
		r.sizeCutoff = cutoff
	}
	errs = append(errs, err)
	if c.cfg.RetentionEnabled && c.deps.Deletes != nil {
		errs = append(errs, c.dueRequests(ctx, r))
	}
	return r, errors.Join(errs...)
}

// dueRequests reads the delete requests and takes those whose time has come. Entries that are still in memory could come into the
// bucket after the tables were rewritten, so they are brought there first.
func (c *Compactor) dueRequests(ctx context.Context, r *ruleset) error {
	if err := c.deps.Deletes.Fold(ctx, nil, c.lock.mine); err != nil {
		return err
	}
	due := c.deps.Deletes.Due(c.cfg.DeleteBatch)
	known := map[string]bool{}
	fresh := false
	for _, f := range due {
		name := f.Part.Name()
		known[name] = true
		if c.carried[name] == nil {
			fresh = true
		}
	}
	for name := range c.carried {
		if !known[name] {
			delete(c.carried, name)
		}
	}
	if fresh && c.deps.Flush != nil {
		if err := c.deps.Flush(ctx); err != nil {
			return fmt.Errorf("cannot flush before delete requests are processed: %w", err)
		}
	}
	for _, f := range due {
		if c.carried[f.Part.Name()] == nil {
			c.carried[f.Part.Name()] = map[tableID]string{}
		}
		r.filters[f.Part.Tenant] = append(r.filters[f.Part.Tenant], f)
	}
	return nil
}

// tables works on all tables.
func (c *Compactor) tables(ctx context.Context, tables []*table, ms bucketManifests, rules *ruleset) error {
	var mu sync.Mutex
	var errs []error
	group := errgroup.Group{}
	group.SetLimit(c.cfg.Parallelism)
	for i, t := range tables {
		if ctx.Err() != nil {
			break
		}
		compact := i >= c.cfg.SkipNewest && (c.cfg.NewestTables == 0 || i < c.cfg.SkipNewest+c.cfg.NewestTables)
		group.Go(func() error {
			tableCtx, cancel := ctx, context.CancelFunc(func() {})
			if c.cfg.TableTimeout > 0 {
				tableCtx, cancel = context.WithTimeout(ctx, c.cfg.TableTimeout)
			}
			defer cancel()
			j := &tableJob{c: c, t: t, rules: rules, mu: &mu, compact: compact}
			if err := j.run(tableCtx, ms[t.bucket]); err != nil {
				c.metrics.tables.WithLabelValues("failed").Inc()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("cannot compact table %s: %w", t.name, err))
			}
			return nil
		})
	}
	_ = group.Wait() // The functions return nil.
	return errors.Join(errs...)
}

// finishRequests marks the delete requests as processed that have been carried out on all of their tables, none of which has a
// file from before.
func (c *Compactor) finishRequests(ctx context.Context, tables []*table, rules *ruleset) error {
	if c.deps.Deletes == nil {
		return nil
	}
	var done []deletes.Part
	for _, filters := range rules.filters {
		for _, f := range filters {
			if c.isDone(f, tables) {
				done = append(done, f.Part)
			}
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := pointRequests.Hit(); err != nil {
		return err
	}
	if err := c.deps.Deletes.Fold(ctx, done, c.lock.mine); err != nil {
		return err
	}
	for _, p := range done {
		delete(c.carried, p.Name())
		c.logger.Info("a delete request is processed", "tenant", p.Tenant, "request", p.Name())
	}
	return nil
}

// isDone reports whether nothing of what a request wants gone is in any table.
func (c *Compactor) isDone(f *deletes.Filter, tables []*table) bool {
	on := c.carried[f.Part.Name()]
	for _, t := range tables {
		if !c.concerns(f, t.day) {
			continue
		}
		if state, ok := on[tableID{t.period, t.day}]; !ok || state != t.state() || t.pending {
			return false
		}
	}
	return true
}
