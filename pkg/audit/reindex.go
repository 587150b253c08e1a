package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/chunk"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// Index takes index rows of chunks. Put may be called for a chunk more than once.
type Index interface {
	Put(ctx context.Context, entries []schema.IndexEntry) error
}

// batchSize is how many chunks are indexed in one call.
const batchSize = 4096

// Skipped is a chunk that could not be indexed, and why.
type Skipped struct {
	Key   string `json:"key"`
	Error string `json:"error"`
}

// Indexed is what was done.
type Indexed struct {
	Chunks int64 `json:"chunks"`
	Bytes  int64 `json:"bytes"`
	// Copied counts chunks whose objects were written to another bucket.
	Copied  int64     `json:"copied"`
	Skipped []Skipped `json:"skipped"`
	// Counts are the chunks and entries by tenant and day.
	Counts Counts `json:"-"`
}

// Indexed returns the chunks that the tables of the days name, each once.
func (b *Bucket) Indexed(ctx context.Context, days Days, progress func(more, done int64)) ([]schema.ChunkName, error) {
	tables, err := b.Tables(ctx, days)
	if err != nil {
		return nil, err
	}
	var all []schema.ChunkName
	for i := range tables {
		progress(int64(len(tables[i].Files)), 0)
	}
	for i := range tables {
		for j := range tables[i].Files {
			err := b.Scan(ctx, &tables[i], &tables[i].Files[j], Visitor{Chunk: func(n Named) error {
				if b.touches(n.ChunkName, days) {
					all = append(all, n.ChunkName)
				}
				return nil
			}})
			if err != nil {
				return nil, err
			}
			progress(0, 1)
		}
		all = uniqueChunks(all)
	}
	return all, nil
}

// uniqueChunks sorts chunks by key and keeps each once.
func uniqueChunks(all []schema.ChunkName) []schema.ChunkName {
	slices.SortFunc(all, func(a, b schema.ChunkName) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(all, func(a, b schema.ChunkName) bool { return a.ChunkRef == b.ChunkRef })
}

// Copy says where chunks are indexed, and whether their objects go somewhere else too.
type Copy struct {
	From *Bucket
	// To is where the objects are put unless they are there already; nil leaves them where they are.
	To    *Bucket
	Index Index
	// Write does it; else everything is read and nothing is written.
	Write    bool
	Parallel int
	Progress func(more, done int64)
}

// Run indexes chunks anew. One that is damaged or gone is skipped and listed: it would be found by no query either way.
func (c *Copy) Run(ctx context.Context, chunks []schema.ChunkName) (*Indexed, error) {
	out := &Indexed{Counts: Counts{}, Skipped: []Skipped{}}
	c.Progress(int64(len(chunks)), 0)
	for batch := range slices.Chunk(chunks, batchSize) {
		entries, err := c.read(ctx, batch, out)
		if err != nil {
			return out, err
		}
		if c.Write && len(entries) > 0 {
			if err := c.Index.Put(ctx, entries); err != nil {
				return out, fmt.Errorf("cannot index %d chunks: %w", len(entries), err)
			}
		}
	}
	return out, nil
}

// read opens the chunks of a batch, copies their objects where that is wanted, and returns what is to be indexed.
func (c *Copy) read(ctx context.Context, batch []schema.ChunkName, out *Indexed) ([]schema.IndexEntry, error) {
	var mu sync.Mutex
	var entries []schema.IndexEntry
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, c.Parallel))
	for _, name := range batch {
		group.Go(func() error {
			defer c.Progress(0, 1)
			opened, body, err := c.From.Open(ctx, name)
			switch {
			case errors.Is(err, objstore.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, chunk.ErrForeign):
				mu.Lock()
				defer mu.Unlock()
				out.Skipped = append(out.Skipped, Skipped{name.Key(), err.Error()})
				return nil
			case err != nil:
				return fmt.Errorf("cannot read chunk %s: %w", name.Key(), err)
			}
			copied, err := c.copyObject(ctx, name, body)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out.Chunks++
			out.Bytes += int64(len(body))
			if copied {
				out.Copied++
			}
			out.Counts.add(name, opened)
			entries = append(entries, schema.IndexEntry{Ref: name.ChunkRef, Labels: opened.Labels})
			return nil
		})
	}
	return entries, group.Wait()
}

// copyObject puts a chunk where the other bucket has it.
func (c *Copy) copyObject(ctx context.Context, name schema.ChunkName, body []byte) (bool, error) {
	if c.To == nil || !c.Write {
		return false, nil
	}
	there := schema.ChunkName{ChunkRef: name.ChunkRef, Layout: c.To.Periods.LayoutOf(name.From)}
	ok, err := c.To.has(ctx, there)
	if err != nil || ok {
		return false, err
	}
	o := c.To.StoreOf(there)
	if err := o.Bucket.Put(ctx, o.ChunkKey(there), body); err != nil {
		return false, fmt.Errorf("cannot copy chunk %s: %w", name.Key(), err)
	}
	return true, nil
}
