package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"logstore/pkg/decbuf"
	"logstore/pkg/trace"
)

// line carries the pushes to one member over one stream that stays open. A push to a member that has nothing to do is sent at once,
// with those that were about to come as well; those that come while a batch is unanswered wait, and go in one batch together, or as
// soon as they are many bytes. So the busier the members are, the less a push costs. No push waits for another one's sending, which
// may block: it is done by a goroutine of the line.
type line struct {
	pool *Pool
	peer *peer

	mu sync.Mutex
	// queue are pushes that were not sent, in order; queued is their size.
	queue  []*outgoing
	queued int
	// conn is the stream that is open; nil if none is.
	conn *lineConn
	// sending tells that a goroutine opens a stream or sends on it.
	sending bool
	// timer ends the pushes that take too long. It is one for all, lest each push make and stop its own; it rings at wakes, zero if
	// it does not.
	timer *time.Timer
	wakes time.Time
}

// lineConn is a stream and what is under way on it. The line's lock guards batches and bytes.
type lineConn struct {
	stream grpc.ClientStream
	cancel context.CancelCauseFunc
	ctx    context.Context

	batches map[uint64][]*outgoing
	last    uint64
	// bytes is the size of what was sent and not answered.
	bytes int
}

// outgoing is a push on its way.
type outgoing struct {
	line    *line
	tenant  string
	message []byte
	begin   time.Time
	timeout time.Duration
	done    func(error)
	ended   atomic.Bool
	// outcome is what the member answered.
	outcome error
}

func (o *outgoing) due() time.Time { return o.begin.Add(o.timeout) }

const (
	// linesName is the call whose stream is a line.
	linesName = "pushes"
	// maxBatch bounds the bytes of a batch of several pushes, and the batches that are unanswered: beyond it no second one is sent.
	maxBatch = 512 << 10
	// minSecond is how many bytes must wait to be sent while a batch is unanswered, so that they travel while that one is stored.
	minSecond = 128 << 10
	// batchHead bounds what stands before the pushes of a batch, pushHead what stands before each, but for the tenant.
	batchHead = 1 + 2*binary.MaxVarintLen64
	pushHead  = 3 * binary.MaxVarintLen64
)

// Send stores the streams of a message of EncodePush on a member, for a tenant, as Push does. It does not wait: done is called with the
// outcome, once, after the time-out at the latest, and must not block. The message is the pool's from now on.
func (p *Pool) Send(ctx context.Context, member, id string, message []byte, timeout time.Duration, done func(error)) {
	if member == p.self {
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
			defer cancel()
			done(p.Push(ctx, member, id, message))
		}()
		return
	}
	m, err := p.peer(member)
	if err != nil {
		done(err)
		return
	}
	if _, span := trace.StartCall(ctx, "call "+pushName); span != nil {
		span.Text("server.address", member)
		id, done = traced(id, span, done)
	}
	m.line.send(&outgoing{line: &m.line, tenant: id, message: message, begin: time.Now(), timeout: timeout, done: done})
}

// traceSeparator stands in a batch between a tenant and the span of its push: no tenant has it.
const traceSeparator = "\x00"

// traced has a push carry its span, which ends with it.
func traced(id string, span *trace.Span, done func(error)) (string, func(error)) {
	return id + traceSeparator + span.Parent(), func(err error) {
		span.End(err)
		done(err)
	}
}

func (l *line) send(o *outgoing) {
	size := int64(len(o.message))
	if n := l.peer.inflight.Add(size); n > maxInflight && n > size {
		o.finish(fmt.Errorf("push to %s: %w", l.peer.addr, ErrBusy))
		return
	}
	l.mu.Lock()
	l.queue = append(l.queue, o)
	l.queued += len(o.message)
	l.wakeLocked(o.due())
	l.flushLocked()
	l.mu.Unlock()
}

// wakeLocked has the timer ring at that time, if it does not ring before.
func (l *line) wakeLocked(at time.Time) {
	if !l.wakes.IsZero() && !at.Before(l.wakes) {
		return
	}
	l.wakes = at
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(at), l.expire)
		return
	}
	l.timer.Reset(time.Until(at))
}

// expire ends the pushes that have taken too long, and has the timer ring for the next that will.
func (l *line) expire() {
	l.mu.Lock()
	now := time.Now()
	l.wakes = time.Time{}
	var late []*outgoing
	look := func(pushes []*outgoing) {
		for _, o := range pushes {
			switch {
			case o.ended.Load():
			case o.due().After(now):
				l.wakeLocked(o.due())
			default:
				late = append(late, o)
			}
		}
	}
	look(l.queue)
	if l.conn != nil {
		for _, batch := range l.conn.batches {
			look(batch)
		}
	}
	l.mu.Unlock()
	for _, o := range late {
		o.finish(fmt.Errorf("push to %s: %w", l.peer.addr, context.DeadlineExceeded))
	}
}

// readyLocked reports whether the member may be sent a batch.
func (l *line) readyLocked(c *lineConn) bool {
	return len(l.queue) > 0 && (len(c.batches) == 0 || l.queued >= minSecond && c.bytes <= maxBatch)
}

// finish tells the outcome, unless that was done.
func (o *outgoing) finish(err error) {
	if !o.ended.CompareAndSwap(false, true) {
		return
	}
	m, took := o.line.peer, time.Since(o.begin)
	m.inflight.Add(-int64(len(o.message)))
	o.line.pool.metrics.observe(pushName, err, took)
	if err == nil {
		m.took(took)
	}
	o.done(err)
}

// flushLocked has what waits sent, if the member may be sent it and nobody is at it.
func (l *line) flushLocked() {
	if l.sending || len(l.queue) == 0 || l.conn != nil && !l.readyLocked(l.conn) {
		return
	}
	l.sending = true
	go l.drain()
}

// drain sends what waits, as long as the member may be sent more. sending is set.
func (l *line) drain() {
	// Pushes that can go on at once join this batch; where there are none nothing is waited for. It saves three busy
	// members a quarter of their messages.
	runtime.Gosched()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		if l.conn == nil {
			l.mu.Unlock()
			c, err := l.open()
			l.mu.Lock()
			if err != nil {
				failed := l.queue
				l.queue, l.queued = nil, 0
				l.mu.Unlock()
				l.fail(failed, err)
				l.mu.Lock()
				continue
			}
			l.conn = c
			go l.read(c)
		}
		if !l.readyLocked(l.conn) {
			break
		}
		l.sendLocked(l.conn)
	}
	l.sending = false
}

// fail ends pushes that did not reach the member.
func (l *line) fail(pushes []*outgoing, err error) {
	if errors.Is(err, ErrUnreachable) {
		l.pool.fail(l.peer, err)
	}
	for _, o := range pushes {
		o.finish(err)
	}
}

// open begins a stream. Whoever waits for it is bounded by the time-outs of the pushes.
func (l *line) open() (*lineConn, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	timer := time.AfterFunc(l.pool.cfg.Client.ConnectTimeout, func() { cancel(ErrUnreachable) })
	stream, err := l.peer.lanes[lanePush].NewStream(metadata.AppendToOutgoingContext(ctx, l.pool.identity()...), &streamDesc, service+linesName)
	if !timer.Stop() && err == nil {
		err = ErrUnreachable
	}
	if err != nil {
		err = fromStatus(ctx, l.peer.addr, err, nil)
		cancel(nil)
		return nil, err
	}
	return &lineConn{stream: stream, ctx: ctx, cancel: cancel, batches: map[uint64][]*outgoing{}}, nil
}

// sendLocked sends a batch of what waits. It lets go of the lock meanwhile.
func (l *line) sendLocked(c *lineConn) {
	batch, size := l.takeLocked()
	if len(batch) == 0 {
		return
	}
	c.last++
	number := c.last
	c.batches[number] = batch
	c.bytes += size
	l.mu.Unlock()
	err := sendParts(c.stream, batchParts(number, batch), l.pool.cfg.frameSize())
	if err != nil && errors.Is(err, io.EOF) {
		err = nil // the stream has ended; why is what the reader is told
	}
	if err != nil {
		c.cancel(fmt.Errorf("%w: %w", ErrUnreachable, err))
	}
	l.mu.Lock()
}

// takeLocked takes the next batch from the queue.
func (l *line) takeLocked() (batch []*outgoing, size int) {
	n := 0
	for ; n < len(l.queue); n++ {
		o := l.queue[n]
		if size > 0 && size+len(o.message) > maxBatch {
			break
		}
		l.queued -= len(o.message)
		if o.ended.Load() {
			continue
		}
		batch = append(batch, o)
		size += len(o.message)
	}
	l.queue = append(l.queue[:0], l.queue[n:]...)
	clear(l.queue[len(l.queue):cap(l.queue)])
	return batch, size
}

// batchParts returns the message that carries pushes, see FORMAT.md.
func batchParts(number uint64, batch []*outgoing) [][]byte {
	size := batchHead
	for _, o := range batch {
		size += pushHead + len(o.tenant)
	}
	heads := append(make([]byte, 0, size), formatVersion)
	heads = binary.AppendUvarint(heads, number)
	heads = binary.AppendUvarint(heads, uint64(len(batch)))
	parts := make([][]byte, 0, 2*len(batch))
	from := 0
	for _, o := range batch {
		heads = decbuf.AppendString(heads, o.tenant)
		heads = binary.AppendUvarint(heads, uint64(max(o.timeout-time.Since(o.begin), 0)/time.Millisecond))
		heads = binary.AppendUvarint(heads, uint64(len(o.message)))
		parts = append(parts, heads[from:], o.message)
		from = len(heads)
	}
	return parts
}

// read takes the answers of a stream until it ends.
func (l *line) read(c *lineConn) {
	var buf []byte
	for {
		answer, err := receiveInto(c.stream, l.pool.cfg.MaxMessage, buf[:0])
		if err == nil {
			err = l.answered(c, answer)
		}
		if err != nil {
			l.broken(c, err)
			return
		}
		if buf = answer; cap(buf) > maxPooledMessage {
			buf = nil
		}
	}
}

// answered ends the pushes of a batch. It keeps nothing of the answer.
func (l *line) answered(c *lineConn, answer []byte) error {
	d := newDecoder(answer)
	number := d.Uvarint()
	l.mu.Lock()
	batch, known := c.batches[number]
	if !known {
		l.mu.Unlock()
		return fmt.Errorf("%w: an answer to nothing", errFrame)
	}
	for _, o := range batch {
		o.outcome = readOutcome(d, l.peer.addr)
	}
	if d.Failed() {
		l.mu.Unlock()
		return fmt.Errorf("%w: %w", errFrame, d.err())
	}
	delete(c.batches, number)
	for _, o := range batch {
		c.bytes -= len(o.message)
	}
	l.flushLocked()
	l.mu.Unlock()
	for _, o := range batch {
		o.finish(o.outcome)
		// The member has read it: nobody else has the message.
		putMessage(o.message)
	}
	return nil
}

// broken ends the pushes of a stream that has ended.
func (l *line) broken(c *lineConn, err error) {
	switch {
	case errors.Is(err, errFrame):
		err = &RemoteError{Member: l.peer.addr, Text: err.Error()}
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("push to %s: %w: it has ended the stream", l.peer.addr, ErrUnreachable)
	default:
		err = fromStatus(c.ctx, l.peer.addr, err, c.stream.Trailer())
	}
	c.cancel(err)
	l.mu.Lock()
	if l.conn == c {
		l.conn = nil
	}
	var failed []*outgoing
	for _, batch := range c.batches {
		failed = append(failed, batch...)
	}
	clear(c.batches)
	l.flushLocked()
	l.mu.Unlock()
	if len(failed) > 0 {
		l.fail(failed, err)
	}
}

// abort ends the stream of a member that went down: nobody waits for it any longer.
func (l *line) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.cancel(ErrUnreachable)
	}
}

// The outcomes of a push in the answer to its batch.
const (
	outcomeStored byte = iota
	outcomeRefused
	outcomeFailed
)

// readOutcome reads one of them. It is nil, a *wire.RefusedError or a *RemoteError.
func readOutcome(d *decoder, member string) error {
	switch kind := d.Byte(); kind {
	case outcomeStored:
		return nil
	case outcomeRefused:
		refused, err := readRefusals(d.Section())
		if err != nil {
			d.Fail(err.Error())
			return nil
		}
		return refused
	case outcomeFailed:
		return remoteError(member, d.Text(), d.Text())
	default:
		d.Fail("unknown outcome")
		return nil
	}
}
