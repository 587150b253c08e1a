package ring

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// all is what everybody should see.
func all(state string, ids ...string) map[string]string {
	out := map[string]string{}
	for _, id := range ids {
		out[id] = state
	}
	return out
}

// Three members that start at once find each other and divide the ring evenly.
func TestClusterForms(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(20 * time.Second)
		for _, node := range nodes {
			require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3"), node.states(), node.log.String())
			require.Equal(t, 3, node.Healthy())
			require.Equal(t, nodes[0].Replicas(nil, 77)[0].ID, node.Replicas(nil, 77)[0].ID)
			lo, hi := minMax(node.view.Load().shares)
			require.Less(t, hi/lo, 1.05)
			require.Contains(t, node.Self().Addr, ":9095")
			require.NotEqual(t, ":9095", node.Self().Addr)
		}
		endAll(nodes...)
	})
}

// A member alone does not wait for ever.
func TestFirstMember(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		cfg := testConfig(n, 1)
		cfg.JoinAfter, cfg.ObservePeriod = time.Minute, 5*time.Second
		node := launch(t, cfg)
		time.Sleep(10 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1"), node.states(), node.log.String())
		require.ErrorContains(t, node.Ready(), "waiting for 15s", "it is ready only when it was ACTIVE for a while")
		time.Sleep(15 * time.Second)
		require.NoError(t, node.Ready())
		node.end()
		require.Error(t, node.Ready())
		require.Equal(t, Left, node.Self().State)
	})
}

// Members that do not answer are waited for.
func TestJoinAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.cut = func(a, b string) bool { return a != b }
		first := launch(t, testConfig(n, 1))
		time.Sleep(10 * time.Second)
		cfg := testConfig(n, 2)
		cfg.JoinAfter = time.Minute
		second := launch(t, cfg)
		time.Sleep(55 * time.Second)
		require.Equal(t, Pending, second.Self().State)
		time.Sleep(40 * time.Second)
		require.Equal(t, Active, second.Self().State, second.log.String())
		endAll(first, second)
	})
}

// A dead member's place is taken at once; it is forgotten later, and comes back with its tokens.
func TestDeadMember(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(20 * time.Second)
		tokens := nodes[2].Self().Tokens
		nodes[2].kill(n)
		time.Sleep(10 * time.Second)
		require.Equal(t, map[string]string{"member-1": "ACTIVE", "member-2": "ACTIVE", "member-3": "UNHEALTHY"}, nodes[0].states(), nodes[0].log.String())
		require.Equal(t, 2, nodes[1].Healthy())
		for token := range uint32(100) {
			require.Len(t, nodes[0].Replicas(nil, token<<24), 2)
		}
		// It comes back with the tokens that the others remember.
		again := launch(t, testConfig(n, 3))
		time.Sleep(10 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3"), nodes[0].states(), again.log.String())
		require.Equal(t, tokens, again.Self().Tokens)
		again.kill(n)
		time.Sleep(6 * time.Minute)
		require.Equal(t, all("ACTIVE", "member-1", "member-2"), nodes[0].states(), nodes[0].log.String())
		require.ErrorIs(t, nodes[0].Forget("member-3"), ErrUnknown)
		require.ErrorIs(t, nodes[0].Forget("member-2"), ErrAlive)
		time.Sleep(10 * time.Minute)
		require.Empty(t, nodes[0].view.Load().all[2:], "the tombstone is gone")
		endAll(nodes[:2]...)
	})
}

// A person may forget a dead member at once.
func TestForget(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(20 * time.Second)
		nodes[0].kill(n)
		time.Sleep(10 * time.Second)
		require.NoError(t, nodes[1].Forget("member-1"))
		time.Sleep(3 * time.Second)
		require.Equal(t, all("ACTIVE", "member-2", "member-3"), nodes[2].states())
		endAll(nodes[1:]...)
	})
}

// A member that stops is LEFT, and with its file of tokens it comes back to its place.
func TestRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		cfg := testConfig(n, 4)
		cfg.TokensFile = filepath.Join(t.TempDir(), "tokens")
		last := launch(t, cfg)
		time.Sleep(20 * time.Second)
		tokens := last.Self().Tokens
		require.Len(t, tokens, 128)
		last.end()
		time.Sleep(time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3"), nodes[0].states(), nodes[0].log.String())
		time.Sleep(10 * time.Minute) // the others have forgotten it
		last = launch(t, cfg)
		time.Sleep(5 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3", "member-4"), nodes[0].states(), last.log.String())
		require.Equal(t, tokens, last.Self().Tokens)
		endAll(append(nodes, last)...)
	})
}

// A second process with the same ID does not start; the first is not disturbed.
func TestTakenID(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(20 * time.Second)
		cfg := testConfig(n, 4)
		cfg.ID = "member-2"
		double := launch(t, cfg)
		err := <-double.done
		require.ErrorIs(t, err, ErrTaken)
		require.ErrorContains(t, err, `the instance ID "member-2"`)
		require.ErrorContains(t, err, testHost(2))
		time.Sleep(time.Minute)
		require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3"), nodes[0].states())
		require.Equal(t, nodes[1].Self().Addr, nodes[0].Members()[1].Addr)
		endAll(nodes...)
	})
}

// Two processes with one ID that start in two halves of a network find out when it is whole again: the later one stays.
func TestTakenIDAfterSplit(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		split := true
		n.cut = func(a, b string) bool { return split && a != b }
		first := launch(t, testConfig(n, 1))
		time.Sleep(30 * time.Second)
		cfg := testConfig(n, 2)
		cfg.ID = "member-1"
		second := launch(t, cfg)
		time.Sleep(30 * time.Second)
		n.mu.Lock()
		split = false
		n.mu.Unlock()
		require.ErrorIs(t, <-first.done, ErrTaken)
		time.Sleep(30 * time.Second)
		require.Equal(t, Active, second.Self().State, second.log.String())
		second.end()
	})
}

// Too few members for the copies are a warning, once, and a metric; so it is when they become too few.
func TestFewMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		lacking := func(node *node) float64 {
			return testutil.ToFloat64(onlyMetric{node.metrics, descLacking})
		}
		const warning = "there are fewer members than copies"
		cfg := testConfig(n, 1)
		cfg.ReplicationFactor = 3
		first := launch(t, cfg)
		time.Sleep(10 * time.Second)
		require.NotContains(t, first.log.String(), warning, "others may still come")
		time.Sleep(time.Minute)
		require.Equal(t, 1, strings.Count(first.log.String(), warning), first.log.String())
		require.Contains(t, first.log.String(), "members=1 replication_factor=3")
		require.EqualValues(t, 2, lacking(first))
		var others []*node
		for i := range 2 {
			cfg := testConfig(n, i+2)
			cfg.ReplicationFactor = 3
			others = append(others, launch(t, cfg))
		}
		time.Sleep(time.Minute)
		require.Contains(t, first.log.String(), "as many members as copies again")
		require.Zero(t, lacking(first))
		require.NotContains(t, others[1].log.String(), warning)
		others[0].kill(n)
		time.Sleep(time.Minute)
		require.Equal(t, 2, strings.Count(first.log.String(), warning))
		require.EqualValues(t, 1, lacking(first))
		endAll(first, others[1])
	})
}

// onlyMetric collects one metric of several.
type onlyMetric struct {
	prometheus.Collector
	desc *prometheus.Desc
}

func (o onlyMetric) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

func (o onlyMetric) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() { defer close(all); o.Collector.Collect(all) }()
	for m := range all {
		if m.Desc() == o.desc {
			ch <- m
		}
	}
}

// A newcomer is JOINING for the observe_period, and takes other tokens in place of those that another member has.
func TestObservePeriod(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		first := launch(t, testConfig(n, 1))
		time.Sleep(10 * time.Second)
		cfg := testConfig(n, 2)
		cfg.ObservePeriod = 20 * time.Second
		cfg.TokensFile = filepath.Join(t.TempDir(), "tokens")
		require.NoError(t, storeTokens(cfg.TokensFile, first.Self().Tokens), "as of a disk that was copied")
		second := launch(t, cfg)
		time.Sleep(15 * time.Second)
		require.Equal(t, map[string]string{"member-1": "ACTIVE", "member-2": "JOINING"}, first.states(), second.log.String())
		require.Equal(t, 1, first.Healthy(), "it takes no pushes yet")
		time.Sleep(20 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-2"), first.states())
		require.Len(t, second.Self().Tokens, 128)
		for _, token := range second.Self().Tokens {
			require.NotContains(t, first.Self().Tokens, token)
		}
		endAll(first, second)
	})
}

// A member that leaves still gossips for the final_sleep: others know that it has left and not only that it is gone.
func TestFinalSleep(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		cfg := testConfig(n, 1)
		cfg.FinalSleep = 30 * time.Second
		first, second := launch(t, cfg), launch(t, testConfig(n, 2))
		time.Sleep(20 * time.Second)
		begin := time.Now()
		first.stop()
		time.Sleep(20 * time.Second)
		require.Equal(t, all("ACTIVE", "member-2"), second.states())
		require.EqualValues(t, 2, second.gossip.nodes.Load(), "its node is still there")
		require.NoError(t, <-first.done)
		require.GreaterOrEqual(t, time.Since(begin), cfg.FinalSleep)
		require.Less(t, time.Since(begin), cfg.FinalSleep+20*time.Second)
		second.end()
	})
}

// Both halves of a split go on, and find each other when it heals.
func TestSplitHeals(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		split := false
		n.cut = func(a, b string) bool { return split && (a == testHost(1)) != (b == testHost(1)) }
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, testConfig(n, i+1)))
		}
		time.Sleep(20 * time.Second)
		tokens := nodes[0].Self().Tokens
		n.mu.Lock()
		split = true
		n.mu.Unlock()
		time.Sleep(10 * time.Minute) // each half forgets the other
		require.Equal(t, all("ACTIVE", "member-1"), nodes[0].states())
		require.Equal(t, all("ACTIVE", "member-2", "member-3"), nodes[2].states())
		n.mu.Lock()
		split = false
		n.mu.Unlock()
		time.Sleep(45 * time.Second)
		for _, node := range nodes {
			require.Equal(t, all("ACTIVE", "member-1", "member-2", "member-3"), node.states(), node.log.String())
		}
		require.Equal(t, tokens, nodes[2].Members()[0].Tokens)
		endAll(nodes...)
	})
}
