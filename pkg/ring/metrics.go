package ring

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Names are the names under which Loki knows the ring: a member is all of these at once.
var Names = [...]string{"ingester", "distributor", "ruler", "compactor"}

// gossipStats count what gossip does.
type gossipStats struct {
	messages, messageBytes, invalid                        atomic.Int64
	pushes, pushBytes, pulls, pullBytes                    atomic.Int64
	packetsSent, bytesSent, packetsReceived, bytesReceived atomic.Int64
	packetsDropped, packetErrors                           atomic.Int64
}

// metrics are the ring's own; what it can read from its state it reads when asked.
type metrics struct {
	ring                         *Ring
	heartbeats, forgotten, moves prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Ring) *metrics {
	m := &metrics{
		ring: r,
		heartbeats: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loki_member_ring_heartbeats_total", Help: "Heartbeats that this member has sent.",
		}),
		moves: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "logstore_ring_moves_total", Help: "How often this member moved tokens because it had less of the ring than others.",
		}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "logstore_ring_forgotten_members_total", Help: "Dead members that this one has removed from the ring.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.heartbeats, m.forgotten, m.moves, m)
	}
	return m
}

var (
	descMembers   = prometheus.NewDesc("loki_ring_members", "Members of the ring by state; those that do not answer are Unhealthy.", []string{"name", "state"}, nil)
	descTokens    = prometheus.NewDesc("loki_ring_tokens_total", "Tokens of all members.", []string{"name"}, nil)
	descOwned     = prometheus.NewDesc("loki_ring_member_ownership_percent", "The part of the streams that a member owns, from 0 to 1.", []string{"name", "member"}, nil)
	descOldest    = prometheus.NewDesc("loki_ring_oldest_member_timestamp", "The oldest heartbeat of the members in a state.", []string{"name", "state"}, nil)
	descOwnTokens = prometheus.NewDesc("loki_member_ring_tokens_owned", "Tokens of this member.", []string{"name"}, nil)
	descToOwn     = prometheus.NewDesc("loki_member_ring_tokens_to_own", "Tokens that this member is to have.", []string{"name"}, nil)
	descLacking   = prometheus.NewDesc("logstore_ring_lacking_members", "How many more members must take pushes for streams to have all their copies.", nil, nil)
	descNodes     = prometheus.NewDesc("loki_memberlist_client_cluster_members_count", "Nodes that gossip, as seen from this one.", nil, nil)
	descScore     = prometheus.NewDesc("loki_memberlist_client_cluster_node_health_score", "How slow this node finds itself; 0 is healthy.", nil, nil)
	descQueued    = prometheus.NewDesc("loki_memberlist_client_messages_in_broadcast_queue", "Changes that wait to be sent.", nil, nil)
)

// counters of gossip by name.
var descStats = []struct {
	desc *prometheus.Desc
	of   func(*gossipStats) *atomic.Int64
}{
	{stat("client_received_broadcasts_total", "Messages of gossip that came in."), func(s *gossipStats) *atomic.Int64 { return &s.messages }},
	{stat("client_received_broadcasts_bytes_total", "Bytes of these messages."), func(s *gossipStats) *atomic.Int64 { return &s.messageBytes }},
	{stat("client_received_broadcasts_invalid_total", "Messages and states that could not be read."), func(s *gossipStats) *atomic.Int64 { return &s.invalid }},
	{stat("client_state_pushes_total", "Whole states sent to other nodes."), func(s *gossipStats) *atomic.Int64 { return &s.pushes }},
	{stat("client_state_pushes_bytes_total", "Bytes of these states."), func(s *gossipStats) *atomic.Int64 { return &s.pushBytes }},
	{stat("client_state_pulls_total", "Whole states got from other nodes."), func(s *gossipStats) *atomic.Int64 { return &s.pulls }},
	{stat("client_state_pulls_bytes_total", "Bytes of these states."), func(s *gossipStats) *atomic.Int64 { return &s.pullBytes }},
	{stat("tcp_transport_packets_sent_total", "Packets sent."), func(s *gossipStats) *atomic.Int64 { return &s.packetsSent }},
	{stat("tcp_transport_packets_sent_bytes_total", "Bytes of packets sent."), func(s *gossipStats) *atomic.Int64 { return &s.bytesSent }},
	{stat("tcp_transport_packets_received_total", "Packets received."), func(s *gossipStats) *atomic.Int64 { return &s.packetsReceived }},
	{stat("tcp_transport_packets_received_bytes_total", "Bytes of packets received."), func(s *gossipStats) *atomic.Int64 { return &s.bytesReceived }},
	{stat("tcp_transport_packets_dropped_total", "Packets that could not be sent."), func(s *gossipStats) *atomic.Int64 { return &s.packetsDropped }},
	{stat("tcp_transport_packets_sent_errors_total", "Connections for packets that failed."), func(s *gossipStats) *atomic.Int64 { return &s.packetErrors }},
}

func stat(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("loki_memberlist_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	v := m.ring.view.Load()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count, oldest, tokens := map[string]int{"Unhealthy": 0}, map[string]time.Time{}, 0
	for s := range Left {
		count[s.String()] = 0
	}
	members := m.ring.Members()
	for _, mem := range members {
		s := mem.State.String()
		if !mem.Healthy {
			s = "Unhealthy"
		}
		count[s]++
		tokens += len(mem.Tokens)
		if old, ok := oldest[s]; !ok || mem.Heartbeat.Before(old) {
			oldest[s] = mem.Heartbeat
		}
	}
	self := m.ring.Self()
	for _, name := range Names {
		for s, n := range count {
			gauge(descMembers, float64(n), name, s)
		}
		for s, t := range oldest {
			gauge(descOldest, float64(t.Unix()), name, s)
		}
		gauge(descTokens, float64(tokens), name)
		gauge(descOwnTokens, float64(len(self.Tokens)), name)
		gauge(descToOwn, float64(m.ring.cfg.NumTokens), name)
	}
	for i, mem := range v.members {
		gauge(descOwned, v.shares[i], Names[0], mem.ID)
	}
	gauge(descLacking, float64(max(0, m.ring.cfg.ReplicationFactor-v.writers)))
	m.collectGossip(ch, gauge)
}

func (m *metrics) collectGossip(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	g := m.ring.gossip
	if g == nil {
		return
	}
	gauge(descNodes, float64(g.nodes.Load()))
	gauge(descQueued, float64(g.queue.NumQueued()))
	if list := g.node(); list != nil {
		gauge(descScore, float64(list.GetHealthScore()))
	}
	for _, s := range descStats {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, float64(s.of(&g.stats).Load()))
	}
}
