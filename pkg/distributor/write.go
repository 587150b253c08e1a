package distributor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"logstore/pkg/ring"
	"logstore/pkg/rpc"
	"logstore/pkg/wire"
)

// slowAfter is how much longer than its patience a push may take until the member counts as one that does not answer.
const slowAfter = time.Second

// write is one push on its way to its replicas. One goroutine has it. Its memory serves the next push, unless a member that was given
// up on may still answer this one.
type write struct {
	r       *replicas
	ctx     context.Context
	tenant  string
	streams []wire.Stream
	state   []streamWrite
	// open is the number of streams that wait for copies.
	open int
	// runs is the memory of the streams' runs, nil as long as they were not needed. Messages are copies of them.
	runs *rpc.RunMemory
	// waiting are the batches that were sent and not answered, in the order sent.
	waiting []*batch
	timer   *time.Timer

	refusals []wire.Refusal
	failure  error

	// wake tells that there are results.
	wake    chan struct{}
	mu      sync.Mutex
	results []result

	// These are memory: of the batches of a round, of the streams that one is sent, and of results that were taken.
	round  []*batch
	picked []wire.Stream
	list   []*wire.Stream
	taken  []result
}

// runMemories keeps the memory of runs for the next push.
var runMemories = sync.Pool{New: func() any { return new(rpc.RunMemory) }}

// newWrites returns a pool of writes.
func newWrites() *sync.Pool {
	return &sync.Pool{New: func() any { return &write{wake: make(chan struct{}, 1)} }}
}

// maxPooledStreams bounds the pushes whose memory is kept.
const maxPooledStreams = 1 << 10

func newWrite(ctx context.Context, r *replicas, tenant string, streams []wire.Stream) *write {
	w := r.writes.Get().(*write)
	w.r, w.ctx, w.tenant, w.streams, w.open = r, ctx, tenant, streams, len(streams)
	w.state = slices.Grow(w.state[:0], len(streams))[:len(streams)]
	for i := range w.state {
		w.state[i] = streamWrite{members: w.state[i].members[:0]}
	}
	return w
}

// release ends a write of which nothing is awaited any more.
func (w *write) release() {
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.runs != nil {
		for i := range w.streams {
			w.streams[i].Runs = nil
		}
		w.runs.Forget()
		runMemories.Put(w.runs)
	}
	if len(w.waiting) > 0 || cap(w.state) > maxPooledStreams {
		return
	}
	clear(w.picked[:cap(w.picked)])
	clear(w.list[:cap(w.list)])
	clear(w.round[:cap(w.round)])
	clear(w.taken[:cap(w.taken)])
	clear(w.results[:cap(w.results)])
	pool := w.r.writes
	w.r, w.ctx, w.streams, w.runs, w.refusals, w.failure = nil, nil, nil, nil, nil, nil
	pool.Put(w)
}

// streamWrite is where one stream stands.
type streamWrite struct {
	// members are those that may take it, in order; next is the first that was not asked. At first they are the replica
	// set (found); once that does not do they are all (walked), but for those that do not answer: last.
	members, last []ring.Member
	next          int
	found, walked bool
	// copies were stored. hoped is the number of batches under way that will store it in time, alive of those that were not
	// given up on, under of all.
	copies, hoped, alive, under int
	settled                     bool
}

// batch is what one member was sent.
type batch struct {
	member  *ring.Member
	streams []int
	// hedged tells that another member was sent the same, abandoned that the member was given up on.
	hedged, abandoned bool
	// due is when it is late.
	due time.Time
}

type result struct {
	b   *batch
	err error
}

// more reports whether there is a member that was not asked for a stream.
func (w *write) more(i int) bool {
	s := &w.state[i]
	if !s.found {
		s.found = true
		s.members = w.r.ring.Replicas(s.members, ring.Token(w.tenant, w.streams[i].Hash))
		for k := range s.members {
			if w.standing(&s.members[k]) != rpc.Good {
				s.members = s.members[:0]
				break
			}
		}
	}
	if s.next == len(s.members) && s.walked && s.copies == 0 && s.under == 0 {
		// Nobody else took it: then a try of those who do not answer, as far as is known, is better than none.
		s.members, s.last = append(s.members, s.last...), nil
	}
	if s.next < len(s.members) || s.walked {
		return s.next < len(s.members)
	}
	s.walked = true
	asked := slices.Clone(s.members)
	var slow []ring.Member
	for m := range w.r.ring.Walk(ring.Token(w.tenant, w.streams[i].Hash)) {
		if slices.ContainsFunc(asked, func(a ring.Member) bool { return a.ID == m.ID }) {
			continue
		}
		switch w.standing(&m) {
		case rpc.Good:
			s.members = append(s.members, m)
		case rpc.Slow:
			slow = append(slow, m)
		default:
			s.last = append(s.last, m)
		}
	}
	s.members = append(s.members, slow...)
	return w.more(i)
}

func (w *write) standing(m *ring.Member) rpc.Standing {
	if m.Self {
		return rpc.Good
	}
	return w.r.peers.Standing(m.Addr)
}

// advance sends every stream to as many members as it lacks copies, and settles those that have all they can get.
func (w *write) advance() {
	for {
		batches := w.round[:0]
		for i := range w.state {
			s := &w.state[i]
			for !s.settled && s.copies+s.hoped < w.r.factor && w.more(i) {
				m := &s.members[s.next]
				s.next++
				s.hoped++
				s.alive++
				s.under++
				batches = addTo(batches, m, i)
			}
			w.settle(i)
		}
		w.round = batches
		if len(batches) == 0 {
			return
		}
		var own *batch
		for _, b := range batches {
			if b.member.Self {
				own = b
				continue
			}
			if w.runs == nil {
				// Encoded once, for the own member as well.
				w.runs = runMemories.Get().(*rpc.RunMemory)
				w.runs.EncodeRuns(w.streams)
			}
			w.send(b)
		}
		if own == nil {
			return
		}
		// The own member is written to by this goroutine, while the others are under way.
		w.finished(result{own, w.r.local.Push(w.ctx, w.tenant, w.pick(own))})
	}
}

// addTo adds a stream to the batch of a member. There are few members.
func addTo(batches []*batch, m *ring.Member, stream int) []*batch {
	for _, b := range batches {
		if b.member.ID == m.ID {
			b.streams = append(b.streams, stream)
			return batches
		}
	}
	return append(batches, &batch{member: m, streams: append(make([]int, 0, 4), stream)})
}

// settle ends the wait for a stream that has its copies, or that cannot get more.
func (w *write) settle(i int) {
	s := &w.state[i]
	switch {
	case s.settled:
		return
	case s.copies >= w.r.factor:
	case s.alive > 0 || w.more(i):
		return
	case s.copies == 0 && s.under > 0:
		return
	}
	s.settled = true
	w.open--
}

// pick returns the streams of a batch, until the next is picked.
func (w *write) pick(b *batch) []wire.Stream {
	if len(b.streams) == len(w.streams) {
		return w.streams
	}
	w.picked = w.picked[:0]
	for _, i := range b.streams {
		w.picked = append(w.picked, w.streams[i])
	}
	return w.picked
}

// send writes a batch to another member. The message is made before it returns: the streams belong to the caller of Push,
// which does not wait for members that are too slow.
func (w *write) send(b *batch) {
	w.list = w.list[:0]
	for _, i := range b.streams {
		w.list = append(w.list, &w.streams[i])
	}
	message := rpc.EncodePush(w.list)
	b.due = time.Now().Add(w.r.peers.Patience(b.member.Addr, len(message)))
	w.waiting = append(w.waiting, b)
	w.r.peers.Send(w.ctx, b.member.Addr, w.tenant, message, w.r.timeout, func(err error) {
		w.mu.Lock()
		w.results = append(w.results, result{b, err})
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	})
}

// wait waits for something to happen to a batch, and takes note of it.
func (w *write) wait() error {
	var due <-chan time.Time
	if first := w.firstDue(); first != nil {
		if pause := time.Until(first.due); w.timer == nil {
			w.timer = time.NewTimer(pause)
		} else {
			w.timer.Reset(pause)
		}
		due = w.timer.C
	}
	select {
	case <-w.wake:
		w.mu.Lock()
		w.taken, w.results = w.results, w.taken[:0]
		w.mu.Unlock()
		for _, res := range w.taken {
			w.waiting = slices.DeleteFunc(w.waiting, func(b *batch) bool { return b == res.b })
			w.finished(res)
		}
	case now := <-due:
		for _, b := range w.waiting {
			if !b.abandoned && !b.due.After(now) {
				w.r.peers.Late(b.member.Addr)
				w.late(b, now)
			}
		}
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	return nil
}

// firstDue returns the batch that is late first, nil if none will be.
func (w *write) firstDue() *batch {
	var first *batch
	for _, b := range w.waiting {
		if !b.abandoned && (first == nil || b.due.Before(first.due)) {
			first = b
		}
	}
	return first
}

// late is called when a batch takes longer than it should. At first its streams are sent to the next members as well; a member
// that has not answered at the second time is given up on.
func (w *write) late(b *batch, now time.Time) {
	if !b.hedged {
		b.hedged = true
		w.r.metrics.hedged.Inc()
		for _, i := range b.streams {
			w.state[i].hoped--
		}
		b.due = now.Add(slowAfter)
		return
	}
	b.abandoned = true
	w.failure = fmt.Errorf("%w: member %s does not answer", wire.ErrUnavailable, b.member.ID)
	for _, i := range b.streams {
		w.state[i].alive--
	}
}

// finished takes note of what a member said.
func (w *write) finished(res result) {
	b := res.b
	var refused *wire.RefusedError
	stored := res.err == nil || errors.As(res.err, &refused)
	w.r.metrics.append(b.member.ID, stored)
	if !stored {
		w.failure = res.err
		w.r.log.Debug("a replica did not take a push; the next member is asked", "member", b.member.ID, "err", res.err)
	}
	for _, i := range b.streams {
		s := &w.state[i]
		s.under--
		if !b.abandoned {
			s.alive--
		}
		if !b.hedged {
			s.hoped--
		}
		if stored {
			s.copies++
		}
	}
	if refused != nil {
		for k := range refused.Refusals {
			w.refuse(b, refused.Refusals[k])
		}
	}
}

// refuse adds what a replica refused. What several refuse is told once: the most of it.
func (w *write) refuse(b *batch, r wire.Refusal) {
	if r.Stream < 0 || r.Stream >= len(b.streams) {
		return
	}
	r.Stream = b.streams[r.Stream]
	r.Labels = w.streams[r.Stream].Text
	for k := range w.refusals {
		if old := &w.refusals[k]; old.Stream == r.Stream && old.Kind == r.Kind {
			if r.Entries > old.Entries {
				*old = r
			}
			return
		}
	}
	w.refusals = append(w.refusals, r)
}
