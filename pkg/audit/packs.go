package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

const (
	// maxPart bounds the sidecars of a pack; twice as much is in memory while it is written.
	maxPart = 16 << 20
	// packBatch is how many sidecars are fetched before they are put into a pack, packFetches how many at a time.
	packBatch, packFetches = 32, 4
)

// pack writes the packs of a table all of whose chunks were looked at.
func (s *SidecarBuilder) pack(ctx context.Context, t *Table, p *sidecarPass) error {
	if s.Packed == nil {
		return nil
	}
	tenants, err := s.packable(ctx, t)
	if err != nil {
		return err
	}
	for _, tenant := range slices.Sorted(maps.Keys(tenants)) {
		refs := tenants[tenant]
		slices.SortFunc(refs, sidecar.ComparePacked)
		if refs = slices.Compact(refs); len(refs) < store.MinPacked {
			continue
		}
		w := partWriter{s: s, t: t, pack: sidecar.PackWriter{Tenant: tenant}}
		for batch := range slices.Chunk(refs, packBatch) {
			if err := w.add(ctx, batch, p); err != nil {
				return err
			}
		}
		// A table that has hardly any sidecars gets no pack.
		if n := w.pack.Len(); n < store.MinPacked && (w.part == 0 || n == 0) {
			continue
		}
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// packable returns the chunks that are in a table's packs, by tenant.
func (s *SidecarBuilder) packable(ctx context.Context, t *Table) (map[string][]model.ChunkRef, error) {
	tenants := map[string][]model.ChunkRef{}
	for i := range t.Files {
		err := s.Bucket.Scan(ctx, t, &t.Files[i], Visitor{Chunk: func(n Named) error {
			ref := n.ChunkRef
			if ref.From >= 0 && schema.Day(ref.From) == t.Day && s.Bucket.Periods.At(ref.From) == t.Period {
				tenants[ref.Tenant] = append(tenants[ref.Tenant], ref)
			}
			return nil
		}})
		if err != nil {
			return nil, err
		}
	}
	return tenants, nil
}

// partWriter writes the packs of a tenant in a table, one after the other.
type partWriter struct {
	s    *SidecarBuilder
	t    *Table
	pack sidecar.PackWriter
	part int
}

// add appends the sidecars of chunks.
func (w *partWriter) add(ctx context.Context, refs []model.ChunkRef, p *sidecarPass) error {
	objects := make([][]byte, len(refs))
	g, fetching := errgroup.WithContext(ctx)
	g.SetLimit(packFetches)
	for i, ref := range refs {
		name := w.s.Bucket.nameOf(ref)
		there := w.s.there(p, hashOf("", name.Key()))
		g.Go(func() (err error) {
			objects[i], err = w.s.Packed(fetching, name, there)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p.peeks -= len(refs)
	for i, object := range objects {
		if object == nil {
			continue
		}
		if w.pack.Len() > 0 && w.pack.Size()+len(object) > maxPart {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		w.pack.Add(refs[i], object)
	}
	return nil
}

// flush writes the pack and begins another.
func (w *partWriter) flush(ctx context.Context) error {
	data, middle := w.pack.Bytes()
	name := store.PackName{
		Tenant: w.pack.Tenant, Table: w.t.Name, State: stateOf(w.t), Part: w.part,
		First: w.pack.First(), Last: w.pack.Last(), Middle: middle,
	}
	if err := w.s.chunksOf(w.t).Put(ctx, name.Key(), data); err != nil {
		return fmt.Errorf("cannot write a pack of sidecars of table %s: %w", w.t.Name, err)
	}
	w.s.metrics.packs.Inc()
	w.part++
	w.pack = sidecar.PackWriter{Tenant: w.pack.Tenant}
	return nil
}

// chunksOf returns the bucket of the chunks that begin on the day of a table.
func (s *SidecarBuilder) chunksOf(t *Table) objstore.Bucket {
	return s.Bucket.Chunks[s.Bucket.Periods[t.Period].ObjectStore].Bucket
}

// there reports whether a chunk, the hash of whose key is h, has a sidecar as far as the pass knows.
func (s *SidecarBuilder) there(p *sidecarPass, h uint64) bool {
	if _, ok := slices.BinarySearch(p.there, h); ok {
		return true
	}
	_, ok := s.current[h]
	return ok
}

// removePacks removes packs but those of the states that good has.
func (s *SidecarBuilder) removePacks(ctx context.Context, good map[string]bool) error {
	for _, b := range s.packBuckets() {
		var stale []string
		err := b.List(ctx, store.PackPrefix, func(o objstore.ObjectInfo) error {
			if name, ok := store.ParsePackKey(o.Key); !ok || !good[name.State] {
				stale = append(stale, o.Key)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot list packs of sidecars in %s: %w", b.Name(), err)
		}
		for _, key := range stale {
			if err := b.Delete(ctx, key); err != nil {
				return fmt.Errorf("cannot remove a pack of sidecars: %w", err)
			}
		}
	}
	return nil
}

// anyPacks reports whether there are packs.
func (s *SidecarBuilder) anyPacks(ctx context.Context) (bool, error) {
	for _, b := range s.packBuckets() {
		err := b.List(ctx, store.PackPrefix, func(objstore.ObjectInfo) error { return errEnough })
		if err == errEnough { //nolint:errorlint // it is returned as it is
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("cannot list packs of sidecars in %s: %w", b.Name(), err)
		}
	}
	return false, nil
}

// packBuckets are the buckets that may have packs, each once.
func (s *SidecarBuilder) packBuckets() (out []objstore.Bucket) {
	for _, o := range s.Bucket.Chunks {
		if !slices.Contains(out, o.Bucket) {
			out = append(out, o.Bucket)
		}
	}
	return out
}
