package ring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who has left is remembered for the left_ingesters_timeout, by those who were there and by those who came later, and then by
// nobody.
func TestLeftTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		lasting := func(i int) Config {
			cfg := testConfig(n, i)
			cfg.Gossip.LeftTimeout = 2 * time.Minute
			return cfg
		}
		var nodes []*node
		for i := range 3 {
			nodes = append(nodes, launch(t, lasting(i+1)))
		}
		time.Sleep(20 * time.Second)
		nodes[2].end()
		time.Sleep(time.Minute)
		late := launch(t, lasting(4))
		time.Sleep(50 * time.Second)
		remembers := func(n *node) bool {
			for _, m := range n.view.Load().all {
				if m.ID == "member-3" {
					require.Equal(t, Left, m.State)
					return true
				}
			}
			return false
		}
		for _, node := range []*node{nodes[0], nodes[1], late} {
			require.True(t, remembers(node))
			require.NotContains(t, node.states(), "member-3", "it is no member any more")
		}
		time.Sleep(90 * time.Second)
		for _, node := range []*node{nodes[0], nodes[1], late} {
			require.False(t, remembers(node), node.log.String())
		}
		endAll(nodes[0], nodes[1], late)
	})
}
