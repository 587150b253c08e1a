package cli

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/client"
)

// waitingPages is how many pages of a piece may wait for the pieces before it.
const waitingPages = 64

// piece is a part of a query's time range with the pages that were fetched and not written yet.
type piece struct {
	query client.Range
	pages chan []client.Entry
}

// parallel fetches pieces of the time range with several workers and emits their pages in order.
func (q *query) parallel(ctx context.Context, cl *client.Client, r client.Range, all *stats, show *progress, emit func([]client.Entry) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list := pieces(r, time.Duration(q.part))
	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, q.workers)
	var mu sync.Mutex // guards all
	group.Go(func() error {
		for _, part := range list {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			group.Go(func() error {
				defer func() { <-slots }()
				own := &stats{}
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					all.merge(own)
				}()
				return part.fetch(ctx, cl, q.batch, own)
			})
		}
		return nil
	})
	err := write(ctx, list, r.Limit, show, emit)
	done := err == nil && ctx.Err() == nil
	cancel()
	if fetchErr := group.Wait(); fetchErr != nil && !done {
		return fetchErr
	}
	return err
}

// write emits the pages of the pieces in order, until the limit. It ends early when a worker fails.
func write(ctx context.Context, list []piece, limit int, show *progress, emit func([]client.Entry) error) error {
	count := 0
	for _, part := range list {
		for open := true; open; {
			var page []client.Entry
			select {
			case page, open = <-part.pages:
			case <-ctx.Done():
				return ctx.Err()
			}
			if limit > 0 {
				page = page[:min(len(page), limit-count)]
			}
			count += len(page)
			if err := emit(page); err != nil {
				return err
			}
			if limit > 0 && count >= limit {
				return nil
			}
		}
		at := part.query.Start
		if part.query.Direction == client.Forward {
			at = part.query.End
		}
		show.reached(at, count)
	}
	return nil
}

// fetch sends the pages of a piece and closes its channel when all are there.
func (p *piece) fetch(ctx context.Context, cl *client.Client, batch int, all *stats) error {
	pages := &pager{client: cl, query: p.query, batch: batch, most: maxPage, stats: all}
	err := pages.run(ctx, func(page []client.Entry) error {
		select {
		case p.pages <- page:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err == nil {
		close(p.pages)
	}
	return err
}

// pieces cuts a time range at multiples of a duration, in the order of the query's direction.
func pieces(r client.Range, d time.Duration) []piece {
	var out []piece
	for start := r.Start; start.Before(r.End); {
		end := start.Truncate(d).Add(d)
		if end.After(r.End) {
			end = r.End
		}
		part := r
		part.Start, part.End = start, end
		out = append(out, piece{query: part, pages: make(chan []client.Entry, waitingPages)})
		start = end
	}
	if r.Direction != client.Forward {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}
