package audit

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/objstore"
	"logstore/pkg/store"
)

// maxPruned bounds the rows of directories that are in memory while the tables' sidecars are pruned, pruneWorkers the removals at a time.
const maxPruned, pruneWorkers = 1 << 20, 8

// ripeTable is a table the packs of which are there for so long that every reader knows them.
type ripeTable struct {
	*pastTable
	// packs are those that stay, named those that its note names.
	packs *oldPacks
	named map[string]bool
}

// prune removes what the packs of tables replace, some of it: their older packs, and the sidecars that lie alone beside those in packs.
// On the way it lists the sidecars that lie alone.
func (s *SidecarBuilder) prune(ctx context.Context, tables []*pastTable, p *sidecarPass) error {
	ripe, err := s.ripe(ctx, tables)
	if err != nil {
		return err
	}
	doomed, all, err := s.alone(ctx, ripe, p)
	if err != nil {
		return err
	}
	if err := s.removeAlone(ctx, doomed); err != nil || !all {
		return err
	}
	for _, t := range ripe {
		if err := s.forgetOld(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// ripe opens the packs of tables, as many as there is memory for. A table whose packs are not all as its note says is looked at again.
func (s *SidecarBuilder) ripe(ctx context.Context, tables []*pastTable) (map[tableDay]*ripeTable, error) {
	out, rows := map[tableDay]*ripeTable{}, 0
	for _, t := range tables {
		if rows > maxPruned {
			break
		}
		named, err := s.noted(ctx, t)
		if err != nil {
			return nil, err
		}
		stay := slices.DeleteFunc(slices.Clone(t.packs), func(o packObject) bool { return !named[o.key] })
		packs, err := openPacks(ctx, s.chunksOf(&t.Table), stay)
		if err != nil {
			return nil, err
		}
		opened := 0
		for _, list := range packs.byTenant {
			for _, o := range list {
				opened++
				rows += o.directory.Len()
			}
		}
		if opened < len(named) {
			if err := s.Bucket.Index[t.Period].Delete(ctx, t.noteKey); err != nil {
				return nil, fmt.Errorf("cannot look at table %s again: %w", t.Name, err)
			}
			continue
		}
		out[tableDay{t.Period, t.Day}] = &ripeTable{pastTable: t, packs: packs, named: named}
	}
	return out, nil
}

// doomed is an object that is to be removed.
type doomed struct {
	bucket objstore.Bucket
	key    string
}

// alone lists the sidecars that lie alone, into the pass as sorted hashes of their chunks' keys, and returns those that the packs of ripe
// tables hold too. all is false if there are more.
func (s *SidecarBuilder) alone(ctx context.Context, ripe map[tableDay]*ripeTable, p *sidecarPass) (out []doomed, all bool, err error) {
	all = true
	for _, b := range s.packBuckets() {
		err := b.List(ctx, store.SidecarPrefix, func(info objstore.ObjectInfo) error {
			ref, ok := store.ParseSidecarKey(info.Key)
			if !ok {
				return nil
			}
			p.there = append(p.there, hashOf("", s.Bucket.nameOf(ref).Key()))
			if t := ripe[s.Bucket.ownTable(ref)]; t != nil && t.packs.bucket == b && t.packs.has(ref) {
				if all = all && len(out) < prunesPerChunk*s.PerPass; all {
					out = append(out, doomed{b, info.Key})
				}
			}
			return nil
		})
		if err != nil {
			return nil, false, fmt.Errorf("cannot list sidecars in %s: %w", b.Name(), err)
		}
	}
	slices.Sort(p.there)
	return out, all, nil
}

// removeAlone removes sidecars that lie alone.
func (s *SidecarBuilder) removeAlone(ctx context.Context, objects []doomed) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pruneWorkers)
	for _, o := range objects {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := o.bucket.Delete(ctx, o.key); err != nil {
				return fmt.Errorf("cannot remove a sidecar that is in a pack: %w", err)
			}
			s.metrics.pruned.Inc()
			return nil
		})
	}
	return g.Wait()
}

// forgetOld removes the packs of a table that its note does not name, and notes that nothing is left to remove.
func (s *SidecarBuilder) forgetOld(ctx context.Context, t *ripeTable) error {
	for _, o := range t.pastTable.packs {
		if t.named[o.key] {
			continue
		}
		if err := t.packs.bucket.Delete(ctx, o.key); err != nil {
			return fmt.Errorf("cannot remove a pack of sidecars: %w", err)
		}
	}
	if err := s.Bucket.Index[t.Period].Put(ctx, t.noteKey, nil); err != nil {
		return fmt.Errorf("cannot note that table %s is pruned: %w", t.Name, err)
	}
	return nil
}
