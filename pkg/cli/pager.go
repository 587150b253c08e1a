package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"logstore/pkg/client"
)

// pager fetches the entries of a log query page by page, in the order of the query's direction.
type pager struct {
	client *client.Client
	// query is the whole query; its Limit is how many entries are wanted, 0: all.
	query client.Range
	// batch is how many entries a page asks for, most how many it may ask for: they shrink to the store's limit.
	batch, most int
	// longest is the longest range that the store takes; 0: it is not known yet, and the whole range is asked for.
	longest time.Duration
	// pages counts answers; stats adds up what they say.
	pages int
	stats *stats
	// progress is told how far in time the pages got, if it is not nil.
	progress func(reached time.Time, entries int)

	entries int
}

// run calls emit for each page.
func (p *pager) run(ctx context.Context, emit func([]client.Entry) error) error {
	windows := []client.Span{{Start: p.query.Start, End: p.query.End}} // the last is the next
	seen := map[entryKey]int{}                                         // what was emitted at the instant where pages meet
	for len(windows) > 0 {
		last := len(windows) - 1
		w := windows[last]
		windows = windows[:last]
		if p.longest > 0 && w.End.Sub(w.Start) > p.longest {
			windows = append(windows, p.split(w)...)
			continue
		}
		ask := p.ask(seen)
		if p.query.Limit > 0 && p.entries >= p.query.Limit {
			return nil
		}
		page, err := p.fetch(ctx, w, ask)
		if retry, err := p.adapt(err, ask); err != nil {
			return err
		} else if retry {
			windows = append(windows, w)
			continue
		}
		fresh := drop(page, seen)
		if p.query.Limit > 0 {
			fresh = fresh[:min(len(fresh), p.query.Limit-p.entries)]
		}
		p.entries += len(fresh)
		if err := emit(fresh); err != nil {
			return err
		}
		if len(page) < ask {
			seen = map[entryKey]int{}
			p.reached(w, nil)
			continue
		}
		rest, err := p.rest(w, page)
		if err != nil {
			return err
		}
		seen = edge(page)
		p.reached(w, page)
		windows = append(windows, rest)
	}
	return nil
}

// ask returns how many entries to ask for: a page, or what is still wanted, and what will come again.
func (p *pager) ask(seen map[entryKey]int) int {
	n := p.batch
	if p.query.Limit > 0 {
		again := 0
		for _, count := range seen {
			again += count
		}
		n = min(n, p.query.Limit-p.entries+again)
	}
	return n
}

func (p *pager) fetch(ctx context.Context, w client.Span, limit int) ([]client.Entry, error) {
	r := p.query
	r.Start, r.End, r.Limit = w.Start, w.End, limit
	result, err := p.client.QueryRange(ctx, r)
	if err != nil {
		return nil, err
	}
	if result.Type != client.Streams {
		return nil, fmt.Errorf("the store answers a log query with a %s", result.Type)
	}
	p.pages++
	p.stats.add(result)
	entries, err := result.Entries()
	p.sort(entries)
	return entries, err
}

func (p *pager) sort(entries []client.Entry) {
	slices.SortStableFunc(entries, func(a, b client.Entry) int {
		if p.query.Direction == client.Forward {
			return cmp.Compare(a.Timestamp, b.Timestamp)
		}
		return cmp.Compare(b.Timestamp, a.Timestamp)
	})
}

// adapt learns a limit of the store from its refusal; retry tells that the same window is asked for again.
func (p *pager) adapt(err error, asked int) (retry bool, _ error) {
	if err == nil {
		return false, nil
	}
	if n, ok := client.EntriesLimit(err); ok && n < asked {
		p.batch, p.most = n, n
		return true, nil
	}
	if d, ok := client.LengthLimit(err); ok && (p.longest == 0 || d < p.longest) {
		p.longest = d
		return true, nil
	}
	return false, err
}

// split cuts a window into pieces that the store takes, the next one last.
func (p *pager) split(w client.Span) []client.Span {
	var out []client.Span
	for at := w.Start; at.Before(w.End); at = at.Add(p.longest) {
		end := at.Add(p.longest)
		if end.After(w.End) {
			end = w.End
		}
		out = append(out, client.Span{Start: at, End: end})
	}
	if p.query.Direction == client.Forward {
		slices.Reverse(out)
	}
	return out
}

// rest returns what is left of a window behind a full page. It begins with the instant at which the page ended, for there may
// be more at that instant.
func (p *pager) rest(w client.Span, page []client.Entry) (client.Span, error) {
	at := page[len(page)-1].Timestamp
	if page[0].Timestamp == at {
		// The same page would come again: only a larger one gets past this instant.
		if len(page) >= p.most {
			return w, fmt.Errorf("%d lines or more have the time %s, and the store answers with no more at once: raise its "+
				"max_entries_limit_per_query, or narrow the query", len(page), time.Unix(0, at).UTC().Format(time.RFC3339Nano))
		}
		p.batch = min(2*len(page), p.most)
	}
	if p.query.Direction == client.Forward {
		return client.Span{Start: time.Unix(0, at), End: w.End}, nil
	}
	return client.Span{Start: w.Start, End: time.Unix(0, at+1)}, nil
}

// maxPage is the largest page that is asked for of a store that names no limit.
const maxPage = 1 << 20

func (p *pager) reached(w client.Span, page []client.Entry) {
	if p.progress == nil {
		return
	}
	at := w.Start
	if p.query.Direction == client.Forward {
		at = w.End
	}
	if len(page) > 0 {
		at = time.Unix(0, page[len(page)-1].Timestamp)
	}
	p.progress(at, p.entries)
}

// edge counts the entries at the instant where a page ends.
func edge(page []client.Entry) map[entryKey]int {
	out := map[entryKey]int{}
	at := page[len(page)-1].Timestamp
	for _, e := range page {
		if e.Timestamp == at {
			out[keyOf(e)]++
		}
	}
	return out
}

// drop leaves out, once for each time that it was seen, what was seen. Equal entries are no mistake: a query can make equal
// lines of different ones.
func drop(page []client.Entry, seen map[entryKey]int) []client.Entry {
	if len(seen) == 0 {
		return page
	}
	left := map[entryKey]int{}
	for k, n := range seen {
		left[k] = n
	}
	out := make([]client.Entry, 0, len(page))
	for _, e := range page {
		if k := keyOf(e); left[k] > 0 {
			left[k]--
			continue
		}
		out = append(out, e)
	}
	return out
}
