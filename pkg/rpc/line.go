package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

// line carries the pushes to one member over one stream that stays open. A push to a member that has nothing to do is sent at once,
// by whoever pushes; those that come while a batch is unanswered wait, and go in one batch together, or as soon as they are many bytes.
// So the busier the members are, the less a push costs. No push waits for another one's sending: what may block is done by a
// goroutine of the line.
type line struct {
	pool *Pool
	peer *peer

	mu sync.Mutex
	// queue are pushes that were not sent, in order; queued is their size.
	queue  []*outgoing
	queued int
	// conn is the stream that is open; nil if none is.
	conn *lineConn
	// sending tells that somebody opens a stream or sends on it.
	sending bool
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
	timer   *time.Timer
	done    func(error)
	ended   atomic.Bool
}

const (
	// linesName is the call whose stream is a line.
	linesName = "pushes"
	// maxBatch bounds the bytes of a batch of several pushes, and the batches that are unanswered: beyond it no second one is sent.
	maxBatch = 512 << 10
	// minSecond is how many bytes must wait to be sent while a batch is unanswered, so that they travel while that one is stored.
	minSecond = 128 << 10
	// quickBytes is how much may be unanswered on a stream on which gRPC is sure to take a frame without blocking: it lets 64 KiB
	// wait for the connection, and one frame more.
	quickBytes = 48 << 10
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
	o.timer = time.AfterFunc(o.timeout, func() {
		o.finish(fmt.Errorf("push to %s: %w", l.peer.addr, context.DeadlineExceeded))
	})
	l.mu.Lock()
	l.queue = append(l.queue, o)
	l.queued += len(o.message)
	l.flushLocked()
	l.mu.Unlock()
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
	if o.timer != nil {
		o.timer.Stop()
	}
	m, took := o.line.peer, time.Since(o.begin)
	m.inflight.Add(-int64(len(o.message)))
	o.line.pool.metrics.observe(pushName, err, took)
	if err == nil {
		m.took(took)
	}
	o.done(err)
}

// flushLocked sends what waits if that is sure not to block, and else has it sent. It lets go of the lock meanwhile.
func (l *line) flushLocked() {
	for c := l.conn; !l.sending && len(l.queue) > 0; c = l.conn {
		if c != nil && !l.readyLocked(c) {
			return
		}
		l.sending = true
		if c == nil || c.bytes > quickBytes || len(l.queue[0].message) > l.pool.cfg.frameSize()/2 {
			go l.drain()
			return
		}
		l.sendLocked(c)
		l.sending = false
	}
}

// drain sends what waits, as long as the member may be sent more. sending is set.
func (l *line) drain() {
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
		heads = appendString(heads, o.tenant)
		heads = binary.AppendUvarint(heads, uint64(max(o.timeout-time.Since(o.begin), 0)/time.Millisecond))
		heads = binary.AppendUvarint(heads, uint64(len(o.message)))
		parts = append(parts, heads[from:], o.message)
		from = len(heads)
	}
	return parts
}

// read takes the answers of a stream until it ends.
func (l *line) read(c *lineConn) {
	for {
		answer, err := receiveMessage(c.stream, l.pool.cfg.MaxMessage)
		if err == nil {
			err = l.answered(c, answer)
		}
		if err != nil {
			l.broken(c, err)
			return
		}
	}
}

// answered ends the pushes of a batch.
func (l *line) answered(c *lineConn, answer []byte) error {
	d := newDecoder(answer)
	number := d.uvarint()
	l.mu.Lock()
	batch, known := c.batches[number]
	if !known {
		l.mu.Unlock()
		return fmt.Errorf("%w: an answer to nothing", errFrame)
	}
	outcomes := make([]error, len(batch))
	for i := range batch {
		outcomes[i] = readOutcome(d, l.peer.addr)
	}
	if d.err != nil {
		l.mu.Unlock()
		return fmt.Errorf("%w: %w", errFrame, d.err)
	}
	delete(c.batches, number)
	for _, o := range batch {
		c.bytes -= len(o.message)
	}
	l.flushLocked()
	l.mu.Unlock()
	for i, o := range batch {
		o.finish(outcomes[i])
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
	switch kind := d.byte(); kind {
	case outcomeStored:
		return nil
	case outcomeRefused:
		refused, err := readRefusals(d.bytes())
		if err != nil {
			d.fail(err.Error())
			return nil
		}
		return refused
	case outcomeFailed:
		return remoteError(member, d.str(), d.str())
	default:
		d.fail("unknown outcome")
		return nil
	}
}

// tenantContext returns a context of a tenant that ends after a time.
func tenantContext(ctx context.Context, id string, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(tenant.Inject(ctx, id), timeout)
}
