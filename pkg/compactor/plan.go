package compactor

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/deletes"
	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// plan is what a pass over a unit leaves out and adds.
type plan struct {
	o     *openTable
	u     *unit
	rules *ruleset
	// retention is by tenant; tenants for whose day nothing can expire have none.
	retention map[string]*retention
	// cutoffs are those of streams for which rules of their own hold.
	cutoffs map[streamID]int64
	// removed are chunks that are deleted, rewritten or merged, by their keys.
	removed map[string]reason
	// added are the rows of new chunks, ascending, and addedTo counts them by stream.
	added   []schema.Row
	addedTo map[streamID]int
	// dead are the streams of which no chunk is left.
	dead map[streamID]bool
	// tenants are those that have rows.
	tenants []string
	// nextExpiry is when the next chunk expires that is kept now, in milliseconds.
	nextExpiry int64
	// count is the number of chunk rows that go, by reason; kept is the number of those that stay.
	count map[reason]int
	kept  int
}

// streamID is a stream of a tenant.
type streamID struct {
	tenant string
	series schema.SeriesID
}

// reason says why a chunk's row goes.
type reason string

const (
	reasonRetention reason = "retention"
	reasonSize      reason = "size"
	reasonDelete    reason = "delete_request"
	reasonMerge     reason = "merge"
)

// changes reports whether the unit's rows would be others.
func (p *plan) changes() bool { return len(p.count) > 0 || len(p.added) > 0 }

const dayNanos = int64(24 * time.Hour)

// newPlan looks at the rows of a unit. It writes new chunks, but no index.
func (c *Compactor) newPlan(ctx context.Context, o *openTable, u *unit, rules *ruleset, merge bool) (*plan, error) {
	p := &plan{
		o: o, u: u, rules: rules, retention: map[string]*retention{}, cutoffs: map[streamID]int64{}, removed: map[string]reason{},
		addedTo: map[streamID]int{}, dead: map[streamID]bool{}, count: map[reason]int{}, nextExpiry: maxMilli,
	}
	lbls, err := p.readSeries(rules)
	if err != nil {
		return nil, err
	}
	if err := c.planChunks(ctx, p, rules, lbls, merge); err != nil {
		return nil, err
	}
	slices.SortFunc(p.added, func(a, b schema.Row) int { return bytes.Compare(a.Key, b.Key) })
	return p, p.countChunks()
}

const maxMilli = int64(1) << 62

// readSeries finds the tenants, and the labels of the streams of those whose rules want them.
func (p *plan) readSeries(rules *ruleset) (map[streamID]labels.Labels, error) {
	wanted := map[string]bool{}
	pairs := map[streamID][]string{}
	known := map[string]bool{}
	err := index.MergeRows(p.u.sources, func(row schema.Row) error {
		r, err := p.o.p.ParseRow(row.Key, row.Value)
		if err != nil || r.Kind == schema.KindLabelNames {
			return nil // A row of an unknown kind is kept as it is.
		}
		if !known[string(r.Tenant)] {
			tenant := string(r.Tenant)
			known[tenant] = true
			p.tenants = append(p.tenants, tenant)
			ret := rules.of(tenant)
			p.retention[tenant] = ret
			wanted[tenant] = len(ret.rules) > 0 || len(rules.filtersOn(tenant, p.o.day)) > 0
		}
		if r.Kind == schema.KindLabel && wanted[string(r.Tenant)] {
			id := streamID{string(r.Tenant), r.Series}
			pairs[id] = append(pairs[id], string(r.Label), string(r.Value))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read index table %s: %w", p.o.name, err)
	}
	slices.Sort(p.tenants)
	out := make(map[streamID]labels.Labels, len(pairs))
	for id, list := range pairs {
		lbls := labels.FromStrings(list...)
		out[id] = lbls
		if ret := p.retention[id.tenant]; len(ret.rules) > 0 {
			p.cutoffs[id] = ret.of(lbls)
		}
	}
	return out, nil
}

// eachChunk calls fn with the chunk rows of the unit in order. Rows whose key is no chunk's are passed over: they are kept.
func (p *plan) eachChunk(fn func(id streamID, key []byte, name schema.ChunkName) error) error {
	var last string // tenants repeat for long, so that their names are not made again for each row
	err := index.MergeRows(p.u.sources, func(row schema.Row) error {
		r, err := p.o.p.ParseRow(row.Key, row.Value)
		if err != nil || r.Kind != schema.KindChunk {
			return nil
		}
		name, err := schema.ParseChunkKey(string(r.Chunk))
		if err != nil {
			return nil
		}
		if last != string(r.Tenant) {
			last = string(r.Tenant)
		}
		return fn(streamID{last, r.Series}, r.Chunk, name)
	})
	if err != nil {
		return fmt.Errorf("cannot read index table %s: %w", p.o.name, err)
	}
	return nil
}

// cutoff returns from when on the chunks of a stream are kept.
func (p *plan) cutoff(id streamID) int64 {
	if cutoff, ok := p.cutoffs[id]; ok {
		return cutoff
	}
	if r := p.retention[id.tenant]; r != nil {
		return r.cutoff
	}
	return forever
}

// goes reports whether and why the row of a chunk goes.
func (p *plan) goes(id streamID, key []byte, name schema.ChunkName) (reason, bool) {
	if name.Through < p.cutoff(id) {
		if name.Through < p.rules.sizeCutoff {
			return reasonSize, true
		}
		return reasonRetention, true
	}
	why, ok := p.removed[string(key)]
	return why, ok
}

// planChunks decides about delete requests and merges.
func (c *Compactor) planChunks(ctx context.Context, p *plan, rules *ruleset, lbls map[streamID]labels.Labels, merge bool) error {
	filters := map[string][]*deletes.Filter{}
	deleting := false
	for _, tenant := range p.tenants {
		filters[tenant] = rules.filtersOn(tenant, p.o.day)
		deleting = deleting || len(filters[tenant]) > 0
	}
	if !deleting && !merge {
		return nil
	}
	r := &rewriter{c: c, p: p, filters: filters, labels: lbls, merge: merge}
	err := p.eachChunk(func(id streamID, key []byte, name schema.ChunkName) error {
		if name.Through < p.cutoff(id) {
			return nil
		}
		return r.chunk(ctx, id, name)
	})
	if err != nil {
		return err
	}
	return r.finish(ctx)
}

// countChunks counts what goes and what stays, and finds the streams of which nothing stays. The chunk rows of a stream follow
// each other.
func (p *plan) countChunks() error {
	var current streamID
	stays, gone := 0, 0
	flush := func() {
		if gone > 0 && stays+p.addedTo[current] == 0 {
			p.dead[current] = true
		}
		stays, gone = 0, 0
	}
	err := p.eachChunk(func(id streamID, key []byte, name schema.ChunkName) error {
		if id != current {
			flush()
			current = id
		}
		if why, ok := p.goes(id, key, name); ok {
			p.count[why]++
			gone++
			return nil
		}
		stays++
		p.kept++
		if cutoff := p.cutoff(id); cutoff != forever {
			// The chunk expires when the cutoff has moved behind its end.
			p.nextExpiry = min(p.nextExpiry, p.rules.now.UnixMilli()+name.Through-cutoff+1)
		}
		return nil
	})
	flush()
	return err
}

// keepsNames reports whether a label names row is still needed: tenants with equal labels share it.
func (p *plan) keepsNames(series schema.SeriesID, has func(streamID) (bool, error)) (bool, error) {
	gone := false
	for _, tenant := range p.tenants {
		id := streamID{tenant, series}
		if p.dead[id] {
			gone = true
			continue
		}
		if ok, err := has(id); err != nil || ok {
			return true, err
		}
	}
	return !gone, nil
}
