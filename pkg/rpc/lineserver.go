package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"logstore/pkg/decbuf"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// lineHandler is the end of all lines to this member.
type lineHandler struct {
	cfg    Config
	store  func(ctx context.Context, tenant string, streams []wire.Stream) error
	labels *labelCache
}

// lineEnd is the end of one line.
type lineEnd struct {
	*lineHandler
	server *Server
	stream grpc.ServerStream

	// mu is held while a batch is stored and answered; once ended is set, none begins.
	mu    sync.Mutex
	ended bool
}

// serveLine stores the pushes of a line until the other side ends it or this member stops.
func (s *Server) serveLine(stream grpc.ServerStream, h *lineHandler) error {
	e := &lineEnd{lineHandler: h, server: s, stream: stream}
	end := make(chan error, 1)
	go func() { end <- e.read() }()
	var err error
	select {
	case err = <-end:
	case <-s.stopping:
		// What was begun is answered; what comes now is not, and goes to another member.
		e.mu.Lock()
		e.ended = true
		e.mu.Unlock()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// read stores what comes, one batch after the other: a batch has all that has gathered while the one before was stored, so that more
// goroutines would only take turns.
func (e *lineEnd) read() error {
	buf := getMessage(0)
	defer func() { putMessage(buf) }()
	for {
		message, err := receiveInto(e.stream, e.server.cfg.MaxMessage, buf[:0])
		if err != nil {
			return err
		}
		if err := e.batch(message); err != nil {
			return err
		}
		if buf = message; cap(buf) > maxPooledMessage {
			buf = nil
		}
	}
}

// batch stores the pushes of a message and answers it.
func (e *lineEnd) batch(message []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return io.EOF
	}
	begin := time.Now()
	answer, err := e.apply(e.stream.Context(), message)
	e.server.metrics.observe(pushName, err, time.Since(begin))
	if err != nil {
		return err
	}
	return sendMessage(e.stream, answer, e.server.cfg.frameSize())
}

// incoming is a push of a batch.
type incoming struct {
	tenant  string
	timeout time.Duration
	message []byte
	// streams of the decoder lo to hi are its own; err is why it cannot be stored.
	lo, hi int
	err    error
}

// apply stores the pushes of a batch, those of a tenant that stand side by side as one, and returns the answer.
func (h *lineHandler) apply(ctx context.Context, message []byte) ([]byte, error) {
	d := newDecoder(message)
	number := d.Uvarint()
	n := d.Count(1)
	pushes := make([]incoming, 0, min(n, 64))
	for ; n > 0 && !d.Failed(); n-- {
		pushes = append(pushes, incoming{
			tenant: d.Text(), timeout: time.Duration(min(d.Uvarint(), maxTimeout)) * time.Millisecond, message: d.Section(),
		})
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	answer := binary.AppendUvarint(append(make([]byte, 0, 16+len(pushes)), formatVersion), number)
	for len(pushes) > 0 {
		n := 1
		for n < len(pushes) && pushes[n].tenant == pushes[0].tenant {
			n++
		}
		answer = h.storeAll(ctx, pushes[:n], answer)
		pushes = pushes[n:]
	}
	return answer, nil
}

// maxTimeout bounds time-outs in milliseconds.
const maxTimeout = uint64(time.Hour / time.Millisecond)

// storeAll stores pushes of one tenant and appends their outcomes.
func (h *lineHandler) storeAll(ctx context.Context, pushes []incoming, answer []byte) []byte {
	d := pushDecoders.Get().(*pushDecoder)
	defer d.release()
	timeout := time.Duration(0)
	for i := range pushes {
		p := &pushes[i]
		timeout = max(timeout, p.timeout)
		p.lo = len(d.streams)
		if p.err = d.decode(p.message, h.labels); p.err != nil {
			d.streams = d.streams[:p.lo]
		}
		p.hi = len(d.streams)
	}
	named, parent, _ := strings.Cut(pushes[0].tenant, traceSeparator)
	due := newDueContext(tenant.Inject(ctx, named), timeout)
	defer due.end()
	ctx, span := h.cfg.request(due, pushName, parent)
	id, err := tenant.ID(ctx)
	defer func() { span.End(err) }()
	if err == nil && len(d.streams) > 0 {
		err = h.store(ctx, id, d.streams)
	}
	var refused *wire.RefusedError
	if errors.As(err, &refused) {
		err = nil
	}
	for i := range pushes {
		p := &pushes[i]
		if p.err == nil {
			p.err = err
		}
		answer = appendOutcome(answer, p, refused)
	}
	return answer
}

func appendOutcome(answer []byte, p *incoming, refused *wire.RefusedError) []byte {
	if p.err != nil {
		answer = append(answer, outcomeFailed)
		answer = decbuf.AppendString(answer, strings.ToValidUTF8(p.err.Error(), "?"))
		return decbuf.AppendString(answer, strings.Join(namesOf(p.err), ","))
	}
	own := &wire.RefusedError{}
	if refused != nil {
		for _, r := range refused.Refusals {
			if r.Stream >= p.lo && r.Stream < p.hi {
				r.Stream -= p.lo
				own.Refusals = append(own.Refusals, r)
			}
		}
	}
	if len(own.Refusals) == 0 {
		return append(answer, outcomeStored)
	}
	list := appendRefusals(nil, own)
	answer = binary.AppendUvarint(append(answer, outcomeRefused), uint64(len(list)))
	return append(answer, list...)
}
