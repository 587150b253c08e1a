package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"logstore/pkg/tenant"
	"logstore/pkg/trace"
)

// Call runs the handler of that name on a member and returns its answer, which is the caller's. req must not be changed any
// more, even after Call has returned: a call that was given up may still be on its way.
func (p *Pool) Call(ctx context.Context, member, name string, req []byte) ([]byte, error) {
	if member == p.self {
		return p.local.call(ctx, name, req)
	}
	m, err := p.peer(member)
	if err != nil {
		return nil, err
	}
	ctx, span := trace.StartCall(ctx, "call "+name)
	span.Text("server.address", member)
	answer, err := p.observe(m, name, func() ([]byte, error) { return p.exchange(ctx, m, laneCall, name, req, true) })
	span.End(err)
	return answer, err
}

// observe counts a call and takes note of a member that cannot be reached.
func (p *Pool) observe(m *peer, name string, call func() ([]byte, error)) ([]byte, error) {
	begin := time.Now()
	answer, err := call()
	p.metrics.observe(name, err, time.Since(begin))
	if errors.Is(err, ErrUnreachable) {
		p.fail(m, err)
	}
	return answer, err
}

// streamDesc is that of all calls.
var streamDesc = grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// identity returns the headers by which members know each other.
func (p *Pool) identity() []string {
	var pairs []string
	if p.cfg.Cluster != "" {
		pairs = append(pairs, headerCluster, p.cfg.Cluster)
	}
	if p.cfg.Secret != "" {
		pairs = append(pairs, headerSecret, p.cfg.Secret)
	}
	return pairs
}

// open begins a call.
func (p *Pool) open(ctx context.Context, m *peer, l lane, name string, req []byte) (grpc.ClientStream, error) {
	pairs := make([]string, 0, 6)
	if id, err := tenant.Raw(ctx); err == nil {
		pairs = append(pairs, headerTenant, id)
	}
	pairs = append(pairs, p.identity()...)
	if parent := trace.Parent(ctx); parent != "" {
		pairs = append(pairs, headerTrace, parent)
	}
	p.reconnect(ctx, m, l)
	stream, err := m.lanes[l].NewStream(metadata.AppendToOutgoingContext(ctx, pairs...), &streamDesc, service+name)
	if err != nil {
		return nil, fromStatus(ctx, m.addr, err, nil)
	}
	// io.EOF says that the call has ended; why is what the receiving side says.
	if err := sendMessage(stream, req, p.cfg.frameSize()); err != nil && !errors.Is(err, io.EOF) {
		return nil, fromStatus(ctx, m.addr, err, stream.Trailer())
	}
	if err := stream.CloseSend(); err != nil {
		return nil, fromStatus(ctx, m.addr, err, stream.Trailer())
	}
	return stream, nil
}

// reconnect lets a lane of a member that answers again connect, for a ping's time at most: until it has, gRPC would refuse calls
// with what the last attempt met, and the member would count as down once more.
func (p *Pool) reconnect(ctx context.Context, m *peer, l lane) {
	conn := m.lanes[l]
	if conn.GetState() != connectivity.TransientFailure || m.isDown() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Client.PingTimeout)
	defer cancel()
	conn.ResetConnectBackoff()
	for s := connectivity.TransientFailure; s != connectivity.Ready && conn.WaitForStateChange(ctx, s); {
		s = conn.GetState()
	}
}

// exchange sends a request and waits for the one answer; if bound, until the member goes down.
func (p *Pool) exchange(ctx context.Context, m *peer, l lane, name string, req []byte, bound bool) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	if bound {
		ctx, cancel = m.bind(ctx)
	}
	defer cancel() // gRPC lets go of a stream only when it ends or its context does
	stream, err := p.open(ctx, m, l, name, req)
	if err != nil {
		return nil, err
	}
	answer, err := receiveMessage(stream, p.cfg.MaxMessage)
	if err != nil {
		return nil, p.ended(ctx, m, stream, err)
	}
	return answer, nil
}

// ended returns the error with which the member ended a call.
func (p *Pool) ended(ctx context.Context, m *peer, stream grpc.ClientStream, err error) error {
	if errors.Is(err, errFrame) {
		return &RemoteError{Member: m.addr, Text: err.Error()}
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fromStatus(ctx, m.addr, err, stream.Trailer())
}

// Messages are the answers of a stream. They are not safe for concurrent use.
type Messages struct {
	next  func() ([]byte, error)
	close func()
}

// Next returns the next message, which is the caller's; io.EOF after the last.
func (s *Messages) Next() ([]byte, error) { return s.next() }

// Close ends the stream, if it has not ended: the handler's context is cancelled. It may be called several times.
func (s *Messages) Close() { s.close() }

// Stream runs the stream handler of that name on a member. The caller must close what it returns; its context ends it as well.
func (p *Pool) Stream(ctx context.Context, member, name string, req []byte) (*Messages, error) {
	if member == p.self {
		return p.localStream(ctx, name, req)
	}
	m, err := p.peer(member)
	if err != nil {
		return nil, err
	}
	ctx, span := trace.StartCall(ctx, "call "+name)
	span.Text("server.address", member)
	ctx, cancel := m.bind(ctx)
	var stream grpc.ClientStream
	if _, err := p.observe(m, name, func() ([]byte, error) {
		var err error
		stream, err = p.open(ctx, m, laneStream, name, req)
		return nil, err
	}); err != nil {
		cancel()
		span.End(err)
		return nil, err
	}
	next := func() ([]byte, error) {
		message, err := receiveMessage(stream, p.cfg.MaxMessage)
		if err != nil {
			err = p.ended(ctx, m, stream, err)
			if errors.Is(err, ErrUnreachable) {
				p.fail(m, err)
			}
			return nil, err
		}
		return message, nil
	}
	return &Messages{next: next, close: sync.OnceFunc(func() { cancel(); span.End(nil) })}, nil
}

// localStream runs a handler of this process beside its reader.
func (p *Pool) localStream(ctx context.Context, name string, req []byte) (*Messages, error) {
	h, err := p.local.handler(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	messages, done := make(chan []byte), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		done <- h(ctx, req, func(message []byte) error {
			select {
			case messages <- message:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(messages)
	})
	var end error
	next := func() ([]byte, error) {
		if end != nil {
			return nil, end
		}
		if message, ok := <-messages; ok {
			return message, nil
		}
		if end = <-done; end == nil {
			end = io.EOF
		}
		return nil, end
	}
	return &Messages{next: next, close: func() { cancel(); wg.Wait() }}, nil
}
