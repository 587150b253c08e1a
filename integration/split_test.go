package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quiet ends a phase: it returns how it went, and fails the test if a push was lost, or a query failed or saw the wrong number of lines.
func (l *load) quiet(t *testing.T, what string, begin time.Time, refused bool) {
	t.Helper()
	refusals, lost, failed := l.refusals(), l.lost.Load(), l.failed.Load()
	t.Logf("%s, %s: %s", what, time.Since(begin).Round(time.Second), l.figures())
	require.Zero(t, lost, "%s: lost pushes", what)
	require.Zero(t, failed, "%s: failed queries", what)
	if !refused {
		require.Zero(t, refusals, "%s: answers that were not 2xx", what)
	}
}

// pushTo lets clients know of the given members only.
func (l *load) pushTo(members ...*Process) {
	var urls []string
	for _, p := range members {
		urls = append(urls, p.URL)
	}
	l.targets.Store(&urls)
}

// everywhere wants each acknowledged line once, from each member.
func (l *load) everywhere(t *testing.T, members []*Process) {
	t.Helper()
	l.end()
	l.w.check(t, members[0].URL)
	for _, p := range members {
		l.sees(t, p)
	}
}

// sees wants a member to count what was acknowledged. The clients have ended, and pushed until each push was.
func (l *load) sees(t *testing.T, p *Process) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	n, err := l.w.count(client, p.URL)
	require.NoError(t, err)
	require.Equal(t, l.w.acks(), n, "at %s", p.URL)
}

// TestClusterSplits cuts cables between members under load: one is gone for everybody; one is gone for the others but not for its
// clients; the cluster is in two halves that forget each other. No push is lost, no query fails, and when the cables are mended every
// line that was acknowledged anywhere is everywhere, once.
func TestClusterSplits(t *testing.T) {
	t.Parallel()
	if !mayLayCables(t) {
		return
	}
	c := NewCabledCluster(t, 4)
	m := c.Members
	l := startLoad("crash", faultClients, c.URLs())
	time.Sleep(time.Second)

	begin := time.Now()
	c.cables.isolate(4)
	time.Sleep(time.Second)
	l.pushTo(m[0], m[1], m[2])
	c.WaitView(3, m[0], m[1], m[2])
	time.Sleep(pick(2*time.Second, 2*time.Minute))
	l.quiet(t, "one is cut off, also from its clients, S3 and Redis", begin, false)
	c.heal(t, l)

	// What the one takes from now on only it can show until the cables are mended.
	l.pushTo(m[0], m[1], m[2])
	time.Sleep(500 * time.Millisecond)
	begin = time.Now()
	c.cables.split([]int{1, 2, 3}, []int{4})
	alone := startLoad("alone", 2, []string{m[3].URL}) // its queries wait until it knows that the others are gone
	c.WaitView(3, m[0], m[1], m[2])
	time.Sleep(pick(2*time.Second, 2*time.Minute))
	require.NotZero(t, m[3].Metric("logstore_distributor_degraded_writes_total"), "it is alone and says so")
	l.quiet(t, "split 3+1, the three", begin, false)
	alone.quiet(t, "split 3+1, the one", begin, false)
	c.heal(t, l, alone)
	alone.everywhere(t, m)

	l.everywhere(t, m)
	c.flushWait(t)
	begin = time.Now()
	c.cables.split([]int{1, 2}, []int{3, 4})
	halves := []*load{startLoad("first", faultClients/2, c.URLs()[:2]), startLoad("second", faultClients/2, c.URLs()[2:])}
	c.WaitView(2, m...)
	time.Sleep(pick(time.Second, 2*time.Minute))
	require.Equal(t, http.StatusFound, forget(t, m[0], "loki-3"), "as somebody may do who knows of one half only")
	require.Equal(t, http.StatusFound, forget(t, m[2], "loki-1"))
	time.Sleep(time.Second)
	for _, p := range m {
		l.sees(t, p)
	}
	halves[0].quiet(t, "split 2+2, the first half", begin, false)
	halves[1].quiet(t, "split 2+2, the second half", begin, false)
	c.heal(t, halves...)
	halves[0].everywhere(t, m)
	halves[1].everywhere(t, m)
	for _, p := range m {
		require.Len(t, ringOf(t, p, "/ring"), 4)
	}
}

// heal mends the cables and waits until all members know of each other; then clients go to all of them.
func (c *Cluster) heal(t *testing.T, loads ...*load) {
	t.Helper()
	begin := time.Now()
	c.cables.mend()
	c.WaitRing(len(c.Members))
	// Until members call each other again a push has one copy only, and the next cut may leave it where nobody sees it.
	require.Eventually(t, func() bool {
		for _, p := range c.Members {
			if p.Metric("logstore_rpc_peers_down") > 0 {
				return false
			}
		}
		return true
	}, time.Minute, 50*time.Millisecond)
	for _, l := range loads {
		l.pushTo(c.Members...)
	}
	time.Sleep(time.Second)
	for _, l := range loads {
		l.quiet(t, "healed", begin, false)
	}
}

// flushWait flushes all members and waits until they have nothing in memory.
func (c *Cluster) flushWait(t *testing.T) {
	t.Helper()
	for _, p := range c.Members {
		if p.Running() {
			waitFlushed(t, p, time.Minute)
		}
	}
}
