package config

import (
	"slices"
	"time"
)

// Stores of the ring's state.
const (
	RingInMemory   = "inmemory"
	RingMemberlist = "memberlist"
)

// KVStore says where the ring's state lives: in this process alone, or gossiped among the members.
type KVStore struct {
	Store string `loki:"store"`
	// Memberlist is where old files put the block `memberlist`; it stands for that block.
	Memberlist *Memberlist `loki:"memberlist"`
}

// CommonRing is `common.ring`: what all rings have in common.
type CommonRing struct {
	KVStore                  KVStore       `loki:"kvstore"`
	HeartbeatPeriod          time.Duration `loki:"heartbeat_period"`
	HeartbeatTimeout         time.Duration `loki:"heartbeat_timeout"`
	InstanceID               string        `loki:"instance_id"`
	InstanceAddr             string        `loki:"instance_addr"`
	InstancePort             int           `loki:"instance_port"`
	InstanceInterfaceNames   []string      `loki:"instance_interface_names,list"`
	InstanceAvailabilityZone string        `loki:"instance_availability_zone"`
	InstanceEnableIPv6       bool          `loki:"instance_enable_ipv6"`
	NumTokens                int           `loki:"num_tokens"`
	ReplicationFactor        int           `loki:"replication_factor"`
	TokensFilePath           string        `loki:"tokens_file_path"`
	ZoneAwarenessEnabled     bool          `loki:"zone_awareness_enabled"`
}

// ServiceRing is the ring of a single service. All services of a member share the member's one ring, that of
// `ingester.lifecycler`; only the store is read here, to know whether the service is shared among members.
type ServiceRing struct {
	KVStore KVStore `loki:"kvstore"`
}

// OwnInterfaces returns the network interfaces to take the address from, none if the list is Loki's own: that is made for
// other machines than many are, and the route to the other members tells more.
func (l *Lifecycler) OwnInterfaces() []string {
	if slices.Equal(l.InterfaceNames, defaultInterfaces()) {
		return nil
	}
	return l.InterfaceNames
}

// Lifecycler is `ingester.lifecycler`: this member in the ring. After Load it holds what `common` says, too.
type Lifecycler struct {
	Ring                 LifecyclerRing `loki:"ring"`
	ID                   string         `loki:"id"`
	Address              string         `loki:"address"`
	Port                 int            `loki:"port"` // 0: the gRPC port
	InterfaceNames       []string       `loki:"interface_names,list"`
	EnableInet6          bool           `loki:"enable_inet6"`
	AvailabilityZone     string         `loki:"availability_zone"`
	NumTokens            int            `loki:"num_tokens"`
	TokensFilePath       string         `loki:"tokens_file_path"`
	HeartbeatPeriod      time.Duration  `loki:"heartbeat_period"`
	ObservePeriod        time.Duration  `loki:"observe_period"`
	JoinAfter            time.Duration  `loki:"join_after"`
	MinReadyDuration     time.Duration  `loki:"min_ready_duration"`
	FinalSleep           time.Duration  `loki:"final_sleep"`
	UnregisterOnShutdown bool           `loki:"unregister_on_shutdown"`
	ReadinessRingHealth  bool           `loki:"readiness_check_ring_health"`
}

// LifecyclerRing is `ingester.lifecycler.ring`.
type LifecyclerRing struct {
	KVStore              KVStore       `loki:"kvstore"`
	HeartbeatTimeout     time.Duration `loki:"heartbeat_timeout"`
	ReplicationFactor    int           `loki:"replication_factor"`
	ZoneAwarenessEnabled bool          `loki:"zone_awareness_enabled"`
	ExcludedZones        []string      `loki:"excluded_zones,list"`
}

// Memberlist is the block `memberlist`: the gossip.
type Memberlist struct {
	NodeName                         string        `loki:"node_name"`
	RandomizeNodeName                bool          `loki:"randomize_node_name"`
	StreamTimeout                    time.Duration `loki:"stream_timeout"`
	RetransmitFactor                 int           `loki:"retransmit_factor"`
	PullPushInterval                 time.Duration `loki:"pull_push_interval"`
	GossipInterval                   time.Duration `loki:"gossip_interval"`
	GossipNodes                      int           `loki:"gossip_nodes"`
	GossipToDeadNodesTime            time.Duration `loki:"gossip_to_dead_nodes_time"`
	DeadNodeReclaimTime              time.Duration `loki:"dead_node_reclaim_time"`
	CompressionEnabled               bool          `loki:"compression_enabled"`
	AdvertiseAddr                    string        `loki:"advertise_addr"`
	AdvertisePort                    int           `loki:"advertise_port"`
	ClusterLabel                     string        `loki:"cluster_label"`
	ClusterLabelVerificationDisabled bool          `loki:"cluster_label_verification_disabled"`
	JoinMembers                      []string      `loki:"join_members,list"`
	MinJoinBackoff                   time.Duration `loki:"min_join_backoff"`
	MaxJoinBackoff                   time.Duration `loki:"max_join_backoff"`
	MaxJoinRetries                   int           `loki:"max_join_retries"`
	AbortIfClusterJoinFails          bool          `loki:"abort_if_cluster_join_fails"`
	RejoinInterval                   time.Duration `loki:"rejoin_interval"`
	LeftIngestersTimeout             time.Duration `loki:"left_ingesters_timeout"`
	LeaveTimeout                     time.Duration `loki:"leave_timeout"`
	BindAddr                         []string      `loki:"bind_addr,list"`
	BindPort                         int           `loki:"bind_port"`
	PacketDialTimeout                time.Duration `loki:"packet_dial_timeout"`
	PacketWriteTimeout               time.Duration `loki:"packet_write_timeout"`
	RejoinSeedNodes                  []string      `loki:"rejoin_seed_nodes,list"`
	ObsoleteEntriesTimeout           time.Duration `loki:"obsolete_entries_timeout"`
	NotifyInterval                   time.Duration `loki:"notify_interval"`
	LastWordsTimeout                 time.Duration `loki:"broadcast_timeout_for_local_updates_on_shutdown"`
	TLSEnabled                       bool          `loki:"tls_enabled"`
	TLSCertPath                      string        `loki:"tls_cert_path"`
	TLSKeyPath                       string        `loki:"tls_key_path"`
	TLSCAPath                        string        `loki:"tls_ca_path"`
	TLSServerName                    string        `loki:"tls_server_name"`
	TLSInsecureSkipVerify            bool          `loki:"tls_insecure_skip_verify"`
	TLSCipherSuites                  []string      `loki:"tls_cipher_suites,list"`
	TLSMinVersion                    string        `loki:"tls_min_version" allow:"|VersionTLS10|VersionTLS11|VersionTLS12|VersionTLS13"`
}

func defaultInterfaces() []string { return []string{"eth0", "docker0", "lo"} }

func defaultCommonRing() CommonRing {
	return CommonRing{
		KVStore:                KVStore{Store: RingInMemory},
		HeartbeatPeriod:        15 * time.Second,
		HeartbeatTimeout:       time.Minute,
		InstanceInterfaceNames: defaultInterfaces(),
		NumTokens:              128,
		ReplicationFactor:      defaultReplicationFactor,
	}
}

func defaultLifecycler() Lifecycler {
	return Lifecycler{
		Ring: LifecyclerRing{
			KVStore:           KVStore{Store: RingInMemory},
			HeartbeatTimeout:  time.Minute,
			ReplicationFactor: defaultReplicationFactor,
		},
		InterfaceNames:       defaultInterfaces(),
		NumTokens:            128,
		HeartbeatPeriod:      15 * time.Second,
		MinReadyDuration:     15 * time.Second,
		UnregisterOnShutdown: true,
		ReadinessRingHealth:  true,
	}
}

func defaultMemberlist() Memberlist {
	return Memberlist{
		RandomizeNodeName:     true,
		StreamTimeout:         2 * time.Second,
		RetransmitFactor:      4,
		PullPushInterval:      30 * time.Second,
		GossipInterval:        200 * time.Millisecond,
		GossipNodes:           3,
		GossipToDeadNodesTime: 30 * time.Second,
		CompressionEnabled:    true,
		AdvertisePort:         7946,
		MinJoinBackoff:        time.Second,
		MaxJoinBackoff:        time.Minute,
		MaxJoinRetries:        10,
		LeftIngestersTimeout:  5 * time.Minute,
		LeaveTimeout:          20 * time.Second,
		BindPort:              7946,
		PacketDialTimeout:     2 * time.Second,
		PacketWriteTimeout:    5 * time.Second,

		ObsoleteEntriesTimeout: 30 * time.Second,
		LastWordsTimeout:       10 * time.Second,
	}
}

// MemberClient is the block `ingester_client`: how members call each other.
type MemberClient struct {
	PoolConfig       MemberPool    `loki:"pool_config"`
	RemoteTimeout    time.Duration `loki:"remote_timeout"`
	GRPCClientConfig GRPCClient    `loki:"grpc_client_config"`
}

// MemberPool is `ingester_client.pool_config`.
type MemberPool struct {
	ClientCleanupPeriod  time.Duration `loki:"client_cleanup_period"`
	HealthCheckIngesters bool          `loki:"health_check_ingesters"`
	RemoteTimeout        time.Duration `loki:"remote_timeout"` // of a health check
}

// GRPCClient is a client of gRPC.
type GRPCClient struct {
	MaxRecvMsgSize        int           `loki:"max_recv_msg_size,bytes"`
	MaxSendMsgSize        int           `loki:"max_send_msg_size,bytes"`
	GRPCCompression       string        `loki:"grpc_compression" allow:"|gzip|snappy"`
	ConnectTimeout        time.Duration `loki:"connect_timeout"`
	TLSEnabled            bool          `loki:"tls_enabled"`
	TLSCertPath           string        `loki:"tls_cert_path"`
	TLSKeyPath            string        `loki:"tls_key_path"`
	TLSCAPath             string        `loki:"tls_ca_path"`
	TLSServerName         string        `loki:"tls_server_name"`
	TLSInsecureSkipVerify bool          `loki:"tls_insecure_skip_verify"`
}

func defaultMemberClient() MemberClient {
	return MemberClient{
		PoolConfig: MemberPool{
			ClientCleanupPeriod: 15 * time.Second, HealthCheckIngesters: true, RemoteTimeout: time.Second,
		},
		RemoteTimeout: 5 * time.Second,
		GRPCClientConfig: GRPCClient{
			MaxRecvMsgSize: 100 << 20, MaxSendMsgSize: 100 << 20, ConnectTimeout: 5 * time.Second,
		},
	}
}
