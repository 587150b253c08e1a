package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/alertmanager"
	"logstore/pkg/buckets"
	"logstore/pkg/config"
	"logstore/pkg/limits"
	"logstore/pkg/ruler"
)

// notifiers send the alerts of each tenant to its Alertmanagers.
type notifiers struct {
	cfg     *config.Config
	limits  *limits.Overrides
	metrics *alertmanager.Metrics
	log     *slog.Logger
	running sync.WaitGroup

	mu     sync.Mutex
	ctx    context.Context // of the notifiers; nil before run and after it
	tenant map[string]*notifier
}

// notifier is a tenant's, as long as its settings stay what they are.
type notifier struct {
	*alertmanager.Notifier
	version string
	cancel  context.CancelFunc
}

func newNotifiers(cfg *config.Config, lim *limits.Overrides, reg prometheus.Registerer, log *slog.Logger) *notifiers {
	if !cfg.Ruler.EnableAlertmanagerV2 && cfg.Ruler.AlertmanagerURL != "" {
		log.Info("Alertmanagers are spoken to in version 2 of their API in spite of ruler.enable_alertmanager_v2: they no longer have version 1")
	}
	return &notifiers{cfg: cfg, limits: lim, metrics: alertmanager.NewMetrics(reg), log: log, tenant: map[string]*notifier{}}
}

// run lets alerts be sent until ctx ends; then what waits is tried once more.
func (n *notifiers) run(ctx context.Context) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.mu.Lock()
	n.ctx = own
	n.mu.Unlock()
	<-ctx.Done()
	n.mu.Lock()
	n.ctx = nil
	n.mu.Unlock()
	cancel()
	n.running.Wait()
	return nil
}

// notify queues alerts of a tenant.
func (n *notifiers) notify(tenant string, alerts []ruler.Alert) {
	to := n.of(tenant)
	if to == nil {
		return
	}
	out := make([]alertmanager.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = alertmanager.Alert{Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, EndsAt: a.ValidUntil, GeneratorURL: a.Link}
		if !a.ResolvedAt.IsZero() {
			out[i].EndsAt = a.ResolvedAt
		}
	}
	to.Send(out)
}

// of returns the notifier of a tenant, or nil if it has no Alertmanager. One whose settings changed is replaced.
func (n *notifiers) of(tenant string) *notifier {
	cfg, version := n.config(tenant)
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.tenant[tenant]
	if n.ctx == nil || old != nil && old.version == version {
		return old
	}
	if old != nil {
		old.cancel()
		delete(n.tenant, tenant)
	}
	if len(cfg.URLs) == 0 {
		return nil
	}
	log := n.log.With("tenant", tenant)
	inner, err := alertmanager.New(cfg, tenant, n.metrics, log)
	if err != nil {
		log.Error("cannot notify Alertmanagers", "err", err)
		return nil
	}
	ctx, cancel := context.WithCancel(n.ctx)
	started := &notifier{Notifier: inner, version: version, cancel: cancel}
	n.tenant[tenant] = started
	n.running.Go(func() { inner.Run(ctx) })
	return started
}

// config returns the settings of a tenant, and a text that changes when they do.
func (n *notifiers) config(tenant string) (alertmanager.Config, string) {
	r := &n.cfg.Ruler
	own := limits.AlertManagerConfig{
		AlertmanagerURL: r.AlertmanagerURL, Discovery: r.EnableAlertmanagerDiscovery, RefreshInterval: r.AlertmanagerRefreshInterval,
		NotificationQueueCapacity: r.NotificationQueueCapacity, NotificationTimeout: r.NotificationTimeout, Client: r.AlertmanagerClient,
	}
	if o := n.limits.For(tenant).RulerAlertManagerConfig; o != nil {
		override(&own.AlertmanagerURL, o.AlertmanagerURL)
		override(&own.Discovery, o.Discovery)
		override(&own.RefreshInterval, o.RefreshInterval)
		override(&own.NotificationQueueCapacity, o.NotificationQueueCapacity)
		override(&own.NotificationTimeout, o.NotificationTimeout)
		if c := o.Client; c != (limits.AlertManagerClient{}) && c != (limits.AlertManagerClient{Type: "Bearer"}) {
			own.Client = c
		}
	}
	c := alertmanager.DefaultConfig
	c.URLs, c.Discovery = alertmanager.SplitURLs(own.AlertmanagerURL), own.Discovery
	override(&c.RefreshInterval, own.RefreshInterval)
	override(&c.QueueCapacity, own.NotificationQueueCapacity)
	override(&c.Timeout, own.NotificationTimeout)
	c.HTTP = buckets.AlertmanagerHTTP(own.Client)
	c.Headers = maps.Clone(n.cfg.Logstore.Ruler.AlertmanagerHeaders)
	if n.cfg.AuthEnabled {
		c.Headers = withHeader(c.Headers, "X-Scope-OrgID", tenant)
	}
	c.ExternalLabels = labels.FromMap(n.cfg.Logstore.Ruler.ExternalLabels)
	version, err := json.Marshal(own)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return c, string(version)
}

// withHeader adds a header that is not there yet.
func withHeader(headers map[string]string, name, value string) map[string]string {
	for h := range headers {
		if strings.EqualFold(h, name) {
			return headers
		}
	}
	out := map[string]string{name: value}
	maps.Copy(out, headers)
	return out
}

// override replaces a value by one that is set.
func override[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
