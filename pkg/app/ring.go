package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/api"
	"logstore/pkg/config"
	"logstore/pkg/ring"
)

// newRing builds the ring: of this process alone, or of all members that gossip. Every ring that Loki's configuration knows
// is this one.
func (a *App) newRing() error {
	cfg, err := a.ringConfig()
	if err != nil {
		return err
	}
	a.ring, err = ring.New(cfg, ring.Deps{Registerer: a.registry, Log: a.logger.With("component", "ring")})
	return err
}

func (a *App) ringConfig() (ring.Config, error) {
	life, server := &a.cfg.Ingester.Lifecycler, &a.cfg.Server
	c := ring.DefaultConfig()
	c.ID, c.Build, c.Zone = a.memberID(), a.build.Version, life.AvailabilityZone
	c.Addr = listenAddress(life.Address, server.GRPCListenAddress, life.Port, server.GRPCListenPort)
	c.HTTPAddr = listenAddress("", server.HTTPListenAddress, 0, server.HTTPListenPort)
	c.ReplicationFactor = life.Ring.ReplicationFactor
	c.ZoneAware, c.ExcludedZones = life.Ring.ZoneAwarenessEnabled, life.Ring.ExcludedZones
	c.NumTokens, c.TokensFile = life.NumTokens, life.TokensFilePath
	c.HeartbeatPeriod, c.HeartbeatTimeout = life.HeartbeatPeriod, life.Ring.HeartbeatTimeout
	c.JoinAfter, c.ObservePeriod, c.MinReady = life.JoinAfter, life.ObservePeriod, life.MinReadyDuration
	c.FinalSleep, c.Unregister, c.WarnUnhealthy = life.FinalSleep, life.UnregisterOnShutdown, life.ReadinessRingHealth
	c.ForgetAfter = forgetAfter(a.cfg, c.HeartbeatTimeout)
	if !a.gossips() {
		c.TokensFile = ""
		return c, nil
	}
	if c.TokensFile == "" {
		c.TokensFile = filepath.Join(a.cfg.Common.PathPrefix, "ingester.tokens")
	}
	g, err := a.gossipConfig()
	c.Gossip = &g
	return c, err
}

// forgetAfter returns how long a member may be dead before the others forget it; 0: for ever.
func forgetAfter(cfg *config.Config, heartbeatTimeout time.Duration) time.Duration {
	switch in := &cfg.Ingester; {
	case cfg.Logstore.ForgetAfter > 0:
		return cfg.Logstore.ForgetAfter
	case in.AutoforgetGiven && in.AutoforgetUnhealthy:
		return heartbeatTimeout
	case in.AutoforgetGiven:
		return 0
	}
	return 5 * heartbeatTimeout
}

// gossips is whether the process may have others beside it.
func (a *App) gossips() bool {
	return a.cfg.Ingester.Lifecycler.Ring.KVStore.Store == config.RingMemberlist
}

// gossipConfig says the block `memberlist` in the ring's words.
func (a *App) gossipConfig() (ring.Gossip, error) {
	cfg := a.cfg
	m, life := &cfg.Memberlist, &cfg.Ingester.Lifecycler
	g := ring.DefaultGossip()
	g.NodeName, g.RandomizeNodeName = m.NodeName, m.RandomizeNodeName
	g.BindAddrs, g.BindPort = m.BindAddr, m.BindPort
	g.AdvertiseAddr, g.AdvertisePort = m.AdvertiseAddr, m.AdvertisePort
	g.Interfaces, g.IPv6 = life.OwnInterfaces(), life.EnableInet6
	g.Join, g.Seeds = m.JoinMembers, m.RejoinSeedNodes
	g.MinBackoff, g.MaxBackoff, g.MaxJoinRetries = m.MinJoinBackoff, m.MaxJoinBackoff, m.MaxJoinRetries
	g.AbortIfJoinFails, g.RejoinInterval = m.AbortIfClusterJoinFails, m.RejoinInterval
	g.Label, g.SkipLabelCheck = clusterLabel(cfg), m.ClusterLabelVerificationDisabled
	g.Compress, g.StreamTimeout, g.RetransmitFactor = m.CompressionEnabled, m.StreamTimeout, m.RetransmitFactor
	g.PushPullInterval, g.GossipInterval, g.GossipNodes = m.PullPushInterval, m.GossipInterval, m.GossipNodes
	g.GossipToDead, g.DeadReclaim = m.GossipToDeadNodesTime, m.DeadNodeReclaimTime
	g.LeftTimeout, g.ObsoleteTimeout, g.NotifyInterval = m.LeftIngestersTimeout, m.ObsoleteEntriesTimeout, m.NotifyInterval
	g.LeaveTimeout, g.LastWordsTimeout = m.LeaveTimeout, m.LastWordsTimeout
	g.DialTimeout, g.WriteTimeout = m.PacketDialTimeout, m.PacketWriteTimeout
	var err error
	if m.TLSEnabled {
		if g.TLS, err = a.gossipTLS(m); err != nil {
			return g, fmt.Errorf("cannot gossip over TLS (memberlist.tls_enabled): %w", err)
		}
	}
	return g, nil
}

// clusterLabel names the cluster, so that members of another one that come by a reused address are not let in: what is
// configured, or else the bucket of the first period, which is one of a kind and the same for all members.
func clusterLabel(cfg *config.Config) string {
	if cfg.Memberlist.ClusterLabel != "" {
		return cfg.Memberlist.ClusterLabel
	}
	label := "logstore"
	if len(cfg.Schema.Configs) == 0 {
		return label
	}
	where, err := cfg.ObjectStore(cfg.Schema.Configs[0].ObjectStore)
	if err != nil || where.Kind != config.KindS3 {
		return label
	}
	bucket := where.S3.BucketNames
	if bucket == "" {
		bucket = where.S3.S3[strings.LastIndex(where.S3.S3, "/")+1:]
		bucket, _, _ = strings.Cut(bucket, "?")
	}
	if bucket == "" || len(bucket) > 200 || strings.ContainsAny(bucket, "@:") {
		return label // an address that names no bucket may hold a key instead
	}
	return label + "/" + bucket
}

// listenAddress returns where others reach a server: the host that is configured, or the one that it listens on, or none if
// it listens on all; and its port.
func listenAddress(host, listen string, port, listenPort int) string {
	if ip := net.ParseIP(listen); host == "" && listen != "" && (ip == nil || !ip.IsUnspecified()) {
		host = listen
	}
	if port == 0 {
		port = listenPort
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// memberID names this process among the members: lifecycler.id, or the host's name; among several members the name of its
// first run, which a file on its volume keeps.
func (a *App) memberID() string {
	if id := a.cfg.Ingester.Lifecycler.ID; id != "" {
		return id
	}
	host, err := os.Hostname()
	if err != nil {
		host = "logstore"
	}
	if !a.gossips() {
		return host
	}
	id, err := ring.Identity(filepath.Join(a.cfg.Common.PathPrefix, "instance_id"), host)
	if err != nil {
		a.logger.Warn("the member's name cannot be kept: should the host be renamed, it is another member", "err", err)
		return host
	}
	return id
}

// instanceID names this process in the bucket.
func (a *App) instanceID() string {
	if id := a.cfg.Storage.BoltDBShipper.IngesterName; id != "" {
		return id
	}
	return a.memberID()
}

// activate makes the member take pushes when its write-ahead log is replayed.
func (a *App) activate(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for a.ingester.Ready() != nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
	a.ring.Activate()
}

// members shows the ring to the API.
func (a *App) members() []api.RingMember {
	out, owned := []api.RingMember{}, a.ring.Ownership()
	for _, m := range a.ring.Members() {
		state := m.State.String()
		if !m.Healthy {
			state = "UNHEALTHY"
		}
		out = append(out, api.RingMember{
			ID: m.ID, State: state, Address: m.Addr, Timestamp: m.Heartbeat.UTC(), Registered: m.Registered.UTC(), Zone: m.Zone,
			Tokens: append([]uint32{}, m.Tokens...), HTTPAddress: m.HTTPAddr, Version: m.Version, Healthy: m.Healthy, Self: m.Self,
			Ownership: owned[m.ID],
		})
	}
	return out
}

// holdsSecond tells that this member holds a stream, and is not the first that does.
func (a *App) holdsSecond(tenant string, hash uint64) bool {
	held := a.ring.Replicas(make([]ring.Member, 0, 4), ring.Token(tenant, hash))
	return len(held) > 1 && !held[0].Self
}
