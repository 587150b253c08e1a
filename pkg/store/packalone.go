package store

import (
	"context"

	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

// packedAlone returns the sidecar of a chunk from a pack, nil if none has it, whatever else is wanted of the pack.
func (s *Store) packedAlone(ctx context.Context, name schema.ChunkName, want sidecar.Parts) (*sidecar.Object, error) {
	// Packs that are known not to have it are not read.
	if ok, err := s.inPack(ctx, name.ChunkRef, func(part *packPart) (*sidecar.Pack, bool) {
		d := s.sidecars.packs.directory(part.key)
		return d, d == nil
	}); !ok {
		return nil, err
	}
	alone := &siblings{store: s, pieces: [][]piece{{{store: s, name: name}}}}
	return s.packedWithSiblings(ctx, name, want, alone)
}

// packed reports whether a pack has the sidecar of a chunk. One that cannot be read has none.
func (s *Store) packed(ctx context.Context, ref model.ChunkRef) bool {
	if !s.settledDay(ref) {
		return false
	}
	bucket := s.tableOf(ref).bucket
	ok, err := s.inPack(ctx, ref, func(part *packPart) (*sidecar.Pack, bool) {
		if d := s.sidecars.packs.directory(part.key); d != nil {
			return d, false
		}
		opened, _ := s.openPack(ctx, bucket, part)
		return opened.directory, false
	})
	return ok && err == nil
}

// inPack reports whether a pack has the sidecar of a chunk, as far as directories say, which open returns, or else nil and what holds
// without one.
func (s *Store) inPack(ctx context.Context, ref model.ChunkRef, open func(part *packPart) (d *sidecar.Pack, otherwise bool)) (bool, error) {
	t := s.tableOf(ref)
	parts, err := s.partsOf(ctx, t.packOwner, t.table)
	if err != nil {
		return false, err
	}
	for _, part := range parts {
		if part.damaged.Load() || ref.From < part.First || ref.From > part.Last {
			continue
		}
		d, ok := open(part)
		if d != nil {
			_, ok = d.Find(ref)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}
