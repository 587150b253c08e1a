package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	// refused tells that clients may get other answers than 2xx, which they try again; partial that queries may find less meanwhile,
	// because nobody is left who has it all.
	refused, partial bool
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
		{name: "nothing", strike: nothing, heal: nothing, lasts: pick(time.Second, 30*time.Second)},
		{
			name: "kill -9 of one", lasts: pick(4*time.Second, 90*time.Second),
			strike: func(c *Cluster, l *load) { c.Members[1].Kill(); without(c, l, 1) },
			heal:   func(c *Cluster, l *load) { c.Members[1].Start(); c.WaitRing(3); everybody(c, l) },
		},
		{
			// Clients go on to push to the paused one: their time-outs are theirs, and not counted.
			name: "one is paused", lasts: pick(8*time.Second, 2*time.Minute),
			strike: func(c *Cluster, l *load) { c.Members[2].Pause() },
			heal:   func(c *Cluster, l *load) { c.Members[2].Resume(); c.WaitRing(3) },
		},
		{
			name: "two of three are killed", lasts: pick(2*time.Second, time.Minute), partial: true,
			strike: func(c *Cluster, l *load) {
				before := c.Members[0].Metric("logstore_distributor_degraded_writes_total")
				l.pushTo(c.Members[0])
				c.Members[1].Kill()
				c.Members[2].Kill()
				require.Eventually(c.t, func() bool {
					return c.Members[0].Metric("logstore_distributor_degraded_writes_total") > before
				}, 20*time.Second, 50*time.Millisecond, "there is one copy, and it is said")
				require.Eventually(c.t, func() bool {
					_, body, _ := c.Members[0].Get("/loki/api/v1/query_range?query=" + url.QueryEscape(`{app="faults"}`))
					return strings.Contains(body, `"warnings":["more members are dead than there are copies to spare`)
				}, 20*time.Second, 50*time.Millisecond, "queries say that they may lack something")
			},
			heal: func(c *Cluster, l *load) {
				c.Members[1].Launch()
				c.Members[2].Start()
				c.WaitRing(3)
				everybody(c, l)
			},
		},
		{
			name: "one's disk is full", lasts: pick(2*time.Second, time.Minute),
			strike: func(c *Cluster, l *load) {
				before := c.Members[2].Metric("loki_ingester_wal_disk_full_failures_total")
				c.fillDisk(2)
				c.flush() // others upload files of the index, which this one cannot keep
				require.Eventually(c.t, func() bool {
					return c.Members[2].Metric("loki_ingester_wal_disk_full_failures_total") > before
				}, 20*time.Second, 50*time.Millisecond, "it says so")
				require.Contains(c.t, c.Members[2].Log(), "the write-ahead log cannot be written")
			},
			heal: func(c *Cluster, _ *load) { require.NoError(c.t, os.Remove(c.ballast(2))) },
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
			name: "slow S3", lasts: pick(3*time.Second, time.Minute),
			strike: func(c *Cluster, l *load) {
				c.Way.Break(faultproxy.Rule{Fault: faultproxy.Latency(700 * time.Millisecond)})
				c.flush()
			},
			heal: func(c *Cluster, _ *load) { c.Way.Heal() },
		},
		{
			name: "S3 away", lasts: pick(4*time.Second, 5*time.Minute),
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

// diskSize is that of the disk of a member that is to be filled.
const diskSize = 512 << 20

// ballast is the file that fills a member's disk.
func (c *Cluster) ballast(n int) string { return filepath.Join(c.Members[n].Dir, "ballast") }

// fillDisk leaves nothing free on a member's disk.
func (c *Cluster) fillDisk(n int) {
	c.t.Helper()
	f, err := os.Create(c.ballast(n))
	require.NoError(c.t, err)
	defer f.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size > 0; {
		if _, err := f.Write(block[:size]); err != nil {
			require.ErrorIs(c.t, err, syscall.ENOSPC)
			size /= 2
		}
	}
}

// smallDisk gives a member that has not started a disk of its own. It reports whether the machine allows that.
func (c *Cluster) smallDisk(p *Process) bool {
	if err := syscall.Mount("tmpfs", p.Dir, "tmpfs", 0, fmt.Sprint("size=", diskSize)); err != nil {
		c.t.Logf("cannot mount a small disk (%v); the ingester's own tests fill one that is made of Go", err)
		return false
	}
	c.t.Cleanup(func() { require.NoError(c.t, syscall.Unmount(p.Dir, syscall.MNT_DETACH)) })
	return true
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
	c := NewCluster(t, 2)
	c.size = 3
	small := c.smallDisk(c.Add())
	c.Members[2].Launch()
	c.WaitRing(3)
	l := startLoad("crash", faultClients, c.URLs())
	time.Sleep(2 * time.Second)
	for _, f := range clusterFaults() {
		if strings.Contains(f.name, "disk") && !small {
			continue
		}
		t.Logf("load before: %s", l.figures())
		begin := time.Now()
		l.partial.Store(f.partial)
		f.strike(c, l)
		time.Sleep(f.lasts)
		f.heal(c, l)
		l.partial.Store(false)
		time.Sleep(time.Second)
		l.quiet(t, f.name, begin, f.refused)
	}
	l.everywhere(t, c.Members)
}
