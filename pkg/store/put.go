package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/failpoint"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

var pointPut = failpoint.New("store/put", "a chunk's object is in the bucket, whoever stores it has no answer yet")

// PutChunk stores a chunk: its object, then its index rows. lbls are the stream's labels without __name__. When it returns
// nil, queries find the chunk. Repeating it is harmless.
func (s *Store) PutChunk(ctx context.Context, ref model.ChunkRef, object []byte, lbls labels.Labels) error {
	if _, err := s.PutObject(ctx, ref, object); err != nil {
		return err
	}
	return s.PutIndex(ctx, []schema.IndexEntry{{Ref: ref, Labels: lbls}})
}

// PutObject writes a chunk's object alone, and reports whether it did: another replica may have written the same. The chunk is not found
// before PutIndex. Nothing keeps the object's bytes.
func (s *Store) PutObject(ctx context.Context, ref model.ChunkRef, object []byte) (written bool, err error) {
	c := schema.ChunkName{ChunkRef: ref, Layout: s.periods.LayoutOf(ref.From)}
	if err := s.writable([]schema.IndexEntry{{Ref: ref}}); err != nil {
		return false, fmt.Errorf("cannot write chunk %s: %w", c.Key(), err)
	}
	o := s.storeOf(c)
	if s.alreadyWritten(ctx, o, c, len(object)) {
		s.metrics.duplicates.Inc()
		return false, nil
	}
	if err := o.Bucket.Put(ctx, o.ChunkKey(c), object); err != nil {
		return false, fmt.Errorf("cannot write chunk %s to %s: %w", c.Key(), o.Bucket.Name(), err)
	}
	if s.written != nil {
		s.written.Put(ctx, c.Key(), writtenMark)
	}
	if err := pointPut.Hit(); err != nil {
		return false, err
	}
	s.metrics.chunksStored.WithLabelValues(ref.Tenant).Inc()
	s.metrics.bytesStored.WithLabelValues(ref.Tenant).Add(float64(len(object)))
	if s.cache != nil {
		s.cache.Put(ctx, c.Key(), bytes.Clone(object))
	}
	return true, nil
}

// writtenMark is what stands in the cache of written objects; only that there is something matters.
var writtenMark = []byte{1}

// alreadyWritten reports whether another replica has written the object. The cache only says where to look: it may
// remember what has been deleted since. Without one the bucket is asked each time, which costs less than to write. Index rows are written in any case, for those of the other replica may still be on its disk
// alone.
func (s *Store) alreadyWritten(ctx context.Context, o ObjectStore, c schema.ChunkName, size int) bool {
	if !s.replicated && s.written == nil {
		return false
	}
	if s.written != nil {
		if _, ok := s.written.Get(ctx, c.Key()); !ok {
			return false
		}
	}
	info, err := o.Bucket.Stat(ctx, o.ChunkKey(c))
	return err == nil && info.Size == int64(size)
}

// PutIndex writes the index rows of chunks whose objects are in the bucket. Many chunks in one call cost far less than many
// calls: a flush should gather them, a few thousand at a time. When it returns nil, queries find all of them. Repeating it is
// harmless.
func (s *Store) PutIndex(ctx context.Context, entries []schema.IndexEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := s.writable(entries); err != nil {
		return fmt.Errorf("cannot index %d chunks: %w", len(entries), err)
	}
	if err := s.syncObjects(ctx, entries); err != nil {
		return fmt.Errorf("cannot index %d chunks: %w", len(entries), err)
	}
	kinds := make(map[string][]schema.IndexEntry)
	for _, e := range entries {
		kind := s.periods[s.periods.At(e.Ref.From)].Store
		kinds[kind] = append(kinds[kind], e)
	}
	for kind, list := range kinds {
		if err := s.indexes[kind].(Writer).Put(ctx, list); err != nil {
			return fmt.Errorf("cannot index %d chunks: %w", len(list), err)
		}
	}
	return nil
}

// syncObjects makes the objects of chunks durable before their rows are: a folder holds them in memory until it is asked.
func (s *Store) syncObjects(ctx context.Context, entries []schema.IndexEntry) error {
	done := make(map[int]bool)
	for _, e := range entries {
		i := s.periods.At(e.Ref.From)
		if done[i] {
			continue
		}
		done[i] = true
		if err := objstore.Sync(ctx, s.stores[i].Bucket); err != nil {
			return fmt.Errorf("cannot sync %s: %w", s.stores[i].Bucket.Name(), err)
		}
	}
	return nil
}

// writable reports whether every period that the chunks touch has an index that takes them. A chunk whose end is rounded up to
// the first millisecond of a period has no entry in it.
func (s *Store) writable(entries []schema.IndexEntry) error {
	for _, e := range entries {
		last := s.periods.At(e.Ref.Through)
		for i := s.periods.At(e.Ref.From); i <= last; i++ {
			if from, _ := s.periods.Bounds(i); from == e.Ref.Through && e.Ref.From < from {
				continue
			}
			p := &s.periods[i]
			if _, ok := s.indexes[p.Store].(Writer); !ok {
				return fmt.Errorf("writing to store %s, which the schema period from %s names, is %w",
					p.Store, p.From.UTC().Format("2006-01-02"), ErrUnsupported)
			}
		}
	}
	return nil
}
