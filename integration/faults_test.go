package integration

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
)

// soak tells whether tests may take long.
func soak() bool { return os.Getenv("LOGSTORE_SOAK") != "" }

// pick returns how long something lasts: in a short run, or in a soak.
func pick(short, long time.Duration) time.Duration {
	if soak() {
		return long
	}
	return short
}

const faultClients = 8

// clusterFault is something that happens to a cluster of three.
type clusterFault struct {
	name string
	// strike begins it and heal ends it, after it has lasted for so long.
	strike, heal func(c *Cluster, l *load)
	lasts        time.Duration
	// refused tells that clients may get other answers than 2xx, which they try again.
	refused bool
}

// without lets clients know only of the other members, as a load balancer does that has noticed.
func without(c *Cluster, l *load, gone int) {
	var urls []string
	for i, p := range c.Members {
		if i != gone {
			urls = append(urls, p.URL)
		}
	}
	l.targets.Store(&urls)
}

func everybody(c *Cluster, l *load) {
	urls := c.URLs()
	l.targets.Store(&urls)
}

func clusterFaults() []clusterFault {
	nothing := func(*Cluster, *load) {}
	return []clusterFault{
		{name: "nothing", strike: nothing, heal: nothing, lasts: pick(2*time.Second, 30*time.Second)},
		{
			name: "kill -9 of one", lasts: pick(6*time.Second, 90*time.Second),
			strike: func(c *Cluster, l *load) { c.Members[1].Kill(); without(c, l, 1) },
			heal:   func(c *Cluster, l *load) { c.Members[1].Start(); c.WaitRing(3); everybody(c, l) },
		},
		{
			// Clients go on to push to the paused one: their time-outs are theirs, and not counted.
			name: "one is paused", lasts: pick(12*time.Second, 2*time.Minute),
			strike: func(c *Cluster, l *load) { c.Members[2].Pause() },
			heal:   func(c *Cluster, l *load) { c.Members[2].Resume(); c.WaitRing(3) },
		},
		{
			name: "restart of all, one by one", lasts: time.Second, refused: true,
			strike: func(c *Cluster, l *load) {
				for i, p := range c.Members {
					without(c, l, i)
					require.NoError(c.t, p.Stop(), p.Log())
					p.Start()
					c.WaitRing(3)
					everybody(c, l)
				}
			},
			heal: nothing,
		},
		{
			name: "slow S3", lasts: pick(4*time.Second, time.Minute),
			strike: func(c *Cluster, l *load) {
				c.Way.Break(faultproxy.Rule{Fault: faultproxy.Latency(700 * time.Millisecond)})
				c.flush()
			},
			heal: func(c *Cluster, _ *load) { c.Way.Heal() },
		},
		{
			name: "S3 away", lasts: pick(6*time.Second, 5*time.Minute),
			strike: func(c *Cluster, _ *load) { c.Way.Break(faultproxy.Rule{Fault: faultproxy.Reset()}); c.flush() },
			heal:   func(c *Cluster, _ *load) { c.Way.Heal() },
		},
		{
			name: "Redis away", lasts: pick(3*time.Second, time.Minute),
			strike: func(c *Cluster, _ *load) { c.Redis.Kill() },
			heal:   func(c *Cluster, _ *load) { c.Redis.Restart(c.t) },
		},
	}
}

// flush asks all members to flush what they have.
func (c *Cluster) flush() {
	for _, p := range c.Members {
		resp, err := http.Post(p.URL+"/flush", "", nil)
		if err == nil {
			resp.Body.Close()
		}
	}
}

// TestClusterFaults lets one thing after the other happen to a cluster under load: no push is lost, no query fails, and every
// line that was acknowledged is there once, meanwhile and afterwards.
func TestClusterFaults(t *testing.T) {
	c := NewCluster(t, 3)
	l := startLoad("crash", faultClients, c.URLs())
	time.Sleep(2 * time.Second)
	for _, f := range clusterFaults() {
		t.Logf("load before: %s", l.figures())
		begin := time.Now()
		f.strike(c, l)
		time.Sleep(f.lasts)
		f.heal(c, l)
		time.Sleep(2 * time.Second)
		l.quiet(t, f.name, begin, f.refused)
	}
	l.everywhere(t, c.Members)
}
