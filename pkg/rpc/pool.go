package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
)

// lane is one of the connections to a member.
type lane int

const (
	lanePush lane = iota
	laneCall
	laneStream
	lanes
)

// Pool calls other members. It is safe for concurrent use.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	metrics *poolMetrics
	// self is the own address, whose calls local answers.
	self  string
	local *Server

	mu     sync.Mutex
	closed bool
	peers  map[string]*peer
	// pings counts the pings under way.
	pings sync.WaitGroup
}

// NewPool returns a pool of no connections: they are made when a member is first called. Calls of the address self run the
// handlers of local.
func NewPool(cfg Config, self string, local *Server, reg prometheus.Registerer, log *slog.Logger) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, log: log, self: self, local: local, peers: map[string]*peer{}}
	p.metrics = newPoolMetrics(reg, p)
	return p, nil
}

// Self returns the own address.
func (p *Pool) Self() string { return p.self }

// peer is what the pool knows of a member.
type peer struct {
	addr  string
	lanes [lanes]*grpc.ClientConn
	// line carries pushes, on the first lane.
	line line
	// inflight counts the bytes of pushes that were not answered.
	inflight atomic.Int64
	pinging  atomic.Bool
	// silent counts the pings without an answer since the last one.
	silent atomic.Int32

	mu sync.Mutex
	// down is set from the failure on, why it is until the member answers a ping.
	down bool
	// alive ends when the member goes down.
	alive context.Context
	kill  context.CancelFunc
	// slowUntil is when a member that was slow is tried again; it was slow for slowHold.
	slowUntil time.Time
	slowHold  time.Duration
	// mean and deviation are those of the time that a push takes, in nanoseconds, moving.
	mean, deviation float64
}

// peer returns that of an address, which is made if need be.
func (p *Pool) peer(addr string) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("call of %s: %w: the pool is closed", addr, ErrUnreachable)
	}
	if m := p.peers[addr]; m != nil {
		return m, nil
	}
	m := &peer{addr: addr}
	m.line.pool, m.line.peer = p, m
	m.alive, m.kill = context.WithCancel(context.Background())
	for i := range m.lanes {
		conn, err := grpc.NewClient("passthrough:///"+addr, p.dialOptions()...)
		if err != nil {
			return nil, fmt.Errorf("call of %s: %w: %w", addr, ErrUnreachable, err)
		}
		m.lanes[i] = conn
	}
	p.peers[addr] = m
	return m, nil
}

func (p *Pool) dialOptions() []grpc.DialOption {
	c := p.cfg.Client
	creds := insecure.NewCredentials()
	if c.TLS != nil {
		creds = credentials.NewTLS(c.TLS)
	}
	call := []grpc.CallOption{grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(c.MaxRecv), grpc.MaxCallSendMsgSize(c.MaxSend)}
	if c.Compression != "" {
		// There is no snappy for gRPC that all members know: gzip stands for both.
		call = append(call, grpc.UseCompressor(gzip.Name))
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(call...), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithContextDialer(p.dial), grpc.WithDisableRetry(),
		grpc.WithInitialWindowSize(windowSize), grpc.WithInitialConnWindowSize(4 * windowSize),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: max(10*time.Second, p.cfg.Server.MinPing), Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: c.ConnectTimeout,
		}),
	}
}

// Keep closes the connections to all members but those at the addresses.
func (p *Pool) Keep(addrs []string) {
	p.mu.Lock()
	var gone []*peer
	for addr, m := range p.peers {
		if !slices.Contains(addrs, addr) {
			delete(p.peers, addr)
			gone = append(gone, m)
		}
	}
	p.mu.Unlock()
	for _, m := range gone {
		p.log.Debug("closing the connections to a member that left", "member", m.addr)
		m.close()
	}
}

func (m *peer) close() {
	m.mu.Lock()
	m.kill()
	m.mu.Unlock()
	for _, c := range m.lanes {
		_ = c.Close() // it says only that it was closed before
	}
}

func (p *Pool) all() []*peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.peers))
}

// Run pings peers and closes the connections to forgotten members, those that are not among what members returns, until ctx
// ends; then all are closed.
func (p *Pool) Run(ctx context.Context, members func() []string) error {
	ping := time.NewTicker(p.cfg.Client.PingPeriod)
	defer ping.Stop()
	cleanup := time.NewTicker(p.cfg.Client.Cleanup)
	defer cleanup.Stop()
	for {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.closed = true
			p.mu.Unlock()
			p.Keep(nil)
			p.pings.Wait()
			return nil
		case <-cleanup.C:
			p.Keep(members())
		case <-ping.C:
			for _, m := range p.all() {
				if p.cfg.Client.HealthCheck || m.isDown() {
					p.check(m)
				}
			}
		}
	}
}
