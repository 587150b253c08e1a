package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossip is the member's node among the nodes that gossip: it carries the ring's state and tells who lives. memberlist calls
// it with locks of its own held, so it calls memberlist only from its own goroutines, and holds mu for moments.
type gossip struct {
	cfg   Gossip
	ring  *Ring
	log   *slog.Logger
	list  *memberlist.Memberlist
	queue *memberlist.TransmitLimitedQueue
	host  net.IP // under which others find this machine
	self  string // where this node is reached, ip:port; set by start
	nodes atomic.Int64
	stats gossipStats

	mu    sync.Mutex
	alive map[uint64]memberlist.Node // by incarnation
	dead  map[uint64]deadNode
}

type deadNode struct {
	addr  string
	since time.Time
}

// maxPacket bounds a packet of gossip. Packets go over TCP, so that they need not fit into a datagram.
const maxPacket = 64 << 10

func newGossip(cfg Gossip, r *Ring) *gossip {
	g := &gossip{cfg: cfg, ring: r, log: r.log.With("component", "gossip"), alive: map[uint64]memberlist.Node{}, dead: map[uint64]deadNode{}}
	g.queue = &memberlist.TransmitLimitedQueue{
		NumNodes: func() int { return max(1, int(g.nodes.Load())) }, RetransmitMult: max(1, cfg.RetransmitFactor),
	}
	return g
}

// start takes the port and makes the node; it knows nobody yet.
func (g *gossip) start() error {
	listen := g.cfg.transport
	if listen == nil {
		listen = listenTCP
	}
	transport, port, err := listen(g.cfg, g.log, &g.stats)
	if err != nil {
		return err
	}
	if g.cfg.AdvertisePort != 0 {
		port = g.cfg.AdvertisePort
	}
	g.self = net.JoinHostPort(g.host.String(), strconv.Itoa(port))
	list, err := memberlist.Create(g.config(transport, g.host, port))
	if err != nil {
		return errors.Join(fmt.Errorf("cannot start gossip at %s: %w", g.self, err), transport.Shutdown())
	}
	g.mu.Lock()
	g.list = list
	g.mu.Unlock()
	g.log.Info("gossip started", "node", g.list.LocalNode().Name, "advertised", g.self, "label", g.cfg.Label, "join", strings.Join(g.cfg.Join, ","))
	return nil
}

func (g *gossip) config(transport memberlist.Transport, ip net.IP, port int) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.cfg.NodeName
	if c.Name == "" {
		c.Name = g.ring.cfg.ID
	}
	if g.cfg.RandomizeNodeName {
		c.Name += "-" + strconv.FormatUint(g.ring.incarnation, 36)
	}
	c.Transport = transport
	c.Label, c.SkipInboundLabelCheck = g.cfg.Label, g.cfg.SkipLabelCheck
	c.AdvertiseAddr, c.AdvertisePort, c.BindPort = ip.String(), port, port
	c.TCPTimeout, c.RetransmitMult = g.cfg.StreamTimeout, max(1, g.cfg.RetransmitFactor)
	c.PushPullInterval, c.GossipInterval, c.GossipNodes = g.cfg.PushPullInterval, g.cfg.GossipInterval, g.cfg.GossipNodes
	c.GossipToTheDeadTime, c.DeadNodeReclaimTime = g.cfg.GossipToDead, g.cfg.DeadReclaim
	c.ProbeInterval, c.ProbeTimeout = g.cfg.ProbeInterval, g.cfg.ProbeTimeout
	// A member that reaches nobody looks ill to itself and is slow to call others dead, and nobody confirms what the smaller side
	// of a split suspects. It should not take half a minute for all that: reads wait for it.
	c.AwarenessMaxMultiplier, c.SuspicionMaxTimeoutMult = 3, 2
	c.DisableTcpPings = true    // packets go over TCP already
	c.EnableCompression = false // the state is compressed as a whole
	c.UDPBufferSize = maxPacket // of packets over TCP
	c.Delegate, c.Events, c.Alive = g, g, g
	c.LogOutput = logWriter{g.log}
	return c
}

// metaMagic begins the meta data of a node of this ring.
const metaMagic = stateMagic

// NodeMeta ties the node to the member.
func (g *gossip) NodeMeta(limit int) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(metaMagic), g.ring.incarnation)
	return append(b, g.ring.cfg.ID[:min(len(g.ring.cfg.ID), limit-len(b))]...)
}

// incarnationOf returns the run of a process that a node belongs to.
func incarnationOf(meta []byte) (uint64, bool) {
	if len(meta) < len(metaMagic)+8 || string(meta[:len(metaMagic)]) != metaMagic {
		return 0, false
	}
	return binary.LittleEndian.Uint64(meta[len(metaMagic):]), true
}

// NotifyAlive refuses nodes of other programs, which could get here where labels are not checked.
func (g *gossip) NotifyAlive(n *memberlist.Node) error {
	if _, ok := incarnationOf(n.Meta); !ok {
		return fmt.Errorf("the node %s at %s is not of this ring", n.Name, n.Address())
	}
	return nil
}

// NotifyJoin implements memberlist.EventDelegate.
func (g *gossip) NotifyJoin(n *memberlist.Node) {
	incarnation, _ := incarnationOf(n.Meta)
	now := time.Now()
	g.mu.Lock()
	for i, o := range g.alive {
		if o.Name == n.Name && i != incarnation {
			delete(g.alive, i) // the run before of a process whose node keeps its name
			g.dead[i] = deadNode{o.Address(), now}
		}
	}
	g.alive[incarnation] = *n
	delete(g.dead, incarnation)
	g.nodes.Store(int64(len(g.alive)))
	g.mu.Unlock()
	g.ring.touch()
}

// NotifyLeave implements memberlist.EventDelegate.
func (g *gossip) NotifyLeave(n *memberlist.Node) {
	incarnation, _ := incarnationOf(n.Meta)
	now := time.Now()
	g.mu.Lock()
	delete(g.alive, incarnation)
	g.dead[incarnation] = deadNode{n.Address(), now}
	for i, d := range g.dead {
		if now.Sub(d.since) > time.Hour {
			delete(g.dead, i) // its heartbeats are old as well
		}
	}
	g.nodes.Store(int64(len(g.alive)))
	g.mu.Unlock()
	g.ring.touch()
}

// NotifyUpdate implements memberlist.EventDelegate. A node that keeps its name and is back before it was found dead is another
// run of its process.
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.NotifyJoin(n) }

// NotifyMsg takes in a part of the state and passes on what was new.
func (g *gossip) NotifyMsg(b []byte) {
	g.stats.messages.Add(1)
	g.stats.messageBytes.Add(int64(len(b)))
	for _, e := range g.ring.receive(g.decode(b)) {
		g.broadcast(e)
	}
}

func (g *gossip) decode(b []byte) []entry {
	entries, err := decodeState(b)
	if err != nil {
		g.stats.invalid.Add(1)
		g.log.Warn("gossip that cannot be read is left aside", "err", err, "bytes", len(b))
		return nil
	}
	return entries
}

// GetBroadcasts implements memberlist.Delegate.
func (g *gossip) GetBroadcasts(overhead, limit int) [][]byte {
	return g.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns all that this member knows.
func (g *gossip) LocalState(bool) []byte {
	g.ring.mu.Lock()
	entries := g.ring.state.entries()
	g.ring.mu.Unlock()
	b, err := encodeState(entries, g.cfg.Compress)
	if err != nil {
		g.log.Error("the ring's state cannot be sent", "err", err)
		return nil
	}
	g.stats.pushes.Add(1)
	g.stats.pushBytes.Add(int64(len(b)))
	return b
}

// MergeRemoteState takes in all that another member knows.
func (g *gossip) MergeRemoteState(b []byte, _ bool) {
	g.stats.pulls.Add(1)
	g.stats.pullBytes.Add(int64(len(b)))
	if len(b) == 0 {
		return // it could not say anything
	}
	for _, e := range g.ring.receive(g.decode(b)) {
		g.broadcast(e)
	}
}

// message is an entry on its way to all members. A later one of the same kind replaces it.
type message struct {
	name string
	b    []byte
}

func (m message) Name() string    { return m.name }
func (m message) Message() []byte { return m.b }
func (m message) Finished()       {}
func (m message) Invalidates(o memberlist.Broadcast) bool {
	other, ok := o.(message)
	return ok && other.name == m.name
}

// broadcast spreads an entry among the members.
func (g *gossip) broadcast(e entry) {
	if g == nil {
		return
	}
	b, err := encodeState([]entry{e}, false)
	if err != nil {
		g.log.Error("a member's state cannot be sent", "err", err)
		return
	}
	name := "beat " + e.ID
	if e.Body.Version > 0 {
		name = "body " + e.ID
	}
	g.queue.QueueBroadcast(message{name, b})
}

// lives is whether gossip knows a run of a process to be alive, died whether to be dead.
func (g *gossip) lives(incarnation uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.alive[incarnation]
	return ok
}

func (g *gossip) died(incarnation uint64) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.dead[incarnation]
	return ok
}

// node returns the node, nil before it has started.
func (g *gossip) node() *memberlist.Memberlist {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list
}

// alone is whether no other node is known.
func (g *gossip) alone() bool { return g.nodes.Load() <= 1 }

// answers returns where a run of another process answers, or nothing.
func (g *gossip) answers(ctx context.Context, incarnation uint64) string {
	g.mu.Lock()
	n, ok := g.alive[incarnation]
	g.mu.Unlock()
	if !ok || n.Address() == g.self {
		return "" // it cannot live where this process listens
	}
	addr := &net.TCPAddr{IP: n.Addr, Port: int(n.Port)}
	for range 3 {
		if _, err := g.list.Ping(n.Name, addr); err == nil {
			return addr.String()
		}
		if !sleep(ctx, g.cfg.ProbeTimeout/2) {
			break
		}
	}
	return ""
}

// drain waits until the last changes are sent, if there is anybody to send them to.
func (g *gossip) drain() {
	end := time.Now().Add(g.cfg.LastWordsTimeout)
	for !g.alone() && g.queue.NumQueued() > 0 && time.Now().Before(end) {
		time.Sleep(g.cfg.GossipInterval / 4)
	}
}

// leave says farewell to the other nodes.
func (g *gossip) leave() {
	if err := g.list.Leave(g.cfg.LeaveTimeout); err != nil && !g.alone() {
		g.log.Warn("the gossip node left without being heard; the others will find it gone", "err", err)
	}
}

// close ends gossip and gives the port back.
func (g *gossip) close() {
	if err := g.list.Shutdown(); err != nil {
		g.log.Warn("cannot close gossip", "err", err)
	}
}

// logWriter turns memberlist's log into the process's.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	level := slog.LevelDebug
	for mark, l := range map[string]slog.Level{"[WARN]": slog.LevelDebug, "[ERR]": slog.LevelWarn, "[INFO]": slog.LevelDebug} {
		if strings.Contains(line, mark) {
			level = l
		}
	}
	if _, text, ok := strings.Cut(line, "memberlist: "); ok {
		line = text
	}
	w.log.Log(context.Background(), level, line)
	return len(p), nil
}
