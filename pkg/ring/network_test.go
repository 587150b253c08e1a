package ring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
)

// network is a network in memory, for virtual time.
type network struct {
	mu    sync.Mutex
	nodes map[string]*fakeTransport
	// cut tells whether nothing passes between two hosts.
	cut     func(a, b string) bool
	packets int
	bytes   int
	sentTo  map[string]int // packets by host
}

type fakeTransport struct {
	net     *network
	host    string
	addr    string
	packets chan *memberlist.Packet
	streams chan net.Conn
	gone    chan struct{}
	once    sync.Once
}

func (n *network) listen(cfg Gossip, _ *slog.Logger, _ *gossipStats) (memberlist.Transport, int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &fakeTransport{
		net: n, host: cfg.BindAddrs[0], addr: net.JoinHostPort(cfg.BindAddrs[0], strconv.Itoa(cfg.BindPort)),
		packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 16), gone: make(chan struct{}),
	}
	if n.nodes == nil {
		n.nodes, n.sentTo = map[string]*fakeTransport{}, map[string]int{}
	}
	if n.nodes[t.addr] != nil {
		return nil, 0, errors.New("the address is in use")
	}
	n.nodes[t.addr] = t
	return t, cfg.BindPort, nil
}

// peer returns the node at addr if packets reach it.
func (t *fakeTransport) peer(addr string) *fakeTransport {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	p := t.net.nodes[addr]
	if p == nil || t.net.nodes[t.addr] != t || t.net.cut != nil && t.net.cut(t.host, p.host) {
		return nil
	}
	return p
}

func (t *fakeTransport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return net.ParseIP(ip), port, nil
}

func (t *fakeTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	from, err := net.ResolveTCPAddr("tcp", t.addr)
	if err != nil {
		return now, err
	}
	t.net.mu.Lock()
	t.net.packets++
	t.net.bytes += len(b)
	if host, _, err := net.SplitHostPort(addr); err == nil {
		t.net.sentTo[host]++
	}
	t.net.mu.Unlock()
	if p := t.peer(addr); p != nil {
		b = append([]byte(nil), b...)
		time.AfterFunc(time.Millisecond, func() {
			select {
			case p.packets <- &memberlist.Packet{Buf: b, From: from, Timestamp: time.Now()}:
			default:
			}
		})
	}
	return now, nil
}

func (t *fakeTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	t.net.mu.Lock()
	there := t.net.nodes[addr] != nil && t.net.nodes[t.addr] == t
	t.net.mu.Unlock()
	if !there {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	p := t.peer(addr)
	if p == nil {
		time.Sleep(timeout)
		return nil, errors.New("i/o timeout")
	}
	a, b := net.Pipe()
	select {
	case p.streams <- b:
		return a, nil
	case <-p.gone:
		return nil, errors.New("gone")
	}
}

func (t *fakeTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *fakeTransport) StreamCh() <-chan net.Conn           { return t.streams }
func (t *fakeTransport) Shutdown() error {
	t.once.Do(func() {
		close(t.gone)
		t.net.mu.Lock()
		defer t.net.mu.Unlock()
		delete(t.net.nodes, t.addr)
	})
	return nil
}

// node is a member under test.
type node struct {
	*Ring
	t    testing.TB
	stop context.CancelFunc
	done chan error
	log  *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// testConfig is that of member i of a cluster, which is told to join the first three.
func testConfig(n *network, i int) Config {
	cfg := DefaultConfig()
	cfg.ID = fmt.Sprintf("member-%d", i)
	cfg.Addr = ":9095"
	cfg.ReplicationFactor = 2
	g := DefaultGossip()
	g.BindAddrs = []string{testHost(i)}
	for j := range 3 {
		g.Join = append(g.Join, testHost(j+1))
	}
	if n != nil {
		g.transport = n.listen
	}
	cfg.Gossip = &g
	return cfg
}

func testHost(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250+1) }

// launch runs a member until the test ends.
func launch(t testing.TB, cfg Config) *node {
	t.Helper()
	log := &logBuffer{}
	r, err := New(cfg, Deps{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("self", cfg.ID)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{Ring: r, t: t, stop: cancel, done: make(chan error, 1), log: log}
	go func() { n.done <- r.Run(ctx); close(n.done) }()
	t.Cleanup(func() { endAll(n) })
	r.Activate()
	return n
}

// end stops the member as a SIGTERM would.
func (n *node) end() {
	n.t.Helper()
	n.stop()
	require.NoError(n.t, <-n.done)
}

// kill takes the member off the network for good, and then stops what is left of it.
func (n *node) kill(net *network) {
	net.mu.Lock()
	addr := n.gossip.self
	tr := net.nodes[addr]
	net.mu.Unlock()
	_ = tr.Shutdown()
	n.gossip.cfg.LastWordsTimeout, n.gossip.cfg.LeaveTimeout = 0, 0
	n.gossip.cfg.transport = nil
	n.stop()
	<-n.done
}

func endAll(nodes ...*node) {
	for _, n := range nodes {
		n.stop()
	}
	for _, n := range nodes {
		<-n.done
	}
}

// states shows what a member sees.
func (n *node) states() map[string]string {
	out := map[string]string{}
	for _, m := range n.Members() {
		s := m.State.String()
		if !m.Healthy {
			s = "UNHEALTHY"
		}
		out[m.ID] = s
	}
	return out
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, fn func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Probes that are under way when a node ends go on for a moment. This runs last.
		t.Cleanup(func() { time.Sleep(time.Minute) })
		fn(t, &network{})
	})
}
