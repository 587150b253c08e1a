package ring

import (
	"slices"
	"strings"
	"time"
)

// Ownership returns by ID the part of the streams, from 0 to 1, that has a member for its owner: 0 for one that takes no
// pushes.
func (r *Ring) Ownership() map[string]float64 {
	v := r.view.Load()
	out := make(map[string]float64, len(v.members))
	for i, m := range v.members {
		out[m.ID] = v.shares[i]
	}
	return out
}

// GossipStatus is what gossip knows, for people who look for a fault in it.
type GossipStatus struct {
	Node        string           `json:"node"`
	Address     string           `json:"address"`
	Label       string           `json:"cluster_label"`
	Join        []string         `json:"join_members"`
	HealthScore int              `json:"health_score"` // 0 is healthy
	Queued      int              `json:"messages_in_broadcast_queue"`
	Nodes       []GossipNode     `json:"nodes"`
	Entries     []GossipEntry    `json:"entries"`
	Counters    map[string]int64 `json:"counters"`
}

// GossipNode is a node that gossips, or did.
type GossipNode struct {
	Name    string     `json:"name"`
	Address string     `json:"address"`
	Member  string     `json:"member"`
	Alive   bool       `json:"alive"`
	Since   *time.Time `json:"dead_since,omitempty"`
}

// GossipEntry is what the ring's state says of a member, LEFT ones included.
type GossipEntry struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Version time.Time `json:"changed"`
	Beat    time.Time `json:"heartbeat"` // by the member's clock
	Heard   time.Time `json:"heard"`     // by the own one
	Build   string    `json:"version"`
	Tokens  int       `json:"tokens"`
}

// GossipStatus returns what gossip knows, nil without gossip.
func (r *Ring) GossipStatus() *GossipStatus {
	g := r.gossip
	if g == nil {
		return nil
	}
	s := &GossipStatus{Label: g.cfg.Label, Join: g.cfg.Join, Queued: g.queue.NumQueued(), Counters: map[string]int64{}}
	if list := g.node(); list != nil {
		s.Node, s.Address, s.HealthScore = list.LocalNode().Name, list.LocalNode().Address(), list.GetHealthScore()
	}
	for name, n := range map[string]interface{ Load() int64 }{
		"messages_received": &g.stats.messages, "messages_invalid": &g.stats.invalid, "states_sent": &g.stats.pushes,
		"states_received": &g.stats.pulls, "packets_sent": &g.stats.packetsSent, "packets_received": &g.stats.packetsReceived,
		"packets_dropped": &g.stats.packetsDropped, "connection_errors": &g.stats.packetErrors,
	} {
		s.Counters[name] = n.Load()
	}
	member := map[uint64]string{}
	r.mu.Lock()
	for _, e := range r.state.entries() {
		member[e.Body.Incarnation] = e.ID
		entry := GossipEntry{
			ID: e.ID, State: e.Body.State.String(), Version: time.UnixMilli(int64(e.Body.Version)).UTC(), Build: e.Body.Build,
			Beat: time.UnixMilli(int64(e.Beat)).UTC(), Heard: time.Now().UTC(), Tokens: len(e.Body.Tokens),
		}
		if w := r.watch[e.ID]; w != nil {
			entry.Heard = w.seen.UTC()
		}
		s.Entries = append(s.Entries, entry)
	}
	r.mu.Unlock()
	g.mu.Lock()
	for incarnation, n := range g.alive {
		s.Nodes = append(s.Nodes, GossipNode{Name: n.Name, Address: n.Address(), Member: member[incarnation], Alive: true})
	}
	for incarnation, d := range g.dead {
		since := d.since.UTC()
		s.Nodes = append(s.Nodes, GossipNode{Address: d.addr, Member: member[incarnation], Since: &since})
	}
	g.mu.Unlock()
	slices.SortFunc(s.Nodes, func(a, b GossipNode) int { return strings.Compare(a.Address+a.Name, b.Address+b.Name) })
	return s
}
