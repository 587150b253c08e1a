package compactor

import (
	"context"
	"errors"
	"slices"
	"sync"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// tableJob is the work on one table in a pass.
type tableJob struct {
	c     *Compactor
	t     *table
	rules *ruleset
	// mu guards what the jobs of a pass share: the rules, and the compactor's seen and carried.
	mu *sync.Mutex
	// compact tells whether the table is one of those that are to be compacted.
	compact bool
}

// need is what a table needs.
type need struct {
	// compact: it has too many files. expire: chunks may be expired. requests: delete requests concern it and were not carried out
	// on it. merge: its small chunks are to be merged.
	compact, expire, requests, merge bool
}

func (n need) any() bool { return n.compact || n.expire || n.requests || n.merge }

// run looks at the table and does what it needs.
func (j *tableJob) run(ctx context.Context, ms manifests) error {
	if err := j.t.list(ctx, ms); err != nil {
		return err
	}
	j.mu.Lock()
	n := j.needs()
	j.mu.Unlock()
	if !n.any() || len(j.t.files) == 0 {
		if len(j.t.files) == 0 {
			j.remember(nil, false)
		}
		return nil
	}
	began := j.c.now()
	o, err := j.c.open(ctx, j.t)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil // Somebody else removed a file: the next pass sees what there is.
	}
	if err != nil {
		return err
	}
	defer o.close()
	j.c.metrics.bytesFetched.Add(float64(o.bytes))
	plans, err := j.plan(ctx, o, n)
	if err != nil {
		return err
	}
	merged := n.merge || j.t.merged() && !n.compact
	outputs, err := j.write(ctx, o, plans, n, merged)
	if err != nil {
		return err
	}
	if len(outputs) > 0 {
		j.c.logTable(o, outputs, plans, began)
		j.c.metrics.tables.WithLabelValues("written").Inc()
	} else {
		j.c.metrics.tables.WithLabelValues("unchanged").Inc()
	}
	j.remember(plans, merged)
	return nil
}

// needs says what is to be done. It is called with the lock of the pass.
func (j *tableJob) needs() need {
	c, t := j.c, j.t
	id := tableID{t.period, t.day}
	n := need{compact: j.compact && t.uncompacted()}
	first := t.day * schema.MillisPerDay
	seen := c.seen[id]
	same := seen != nil && seen.state == t.state()
	if j.rules.mayExpire(first) {
		n.expire = !same || seen.rules != j.rules.fingerprint(seen.tenants) || j.rules.now.UnixMilli() >= seen.nextExpiry
	}
	for _, filters := range j.rules.filters {
		for _, f := range filters {
			if c.concerns(f, t.day) && c.carried[f.Part.Name()][id] != t.state() {
				n.requests = true
			}
		}
	}
	old := c.cfg.MergeAfter > 0 && j.rules.now.UnixMilli() >= first+schema.MillisPerDay+c.cfg.MergeAfter.Milliseconds()
	n.merge = j.compact && old && !t.merged() && !(same && seen.merged)
	return n
}

// plan makes the plans of all units; nil ones where nothing can change.
func (j *tableJob) plan(ctx context.Context, o *openTable, n need) (map[*unit]*plan, error) {
	plans := map[*unit]*plan{}
	if !n.expire && !n.requests && !n.merge {
		return plans, nil
	}
	// The rules are the pass's, their tenants are made when asked for: each job has a set of its own.
	rules := *j.rules
	rules.tenants = map[string]*retention{}
	for _, u := range o.units {
		p, err := j.c.newPlan(ctx, o, u, &rules, n.merge)
		if err != nil {
			return nil, err
		}
		plans[u] = p
	}
	return plans, nil
}

// write writes and publishes the units that change.
func (j *tableJob) write(ctx context.Context, o *openTable, plans map[*unit]*plan, n need, merged bool) ([]*output, error) {
	// One file may have rows of several units: if one of them is written anew, all are that have more than their own file.
	dirt := n.compact || n.merge
	for u, p := range plans {
		dirt = dirt || (u.dirty && p.changes())
	}
	marks := j.c.newMarks(o)
	var outputs []*output
	for i, u := range o.units {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := plans[u]
		// A table whose chunks were looked at for merging gets the name that says so.
		if !(u.dirty && dirt) && !(p != nil && p.changes()) && !n.merge {
			continue
		}
		out, err := j.c.writeUnit(o, u, p, i, marks)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, out)
	}
	if len(outputs) == 0 {
		return nil, nil
	}
	if err := j.c.publish(ctx, o, outputs, merged, marks); err != nil {
		return nil, err
	}
	return outputs, nil
}

// remember notes what was done on the table as it stands now.
func (j *tableJob) remember(plans map[*unit]*plan, merged bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := &seenTable{state: j.t.state(), nextExpiry: maxMilli, merged: merged}
	for _, p := range plans {
		seen.tenants = append(seen.tenants, p.tenants...)
		seen.nextExpiry = min(seen.nextExpiry, p.nextExpiry)
	}
	slices.Sort(seen.tenants)
	seen.tenants = slices.Compact(seen.tenants)
	if len(plans) > 0 {
		seen.rules = j.rules.fingerprint(seen.tenants)
	}
	j.c.seen[tableID{j.t.period, j.t.day}] = seen
	if len(plans) > 0 || len(j.t.files) == 0 {
		j.carryLocked()
	}
}

// carryLocked notes that the delete requests of this pass were carried out on the table.
func (j *tableJob) carryLocked() {
	for _, filters := range j.rules.filters {
		for _, f := range filters {
			if j.c.concerns(f, j.t.day) {
				j.c.carried[f.Part.Name()][tableID{j.t.period, j.t.day}] = j.t.state()
			}
		}
	}
}
