package ingester

import (
	"sync"

	"logstore/pkg/chunk"
)

// maxLate is how many blocks may wait to be described. Those beyond are left out: the next query that reads them asks again.
const maxLate = 256

// lateBlock is a sealed block that was not described: the piece's builder has it under that number.
type lateBlock struct {
	p     *piece
	index int
}

// lateQueue passes the blocks that queries read to the one goroutine that describes them. Queries do not wait for it: describing takes
// several times as long as reading.
type lateQueue struct {
	mu sync.Mutex
	// asked are the blocks that wait or are being described; order has those that wait, in the order in which they came.
	asked  map[lateBlock]chunk.Block
	order  []lateBlock
	closed bool
	work   sync.Cond
}

func newLateQueue() *lateQueue {
	q := &lateQueue{asked: map[lateBlock]chunk.Block{}}
	q.work.L = &q.mu
	return q
}

// put has a block described, unless that was asked for before or too many wait.
func (q *lateQueue) put(b lateBlock, block chunk.Block) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.asked[b]; known || q.closed || len(q.asked) >= maxLate {
		return
	}
	q.asked[b] = block
	q.order = append(q.order, b)
	q.work.Signal()
}

// get waits for a block; ok is false once the queue is closed. The caller calls done for it.
func (q *lateQueue) get() (b lateBlock, block chunk.Block, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.order) == 0 && !q.closed {
		q.work.Wait()
	}
	if q.closed {
		return b, block, false
	}
	b = q.order[0]
	q.order[0] = lateBlock{}
	if q.order = q.order[1:]; len(q.order) == 0 {
		q.order = nil
	}
	return b, q.asked[b], true
}

func (q *lateQueue) done(b lateBlock) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asked, b)
}

// close drops what waits.
func (q *lateQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
}

// runLate describes blocks until the queue is closed.
func (i *Ingester) runLate() {
	for {
		b, block, ok := i.late.get()
		if !ok {
			return
		}
		i.describeLate(b, &block)
		i.late.done(b)
	}
}

// describeLate describes a block that a query read, as if that had been done when it was sealed.
func (i *Ingester) describeLate(b lateBlock, block *chunk.Block) {
	s := b.p.stream
	s.mu.Lock()
	needed := b.p.lacksAsideLocked(b.index)
	s.mu.Unlock()
	if !needed {
		return
	}
	aside := i.describe(block, block)
	if aside.Entries == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.p.setAsideLocked(b.index, aside)
	i.accountLocked(b.p)
	i.metrics.describedRead.Inc()
}

// lacksAsideLocked reports whether a closed block is still asked for by queries, and not described.
func (p *piece) lacksAsideLocked(index int) bool {
	return !p.unlinked && (index >= len(p.asides) || p.asides[index].Entries == 0)
}
