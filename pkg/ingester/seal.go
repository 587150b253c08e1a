package ingester

import (
	"context"
	"sync"

	"logstore/pkg/chunk"
	"logstore/pkg/sidecar"
)

// sealJob is a block that waits for compression.
type sealJob struct {
	p     *piece
	index int
	raw   chunk.Block
}

// sealQueue passes blocks to the workers. Its length is bounded by what pushes wait for (waitRoom).
type sealQueue struct {
	mu     sync.Mutex
	jobs   []sealJob
	bytes  int
	closed bool
	// work wakes workers, room those who wait for the queue to become shorter.
	work sync.Cond
	room chan struct{}
}

func newSealQueue() *sealQueue {
	q := &sealQueue{room: make(chan struct{})}
	q.work.L = &q.mu
	return q
}

func (q *sealQueue) put(j sealJob) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, j)
	q.bytes += j.raw.Bytes()
	q.work.Signal()
}

// get waits for a job; ok is false once the queue is closed and empty.
func (q *sealQueue) get() (j sealJob, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.jobs) == 0 && !q.closed {
		q.work.Wait()
	}
	if len(q.jobs) == 0 {
		return j, false
	}
	j = q.jobs[0]
	q.jobs[0] = sealJob{}
	q.jobs = q.jobs[1:]
	if len(q.jobs) == 0 {
		q.jobs = nil
	}
	return j, true
}

// done tells that a job of that many bytes is finished.
func (q *sealQueue) done(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= bytes
	close(q.room)
	q.room = make(chan struct{})
}

func (q *sealQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
}

// waitRoom waits until less than limit bytes wait for compression.
func (q *sealQueue) waitRoom(ctx context.Context, limit int) error {
	for {
		q.mu.Lock()
		room := q.room
		full := q.bytes >= limit
		q.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// runSealer compresses blocks until the queue is closed and empty.
func (i *Ingester) runSealer() {
	for {
		j, ok := i.seals.get()
		if !ok {
			return
		}
		bytes := j.raw.Bytes()
		i.seal(j)
		i.seals.done(bytes)
	}
}

func (i *Ingester) seal(j sealJob) {
	sealed, err := chunk.Seal(j.raw, i.cfg.Encoding)
	s := j.p.stream
	var aside sidecar.Block
	if err == nil && i.describesAtOnce(s) {
		aside = i.describe(&j.raw, &sealed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.p.sealing--
	j.p.rawBytes -= j.raw.Bytes()
	if err != nil {
		// The block stays as it is, and storing the chunk tries again.
		i.log.Error("cannot compress a block", "stream", s.labels.String(), "err", err)
	} else {
		j.p.b.Replace(j.index, sealed)
		j.p.setAsideLocked(j.index, aside)
		i.metrics.blockRatio(j.raw.Bytes(), sealed.Bytes())
	}
	i.accountLocked(j.p)
	if j.p.state == pieceClosed && j.p.sealing == 0 {
		i.enqueueLocked(j.p)
	}
}

// cutLocked closes the live block of a piece and has it compressed.
func (i *Ingester) cutLocked(p *piece) {
	if p.b == nil {
		return
	}
	index, raw, ok := p.b.Cut()
	if !ok {
		return
	}
	p.sealing++
	p.rawBytes += raw.Bytes()
	i.seals.put(sealJob{p: p, index: index, raw: raw})
}

// closeLocked lets the open piece of a stream take no more entries.
func (i *Ingester) closeLocked(s *stream, reason flushReason) {
	p := s.open
	if p == nil {
		return
	}
	i.cutLocked(p)
	s.open = nil
	if p.size == 0 {
		i.metrics.chunks.Add(-1)
		return
	}
	s.closed = append(s.closed, p)
	p.state, p.reason = pieceClosed, reason
	i.flushes.outstanding.Add(1)
	i.accountLocked(p)
	if p.sealing == 0 {
		i.enqueueLocked(p)
	}
}

// accountLocked brings the ingester's sums up to date with the piece.
func (i *Ingester) accountLocked(p *piece) {
	memory, head := int64(0), int64(0)
	if !p.unlinked {
		memory = int64(cap(p.small)+cap(p.spilling)) + pieceMemory + fragmentMemory*int64(cap(p.fragments))
		head = int64(len(p.small) + p.rawBytes)
		for k := range p.fragments {
			// The pages that are in memory are shared; each fragment counts for its part.
			if pg := p.fragments[k].page; pg.memory != nil {
				memory += int64(p.fragments[k].hi-p.fragments[k].lo) * int64(len(pg.memory)) / int64(pg.size)
			}
		}
		if p.b != nil {
			memory += int64(p.b.Memory() + p.asideBytes + asideMemory*cap(p.asides))
			head += int64(p.b.HeadSize())
		}
	}
	i.memory.Add(memory - p.memory)
	i.heads.Add(head - p.head)
	p.memory, p.head = memory, head
}

// About what a piece with its stream, a fragment, and a block's description take beside their bytes.
const (
	pieceMemory    = 1000
	fragmentMemory = 40
	asideMemory    = 112
)
