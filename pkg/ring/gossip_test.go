package ring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// packetsTo counts the packets that are sent to a member within some time.
func (n *network) packetsTo(i int, within time.Duration) int {
	count := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.sentTo[testHost(i)]
	}
	before := count()
	time.Sleep(within)
	return count() - before
}

// Gossip still goes to a dead member for the gossip_to_dead_nodes_time, so that one that was stopped for a while knows what
// was said meanwhile; then it ends.
func TestGossipToDead(t *testing.T) {
	for _, last := range []time.Duration{5 * time.Second, 2 * time.Minute} {
		inBubble(t, func(t *testing.T, n *network) {
			var nodes []*node
			for i := range 3 {
				cfg := testConfig(n, i+1)
				cfg.HeartbeatPeriod = time.Second // so that there is always something to say
				cfg.Gossip.GossipToDead = last
				nodes = append(nodes, launch(t, cfg))
			}
			time.Sleep(20 * time.Second)
			nodes[2].kill(n)
			time.Sleep(10 * time.Second)
			require.Equal(t, "UNHEALTHY", nodes[0].states()["member-3"])
			if last > 20*time.Second {
				require.Greater(t, n.packetsTo(3, 100*time.Second), 100)
			}
			time.Sleep(20 * time.Second)
			require.Zero(t, n.packetsTo(3, 30*time.Second), "after %s", last)
			endAll(nodes[:2]...)
		})
	}
}

// A node that keeps its name and comes back with another address is let in when it was dead for the dead_node_reclaim_time;
// without one it is not as long as its dead self is remembered.
func TestDeadReclaim(t *testing.T) {
	for _, reclaim := range []time.Duration{0, 10 * time.Second} {
		inBubble(t, func(t *testing.T, n *network) {
			named := func(i int) Config {
				cfg := testConfig(n, i)
				cfg.Gossip.RandomizeNodeName = false
				cfg.Gossip.DeadReclaim = reclaim
				cfg.Gossip.GossipToDead = time.Hour
				return cfg
			}
			first, second := launch(t, named(1)), launch(t, named(2))
			time.Sleep(20 * time.Second)
			second.kill(n)
			time.Sleep(30 * time.Second)
			moved := named(7)
			moved.ID = "member-2"
			again := launch(t, moved)
			time.Sleep(time.Minute)
			require.Equal(t, reclaim > 0, first.gossip.lives(again.incarnation), first.log.String())
			require.Equal(t, reclaim > 0, first.gossip.nodes.Load() == 2)
			endAll(first, again)
		})
	}
}

// A process whose node keeps its name, and that is back before others have found it dead, is one node to them, and dies as one.
func TestQuickRestartWithFixedName(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		named := func(i int) Config {
			cfg := testConfig(n, i)
			cfg.Gossip.RandomizeNodeName = false
			return cfg
		}
		first, second := launch(t, named(1)), launch(t, named(2))
		time.Sleep(20 * time.Second)
		second.kill(n)
		again := launch(t, named(2))
		time.Sleep(10 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-2"), first.states(), first.log.String())
		require.True(t, first.gossip.lives(again.incarnation))
		require.False(t, first.gossip.lives(second.incarnation))
		require.EqualValues(t, 2, first.gossip.nodes.Load())
		again.kill(n)
		time.Sleep(15 * time.Second)
		require.Equal(t, "UNHEALTHY", first.states()["member-2"])
		require.True(t, first.gossip.alone())
		first.end()
	})
}
