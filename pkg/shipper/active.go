package shipper

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// fileSpan is how long a file takes rows.
const fileSpan = 15 * time.Minute

// commitEntries bounds the chunks whose rows are made and written at once: a chunk of ten labels has some two kilobytes of rows.
const commitEntries = 16 << 10

// activeTable takes the rows of one day. Writers that come while a transaction runs are committed together by the next one.
type activeTable struct {
	s      *Shipper
	period int
	day    int64
	name   string

	mu sync.Mutex
	// pending are the entries of the next transaction, and waiting what its writers wait for.
	pending []entry
	waiting *commit
	// busy is closed when it is nobody's turn any more; nil if it is nobody's. Only who has the turn touches what is below.
	busy chan struct{}

	// file takes the rows; nil until the first write and after it was sealed.
	file *localFile
	// last is the slot of the newest file, and lastNano the newest nanosecond that is a name.
	last, lastNano int64
}

// entry is one chunk's part in a table.
type entry struct {
	series schema.Series
	chunk  schema.ChunkName
	span   schema.Span
}

// commit is a transaction that writers wait for.
type commit struct {
	done chan struct{}
	err  error
}

// put writes entries and returns when they are on disk and can be looked up. If the context ends before, they may be
// written all the same.
func (t *activeTable) put(ctx context.Context, entries []entry) error {
	t.mu.Lock()
	t.pending = append(t.pending, entries...)
	if t.waiting == nil {
		t.waiting = &commit{done: make(chan struct{})}
	}
	c := t.waiting
	if t.busy == nil {
		t.busy = make(chan struct{})
		t.s.work.Go(t.commitPending)
	}
	t.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitPending has the turn and commits until nothing is pending.
func (t *activeTable) commitPending() {
	for {
		t.mu.Lock()
		entries, c := t.pending, t.waiting
		t.pending, t.waiting = nil, nil
		if len(entries) == 0 {
			close(t.busy)
			t.busy = nil
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		c.err = t.fileFor(t.s.now()).write(entries)
		close(c.done)
	}
}

// fileFor returns the file for rows that are written now. The caller has the turn.
func (t *activeTable) fileFor(now time.Time) *localFile {
	slot := now.Truncate(fileSpan).Unix()
	if t.file != nil && t.file.slot == slot {
		return t.file
	}
	if t.file != nil {
		t.file.seal()
		t.file = nil
	}
	// A file of an earlier run or one that was flushed is never reopened, nor is its name used again: readers fetch a name
	// once. The slot is a name for the first file that is begun in it by a process that was there before it; any other one
	// is named by the nanosecond.
	number := slot
	if slot <= max(t.last, t.s.started.Unix()) {
		t.lastNano = max(t.lastNano+1, now.UnixNano())
		number = t.lastNano
	}
	t.last = slot
	t.file = newLocalFile(t.s, t.period, t.day, t.name, strconv.FormatInt(number, 10))
	t.file.slot = slot
	t.s.local.add(t.file)
	return t.file
}

// seal ends the file that takes rows, if it was begun before a slot. It waits for its turn.
func (t *activeTable) seal(ctx context.Context, before int64) error {
	for {
		t.mu.Lock()
		busy := t.busy
		if busy == nil {
			t.busy = make(chan struct{})
			t.mu.Unlock()
			if t.file != nil && t.file.slot < before {
				t.file.seal()
				t.file = nil
			}
			t.commitPending() // It passes the turn on.
			return nil
		}
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write commits entries to the file, at most commitEntries at a time.
func (f *localFile) write(entries []entry) error {
	for len(entries) > 0 {
		n := min(len(entries), commitEntries)
		if err := f.commit(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// commit writes the rows of entries in one transaction and makes their streams visible.
func (f *localFile) commit(entries []entry) error {
	start := time.Now()
	batch := f.newBatch(entries)
	err := f.putRows(batch.rows(), batch.count())
	if err == nil {
		err = pointWritten.Hit()
	}
	f.s.metrics.commits.WithLabelValues(status(err)).Inc()
	f.s.metrics.commitDuration.Observe(time.Since(start).Seconds())
	if err != nil {
		return fmt.Errorf("cannot write table %s: %w", f.table, err)
	}
	f.s.metrics.writtenRows.Add(float64(batch.count()))
	f.publish(batch)
	return nil
}

// batch is what one transaction writes.
type batch struct {
	// buffers holds rows by bucket.
	buffers map[string]*schema.RowBuffer
	// fresh holds, by tenant, the streams that the file did not have.
	fresh map[string]map[schema.SeriesID]schema.Series
}

// newBatch makes the rows. Those of a stream are written once per file: they are the same for each chunk.
func (f *localFile) newBatch(entries []entry) *batch {
	b := &batch{buffers: make(map[string]*schema.RowBuffer), fresh: make(map[string]map[schema.SeriesID]schema.Series)}
	p := &f.s.periods[f.period]
	sets := f.sets.Load()
	for i := range entries {
		e := &entries[i]
		tenant, bucket := e.chunk.Tenant, index.SharedBucket
		if f.s.cfg.BuildPerTenantIndex {
			bucket = tenant
		}
		rows := b.buffers[bucket]
		if rows == nil {
			rows = &schema.RowBuffer{}
			b.buffers[bucket] = rows
		}
		fresh := b.fresh[tenant]
		if fresh == nil {
			fresh = make(map[schema.SeriesID]schema.Series)
			b.fresh[tenant] = fresh
		}
		if _, ok := fresh[e.series.ID]; !ok && !sets.has(tenant, &e.series.ID) {
			fresh[e.series.ID] = e.series
			p.AppendSeries(rows, tenant, f.day, e.series.ID, e.series.Labels)
		}
		p.AppendChunk(rows, e.span, e.series.ID, e.chunk)
	}
	return b
}

func (b *batch) rows() map[string][]schema.Row {
	out := make(map[string][]schema.Row, len(b.buffers))
	for bucket, rows := range b.buffers {
		out[bucket] = rows.Rows
	}
	return out
}

func (b *batch) count() int {
	n := 0
	for _, rows := range b.buffers {
		n += len(rows.Rows)
	}
	return n
}
