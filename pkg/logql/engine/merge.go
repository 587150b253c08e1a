package engine

import (
	"math"

	"logstore/pkg/chunk"
)

// cursor reads one block of a merge.
type cursor struct {
	batch *chunk.Batch
	// sel are the entries that passed the line filters; at is the next of them.
	sel []int32
	at  int
}

// next is the time of the cursor's next entry.
func (c *cursor) next() int64 { return c.batch.Ts[c.sel[c.at]] }

// merge reads blocks that overlap in time side by side and adds each entry once. Blocks are loaded when their time comes
// and let go at their end.
func (w *worker) merge(b *binding, t task) error {
	var open []*cursor
	defer func() {
		for _, c := range open {
			chunk.PutBatch(c.batch)
		}
	}()
	w.dupes.reset()
	blocks := t.blocks
	var group []entryRef
	for len(open) > 0 || len(blocks) > 0 {
		for len(blocks) > 0 && (len(open) == 0 || blocks[0].first <= earliestOf(open)) {
			c, err := w.openCursor(blocks[0].block, t)
			if err != nil {
				return err
			}
			blocks = blocks[1:]
			if c != nil {
				open = append(open, c)
			}
		}
		if len(open) == 0 {
			continue
		}
		// All entries of the next instant, and if one cursor is alone, all of its entries before the others' next.
		until := int64(math.MaxInt64)
		if len(blocks) > 0 {
			until = blocks[0].first
		}
		var err error
		if group, err = w.step(b, open, until, group[:0]); err != nil {
			return err
		}
		open = closeEnded(open)
	}
	return nil
}

// earliestOf returns the time of the next entry of all cursors.
func earliestOf(open []*cursor) int64 {
	ts := int64(math.MaxInt64)
	for _, c := range open {
		ts = min(ts, c.next())
	}
	return ts
}

// openCursor loads a block; it returns nil if nothing of it is wanted.
func (w *worker) openCursor(blk *chunk.Block, t task) (*cursor, error) {
	batch := chunk.GetBatch()
	ok, err := w.load(batch, blk)
	if !ok || err != nil {
		chunk.PutBatch(batch)
		return nil, err
	}
	from, to := clip(batch.Ts, t.low, t.high)
	w.q.acct.lines.Add(int64(to - from))
	c := &cursor{batch: batch, sel: w.plan.pipe.Select(batch, from, to, nil)}
	if len(c.sel) == 0 {
		chunk.PutBatch(batch)
		return nil, nil
	}
	return c, nil
}

// step adds the entries of the next instant. If only one cursor has entries there, it goes on to the next instant of
// another one, or to until.
func (w *worker) step(b *binding, open []*cursor, until int64, group []entryRef) ([]entryRef, error) {
	first, second := open[0], int64(math.MaxInt64)
	for _, c := range open[1:] {
		switch ts := c.next(); {
		case ts < first.next():
			second = first.next()
			first = c
		case ts < second:
			second = ts
		}
	}
	until = min(until, second)
	if first.next() < until {
		return group, w.addAlone(b, first, until)
	}
	now := first.next()
	for _, c := range open {
		for ; c.at < len(c.sel) && c.next() == now; c.at++ {
			group = append(group, entryRef{c.batch, int(c.sel[c.at])})
		}
	}
	j := w.buckets.index(now)
	if !w.buckets.wanted(j) {
		return group, nil
	}
	for _, e := range group {
		if w.dupes.repeated(e.batch, e.i) {
			continue
		}
		if err := w.addEntry(b, e.batch, e.i, j); err != nil {
			return group, err
		}
	}
	// The batches may be given back before the next instant.
	w.dupes.reset()
	return group, nil
}

// addAlone adds the cursor's entries before until.
func (w *worker) addAlone(b *binding, c *cursor, until int64) error {
	j, high := -1, int64(math.MinInt64)
	wanted := false
	for ; c.at < len(c.sel); c.at++ {
		ts := c.next()
		if ts >= until {
			break
		}
		if ts > high {
			j, high = w.bucketAt(ts)
			wanted = w.buckets.wanted(j)
		}
		i := int(c.sel[c.at])
		if !wanted || w.dupes.repeated(c.batch, i) {
			continue
		}
		if err := w.addEntry(b, c.batch, i, j); err != nil {
			return err
		}
	}
	w.dupes.reset()
	return nil
}

// closeEnded drops the cursors that have no more entries.
func closeEnded(open []*cursor) []*cursor {
	rest := open[:0]
	for _, c := range open {
		if c.at < len(c.sel) {
			rest = append(rest, c)
			continue
		}
		chunk.PutBatch(c.batch)
	}
	return rest
}
