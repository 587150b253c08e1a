package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
)

// TestClusterScales takes a cluster from three members to five and back under load. Members leave for good: their disks are gone
// with them. What they could not flush, because the bucket was away, others have; so they have the index of what was flushed and not
// uploaded.
func TestClusterScales(t *testing.T) {
	t.Parallel()
	c := NewCluster(t, 3)
	l := startLoad("crash", faultClients, c.URLs())
	time.Sleep(pick(time.Second, 30*time.Second))

	begin := time.Now()
	c.Add().Launch()
	c.Add().Launch()
	c.WaitRing(5)
	l.pushTo(c.Members...)
	time.Sleep(pick(3*time.Second, time.Minute))
	for _, p := range c.Members {
		require.NotZero(t, p.Metric("loki_ingester_memory_streams"), "it has its share")
	}
	l.quiet(t, "three become five", begin, false)

	begin = time.Now()
	last := c.leaving(l, 4)
	require.Equal(t, http.StatusNoContent, post(t, last, "/ingester/prepare_shutdown"))
	c.Way.Break(faultproxy.Rule{Fault: faultproxy.Reset()})
	require.NoError(t, last.Stop(), last.Log())
	require.Regexp(t, `handed over to other members what could not be flushed.*chunks=[1-9][0-9]* left=0`, last.Log())
	require.NoFileExists(t, filepath.Join(last.Dir, "ingester.tokens"))
	c.vanish(last)
	c.Way.Heal()
	l.quiet(t, "five become four while S3 is away", begin, false)

	begin = time.Now()
	last = c.leaving(l, 3)
	c.Way.Break(faultproxy.Rule{Method: http.MethodPut, PathPrefix: "/loki-chunks/index/", Fault: faultproxy.Reset()})
	require.NoError(t, last.Stop(), last.Log())
	require.Regexp(t, `handed over to other members what could not be uploaded.*files=[1-9][0-9]* left=0`, last.Log())
	c.vanish(last)
	c.Way.Heal()
	l.quiet(t, "four become three while S3 takes no index", begin, false)

	begin = time.Now()
	last = c.leaving(l, 2)
	require.Equal(t, http.StatusNoContent, post(t, last, "/ingester/shutdown?delete_ring_tokens=true"))
	require.Zero(t, last.Wait(time.Minute), last.Log())
	c.vanish(last)
	c.WaitRing(2)
	l.quiet(t, "three become two by request", begin, false)
	l.everywhere(t, c.Members)
	c.flushWait(t)
	for _, p := range c.Members {
		l.sees(t, p)
	}
}

// leaving returns the last member, which clients are told to leave alone.
func (c *Cluster) leaving(l *load, n int) *Process {
	l.pushTo(c.Members[:n]...)
	time.Sleep(300 * time.Millisecond)
	return c.Members[n]
}

// vanish takes the last member's disk away, and the member out of the list.
func (c *Cluster) vanish(p *Process) {
	c.t.Helper()
	require.NoError(c.t, os.RemoveAll(p.Dir))
	c.Members = c.Members[:len(c.Members)-1]
	c.WaitRing(len(c.Members))
}

func post(t *testing.T, p *Process, path string) int {
	t.Helper()
	resp, err := http.Post(p.URL+path, "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
