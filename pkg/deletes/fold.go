package deletes

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"logstore/pkg/objstore"
)

// Fold brings events into the table and marks parts as processed. Only the owner of the compactor may call it. mine is asked
// right before the table is written and returns an error if the caller is the owner no longer.
//
// Events are removed by the Fold after the one that took them up, if the table has them still: had another member that took
// itself for the owner written the table meanwhile, they are taken up again.
func (s *Store) Fold(ctx context.Context, processed []Part, mine func() error) error {
	release, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.refresh(ctx); err != nil {
		return err
	}
	next := s.folded()
	for _, p := range processed {
		known, ok := next.parts[p.Name()]
		if !ok || known.State == Processed {
			continue
		}
		known.State = Processed
		next.parts[p.Name()] = known
		next.touch(p.Tenant, s.now().UnixNano())
		s.metrics.processed.WithLabelValues(p.Tenant).Inc()
	}
	if maps.Equal(next.parts, s.stored.parts) && maps.Equal(next.generations, s.stored.generations) {
		return s.removeEvents(ctx)
	}
	object, err := next.encode(s.cfg.Directory)
	if err != nil {
		return fmt.Errorf("cannot write delete requests: %w", err)
	}
	if err := mine(); err != nil {
		return fmt.Errorf("cannot write delete requests: %w", err)
	}
	if err := s.bucket.Put(ctx, s.tableKey(), object); err != nil {
		return fmt.Errorf("cannot write delete requests: %w", err)
	}
	if err := objstore.Sync(ctx, s.bucket); err != nil {
		return fmt.Errorf("cannot write delete requests: %w", err)
	}
	if err := pointTable.Hit(); err != nil {
		return err
	}
	s.stored, s.object = next, object
	s.show()
	return nil
}

// removeEvents removes the events, all of which the table has. Adds go before cancels: an add without its cancel would come
// to life again.
func (s *Store) removeEvents(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(s.events)) {
		if err := s.bucket.Delete(ctx, key); err != nil {
			return fmt.Errorf("cannot remove a delete request's event: %w", err)
		}
		delete(s.events, key)
		if err := pointFolded.Hit(); err != nil {
			return err
		}
	}
	return nil
}
