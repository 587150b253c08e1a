package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is an Alertmanager that answers as it is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []Alert
	last   *http.Request
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last = req
		var alerts []Alert
		if err := json.NewDecoder(req.Body).Decode(&alerts); err != nil {
			t.Error(err)
		}
		if r.status == http.StatusOK {
			r.got = append(r.got, alerts...)
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) names() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, a := range r.got {
		out[a.Labels.Get("alertname")]++
	}
	return out
}

func start(t *testing.T, change func(*Config), resolver Resolver, urls ...string) (*Notifier, func()) {
	t.Helper()
	cfg := DefaultConfig
	cfg.URLs, cfg.MinBackoff, cfg.MaxBackoff = urls, time.Millisecond, 5*time.Millisecond
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg, "t", NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	if resolver != nil {
		n.resolver = resolver
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	return n, func() {
		cancel()
		<-done
	}
}

func named(names ...string) (out []Alert) {
	for _, n := range names {
		out = append(out, Alert{Labels: labels.FromStrings("alertname", n), StartsAt: time.Unix(1, 0)})
	}
	return out
}

func TestSeveralReceivers(t *testing.T) {
	a, b := newReceiver(t), newReceiver(t)
	n, stop := start(t, func(c *Config) {
		c.HTTP.BasicAuth = &promconfig.BasicAuth{Username: "u", Password: "p"}
		c.Headers = map[string]string{"X-Own": "value"}
		c.ExternalLabels = labels.FromStrings("cluster", "one", "alertname", "not this")
	}, nil, a.URL+"/prefix/", b.URL)
	b.Close() // one that is away holds nothing back
	n.Send(named("x", "y"))
	require.Eventually(t, func() bool { return len(a.names()) == 2 }, 10*time.Second, time.Millisecond)
	user, password, _ := a.last.BasicAuth()
	require.Equal(t, "/prefix/api/v2/alerts u p value", fmt.Sprint(a.last.URL.Path, " ", user, " ", password, " ", a.last.Header.Get("X-Own")))
	require.Equal(t, `{alertname="x", cluster="one"}`, a.got[0].Labels.String())
	stop()
}

func TestOutageLosesNothing(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusServiceUnavailable)
	n, stop := start(t, nil, nil, r.URL)
	for i := range 600 { // more than fit one request
		n.Send(named(fmt.Sprint("a", i)))
	}
	for range 3 {
		n.Send(named("again")) // counts once
	}
	time.Sleep(20 * time.Millisecond)
	r.answer(http.StatusOK)
	require.Eventually(t, func() bool {
		// What a stop interrupts is sent once more, so all answers must be there before it.
		return testutil.ToFloat64(n.metrics.sent.WithLabelValues("t", r.URL+alertsPath)) >= 601
	}, 10*time.Second, time.Millisecond)
	names := r.names()
	require.Len(t, names, 601)
	stop()
	for name, n := range names {
		require.Equal(t, 1, n, name)
	}
	require.Zero(t, testutil.ToFloat64(n.metrics.dropped.WithLabelValues("t")))
}

func TestRefusedIsDropped(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusBadRequest)
	n, stop := start(t, nil, nil, r.URL)
	n.Send(named("bad"))
	require.Eventually(t, func() bool { return testutil.ToFloat64(n.metrics.dropped.WithLabelValues("t")) == 1 }, 10*time.Second, time.Millisecond)
	r.answer(http.StatusOK)
	n.Send(named("good"))
	require.Eventually(t, func() bool { return r.names()["good"] == 1 }, 10*time.Second, time.Millisecond)
	require.Zero(t, r.names()["bad"])
	stop()
}

func TestDrain(t *testing.T) {
	r := newReceiver(t)
	n, stop := start(t, nil, nil, r.URL)
	require.Eventually(t, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.started }, 10*time.Second, time.Millisecond)
	n.Send(named("x"))
	stop()
	require.Equal(t, map[string]int{"x": 1}, r.names(), "what waits is sent before the end")
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue(3)
	put := func(names ...string) int {
		var list []*Alert
		for _, a := range named(names...) {
			list = append(list, &a)
		}
		return q.put(list)
	}
	names := func(alerts []*Alert) (out []string) {
		for _, a := range alerts {
			out = append(out, a.Labels.Get("alertname"))
		}
		return out
	}
	require.Zero(t, put("a", "b", "c"))
	require.Zero(t, put("a"), "a newer word takes the place of the older")
	require.Equal(t, 1, put("d"))
	taken := q.take(2)
	require.Equal(t, []string{"b", "c"}, names(taken), "the oldest was dropped")
	put("b")
	require.Equal(t, 0, q.putBack(taken), "there is newer word of b")
	require.Equal(t, []string{"c", "d", "b"}, names(q.take(9)))
	require.Zero(t, q.len())
}

type fakeDNS struct {
	mu    sync.Mutex
	hosts map[string][]string
	srv   map[string][]*net.SRV
}

func (f *fakeDNS) LookupHost(_ context.Context, host string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.hosts[host]; ok {
		return a, nil
	}
	return nil, errors.New("no such host")
}

func (f *fakeDNS) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.srv[name]; ok {
		return name, a, nil
	}
	return "", nil, errors.New("no such service")
}

func TestDiscovery(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"am": {"10.0.0.1", "10.0.0.2"}}, srv: map[string][]*net.SRV{"_web._tcp.am": {{Target: "am-0.", Port: 9093}}}}
	before := map[string][]string{}
	cfg := Config{Discovery: true, URLs: []string{"http://am:9093/x", "https://u:p@_web._tcp.am"}}
	want := []string{"http://10.0.0.1:9093/x/api/v2/alerts", "http://10.0.0.2:9093/x/api/v2/alerts", "https://u:p@am-0:9093/api/v2/alerts"}
	got, errs := discover(t.Context(), dns, &cfg, before)
	require.Empty(t, errs)
	require.Equal(t, want, got)
	dns.hosts, dns.srv = nil, nil
	got, errs = discover(t.Context(), dns, &cfg, before)
	require.Len(t, errs, 2)
	require.Equal(t, want, got, "when DNS does not answer, the old ones stay")

	cfg = Config{URLs: []string{"http://am", "dns+https://am", "dnssrv+http://_web._tcp.am"}}
	dns.hosts, dns.srv = map[string][]string{"am": {"::1"}}, map[string][]*net.SRV{"_web._tcp.am": {}}
	got, errs = discover(t.Context(), dns, &cfg, map[string][]string{})
	require.Empty(t, errs)
	require.Equal(t, []string{"http://am/api/v2/alerts", "https://[::1]:443/api/v2/alerts"}, got)
}

func TestReceiversComeAndGo(t *testing.T) {
	a, b := newReceiver(t), newReceiver(t)
	host := func(r *receiver) *net.SRV {
		addr := r.Listener.Addr().(*net.TCPAddr)
		return &net.SRV{Target: "127.0.0.1", Port: uint16(addr.Port)}
	}
	dns := &fakeDNS{}
	n, stop := start(t, func(c *Config) { c.RefreshInterval = time.Millisecond }, dns, "dnssrv+http://_am")
	n.Send(named("early"))
	set := func(to ...*net.SRV) {
		dns.mu.Lock()
		defer dns.mu.Unlock()
		dns.srv = map[string][]*net.SRV{"_am": to}
	}
	set(host(a))
	require.Eventually(t, func() bool { return a.names()["early"] == 1 }, 10*time.Second, time.Millisecond, "alerts wait for the first receiver")
	set(host(b))
	require.Eventually(t, func() bool {
		n.Send(named("late"))
		return b.names()["late"] > 0
	}, 10*time.Second, 5*time.Millisecond)
	stop()
}

func TestConfig(t *testing.T) {
	for _, u := range []string{"am:9093", "ftp://am", "http://", "://"} {
		c := DefaultConfig
		c.URLs = []string{u}
		err := c.Validate()
		require.Error(t, err, u)
		require.NotContains(t, err.Error(), "am:")
	}
	require.Equal(t, []string{"http://a", "http://b"}, SplitURLs(" http://a, http://b,"))
}
