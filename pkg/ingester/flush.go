package ingester

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/failpoint"
	"logstore/pkg/schema"
	"logstore/pkg/wal"
)

// Where a crash hurts most on the way of a chunk into the bucket.
var (
	pointSealed  = failpoint.New("ingester/sealed", "a chunk is closed and encoded, nothing of it is in the bucket")
	pointStored  = failpoint.New("ingester/stored", "a chunk's object is in the bucket, its index rows are not written")
	pointIndexed = failpoint.New("ingester/indexed", "a chunk's index rows are on the disk, the log does not know that it is flushed")
	pointMarked  = failpoint.New("ingester/marked", "the log knows that a chunk is flushed, its lines are still in memory")
)

// flushReason says why a chunk was closed, in the words of Loki's metrics.
type flushReason string

const (
	reasonFull   flushReason = "full"
	reasonIdle   flushReason = "idle"
	reasonAge    flushReason = "max_age"
	reasonSynced flushReason = "synced"
	reasonForced flushReason = "forced"
	reasonMemory flushReason = "memory"
	reasonWAL    flushReason = "wal"
)

// rowsBatch is how many chunks get their index rows in one call at most.
const rowsBatch = 1024

// rowsPause is how long the first chunk of a batch of rows waits for others.
const rowsPause = 20 * time.Millisecond

// flushQueue holds the closed pieces that wait for a flusher, and those that wait for their next attempt.
type flushQueue struct {
	// outstanding counts pieces that are closed and not indexed.
	outstanding atomic.Int64

	mu      sync.Mutex
	ready   []*piece
	waiting map[*piece]struct{}
	closed  bool
	work    sync.Cond
	// changed is closed and made anew when a piece is indexed.
	changed chan struct{}
}

func newFlushQueue() *flushQueue {
	q := &flushQueue{waiting: map[*piece]struct{}{}, changed: make(chan struct{})}
	q.work.L = &q.mu
	return q
}

func (q *flushQueue) put(p *piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready = append(q.ready, p)
	q.work.Signal()
}

func (q *flushQueue) get() (*piece, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.closed {
		q.work.Wait()
	}
	if q.closed {
		return nil, false
	}
	p := q.ready[0]
	q.ready[0] = nil
	if q.ready = q.ready[1:]; len(q.ready) == 0 {
		q.ready = nil
	}
	return p, true
}

func (q *flushQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
}

// later lets a piece wait until its time has come.
func (q *flushQueue) later(p *piece, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.retryAt = at
	q.waiting[p] = struct{}{}
}

// due moves the pieces whose time has come to the ready ones.
func (q *flushQueue) due(now time.Time, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p := range q.waiting {
		if all || !p.retryAt.After(now) {
			delete(q.waiting, p)
			q.ready = append(q.ready, p)
			q.work.Signal()
		}
	}
}

func (q *flushQueue) finished(n int) {
	q.outstanding.Add(-int64(n))
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
}

// enqueueLocked hands a piece without blocks in compression to the flushers.
func (i *Ingester) enqueueLocked(p *piece) {
	p.state = pieceQueued
	if i.waitsForFirst(p) {
		i.flushes.later(p, time.Now().Add(secondPause))
		return
	}
	i.flushes.put(p)
}

// Flush closes all chunks and returns; they are stored behind its back. Chunks whose storing failed are tried again now.
func (i *Ingester) Flush() {
	for k := range shardCount {
		i.streams.each(k, func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			i.closeLocked(s, reasonForced)
		})
	}
	i.flushes.due(time.Time{}, true)
}

// FlushWait closes all chunks and waits until every closed chunk is stored and indexed.
func (i *Ingester) FlushWait(ctx context.Context) error {
	i.Flush()
	for {
		i.flushes.mu.Lock()
		changed := i.flushes.changed
		i.flushes.mu.Unlock()
		if i.flushes.outstanding.Load() == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (i *Ingester) runFlusher(ctx context.Context) {
	for {
		p, ok := i.flushes.get()
		if !ok {
			return
		}
		if !p.stored {
			if err := i.storeObject(ctx, p); err != nil {
				i.retry(ctx, p, "cannot store a chunk", err)
				continue
			}
			p.stored = true
		}
		select {
		case i.rows <- p:
		case <-ctx.Done():
			return
		}
	}
}

// objects is memory of chunk objects that were stored.
var objects = sync.Pool{New: func() any { return new([]byte) }}

// storeObject writes the piece as a chunk object.
func (i *Ingester) storeObject(ctx context.Context, p *piece) error {
	s := p.stream
	c, err := i.assemble(p)
	if isDamage(err) && p.attempts+1 >= damagedAttempts {
		if err = i.dropDamaged(p); err == nil {
			c, err = i.assemble(p)
		}
	}
	if err != nil {
		return err
	}
	if p.empty = len(c.Blocks) == 0; p.empty {
		return nil // all of it was damaged
	}
	buffer := objects.Get().(*[]byte)
	c.Fingerprint = schema.Fingerprint(s.labels)
	data, ref, err := chunk.Marshal(c.Chunk, chunk.Options{Encoding: i.cfg.Encoding, Version4: i.metadataAt(p.first), BlockSize: i.cfg.BlockSize, Buffer: *buffer})
	if err != nil {
		return err
	}
	s.mu.Lock()
	p.ref, p.key = ref, schema.ContentKey(ref)
	s.mu.Unlock()
	if err := pointSealed.Hit(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, i.cfg.FlushTimeout)
	defer cancel()
	begin := time.Now()
	written, err := i.store.PutObject(ctx, ref, data)
	if err != nil {
		return err
	}
	if err := pointStored.Hit(); err != nil {
		return err
	}
	i.metrics.stored(c.Chunk, len(data), time.Since(begin))
	i.storeSidecar(ctx, p, ref, data, written)
	// After an error the memory is not used again, for whoever sends it may not have stopped.
	*buffer = data
	objects.Put(buffer)
	return nil
}

// retry plans the next attempt: twice the pause of the last, within bounds, less up to half of it.
func (i *Ingester) retry(ctx context.Context, p *piece, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	p.attempts++
	i.metrics.flushFailures.Inc()
	pause := i.cfg.MaxBackoff
	if p.attempts <= 30 {
		pause = min(pause, i.cfg.MinBackoff<<(p.attempts-1))
	}
	pause -= time.Duration(rand.Int64N(int64(pause)/2 + 1))
	i.log.Warn(what, "stream", p.stream.labels.String(), "tenant", p.stream.tenant.name, "attempt", p.attempts, "next", pause, "err", err)
	i.flushes.later(p, time.Now().Add(pause))
}

// runRetries puts pieces back whose pause is over.
func (i *Ingester) runRetries(ctx context.Context) {
	ticker := time.NewTicker(min(i.cfg.MinBackoff/4+1, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			i.flushes.due(time.Now(), false)
		case <-ctx.Done():
			return
		}
	}
}

// runIndexer writes the index rows of stored chunks, many at a time.
func (i *Ingester) runIndexer(ctx context.Context) {
	var batch []*piece
	for {
		batch = batch[:0]
		select {
		case p := <-i.rows:
			batch = append(batch, p)
		case <-ctx.Done():
			return
		}
		batch = i.collect(ctx, batch)
		entries := make([]schema.IndexEntry, 0, len(batch))
		for _, p := range batch {
			if !p.empty {
				entries = append(entries, schema.IndexEntry{Ref: p.ref, Labels: p.stream.labels})
			}
		}
		attempt, cancel := context.WithTimeout(ctx, i.cfg.FlushTimeout)
		err := i.store.PutIndex(attempt, entries)
		cancel()
		if err == nil {
			err = pointIndexed.Hit()
		}
		if err != nil {
			for _, p := range batch {
				i.retry(ctx, p, "cannot index a chunk", err)
			}
			continue
		}
		i.indexed(batch)
	}
}

// collect waits a moment for more pieces.
func (i *Ingester) collect(ctx context.Context, batch []*piece) []*piece {
	pause := time.NewTimer(rowsPause)
	defer pause.Stop()
	for len(batch) < rowsBatch {
		select {
		case p := <-i.rows:
			batch = append(batch, p)
		case <-pause.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// indexed marks pieces as flushed, in the log first, and lets their streams drop them.
func (i *Ingester) indexed(batch []*piece) {
	i.mark(batch)
	_ = pointMarked.Hit() // there is no way back from here
	now := time.Now().UnixNano()
	for _, p := range batch {
		s := p.stream
		s.mu.Lock()
		p.state, p.indexed = pieceIndexed, now
		// Its entries are in the bucket: it holds no segment of the logs any more.
		p.segment, p.stuck, p.parts, p.fresh = 0, 0, 0, seqSet{}
		if i.cfg.ChunkRetain == 0 || i.State() == Starting { // a replay waits for the memory, and nobody asks for it yet
			i.unlinkLocked(s, p)
		}
		s.mu.Unlock()
		i.metrics.flushed(p.reason)
	}
	i.metrics.chunks.Add(-int64(len(batch)))
	i.flushes.finished(len(batch))
	if i.flushes.outstanding.Load() == 0 {
		kick(i.kickLog)
	}
}

// unlinkLocked takes an indexed piece out of its stream. Queries that found it before keep it.
func (i *Ingester) unlinkLocked(s *stream, p *piece) {
	for k, q := range s.closed {
		if q == p {
			copy(s.closed[k:], s.closed[k+1:])
			s.closed[len(s.closed)-1] = nil
			s.closed = s.closed[:len(s.closed)-1]
			break
		}
	}
	if len(s.closed) == 0 {
		s.closed = nil
	}
	p.unlinked = true
	i.accountLocked(p)
}

// mark writes down which order numbers were flushed. If that fails a crash may store these entries once more, which queries
// do not show.
func (i *Ingester) mark(batch []*piece) {
	if i.marks == nil {
		return
	}
	record := make([]byte, wal.HeaderSize, wal.HeaderSize+32*len(batch)+1)
	record = append(record, recordMark)
	for _, p := range batch {
		p.stream.mu.Lock()
		record = binary.AppendUvarint(record, p.id)
		record = p.seqs.appendTo(record)
		p.stream.mu.Unlock()
	}
	at, err := i.marks.Append(record, wal.AnySegment)
	if err != nil {
		i.logFailed(err)
		i.log.Warn("cannot log which chunks were flushed", "chunks", len(batch), "err", err)
		return
	}
	i.noteMarks(at.Segment)
}
