package ring

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tries returns the times between the tries to join that the log tells of, without the time that a try took.
func (n *node) tries() []time.Duration {
	var out []time.Duration
	var last time.Time
	for line := range strings.Lines(n.log.String()) {
		if !strings.Contains(line, "no other member was reached") {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, regexp.MustCompile(`time=(\S+)`).FindStringSubmatch(line)[1])
		require.NoError(n.t, err)
		if !last.IsZero() {
			out = append(out, at.Sub(last)-n.gossip.cfg.StreamTimeout)
		}
		last = at
	}
	return out
}

// Tries to join members that do not answer come ever less often, from min_join_backoff to max_join_backoff.
func TestJoinBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.cut = func(a, b string) bool { return a != b }
		first := launch(t, testConfig(n, 1))
		cfg := testConfig(n, 2)
		cfg.JoinAfter = 2 * time.Minute
		cfg.Gossip.MinBackoff, cfg.Gossip.MaxBackoff = 3*time.Second, 20*time.Second
		second := launch(t, cfg)
		time.Sleep(90 * time.Second)
		const s = time.Second
		require.Equal(t, []time.Duration{3 * s, 6 * s, 12 * s, 20 * s, 20 * s}, second.tries())
		endAll(first, second)
	})
}

// With abort_if_cluster_join_fails a member that reaches nobody in 1 + max_join_retries tries ends and says why; with no bound
// it goes on trying, and nobody who joins is lost by it.
func TestAbortIfJoinFails(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		cfg := testConfig(n, 4) // the members that it is told to join are others
		cfg.Gossip.AbortIfJoinFails, cfg.Gossip.MaxJoinRetries = true, 3
		alone := launch(t, cfg)
		err := <-alone.done
		require.ErrorContains(t, err, "cannot join any of the members "+strings.Join(cfg.Gossip.Join, ", "))
		require.ErrorContains(t, err, "connection refused")
		require.Len(t, alone.tries(), 2, "the fourth try is the last")

		cfg.Gossip.MaxJoinRetries = 0
		patient := launch(t, cfg)
		time.Sleep(time.Hour)
		require.Equal(t, Pending, patient.Self().State)
		first := launch(t, testConfig(n, 1))
		time.Sleep(90 * time.Second)
		require.Equal(t, all("ACTIVE", "member-1", "member-4"), first.states(), patient.log.String())
		endAll(first, patient)
	})
}

// Somebody has to be the first: a member that is among those to join does not end because the others are not there yet.
func TestAbortIfJoinFailsFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var nodes []*node
		for i := range 2 {
			cfg := testConfig(n, i+1)
			cfg.Gossip.AbortIfJoinFails = true
			nodes = append(nodes, launch(t, cfg))
			time.Sleep(10 * time.Second)
			require.Equal(t, Active, nodes[i].Self().State, nodes[i].log.String())
		}
		require.Equal(t, all("ACTIVE", "member-1", "member-2"), nodes[0].states())
		endAll(nodes...)
	})
}

// A lost member is looked for at the rejoin_interval, and without one ever less often.
func TestRejoinInterval(t *testing.T) {
	for name, every := range map[string]time.Duration{"2s": 2 * time.Second, "0": 0} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				split := false
				n.cut = func(a, b string) bool { return split && a != b }
				setSplit := func(to bool) { n.mu.Lock(); split = to; n.mu.Unlock() }
				var nodes []*node
				for i := range 2 {
					cfg := testConfig(n, i+1)
					cfg.Gossip.Join = []string{testHost(1)}
					cfg.Gossip.RejoinInterval = every
					cfg.Gossip.StreamTimeout = 100 * time.Millisecond // so that a try is short
					cfg.Gossip.PushPullInterval = time.Hour           // nothing but rejoining exchanges states
					nodes = append(nodes, launch(t, cfg))
				}
				time.Sleep(20 * time.Second)
				pulls := nodes[0].gossip.stats.pulls.Load()
				time.Sleep(10 * time.Minute)
				pulls = nodes[0].gossip.stats.pulls.Load() - pulls
				setSplit(true)
				time.Sleep(3 * time.Minute)
				require.Equal(t, "UNHEALTHY", nodes[0].states()["member-2"])
				setSplit(false)
				time.Sleep(4 * time.Second)
				healed := nodes[0].states()["member-2"] == "ACTIVE"
				if every > 0 {
					require.InDelta(t, 10*time.Minute/every, pulls, 30, "the seed hears of the other at the interval, with or without need")
					require.True(t, healed, nodes[1].log.String())
				} else {
					require.Zero(t, pulls, "nobody is missing")
					time.Sleep(2 * maxRejoin)
					require.Equal(t, "ACTIVE", nodes[0].states()["member-2"])
				}
				endAll(nodes...)
			})
		})
	}
}

// Members are looked for anew under rejoin_seed_nodes where these are given, not under join_members.
func TestRejoinSeeds(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		second, third := launch(t, testConfig(n, 2)), launch(t, testConfig(n, 3))
		time.Sleep(20 * time.Second)
		cfg := testConfig(n, 4)
		cfg.Gossip.Join, cfg.Gossip.Seeds = []string{testHost(1)}, []string{testHost(3)}
		cfg.Gossip.PushPullInterval = time.Hour
		fourth := launch(t, cfg)
		time.Sleep(time.Minute)
		require.Equal(t, all("ACTIVE", "member-2", "member-3", "member-4"), second.states(), fourth.log.String())
		endAll(second, third, fourth)
	})
}
