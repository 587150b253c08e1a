package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/trace"
)

// piece is a chunk in the bucket.
type piece struct {
	store *Store
	name  schema.ChunkName
	// siblings are the pieces of the same Select; nil for one that was made alone.
	siblings *siblings
	// bare is set when a query wanted the chunk's sidecar and there was none.
	bare atomic.Bool
}

// Key implements logql.Piece.
func (p *piece) Key() string { return schema.ContentKey(p.name.ChunkRef) }

// Ref returns which chunk it is.
func (p *piece) Ref() model.ChunkRef { return p.name.ChunkRef }

// Piece returns a chunk of the bucket that somebody else found in an index.
func (s *Store) Piece(ref model.ChunkRef) logql.Piece {
	return &piece{store: s, name: schema.ChunkName{ChunkRef: ref, Layout: s.periods.LayoutOf(ref.From)}}
}

// Over returns a store of the same chunks that finds them through other indexes.
func (s *Store) Over(indexes map[string]Index) *Store {
	other := *s
	other.indexes = indexes
	return &other
}

// Bounds implements logql.Piece.
func (p *piece) Bounds() (first, last int64) { return p.name.Bounds() }

// Size implements logql.SizedPiece.
func (p *piece) Size() (kb, entries uint32, ok bool) { return p.name.KB, p.name.Entries, p.name.Sized }

// Open implements logql.Piece. A chunk that does not have the checksum of its key, or is another one than its key says, is
// an error that names the key.
func (p *piece) Open(ctx context.Context) (*chunk.Chunk, error) {
	c, size, err := p.store.open(ctx, p.name)
	if err == nil && p.bare.Load() {
		p.store.remember(c, size, p.name.ChunkRef)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("cannot read chunk %s: %w", p.name.Key(), err)
	}
	return c, nil
}

// Where a chunk can come from.
const (
	fromCache  = "cache"
	fromBucket = "bucket"
)

// open fetches a chunk from the cache or the bucket. size is that of its object.
func (s *Store) open(ctx context.Context, name schema.ChunkName) (c *chunk.Chunk, size int, err error) {
	ctx, span := trace.Start(ctx, "fetch chunk")
	c, size, from, err := s.fetch(ctx, name)
	span.Text("logstore.from", from)
	span.End(err)
	return c, size, err
}

// fetch is open, and says where the chunk was: "cache" or "bucket".
func (s *Store) fetch(ctx context.Context, name schema.ChunkName) (c *chunk.Chunk, size int, from string, err error) {
	key := name.Key()
	fetches := logql.FetchesOf(ctx)
	if s.cache != nil {
		if object, ok := s.cache.Get(ctx, key); ok {
			c, err := chunk.OpenRef(object, name.ChunkRef)
			if err == nil {
				s.metrics.fetched.WithLabelValues(fromCache).Inc()
				fetches.FromCache.Add(1)
				fetches.BytesFromCache.Add(int64(len(object)))
				return c, len(object), fromCache, nil
			}
			s.metrics.corruptCached.Inc()
		}
	}
	o := s.storeOf(name)
	begin := time.Now()
	object, err := o.Bucket.Get(ctx, o.ChunkKey(name))
	if err != nil {
		return nil, 0, fromBucket, err
	}
	s.metrics.fetched.WithLabelValues(fromBucket).Inc()
	s.metrics.fetchedBytes.Add(float64(len(object)))
	fetches.FromBucket.Add(1)
	fetches.BytesFromBucket.Add(int64(len(object)))
	fetches.Nanos.Add(int64(time.Since(begin)))
	c, err = chunk.OpenRef(object, name.ChunkRef)
	if err != nil {
		s.metrics.corrupt.Inc()
		return nil, 0, fromBucket, err
	}
	if s.cache != nil && !s.tooOld(name) {
		s.cache.Put(ctx, key, object)
	}
	return c, len(object), fromBucket, nil
}

// tooOld reports whether a chunk is so old that it is not kept in the cache.
func (s *Store) tooOld(name schema.ChunkName) bool {
	_, last := name.Bounds()
	return s.skipOld > 0 && time.Since(time.Unix(0, last)) > s.skipOld
}
