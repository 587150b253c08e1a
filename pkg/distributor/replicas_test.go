package distributor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/ring"
	"logstore/pkg/rpc"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// fault is how a member of a test takes pushes.
type fault int

const (
	none fault = iota
	fails
	hangs
	refuses
	slow
)

// slowness is how long a slow member takes.
const slowness = 3 * time.Second

// testCluster is a ring whose members store what they get, through the messages that real ones send each other.
type testCluster struct {
	factor  int
	members []*testMember
	d       *Distributor
}

type testMember struct {
	ring.Member
	c    *testCluster
	pool *rpc.Pool

	mu       sync.Mutex
	fault    fault
	standing rpc.Standing
	late     int
	calls    int
	lines    map[string]int
}

func newTestCluster(t testing.TB, members, factor int) *testCluster {
	t.Helper()
	c := &testCluster{factor: factor}
	log := slog.New(slog.DiscardHandler)
	for i := range members {
		m := &testMember{Member: ring.Member{ID: fmt.Sprint("m", i), Addr: fmt.Sprint("m", i, ":9095"), Self: i == 0}, c: c, lines: map[string]int{}}
		server, err := rpc.NewServer(rpc.DefaultConfig, prometheus.NewRegistry(), log)
		require.NoError(t, err)
		server.HandlePush(m.store)
		m.pool, err = rpc.NewPool(rpc.DefaultConfig, m.Addr, server, prometheus.NewRegistry(), log)
		require.NoError(t, err)
		c.members = append(c.members, m)
	}
	overrides, err := limits.New(conformanceLimits())
	require.NoError(t, err)
	cfg := DefaultConfig()
	cfg.ReplicationFactor = factor
	c.d, err = New(cfg, Deps{
		Limits: overrides, Members: oneMember{}, Ingester: c.members[0], Ring: c, Peers: c, Registerer: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	return c
}

// Walk begins at a member that the token says.
func (c *testCluster) Walk(token uint32) iter.Seq[ring.Member] {
	return func(yield func(ring.Member) bool) {
		for i := range c.members {
			if !yield(c.members[(int(token%1024)+i)%len(c.members)].Member) {
				return
			}
		}
	}
}

func (c *testCluster) Replicas(dst []ring.Member, token uint32) []ring.Member {
	for m := range c.Walk(token) {
		if len(dst) < c.factor {
			dst = append(dst, m)
		}
	}
	return dst
}

func (c *testCluster) at(addr string) *testMember {
	for _, m := range c.members {
		if m.Addr == addr {
			return m
		}
	}
	return nil
}

func (c *testCluster) Send(ctx context.Context, member, tenant string, message []byte, timeout time.Duration, done func(error)) {
	c.at(member).pool.Send(ctx, member, tenant, message, timeout, done)
}

func (c *testCluster) Standing(member string) rpc.Standing {
	m := c.at(member)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.standing
}

func (c *testCluster) Patience(string, int) time.Duration { return 200 * time.Millisecond }

func (c *testCluster) Late(member string) {
	m := c.at(member)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late++
}

var errDisk = errors.New("disk is full")

// Push is the own member's.
func (m *testMember) Push(ctx context.Context, tenant string, streams []wire.Stream) error {
	return m.store(ctx, tenant, streams)
}

func (m *testMember) store(ctx context.Context, _ string, streams []wire.Stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	switch m.fault {
	case fails:
		return fmt.Errorf("%w: %w", wire.ErrUnavailable, errDisk)
	case hangs:
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return ctx.Err()
	case slow:
		m.mu.Unlock()
		time.Sleep(slowness)
		m.mu.Lock()
	}
	var refused *wire.RefusedError
	for k := range streams {
		s := &streams[k]
		if m.fault == refuses && s.Labels.Get("n") == "3" {
			refused = &wire.RefusedError{Refusals: []wire.Refusal{{Stream: k, Kind: wire.StreamLimit, Labels: s.Text, Entries: 2, Total: 2}}}
			continue
		}
		for i := range s.Entries {
			m.lines[fmt.Sprint(s.Text, s.Entries[i].Timestamp, string(s.Entries[i].Line), s.Entries[i].Metadata)]++
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

const testStreams = 20

// push sends some streams of two entries each and returns how long it took.
func (c *testCluster) push(t *testing.T) (time.Duration, error) {
	t.Helper()
	req := wire.GetPushRequest()
	for n := range testStreams {
		req.Streams = append(req.Streams, wire.PushStream{
			Labels: labels.FromStrings("app", "x", "n", fmt.Sprint(n)).String(),
			Entries: []wire.PushEntry{
				{Timestamp: time.Now().UnixNano(), Line: []byte("one")},
				{Timestamp: time.Now().UnixNano() + 1, Line: []byte("two"), Metadata: []model.Pair{{Name: "k", Value: "v"}}},
			},
		})
	}
	begin := time.Now()
	err := c.d.Push(tenant.Inject(t.Context(), "acme"), req)
	return time.Since(begin), err
}

// copies returns how many members have each line: the least and the most.
func (c *testCluster) copies(t *testing.T) (least, most int) {
	t.Helper()
	count := map[string]int{}
	for _, m := range c.members {
		m.mu.Lock()
		for line := range m.lines {
			count[line]++
		}
		m.mu.Unlock()
	}
	require.Len(t, count, 2*testStreams)
	least = len(c.members)
	for _, n := range count {
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

func (c *testCluster) degraded() float64 { return testutil.ToFloat64(c.d.metrics.degraded) }

func TestReplicas(t *testing.T) {
	for _, tc := range []struct {
		name            string
		members, factor int
		faults          map[int]fault
		down            []int
		least           int
		degraded        float64
		longest         time.Duration
	}{
		{name: "all well", members: 3, factor: 2, least: 2},
		{name: "other fails", members: 3, factor: 2, faults: map[int]fault{1: fails}, least: 2},
		{name: "own fails", members: 3, factor: 2, faults: map[int]fault{0: fails}, least: 2},
		{name: "one is down", members: 3, factor: 2, faults: map[int]fault{2: hangs}, down: []int{2}, least: 2},
		{name: "one hangs", members: 3, factor: 2, faults: map[int]fault{1: hangs}, least: 2, longest: 200 * time.Millisecond},
		{name: "two fail", members: 3, factor: 2, faults: map[int]fault{0: fails, 2: fails}, least: 1, degraded: testStreams},
		{name: "one fails, one hangs", members: 3, factor: 2, faults: map[int]fault{1: fails, 2: hangs}, least: 1, degraded: testStreams, longest: 1200 * time.Millisecond},
		{name: "two of two, one hangs", members: 2, factor: 2, faults: map[int]fault{1: hangs}, least: 1, degraded: testStreams, longest: 1200 * time.Millisecond},
		{name: "two of two, one is down", members: 2, factor: 2, faults: map[int]fault{1: hangs}, down: []int{1}, least: 1, degraded: testStreams},
		{name: "alone", members: 1, factor: 2, least: 1, degraded: testStreams},
		{name: "three copies", members: 5, factor: 3, faults: map[int]fault{1: fails, 2: hangs}, least: 3, longest: 200 * time.Millisecond},
		{name: "all said to be down", members: 2, factor: 2, faults: map[int]fault{0: fails}, down: []int{1}, least: 1, degraded: testStreams},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCluster(t, tc.members, tc.factor)
				for i, f := range tc.faults {
					c.members[i].fault = f
				}
				for _, i := range tc.down {
					c.members[i].standing = rpc.Down
				}
				took, err := c.push(t)
				require.NoError(t, err)
				least, most := c.copies(t)
				require.Equal(t, tc.least, least)
				require.Equal(t, min(tc.least, tc.factor), most)
				require.Equal(t, tc.degraded, c.degraded())
				require.Equal(t, tc.longest, took)
				time.Sleep(10 * time.Second)
				for i, m := range c.members {
					m.mu.Lock()
					late, good := m.late > 0, m.standing == rpc.Good
					m.mu.Unlock()
					require.Equal(t, tc.faults[i] == hangs && good, late, "member %d", i)
				}
			})
		})
	}
}

func TestReplicasAllFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, 2)
		c.members[0].fault, c.members[1].fault, c.members[2].fault = fails, hangs, fails
		took, err := c.push(t)
		var push *PushError
		require.ErrorAs(t, err, &push)
		require.Equal(t, 503, push.Status)
		require.Equal(t, 5*time.Second, took, "the last that may still answer is awaited")
	})
}

// TestReplicaRefuses has one member that refuses a stream which the others take.
func TestReplicaRefuses(t *testing.T) {
	for i := range 3 {
		c := newTestCluster(t, 3, 3)
		c.members[i].fault = refuses
		_, err := c.push(t)
		var push *PushError
		require.ErrorAs(t, err, &push)
		require.Equal(t, 429, push.Status)
		require.Contains(t, push.Text, `maximum active stream limit exceeded when trying to create stream {app="x", n="3"}`)
		least, most := c.copies(t)
		require.Equal(t, 2, least)
		require.Equal(t, 3, most)
	}
}

// TestLateAnswer has a member store a push that was answered without it, while the next push waits for it in vain: that one has no
// copy more for it.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, 2)
		for round := range 3 {
			c.members[1].fault = slow
			took, err := c.push(t)
			require.NoError(t, err)
			require.Equal(t, 1200*time.Millisecond, took, "it was given up on")
			c.members[1].fault = hangs
			time.Sleep(slowness - took - 100*time.Millisecond)
			took, err = c.push(t)
			require.NoError(t, err)
			require.Equal(t, 1200*time.Millisecond, took)
			require.Equal(t, float64(2*testStreams*(round+1)), c.degraded())
			time.Sleep(10 * time.Second)
		}
	})
}

// TestClientGone has a client that does not wait for slow members.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, 2)
		c.members[1].fault = hangs
		ctx, cancel := context.WithTimeout(tenant.Inject(t.Context(), "acme"), 50*time.Millisecond)
		defer cancel()
		req := wire.GetPushRequest()
		req.Streams = []wire.PushStream{{Labels: `{a="b"}`, Entries: []wire.PushEntry{{Timestamp: time.Now().UnixNano(), Line: []byte("line")}}}}
		var push *PushError
		require.ErrorAs(t, c.d.Push(ctx, req), &push)
		require.Equal(t, 499, push.Status)
		time.Sleep(10 * time.Second) // the slow member's push ends by itself
	})
}
