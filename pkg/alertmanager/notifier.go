package alertmanager

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
)

// Alert is what an Alertmanager is told about one alert, in the JSON of its API.
type Alert struct {
	Labels       labels.Labels `json:"labels"`
	Annotations  labels.Labels `json:"annotations"`
	StartsAt     time.Time     `json:"startsAt"`
	EndsAt       time.Time     `json:"endsAt"`
	GeneratorURL string        `json:"generatorURL,omitempty"`
}

// Notifier sends the alerts of one tenant. It is safe for concurrent use.
type Notifier struct {
	cfg      Config
	tenant   string
	client   *http.Client
	resolver Resolver
	metrics  *Metrics
	log      *slog.Logger

	mu      sync.Mutex
	targets map[string]*target // by end point
	started bool
	early   []*Alert // came before the targets were known
}

// New returns a notifier that sends once it runs.
func New(cfg Config, tenant string, metrics *Metrics, log *slog.Logger) (*Notifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := promconfig.NewClientFromConfig(cfg.HTTP, "alertmanager")
	if err != nil {
		return nil, fmt.Errorf("cannot build the client for Alertmanagers: %w", err)
	}
	metrics.capacity.WithLabelValues(tenant).Set(float64(cfg.QueueCapacity))
	metrics.dropped.WithLabelValues(tenant).Add(0)
	return &Notifier{
		cfg: cfg, tenant: tenant, client: client, resolver: net.DefaultResolver, metrics: metrics, log: log, targets: map[string]*target{},
	}, nil
}

// Send queues alerts and returns at once. They must not be changed afterwards.
func (n *Notifier) Send(alerts []Alert) {
	list := make([]*Alert, len(alerts))
	for i := range alerts {
		a := alerts[i]
		a.Labels = n.withExternal(a.Labels)
		list[i] = &a
	}
	n.mu.Lock()
	if !n.started {
		n.early = append(n.early, list...)
		if over := len(n.early) - n.cfg.QueueCapacity; over > 0 {
			n.early = n.early[over:]
			n.drop(over)
		}
		n.mu.Unlock()
		return
	}
	targets := slices.Collect(maps.Values(n.targets))
	n.mu.Unlock()
	for _, t := range targets {
		t.put(list)
	}
}

func (n *Notifier) drop(count int) {
	if count > 0 {
		n.metrics.dropped.WithLabelValues(n.tenant).Add(float64(count))
		n.log.Warn("alerts were dropped: more wait for an Alertmanager than ruler.notification_queue_capacity", "alerts", count)
	}
}

func (n *Notifier) withExternal(set labels.Labels) labels.Labels {
	if n.cfg.ExternalLabels.IsEmpty() {
		return set
	}
	b := labels.NewBuilder(set)
	n.cfg.ExternalLabels.Range(func(l labels.Label) {
		if set.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	})
	return b.Labels()
}

// Run looks Alertmanagers up and sends until ctx ends. What waits then is tried once more.
func (n *Notifier) Run(ctx context.Context) {
	var senders sync.WaitGroup
	defer n.client.CloseIdleConnections()
	defer n.metrics.forgetUser(n.tenant)
	defer senders.Wait()
	known := map[string][]string{}
	tick := time.NewTicker(n.cfg.RefreshInterval)
	defer tick.Stop()
	for {
		n.refresh(ctx, known, &senders)
		select {
		case <-ctx.Done():
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, t := range n.targets {
				t.cancel()
			}
			return
		case <-tick.C:
		}
	}
}

// refresh makes the targets what DNS says.
func (n *Notifier) refresh(ctx context.Context, known map[string][]string, senders *sync.WaitGroup) {
	endpoints, errs := discover(ctx, n.resolver, &n.cfg, known)
	for _, err := range errs {
		if ctx.Err() == nil {
			n.log.Warn("cannot find Alertmanagers; those found before are kept", "err", err)
		}
	}
	n.metrics.discovered.WithLabelValues(n.tenant).Set(float64(len(endpoints)))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range endpoints {
		if n.targets[e] == nil {
			t := newTarget(n, e)
			n.targets[e] = t
			t.put(n.early)
			var own context.Context
			own, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
			senders.Go(func() { t.run(own) })
		}
	}
	for e, t := range n.targets {
		if !slices.Contains(endpoints, e) {
			t.cancel()
			delete(n.targets, e)
		}
	}
	// Without any target yet, alerts wait for the first one.
	if n.started = len(n.targets) > 0 || len(n.cfg.URLs) == 0; n.started {
		n.early = nil
	}
}
