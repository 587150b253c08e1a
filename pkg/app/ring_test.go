package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/ring"
)

// Dead members are forgotten after five time-outs, with autoforget_unhealthy after one, and never if it was set to false.
func TestForgetAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"{}":                                     5 * time.Minute,
		"ingester: {autoforget_unhealthy: true}": time.Minute,
		"ingester: {autoforget_unhealthy: false}":                                  0,
		"{ingester: {autoforget_unhealthy: true}, logstore: {forget_after: 3m}}":   3 * time.Minute,
		"{ingester: {autoforget_unhealthy: false}, logstore: {forget_after: 10m}}": 10 * time.Minute,
	} {
		c, err := rulerApp(t, text).ringConfig()
		require.NoError(t, err)
		require.Equal(t, want, c.ForgetAfter, text)
	}
}

// Each key of the block memberlist arrives where the ring reads it.
func TestGossipConfig(t *testing.T) {
	a := rulerApp(t, `
memberlist:
  node_name: n
  randomize_node_name: false
  stream_timeout: 1s
  retransmit_factor: 2
  pull_push_interval: 3s
  gossip_interval: 4s
  gossip_nodes: 5
  gossip_to_dead_nodes_time: 6s
  dead_node_reclaim_time: 7s
  compression_enabled: false
  advertise_addr: 10.0.0.8
  advertise_port: 9
  cluster_label: ten
  cluster_label_verification_disabled: true
  join_members: [a, b]
  min_join_backoff: 11s
  max_join_backoff: 12s
  max_join_retries: 13
  abort_if_cluster_join_fails: true
  rejoin_interval: 14s
  left_ingesters_timeout: 15s
  leave_timeout: 16s
  bind_addr: [10.0.0.17]
  bind_port: 18
  packet_dial_timeout: 19s
  packet_write_timeout: 20s
  rejoin_seed_nodes: [c]
  obsolete_entries_timeout: 21s
  notify_interval: 22s
  broadcast_timeout_for_local_updates_on_shutdown: 23s
ingester:
  lifecycler: {interface_names: [eth24], enable_inet6: true}
`)
	got, err := a.gossipConfig()
	require.NoError(t, err)
	const s = time.Second
	require.Equal(t, ring.Gossip{
		NodeName: "n", StreamTimeout: s, RetransmitFactor: 2, PushPullInterval: 3 * s, GossipInterval: 4 * s, GossipNodes: 5,
		GossipToDead: 6 * s, DeadReclaim: 7 * s, AdvertiseAddr: "10.0.0.8", AdvertisePort: 9, Label: "ten", SkipLabelCheck: true,
		Join: []string{"a", "b"}, MinBackoff: 11 * s, MaxBackoff: 12 * s, MaxJoinRetries: 13, AbortIfJoinFails: true,
		RejoinInterval: 14 * s, LeftTimeout: 15 * s, LeaveTimeout: 16 * s, BindAddrs: []string{"10.0.0.17"}, BindPort: 18,
		DialTimeout: 19 * s, WriteTimeout: 20 * s, Seeds: []string{"c"}, ObsoleteTimeout: 21 * s, NotifyInterval: 22 * s,
		LastWordsTimeout: 23 * s, Interfaces: []string{"eth24"}, IPv6: true,
		ProbeInterval: ring.DefaultGossip().ProbeInterval, ProbeTimeout: ring.DefaultGossip().ProbeTimeout,
	}, got)
}
