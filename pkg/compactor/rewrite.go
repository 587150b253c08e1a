package compactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/chunk"
	"logstore/pkg/compress"
	"logstore/pkg/deletes"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// maxWaiting bounds the names of chunks that are held until they are worked on.
const maxWaiting = 16 << 10

// rewriteWorkers bounds the chunks, or groups of small chunks, that are in memory at a time.
const rewriteWorkers = 4

// rewriter makes new chunks for those that a delete request touches, and for small ones.
type rewriter struct {
	c       *Compactor
	p       *plan
	filters map[string][]*deletes.Filter
	labels  map[streamID]labels.Labels
	merge   bool

	// touched are the chunks of which some entries may have to go.
	touched []touchedChunk
	// run are the chunks of the current stream, streams those before it with more than one.
	run     []schema.ChunkName
	stream  streamID
	streams []streamRun
	// waiting is the number of chunks in touched and streams.
	waiting int

	// mu guards the plan while workers add to it.
	mu sync.Mutex
}

type touchedChunk struct {
	id      streamID
	name    schema.ChunkName
	filters []*deletes.Filter
}

// streamRun is a stream with chunks that may be merged.
type streamRun struct {
	id     streamID
	chunks []schema.ChunkName
}

// chunk takes a chunk of a unit in the order of the rows.
func (r *rewriter) chunk(ctx context.Context, id streamID, name schema.ChunkName) error {
	if id != r.stream {
		r.endStream()
		r.stream = id
		if r.waiting > maxWaiting {
			if err := r.work(ctx); err != nil {
				return err
			}
		}
	}
	if touching := r.touching(id, name); len(touching) > 0 {
		first, last := name.Bounds()
		for _, f := range touching {
			if f.Covers(first, last) {
				r.p.removed[name.Key()] = reasonDelete
				return ctx.Err()
			}
		}
		r.touched = append(r.touched, touchedChunk{id, name, touching})
		r.waiting++
		return ctx.Err()
	}
	// A chunk over midnight has rows in two tables. It stays as it is, so that each table is a whole of its own.
	if r.merge && len(r.c.periods.Spans(name.From, name.Through)) == 1 {
		r.run = append(r.run, name)
	}
	return ctx.Err()
}

// touching returns the delete requests that concern a chunk.
func (r *rewriter) touching(id streamID, name schema.ChunkName) []*deletes.Filter {
	first, last := name.Bounds()
	var out []*deletes.Filter
	for _, f := range r.filters[id.tenant] {
		if f.Overlaps(first, last) && f.MatchStream(r.labels[id]) {
			out = append(out, f)
		}
	}
	return out
}

func (r *rewriter) endStream() {
	if len(r.run) > 1 {
		r.streams = append(r.streams, streamRun{r.stream, r.run})
		r.waiting += len(r.run)
		r.run = nil
	}
	r.run = r.run[:0]
}

// finish writes the new chunks.
func (r *rewriter) finish(ctx context.Context) error {
	r.endStream()
	if err := r.work(ctx); err != nil {
		return err
	}
	return r.c.deps.Chunks.SyncObjects(ctx)
}

// work writes the new chunks for those that were gathered.
func (r *rewriter) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(rewriteWorkers)
	for _, t := range r.touched {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return r.rewrite(ctx, t) })
	}
	for _, s := range r.streams {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return r.mergeStream(ctx, s) })
	}
	r.touched, r.streams, r.waiting = nil, nil, 0
	return group.Wait()
}

// rewrite removes the entries of a chunk that delete requests want gone.
func (r *rewriter) rewrite(ctx context.Context, t touchedChunk) error {
	c, err := r.open(ctx, t.name)
	if c == nil {
		return err
	}
	m := deletes.NewMatcher(t.filters, c.Labels)
	gone := 0
	b, err := chunk.Merge(chunk.MergeOptions{BlockSize: r.c.cfg.BlockSize, Keep: func(ts int64, line []byte, metadata []model.Pair) bool {
		match := m.Match(ts, line, metadata)
		if match {
			gone++
		}
		return !match
	}}, c)
	if err != nil {
		return fmt.Errorf("cannot rewrite chunk %s: %w", t.name.Key(), err)
	}
	if gone == 0 {
		return nil
	}
	r.c.metrics.linesDeleted.WithLabelValues(t.id.tenant).Add(float64(gone))
	if b.Entries() > 0 {
		if err := r.put(ctx, t.id, c, b, c.Encoding, c.Version >= chunk.Version4); err != nil {
			return err
		}
	}
	r.remove(t.name, reasonDelete)
	return nil
}

// open fetches a chunk. One that is not there or damaged is nil: it is logged, and neither stops the table nor the request,
// for there is nothing in it that anybody could read.
func (r *rewriter) open(ctx context.Context, name schema.ChunkName) (*chunk.Chunk, error) {
	c, err := r.c.deps.Chunks.OpenChunk(ctx, name)
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, chunk.ErrForeign) {
		r.c.metrics.badChunks.Inc()
		r.c.logger.Error("a chunk of the index cannot be read and stays as it is", "table", r.p.o.name, "chunk", name.Key(), "err", err)
		return nil, nil
	}
	return c, err
}

// put stores a new chunk of a stream and adds its row. like is a chunk of the stream that it replaces.
func (r *rewriter) put(ctx context.Context, id streamID, like *chunk.Chunk, b *chunk.Builder, enc compress.Encoding, version4 bool) error {
	n := b.Chunk()
	n.Tenant, n.Fingerprint, n.Labels = like.Tenant, like.Fingerprint, like.Labels
	object, ref, err := chunk.Marshal(n, chunk.Options{Encoding: enc, Version4: version4, BlockSize: r.c.cfg.BlockSize})
	if err != nil {
		return fmt.Errorf("cannot write a new chunk for %s: %w", id.tenant, err)
	}
	if err := r.c.lock.mine(); err != nil {
		return err
	}
	if _, err := r.c.deps.Chunks.PutObject(ctx, ref, object); err != nil {
		return err
	}
	r.c.metrics.chunksWritten.Inc()
	r.c.metrics.bytesWritten.Add(float64(len(object)))
	if err := pointChunkWritten.Hit(); err != nil {
		return err
	}
	name := schema.ChunkName{ChunkRef: ref, Layout: r.c.periods.LayoutOf(ref.From)}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.c.periods.Spans(ref.From, ref.Through) {
		// The rows of another day are added when that day's table has its turn: its chunk is rewritten to the same bytes.
		if span.Period == r.p.o.period && span.Day == r.p.o.day {
			var rows schema.RowBuffer
			r.p.o.p.AppendChunk(&rows, span, id.series, name)
			r.p.added = append(r.p.added, rows.Rows...)
			r.p.addedTo[id]++
		}
	}
	return nil
}

func (r *rewriter) remove(name schema.ChunkName, why reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p.removed[name.Key()] = why
}

// mergeStream merges the small chunks of a stream, those of one fingerprint with each other.
func (r *rewriter) mergeStream(ctx context.Context, s streamRun) error {
	byFingerprint := map[uint64][]sizedChunk{}
	for _, name := range s.chunks {
		size, err := r.c.deps.Chunks.ChunkSize(ctx, name)
		if errors.Is(err, objstore.ErrNotFound) {
			r.c.metrics.badChunks.Inc()
			r.c.logger.Error("a chunk of the index is not in the bucket", "table", r.p.o.name, "chunk", name.Key())
			continue
		}
		if err != nil {
			return err
		}
		if size < int64(r.c.cfg.ChunkTarget)/2 {
			byFingerprint[name.Fingerprint] = append(byFingerprint[name.Fingerprint], sizedChunk{name, size})
		}
	}
	for _, small := range byFingerprint {
		for _, group := range groupSmall(small, int64(r.c.cfg.ChunkTarget)) {
			if err := r.mergeGroup(ctx, s.id, group); err != nil {
				return err
			}
		}
	}
	return nil
}

type sizedChunk struct {
	name schema.ChunkName
	size int64
}

// groupSmall cuts chunks, by time, into groups of at least two that are about full together.
func groupSmall(small []sizedChunk, target int64) [][]schema.ChunkName {
	slices.SortFunc(small, func(a, b sizedChunk) int {
		if a.name.From != b.name.From {
			return int(min(max(a.name.From-b.name.From, -1), 1))
		}
		return int(min(max(a.name.Through-b.name.Through, -1), 1))
	})
	var out [][]schema.ChunkName
	var group []schema.ChunkName
	size := int64(0)
	flush := func() {
		if len(group) > 1 {
			out = append(out, group)
		}
		group, size = nil, 0
	}
	for _, s := range small {
		if size+s.size > target {
			flush()
		}
		group = append(group, s.name)
		size += s.size
	}
	flush()
	return out
}

// mergeGroup makes one chunk of several.
func (r *rewriter) mergeGroup(ctx context.Context, id streamID, group []schema.ChunkName) error {
	var chunks []*chunk.Chunk
	var names []schema.ChunkName
	version4 := false
	for _, name := range group {
		c, err := r.open(ctx, name)
		if err != nil {
			return err
		}
		// A chunk without blocks has lost its lines. Its row and object are no use, but no harm either.
		if c != nil && len(c.Blocks) > 0 && (len(chunks) == 0 || labels.Equal(c.Labels, chunks[0].Labels)) {
			chunks, names = append(chunks, c), append(names, name)
			version4 = version4 || c.Version >= chunk.Version4
		}
	}
	if len(chunks) < 2 {
		return nil
	}
	b, err := chunk.Merge(chunk.MergeOptions{BlockSize: r.c.cfg.BlockSize}, chunks...)
	if err != nil {
		return fmt.Errorf("cannot merge chunks of %s: %w", names[0].Key(), err)
	}
	if err := r.put(ctx, id, chunks[0], b, r.c.cfg.ChunkEncoding, version4); err != nil {
		return err
	}
	for _, name := range names {
		r.remove(name, reasonMerge)
	}
	r.c.metrics.chunksMerged.Add(float64(len(names)))
	return nil
}
