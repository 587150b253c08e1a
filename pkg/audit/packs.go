package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

const (
	// maxPart bounds the sidecars of a pack; while it is written, it is in memory twice, and so are a few old ones once.
	maxPart = 16 << 20
	// packBatch is how many sidecars are fetched before they are put into a pack, packFetches how many at a time.
	packBatch, packFetches = 32, 4
)

// pack writes the packs of a table all of whose chunks were looked at, and returns their keys.
func (s *SidecarBuilder) pack(ctx context.Context, t *pastTable, old *oldPacks, p *sidecarPass) (keys []string, err error) {
	if s.Packed == nil {
		return nil, nil
	}
	tenants, err := s.packable(ctx, &t.Table)
	if err != nil {
		return nil, err
	}
	for _, tenant := range slices.Sorted(maps.Keys(tenants)) {
		refs := tenants[tenant]
		slices.SortFunc(refs, sidecar.ComparePacked)
		refs = slices.Compact(refs)
		if len(refs) < store.MinPacked && len(old.byTenant[tenant]) == 0 {
			continue
		}
		w := partWriter{s: s, t: t, old: old, pack: sidecar.PackWriter{Tenant: tenant}}
		for batch := range slices.Chunk(refs, packBatch) {
			if err := w.add(ctx, batch, p); err != nil {
				return nil, err
			}
		}
		if err := w.end(ctx); err != nil {
			return nil, err
		}
		keys = append(keys, w.keys...)
		delete(old.byTenant, tenant)
	}
	return keys, nil
}

// packable returns the chunks that are in a table's packs, by tenant.
func (s *SidecarBuilder) packable(ctx context.Context, t *Table) (map[string][]model.ChunkRef, error) {
	tenants := map[string][]model.ChunkRef{}
	for i := range t.Files {
		err := s.Bucket.Scan(ctx, t, &t.Files[i], Visitor{Chunk: func(n Named) error {
			if ref := n.ChunkRef; ref.From >= 0 && s.Bucket.ownTable(ref) == (tableDay{t.Period, t.Day}) {
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
	t    *pastTable
	old  *oldPacks
	pack sidecar.PackWriter
	keys []string
	// moved is set once a sidecar came from an old pack.
	moved bool
}

// add appends the sidecars of chunks: those in old packs as they are, others as they lie alone.
func (w *partWriter) add(ctx context.Context, refs []model.ChunkRef, p *sidecarPass) error {
	objects := make([][]byte, len(refs))
	g, fetching := errgroup.WithContext(ctx)
	g.SetLimit(packFetches)
	err := w.gather(fetching, g, refs, objects, p)
	if err := errors.Join(g.Wait(), err); err != nil {
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

// gather fills objects, in the group what does not come from an old pack.
func (w *partWriter) gather(ctx context.Context, g *errgroup.Group, refs []model.ChunkRef, objects [][]byte, p *sidecarPass) error {
	for i, ref := range refs {
		listed := w.old.has(ref)
		object, err := w.old.take(ctx, ref)
		if err != nil {
			return err
		}
		if objects[i] = object; object != nil {
			w.moved = true
			continue
		}
		name := w.s.Bucket.nameOf(ref)
		there := w.s.there(p, hashOf("", name.Key()))
		if listed && !there {
			// An old pack's directory promised what is damaged.
			if there, err = w.s.buildOne(ctx, name); err != nil {
				return err
			}
		}
		g.Go(func() (err error) {
			objects[i], err = w.s.Packed(ctx, name, there)
			return err
		})
	}
	return nil
}

// end writes what is left. A table that has hardly any sidecars gets no pack, but for those that do not lie alone.
func (w *partWriter) end(ctx context.Context) error {
	if n := w.pack.Len(); n == 0 || n < store.MinPacked && len(w.keys) == 0 && !w.moved {
		return nil
	}
	return w.flush(ctx)
}

// flush writes the pack and begins another.
func (w *partWriter) flush(ctx context.Context) error {
	data, middle := w.pack.Bytes()
	name := store.PackName{
		Tenant: w.pack.Tenant, Table: w.t.Name, State: w.t.state, Part: len(w.keys),
		First: w.pack.First(), Last: w.pack.Last(), Middle: middle,
	}
	key := name.Key()
	if err := w.s.chunksOf(&w.t.Table).Put(ctx, key, data); err != nil {
		return fmt.Errorf("cannot write a pack of sidecars of table %s: %w", w.t.Name, err)
	}
	w.s.metrics.packs.Inc()
	w.keys = append(w.keys, key)
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
