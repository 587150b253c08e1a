package audit

import (
	"context"
	"errors"

	"github.com/cespare/xxhash/v2"

	"logstore/pkg/chunk"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// orphan is a chunk that a day's table does not name.
type orphan struct {
	*Object
	table string
}

// orphans decides what is to be said of the chunks that are not indexed. One whose entries are all in indexed chunks of its
// stream is what a crash between a chunk's object and its rows leaves behind: it was stored once more afterwards.
func (c *checker) orphans(ctx context.Context, objects []Object) error {
	if len(c.unindexed) == 0 {
		return nil
	}
	type stream struct {
		tenant      string
		fingerprint uint64
	}
	streams := map[stream][]*Object{}
	for _, o := range c.unindexed {
		streams[stream{o.Tenant, o.Fingerprint}] = nil
	}
	for i := range objects {
		k := stream{objects[i].Tenant, objects[i].Fingerprint}
		if _, ok := streams[k]; ok {
			streams[k] = append(streams[k], &objects[i])
		}
	}
	for _, o := range c.unindexed {
		redundant := false
		if !c.opts.Quick {
			var err error
			if redundant, err = c.redundant(ctx, o.Object, streams[stream{o.Tenant, o.Fingerprint}]); err != nil {
				return err
			}
		}
		if redundant {
			c.report.Redundant++
			continue
		}
		c.problem(Problem{Kind: NotIndexed, Key: o.Key(), Table: o.table})
	}
	return nil
}

// redundant reports whether all entries of a chunk are in others of its stream that are indexed.
func (c *checker) redundant(ctx context.Context, o *Object, others []*Object) (bool, error) {
	missing := map[uint64]bool{}
	if ok, err := c.eachEntry(ctx, o.ChunkName, func(h uint64) { missing[h] = true }); !ok {
		return false, err
	}
	for _, other := range others {
		if len(missing) == 0 {
			break
		}
		if other.ChunkRef == o.ChunkRef || other.From > o.Through || other.Through < o.From || !c.everywhere(other.ChunkName) {
			continue
		}
		if _, err := c.eachEntry(ctx, other.ChunkName, func(h uint64) { delete(missing, h) }); err != nil {
			return false, err
		}
	}
	return len(missing) == 0, nil
}

// everywhere reports whether all days that a chunk touches name it.
func (c *checker) everywhere(name schema.ChunkName) bool {
	for _, span := range c.b.Periods.Spans(name.From, name.Through) {
		if c.opts.Days.Contains(span.Day) && !has(c.hashes.named, hashOf(c.b.Periods[span.Period].Table(span.Day), name.Key())) {
			return false
		}
	}
	return true
}

// eachEntry calls fn with a hash of each entry. ok is false if the chunk cannot be opened.
func (c *checker) eachEntry(ctx context.Context, name schema.ChunkName, fn func(hash uint64)) (ok bool, err error) {
	opened, _, err := c.b.Open(ctx, name)
	switch {
	case errors.Is(err, objstore.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, chunk.ErrForeign):
		return false, nil // it is reported elsewhere
	case err != nil:
		return false, err
	}
	it := chunk.Iterate(opened)
	defer it.Close()
	var d xxhash.Digest
	for it.Next() {
		d.ResetWithSeed(uint64(it.Timestamp()))
		_, _ = d.Write(it.Line())
		for _, p := range it.Metadata() {
			_, _ = d.WriteString("\x00" + p.Name + "\x00" + p.Value)
		}
		fn(d.Sum64())
	}
	return it.Err() == nil, nil
}
