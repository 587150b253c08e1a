package ring

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// transportFunc takes a port and returns what memberlist talks through.
type transportFunc func(Gossip, *slog.Logger, *gossipStats) (memberlist.Transport, int, error)

// The first byte of a connection, see FORMAT.md.
const (
	kindStream = 's'
	kindPacket = 'p'
)

const (
	maxFrame     = 1 << 20
	sendQueue    = 256              // packets that wait for a connection to one node
	idleSender   = time.Minute      // after which a connection without packets is closed
	idleReceiver = 3 * time.Minute  // after which one that brings none is
	hello        = 10 * time.Second // in which a connection must say what it is
	maxConns     = 4096             // connections that others may open
)

// tcpTransport carries packets and streams over TCP, with TLS if configured, on one port: clusters have that port open, and
// packets may be larger than a datagram.
type tcpTransport struct {
	cfg       Gossip
	log       *slog.Logger
	stats     *gossipStats
	listeners []net.Listener
	packets   chan *memberlist.Packet
	streams   chan net.Conn
	ctx       context.Context
	stop      context.CancelFunc
	wg        sync.WaitGroup
	slots     chan struct{}

	mu      sync.Mutex
	self    string
	senders map[string]chan []byte
	conns   map[net.Conn]struct{}
}

// listenTCP takes the port at all configured addresses.
func listenTCP(cfg Gossip, log *slog.Logger, stats *gossipStats) (memberlist.Transport, int, error) {
	t := &tcpTransport{
		cfg: cfg, log: log, stats: stats, packets: make(chan *memberlist.Packet, 64), streams: make(chan net.Conn),
		slots: make(chan struct{}, maxConns), senders: map[string]chan []byte{}, conns: map[net.Conn]struct{}{},
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	addrs := cfg.BindAddrs
	if len(addrs) == 0 {
		addrs = []string{""}
	}
	port := cfg.BindPort
	for _, addr := range addrs {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("cannot listen for gossip on %s port %d (memberlist.bind_addr, bind_port): %w", addr, port, err), t.Shutdown())
		}
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && port == 0 {
			port = tcp.Port
		}
		t.listeners = append(t.listeners, l)
	}
	for _, l := range t.listeners {
		t.wg.Go(func() { t.accept(l) })
	}
	return t, port, nil
}

// FinalAdvertiseAddr notes where this node is reached, as it was found out before.
func (t *tcpTransport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.self = net.JoinHostPort(ip, strconv.Itoa(port))
	return net.ParseIP(ip), port, nil
}

func (t *tcpTransport) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if t.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close() // nobody is there to talk to
			}
			return
		}
		if err != nil {
			t.log.Warn("cannot take a connection", "err", err)
			sleep(t.ctx, 100*time.Millisecond)
			continue
		}
		select {
		case t.slots <- struct{}{}:
			t.wg.Go(func() { t.serve(conn) })
		default:
			_ = conn.Close() // too many already
		}
	}
}

// serve takes a connection that another node has opened. A stream passes to memberlist, which closes it.
func (t *tcpTransport) serve(conn net.Conn) {
	defer func() { <-t.slots }()
	if !t.track(conn) {
		return
	}
	defer t.untrack(conn)
	raw := conn
	if t.cfg.TLS != nil {
		conn = tls.Server(conn, t.cfg.TLS)
	}
	if conn.SetDeadline(time.Now().Add(hello)) != nil {
		_ = raw.Close()
		return
	}
	var kind [1]byte
	_, err := io.ReadFull(conn, kind[:])
	if err == nil && kind[0] == kindStream {
		if err = conn.SetDeadline(time.Time{}); err == nil {
			select {
			case t.streams <- conn:
				return
			case <-t.ctx.Done():
			}
		}
	} else if err == nil && kind[0] == kindPacket {
		err = t.readPackets(conn)
	} else if err == nil {
		err = fmt.Errorf("it begins with the unknown byte %#x", kind[0])
	}
	_ = conn.Close() // it was only read
	if err != nil && !errors.Is(err, io.EOF) && t.ctx.Err() == nil {
		t.stats.packetErrors.Add(1)
		t.log.Debug("a connection of gossip failed", "from", raw.RemoteAddr(), "err", err)
	}
}

// readPackets reads packets until the other side ends or falls silent.
func (t *tcpTransport) readPackets(conn net.Conn) error {
	r := bufio.NewReader(conn)
	var length [4]byte
	if _, err := io.ReadFull(r, length[:2]); err != nil {
		return err
	}
	from := make([]byte, min(int(binary.LittleEndian.Uint16(length[:2])), 300))
	if _, err := io.ReadFull(r, from); err != nil {
		return err
	}
	addr, err := net.ResolveTCPAddr("tcp", string(from))
	if err != nil {
		return fmt.Errorf("the address to answer to is wrong: %w", err)
	}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(idleReceiver)); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(length[:])
		if n == 0 || n > maxFrame {
			return fmt.Errorf("a packet of %d bytes is not allowed", n)
		}
		buf := make([]byte, n)
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		t.stats.packetsReceived.Add(1)
		t.stats.bytesReceived.Add(int64(n))
		select {
		case t.packets <- &memberlist.Packet{Buf: buf, From: addr, Timestamp: time.Now()}:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
}

// WriteTo sends a packet if it can: like a datagram it may be lost, and it never keeps the caller waiting.
func (t *tcpTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	if len(b) > maxFrame {
		return time.Time{}, fmt.Errorf("cannot send a packet of %d bytes: it is too large", len(b))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return time.Time{}, errors.New("cannot send a packet: gossip has ended")
	}
	queue := t.senders[addr]
	if queue == nil {
		queue = make(chan []byte, sendQueue)
		t.senders[addr] = queue
		t.wg.Go(func() { t.send(addr, queue) })
	}
	select {
	case queue <- append([]byte(nil), b...):
	default:
		t.stats.packetsDropped.Add(1)
	}
	return time.Now(), nil
}

// send carries the packets of a queue over one connection until there are none for a while, or the connection fails.
func (t *tcpTransport) send(addr string, queue chan []byte) {
	err := t.sendAll(addr, queue)
	t.mu.Lock()
	delete(t.senders, addr)
	t.mu.Unlock()
	lost := len(queue) // nobody writes to it any more
	t.stats.packetsDropped.Add(int64(lost))
	if err != nil && t.ctx.Err() == nil {
		t.stats.packetErrors.Add(1)
		t.log.Debug("packets cannot be sent", "to", addr, "lost", lost, "err", err)
	}
}

func (t *tcpTransport) sendAll(addr string, queue chan []byte) error {
	conn, err := t.dial(addr, t.cfg.DialTimeout, kindPacket)
	if err != nil {
		return err
	}
	defer t.untrack(conn)
	defer func() { _ = conn.Close() }() // a packet is lost or not, whatever Close says
	t.mu.Lock()
	self := t.self
	t.mu.Unlock()
	buf := append(binary.LittleEndian.AppendUint16(nil, uint16(len(self))), self...)
	idle := time.NewTimer(idleSender)
	defer idle.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return nil
		case <-idle.C:
			return nil
		case p := <-queue:
			buf = append(binary.LittleEndian.AppendUint32(buf, uint32(len(p))), p...)
			if err := conn.SetWriteDeadline(time.Now().Add(t.cfg.WriteTimeout)); err != nil {
				return err
			}
			if _, err := conn.Write(buf); err != nil {
				return err
			}
			t.stats.packetsSent.Add(1)
			t.stats.bytesSent.Add(int64(len(p)))
			buf = buf[:0]
			idle.Reset(idleSender)
		}
	}
}

// PacketCh implements memberlist.Transport.
func (t *tcpTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *tcpTransport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout opens a stream.
func (t *tcpTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := t.dial(addr, timeout, kindStream)
	if err == nil {
		t.untrack(conn) // it is memberlist's
	}
	return conn, err
}

// dial opens a connection of a kind. It is tracked.
func (t *tcpTransport) dial(addr string, timeout time.Duration, kind byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if t.cfg.TLS != nil {
		cfg := t.cfg.TLS
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error says why
			return nil, fmt.Errorf("cannot talk TLS to %s: %w", addr, err)
		}
		conn = secure
	}
	if !t.track(conn) {
		return nil, errors.New("gossip has ended")
	}
	err = conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = conn.Write([]byte{kind})
	}
	if err == nil {
		err = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		t.untrack(conn)
		_ = conn.Close() // the write's error says why
		return nil, err
	}
	return conn, nil
}

// track notes a connection, to be closed at the end. If that has come it closes it at once and returns false.
func (t *tcpTransport) track(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		_ = conn.Close() // nothing was said
		return false
	}
	t.conns[conn] = struct{}{}
	return true
}

func (t *tcpTransport) untrack(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
}

// Shutdown ends all that was started.
func (t *tcpTransport) Shutdown() error {
	t.mu.Lock()
	t.stop()
	var errs []error
	for _, l := range t.listeners {
		errs = append(errs, l.Close())
	}
	for conn := range t.conns {
		_ = conn.Close() // its reader or writer ends with an error
	}
	t.mu.Unlock()
	t.wg.Wait()
	return errors.Join(errs...)
}
