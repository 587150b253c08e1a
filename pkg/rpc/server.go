package rpc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"logstore/pkg/tenant"
)

// Handler answers a call. The request is valid until it returns; the answer must not be changed afterwards. The context
// carries the caller's tenant, if any, and ends with the caller's deadline or when it has gone.
type Handler func(ctx context.Context, req []byte) ([]byte, error)

// StreamHandler answers with any number of messages, which must not be changed once they are sent. send waits while the
// reader is slow and fails when it has gone.
type StreamHandler func(ctx context.Context, req []byte, send func(message []byte) error) error

// service is the gRPC name of all handlers; that of a handler follows.
const service = "/logstore.Member/"

// The keys of what travels with a call.
const (
	headerTenant  = "x-scope-orgid"
	headerCluster = "logstore-cluster"
	headerSecret  = "logstore-secret"
	headerTrace   = "traceparent"
)

// Server runs handlers for other members.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *serverMetrics
	grpc    *grpc.Server
	health  *health.Server
	// stopping is closed when lines are to end.
	stopping chan struct{}

	mu       sync.RWMutex
	handlers map[string]StreamHandler
	unary    map[string]Handler
	lines    *lineHandler
}

// NewServer returns a server without handlers. Compression of clients is understood in any case.
func NewServer(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: log, metrics: newServerMetrics(reg), health: health.NewServer(),
		handlers: map[string]StreamHandler{}, unary: map[string]Handler{}, stopping: make(chan struct{}),
	}
	c := cfg.Server
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(s.serve),
		grpc.MaxRecvMsgSize(c.MaxRecv), grpc.MaxSendMsgSize(c.MaxSend), grpc.MaxConcurrentStreams(uint32(max(c.MaxStreams, 0))),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: c.KeepaliveTime, Timeout: c.KeepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: c.MinPing, PermitWithoutStream: c.PingWithoutStream}),
		grpc.InitialWindowSize(windowSize), grpc.InitialConnWindowSize(4 * windowSize),
		grpc.ReadBufferSize(bufferSize), grpc.WriteBufferSize(bufferSize),
	}
	if c.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(c.TLS)))
	}
	s.grpc = grpc.NewServer(opts...)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	s.Handle(pingName, func(context.Context, []byte) ([]byte, error) { return nil, nil })
	return s, nil
}

// windowSize is how much of a stream may be under way before the reader has taken it.
const windowSize = 1 << 20

// bufferSize is how much a connection reads or writes at once.
const bufferSize = 64 << 10

// Handle registers the handler of a call. A later one of the same name replaces it.
func (s *Server) Handle(name string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unary[name] = h
	s.handlers[name] = func(ctx context.Context, req []byte, send func([]byte) error) error {
		answer, err := h(ctx, req)
		if err != nil {
			return err
		}
		return send(answer)
	}
}

// HandleStream registers the handler of a stream.
func (s *Server) HandleStream(name string, h StreamHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unary, name)
	s.handlers[name] = h
}

func (s *Server) handler(name string) (StreamHandler, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if h := s.handlers[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("%w %q", ErrUnknown, name)
}

// serve runs the handler of one call.
func (s *Server) serve(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	name, ok := strings.CutPrefix(method, service)
	if !ok {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	ctx := stream.Context()
	begin := time.Now()
	err := s.run(ctx, name, stream)
	s.metrics.observe(name, err, time.Since(begin))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return status.FromContextError(ctx.Err()).Err()
	}
	trailer, st := toStatus(err)
	stream.SetTrailer(trailer)
	return st
}

func (s *Server) run(ctx context.Context, name string, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if theirs := first(md, headerCluster); theirs != s.cfg.Cluster {
		return fmt.Errorf("%w: this one is of %q, the caller of %q", ErrCluster, s.cfg.Cluster, theirs)
	}
	if s.cfg.Secret != "" && subtle.ConstantTimeCompare([]byte(first(md, headerSecret)), []byte(s.cfg.Secret)) != 1 {
		return ErrSecret
	}
	if id := first(md, headerTenant); id != "" {
		ctx = tenant.Inject(ctx, id)
	}
	if name == linesName {
		s.mu.RLock()
		h := s.lines
		s.mu.RUnlock()
		if h == nil {
			return fmt.Errorf("%w %q", ErrUnknown, name)
		}
		return s.serveLine(stream, h)
	}
	h, err := s.handler(name)
	if err != nil {
		return err
	}
	ctx, span := s.cfg.request(ctx, name, first(md, headerTrace))
	defer func() { span.End(err) }()
	req, err := receiveMessage(stream, s.cfg.MaxMessage)
	if err != nil {
		return err
	}
	err = h(ctx, req, func(message []byte) error { return sendMessage(stream, message, s.cfg.frameSize()) })
	return err
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// call runs a handler for this process itself.
func (s *Server) call(ctx context.Context, name string, req []byte) ([]byte, error) {
	s.mu.RLock()
	h := s.unary[name]
	s.mu.RUnlock()
	if h == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknown, name)
	}
	return h(ctx, req)
}

// SetServing tells health checks of gRPC whether the process serves.
func (s *Server) SetServing(ok bool) {
	st := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if ok {
		st = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
}

// Serve answers calls on a listener, which it closes, until ctx ends; then calls under way may end within the grace period.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if s.cfg.Server.ConnLimit > 0 {
		l = &limitedListener{Listener: l, free: make(chan struct{}, s.cfg.Server.ConnLimit)}
	}
	done := make(chan error, 1)
	go func() { done <- s.grpc.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	s.health.Shutdown()
	close(s.stopping)
	timer := time.AfterFunc(s.cfg.Server.Grace, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
	if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// limitedListener accepts no more connections than are free.
type limitedListener struct {
	net.Listener
	free chan struct{}
}

// Accept waits for one of the limited connections, and for a client.
func (l *limitedListener) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection and lets another one in.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
