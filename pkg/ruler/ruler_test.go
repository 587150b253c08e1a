package ruler

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/objstore"
	"logstore/pkg/rules"
)

// member is a ruler of a test with what it did.
type member struct {
	*Ruler
	stop func()

	mu      sync.Mutex
	samples []rules.Sample
	alerts  []Alert
}

// cluster is what the members of a test share.
type cluster struct {
	bucket objstore.Bucket
	limits *limits.Overrides
	mu     sync.Mutex
	owner  string // of all groups
	slow   time.Duration
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	lim, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	return &cluster{bucket: objstore.NewMemory(), limits: lim, owner: "a"}
}

func (c *cluster) put(t *testing.T, g rules.Group) {
	t.Helper()
	require.NoError(t, c.bucket.Put(t.Context(), groupKey("t", "ns", g.Name), encodeGroup("t", "ns", &g)))
}

func (c *cluster) own(member string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = member
}

// start runs a member; every query answers with one series.
func (c *cluster) start(t *testing.T, name string) *member {
	t.Helper()
	m := &member{}
	cfg := DefaultConfig
	cfg.Member = name
	r, err := New(cfg, Deps{
		Store: NewBucket(c.bucket, false), State: c.bucket, Limits: c.limits, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Query: func(ctx context.Context, _ string, ts time.Time) ([]rules.Sample, error) {
			time.Sleep(c.slow)
			return []rules.Sample{{Labels: labels.FromStrings("app", "web"), Value: float64(ts.Unix())}}, nil
		},
		Notify: func(_ string, alerts []Alert) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.alerts = append(m.alerts, alerts...)
		},
		Record: func(_ context.Context, _ string, samples []rules.Sample) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, s := range samples {
				if s.Labels.Get("__name__") == "r" { // not those that tell of alerts
					m.samples = append(m.samples, s)
				}
			}
			return nil
		},
		Link: func(expr string) string { return "link:" + expr },
		Owns: func(string, string, string) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.owner == name
		},
	})
	require.NoError(t, err)
	m.Ruler = r
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	m.stop = func() {
		cancel()
		<-done
	}
	return m
}

func (m *member) times() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int64
	for _, s := range m.samples {
		out = append(out, s.Time)
	}
	return out
}

// kill ends a member without a word, as a crash does: nothing of it runs or saves any more.
func (m *member) kill() {
	m.syncMu.Lock()
	m.deps.State = nil
	m.syncMu.Unlock()
	m.stop()
}

func recording(interval int) rules.Group {
	return rules.Group{Name: "g", Interval: rules.Duration(time.Duration(interval) * time.Second), Rules: []rules.Rule{
		{Record: "r", Expr: "vector(1)"}, {Alert: "A", Expr: "vector(1)", For: minutes(3)},
	}}
}

func TestEvaluationOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.put(t, recording(10))
		m := c.start(t, "a")
		time.Sleep(65 * time.Second)
		m.stop()
		times := m.times()
		require.GreaterOrEqual(t, len(times), 6)
		offset := int64(key{"t", "ns", "g"}.hash() % 10_000)
		for _, ms := range times {
			require.Equal(t, offset, ms%10_000, "every instant is a multiple of the interval and the group's offset")
		}
		requireSteps(t, times, 10_000)
	})
}

func requireSteps(t *testing.T, times []int64, step int64) {
	t.Helper()
	for i := range times[1:] {
		require.Equal(t, step, times[i+1]-times[i], "after %d of %v", i, times)
	}
}

func TestMissedEvaluations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		g := recording(10)
		g.Rules = g.Rules[:1]
		c.put(t, g)
		c.slow = 25 * time.Second
		m := c.start(t, "a")
		time.Sleep(100 * time.Second)
		m.stop()
		require.NotZero(t, testutil.ToFloat64(m.metrics.missed))
		times := m.times()
		require.Equal(t, int64(20_000), times[1]-times[0], "one is left out, and the next is on time")
	})
}

func TestTakeoverAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.put(t, recording(10))
		a, b := c.start(t, "a"), c.start(t, "b")
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		require.NotEmpty(t, a.alerts, "the alert fires")
		fired := a.alerts[0].FiredAt
		require.Empty(t, b.times())
		a.kill()
		time.Sleep(50 * time.Second) // until a is known to be dead
		c.own("b")
		b.Changed("test")
		time.Sleep(15 * time.Second)
		b.stop()
		all := append(a.times(), b.times()...)
		slices.Sort(all)
		requireSteps(t, slices.Compact(all), 10_000)
		require.NotEmpty(t, b.alerts)
		require.Equal(t, fired, b.alerts[0].FiredAt, "it is the same alert")
		require.Equal(t, "link:vector(1)", b.alerts[0].Link)
		require.Equal(t, float64(1), testutil.ToFloat64(b.metrics.restored))
	})
}

func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.put(t, recording(10))
		a := c.start(t, "a")
		time.Sleep(4 * time.Minute)
		c.own("b")
		a.Changed("test")
		synctest.Wait()
		require.Empty(t, a.Status("t"))
		b := c.start(t, "b")
		synctest.Wait()
		require.Equal(t, "firing", b.Status("t")[0].Rules[1].State)
		time.Sleep(30 * time.Second)
		a.stop()
		b.stop()
		all := append(a.times(), b.times()...)
		requireSteps(t, all, 10_000) // none twice, none left out
	})
}

func TestGroupsComeChangeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		m := c.start(t, "a")
		synctest.Wait()
		require.Empty(t, m.Status("t"))
		require.NoError(t, m.SetGroup(t.Context(), "t", "ns", []byte("{name: g, interval: 10s, rules: [{alert: A, expr: vector(1)}, {record: r, expr: vector(1)}]}")))
		time.Sleep(25 * time.Second)
		s := m.Status("t")
		require.Equal(t, "firing", s[0].Rules[0].State)
		active := (*s[0].Rules[0].Alerts)[0].ActiveAt
		require.NoError(t, m.SetGroup(t.Context(), "t", "ns", []byte("{name: g, interval: 10s, rules: [{alert: A, expr: vector(2)}]}")))
		time.Sleep(time.Second)
		s = m.Status("t")
		require.Len(t, s[0].Rules, 1)
		require.Equal(t, active, (*s[0].Rules[0].Alerts)[0].ActiveAt, "a changed rule keeps its alerts")
		require.NoError(t, m.DeleteGroup(t.Context(), "t", "ns", "g"))
		time.Sleep(time.Second)
		require.Empty(t, m.Status("t"))
		m.stop()
		last := m.samples[len(m.samples)-1]
		require.True(t, last.Value != last.Value, "the series of the rule that went away ends")
	})
}

func TestLimitsOfGroups(t *testing.T) {
	c := newCluster(t)
	lim := limits.DefaultLimits()
	lim.RulerMaxRuleGroupsPerTenant, lim.RulerMaxRulesPerRuleGroup = 1, 1
	require.NoError(t, c.limits.Replace(lim, nil))
	c.put(t, recording(10))
	synctest.Test(t, func(t *testing.T) {
		m := c.start(t, "a")
		synctest.Wait()
		require.Empty(t, m.Status("t"), "a stored group that is too large is not evaluated")
		require.Equal(t, float64(1), testutil.ToFloat64(m.metrics.loadFailures))
		err := m.SetGroup(t.Context(), "t", "ns", []byte("{name: g, rules: [{record: a, expr: vector(1)}, {record: b, expr: vector(1)}]}"))
		require.ErrorIs(t, err, ErrInvalid)
		require.EqualError(t, err, "per-user rules per rule group limit (limit: 1 actual: 2) exceeded")
		err = m.SetGroup(t.Context(), "t", "ns", []byte("{name: h, rules: [{record: a, expr: vector(1)}]}"))
		require.EqualError(t, err, "per-user rule groups limit (limit: 1 actual: 2) exceeded")
		require.NoError(t, m.SetGroup(t.Context(), "t", "ns", []byte("{name: g, rules: [{record: a, expr: vector(1)}]}")))
		m.stop()
	})
}

func TestFilterByLabels(t *testing.T) {
	c := newCluster(t)
	synctest.Test(t, func(t *testing.T) {
		m := c.start(t, "a")
		require.NoError(t, m.SetGroup(t.Context(), "t", "ns", []byte("{name: g, rules: [{record: a, expr: vector(1), labels: {x: y}}, {record: b, expr: vector(1)}]}")))
		got, err := m.Groups(t.Context(), "t", "", map[string]string{"x": "y"})
		require.NoError(t, err)
		require.Len(t, got["ns"][0].Rules, 1)
		_, err = m.Groups(t.Context(), "t", "", map[string]string{"x": "z"})
		require.ErrorIs(t, err, ErrNoGroups)
		m.stop()
	})
}

func TestStateOfOthersIsBad(t *testing.T) {
	for _, body := range []string{"", "not gzip", "\x1f\x8b\x08\x00"} {
		_, err := decodeState([]byte(body))
		require.Error(t, err)
	}
	require.True(t, strings.HasPrefix(stateKey("a/b"), "ruler-state/a%2Fb"))
}
