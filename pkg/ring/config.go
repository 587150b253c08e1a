package ring

import (
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Config is what a member says of itself and how it lives among others.
type Config struct {
	// ID names the member among all; Addr is where others reach its gRPC server, host:port. With gossip an address without a host
	// gets the advertised one.
	ID, Addr string
	// HTTPAddr is host:port of the HTTP server, Zone where the member runs, Build what it runs. They may be empty.
	HTTPAddr, Zone, Build string

	// ReplicationFactor is how many members hold a stream. With ZoneAware they are in different zones as long as there are any;
	// members in ExcludedZones take no pushes.
	ReplicationFactor int
	ZoneAware         bool
	ExcludedZones     []string

	// NumTokens is how many places the member takes on the ring. They are kept in TokensFile, if that is not empty, and taken
	// again by the next run.
	NumTokens  int
	TokensFile string

	// HeartbeatPeriod is how often the member says that it lives; one that was not heard of for HeartbeatTimeout is unhealthy.
	// 0 as time-out: only gossip's own failure detector counts.
	HeartbeatPeriod, HeartbeatTimeout time.Duration
	// JoinAfter is the longest time that a newcomer without tokens waits for the members that it is told to join, and that
	// can neither be reached nor are known to be away.
	JoinAfter time.Duration
	// ObservePeriod is how long new tokens are watched for conflicts before the member is ACTIVE.
	ObservePeriod time.Duration
	// MinReady is how long a member is ACTIVE before it says that it is ready.
	MinReady time.Duration
	// FinalSleep is how long the member still gossips after it has left.
	FinalSleep time.Duration
	// Unregister is whether the member is LEFT when its process has ended; else it stays LEAVING, and its streams pass on
	// all the same.
	Unregister bool
	// WarnUnhealthy is whether a member that becomes ready warns of others that are ill.
	WarnUnhealthy bool
	// ForgetAfter is how long a member may be unhealthy before the others forget it; 0: for ever.
	ForgetAfter time.Duration

	// Gossip finds other members; nil: the process is alone.
	Gossip *Gossip
}

// Gossip says how members find each other and talk.
type Gossip struct {
	// NodeName is the name of the gossip node; empty: the member's ID. With RandomizeNodeName each run has another.
	NodeName          string
	RandomizeNodeName bool
	// BindAddrs are the addresses to listen on; none: all.
	BindAddrs []string
	BindPort  int
	// AdvertiseAddr is where others find this member; empty: the source address of the route to the first member to join.
	// AdvertisePort 0 is the port that it listens on.
	AdvertiseAddr string
	AdvertisePort int
	// Interfaces are names of network interfaces; if any are given the address of the first that has one is advertised.
	Interfaces []string
	IPv6       bool

	// Join are the members to join: host or host:port, where a host may stand for several members, or a name with one of the
	// prefixes dns+, dnssrv+, dnssrvnoa+. Seeds are those to rejoin; none: those of Join.
	Join, Seeds               []string
	MinBackoff, MaxBackoff    time.Duration
	MaxJoinRetries            int // 0: for ever
	AbortIfJoinFails          bool
	RejoinInterval            time.Duration // 0: only while members that should be there are not
	Label                     string        // of the cluster: gossip of any other is refused
	SkipLabelCheck            bool
	Compress                  bool
	StreamTimeout             time.Duration
	RetransmitFactor          int
	PushPullInterval          time.Duration
	GossipInterval            time.Duration
	GossipNodes               int
	GossipToDead              time.Duration
	DeadReclaim               time.Duration
	LeftTimeout               time.Duration // how long it is remembered that a member has left
	ObsoleteTimeout           time.Duration // how long a message about a member that has left may be on its way, besides
	NotifyInterval            time.Duration // the least time between two changes that are acted on
	LeaveTimeout              time.Duration // of the farewell of the gossip node
	LastWordsTimeout          time.Duration // of the last changes to be sent, before it
	DialTimeout, WriteTimeout time.Duration // of packets
	TLS                       *tls.Config   // nil: none
	// ProbeInterval is how often a node asks another whether it lives, ProbeTimeout how long it waits for the answer.
	ProbeInterval, ProbeTimeout time.Duration

	transport transportFunc // of tests; nil: TCP
}

// DefaultConfig returns the settings of a member that is alone, with Loki's defaults.
func DefaultConfig() Config {
	return Config{
		ReplicationFactor: 1, NumTokens: 128, HeartbeatPeriod: 15 * time.Second, HeartbeatTimeout: time.Minute,
		MinReady: 15 * time.Second, Unregister: true, WarnUnhealthy: true, ForgetAfter: 5 * time.Minute,
	}
}

// DefaultGossip returns Loki's defaults.
func DefaultGossip() Gossip {
	return Gossip{
		RandomizeNodeName: true, BindPort: 7946, MinBackoff: time.Second, MaxBackoff: time.Minute, MaxJoinRetries: 10,
		Compress: true, StreamTimeout: 2 * time.Second, RetransmitFactor: 4, PushPullInterval: 30 * time.Second,
		GossipInterval: 200 * time.Millisecond, GossipNodes: 3, GossipToDead: 30 * time.Second, LeftTimeout: 5 * time.Minute,
		ObsoleteTimeout: 30 * time.Second, LeaveTimeout: 20 * time.Second, LastWordsTimeout: 10 * time.Second,
		DialTimeout: 2 * time.Second, WriteTimeout: 5 * time.Second,
		ProbeInterval: time.Second, ProbeTimeout: 500 * time.Millisecond,
	}
}

// Validate reports what a ring cannot live with.
func (c Config) Validate() error {
	switch {
	case c.ID == "":
		return errors.New("the member has no ID")
	case len(c.ID) > 256:
		return fmt.Errorf("the ID %.20q... is longer than 256 bytes", c.ID)
	case c.ReplicationFactor < 1:
		return fmt.Errorf("a replication factor of %d is not allowed, only one above 0", c.ReplicationFactor)
	case c.NumTokens < 1 || c.NumTokens > maxTokens:
		return fmt.Errorf("%d tokens are not allowed, only 1 to %d", c.NumTokens, maxTokens)
	case c.Gossip == nil:
		return nil
	case c.HeartbeatPeriod <= 0:
		return errors.New("a heartbeat period of 0 is not allowed: others would take the member for dead")
	case c.HeartbeatTimeout > 0 && c.HeartbeatTimeout <= c.HeartbeatPeriod:
		return fmt.Errorf("the heartbeat time-out %s must be above the heartbeat period %s", c.HeartbeatTimeout, c.HeartbeatPeriod)
	case len(c.Gossip.Label) > 255:
		return errors.New("the cluster label is longer than 255 bytes")
	case c.Gossip.GossipInterval <= 0 || c.Gossip.GossipNodes < 1:
		return errors.New("members must gossip: the interval and the number of nodes must be above 0")
	}
	return nil
}

// newRand returns a source of randomness that differs with each call.
func newRand() *rand.Rand {
	var seed [16]byte
	_, _ = crand.Read(seed[:]) // it never fails
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])))
}
