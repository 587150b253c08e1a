package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"logstore/pkg/chunk"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// OpenChunk reads a chunk from the bucket without touching the cache: who walks through all chunks would only push out
// what queries want. The errors are those of a piece.
func (s *Store) OpenChunk(ctx context.Context, name schema.ChunkName) (*chunk.Chunk, error) {
	o := s.storeOf(name)
	object, err := o.Bucket.Get(ctx, o.ChunkKey(name))
	if err == nil {
		var c *chunk.Chunk
		if c, err = chunk.OpenRef(object, name.ChunkRef); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("cannot read chunk %s: %w", name.Key(), err)
}

// ChunkSize returns the size of a chunk's object.
func (s *Store) ChunkSize(ctx context.Context, name schema.ChunkName) (int64, error) {
	o := s.storeOf(name)
	info, err := o.Bucket.Stat(ctx, o.ChunkKey(name))
	return info.Size, err
}

// DeleteChunk removes a chunk's object; an absent one is no error. No index may name it any more.
func (s *Store) DeleteChunk(ctx context.Context, name schema.ChunkName) error {
	o := s.storeOf(name)
	if err := o.Bucket.Delete(ctx, o.ChunkKey(name)); err != nil {
		return fmt.Errorf("cannot delete chunk %s: %w", name.Key(), err)
	}
	return nil
}

// SyncObjects makes all chunks durable that PutObject wrote.
func (s *Store) SyncObjects(ctx context.Context) error {
	var errs []error
	done := map[objstore.Bucket]bool{}
	for _, o := range s.stores {
		if !done[o.Bucket] {
			done[o.Bucket] = true
			errs = append(errs, objstore.Sync(ctx, o.Bucket))
		}
	}
	return errors.Join(errs...)
}

// EachChunk calls fn with all chunks in the folders of filesystem stores and the sizes of their objects, whether an index
// names them or not.
func (s *Store) EachChunk(ctx context.Context, fn func(name schema.ChunkName, size int64) error) error {
	done := map[objstore.Bucket]bool{}
	for i, o := range s.stores {
		if done[o.Bucket] || !o.Filesystem {
			continue
		}
		done[o.Bucket] = true
		err := o.Bucket.List(ctx, "", func(info objstore.ObjectInfo) error {
			if strings.HasPrefix(info.Key, s.periods[i].PathPrefix) {
				return nil
			}
			name, err := schema.ParseChunkPath(info.Key)
			if err != nil {
				return nil // It is another object.
			}
			return fn(name, info.Size)
		})
		if err != nil {
			return fmt.Errorf("cannot list chunks in %s: %w", o.Bucket.Name(), err)
		}
	}
	return nil
}
