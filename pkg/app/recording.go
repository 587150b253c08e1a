package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"logstore/pkg/config"
	"logstore/pkg/limits"
	"logstore/pkg/remotewrite"
	"logstore/pkg/rules"
)

// newRemoteWrite builds what sends recorded samples.
func (a *App) newRemoteWrite() error {
	c, r := remotewrite.DefaultConfig, a.cfg.Ruler
	c.Dir = r.WAL.Dir
	override(&c.MaxAge, r.WAL.MaxAge)
	override(&c.RefreshPeriod, r.RemoteWrite.ConfigRefreshPeriod)
	c.CleanAge = r.WALCleaner.MinAge
	c.ExternalLabels = labels.FromMap(a.cfg.Logstore.Ruler.ExternalLabels)
	c.Targets = a.remoteTargets
	c.Replay = func(tenant string) bool { return a.limits.For(tenant).RulerEnableWALReplay }
	var err error
	a.remote, err = remotewrite.New(c, a.registry, a.logger.With("component", "remote_write"))
	if err != nil {
		return err
	}
	_, err = a.remoteTargets("") // settings that cannot work are an error at once
	return err
}

// drainRemote is how long the end of the process waits for receivers to take what was recorded last.
const drainRemote = 3 * time.Second

// runRemoteWrite sends until ctx ends and what waits then is sent, or for a moment.
func (a *App) runRemoteWrite(ctx context.Context) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		a.remote.Drain(drainRemote)
		cancel()
	})()
	return a.remote.Run(own)
}

// record keeps samples for the receivers of a tenant.
func (a *App) record(_ context.Context, tenant string, samples []rules.Sample) error {
	out := make([]remotewrite.Sample, len(samples))
	for i, s := range samples {
		out[i] = remotewrite.Sample(s)
	}
	return a.remote.Append(tenant, out)
}

// remoteTargets returns the receivers of a tenant's samples, by name.
func (a *App) remoteTargets(tenant string) ([]remotewrite.Target, error) {
	rw, lim := a.cfg.Ruler.RemoteWrite, a.limits.For(tenant)
	if !rw.Enabled || lim.RulerRemoteWriteDisabled {
		return nil, nil
	}
	clients := maps.Clone(rw.Clients)
	if clients == nil {
		clients = map[string]config.RemoteWriteClient{}
	}
	if rw.Client != nil {
		clients[nameOf(rw.Client)] = *rw.Client
	}
	for name, o := range lim.RulerRemoteWriteConfig {
		c := clients[name]
		overrideClient(&c, &o)
		clients[name] = c
	}
	if len(clients) == 0 && lim.RulerRemoteWriteURL != "" {
		clients["default"] = config.RemoteWriteClient{}
	}
	var out []remotewrite.Target
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		t, err := remoteTarget(name, clients[name], lim)
		if err != nil {
			return nil, fmt.Errorf("ruler.remote_write %s: %w", name, err)
		}
		if rw.AddOrgIDHeader {
			t.Headers = withHeader(t.Headers, "X-Scope-OrgID", tenant)
		}
		if err := t.Validate(); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func nameOf(c *config.RemoteWriteClient) string {
	if c.Name != "" {
		return c.Name
	}
	return "default"
}

// overrideClient puts a tenant's settings of a client over the ruler's.
func overrideClient(c *config.RemoteWriteClient, o *limits.RemoteWriteConfig) {
	override(&c.Name, o.Name)
	override(&c.URL, o.URL)
	override(&c.RemoteTimeout, o.RemoteTimeout)
	override(&c.BasicAuth, o.BasicAuth)
	override(&c.Authorization, o.Authorization)
	if len(o.Headers) > 0 {
		c.Headers = o.Headers
	}
	if len(o.WriteRelabelConfigs) > 0 {
		c.WriteRelabelConfigs = o.WriteRelabelConfigs
	}
}

// remoteTarget says a client and the tenant's older limits in remotewrite's words.
func remoteTarget(name string, c config.RemoteWriteClient, lim *limits.Limits) (remotewrite.Target, error) {
	override(&c.URL, lim.RulerRemoteWriteURL)
	override(&c.RemoteTimeout, lim.RulerRemoteWriteTimeout)
	override(&c.QueueConfig.MaxSamplesPerSend, lim.RulerRemoteWriteQueueMaxSamples)
	override(&c.QueueConfig.BatchSendDeadline, lim.RulerRemoteWriteQueueDeadline)
	override(&c.QueueConfig.MinBackoff, lim.RulerRemoteWriteQueueMinBackoff)
	override(&c.QueueConfig.MaxBackoff, lim.RulerRemoteWriteQueueMaxBackoff)
	if len(lim.RulerRemoteWriteHeaders) > 0 {
		c.Headers = lim.RulerRemoteWriteHeaders
	}
	if len(lim.RulerRemoteWriteRelabelConfigs) > 0 {
		c.WriteRelabelConfigs = lim.RulerRemoteWriteRelabelConfigs
	}
	t := remotewrite.DefaultTarget
	t.Name, t.URL, t.Headers = name, c.URL, c.Headers
	override(&t.Timeout, c.RemoteTimeout)
	override(&t.MaxSamples, c.QueueConfig.MaxSamplesPerSend)
	override(&t.Deadline, c.QueueConfig.BatchSendDeadline)
	override(&t.MinBackoff, c.QueueConfig.MinBackoff)
	override(&t.MaxBackoff, c.QueueConfig.MaxBackoff)
	t.MaxBackoff = max(t.MaxBackoff, t.MinBackoff)
	version, err := json.Marshal(c)
	if err != nil {
		return t, err
	}
	t.Version = string(version)
	if t.HTTP, err = remoteWriteHTTP(c); err != nil {
		return t, err
	}
	t.Relabel, err = relabelConfigs(c.WriteRelabelConfigs)
	return t, err
}

// relabelConfigs says relabelling rules in Prometheus' words, with its defaults.
func relabelConfigs(in []limits.RelabelConfig) ([]*relabel.Config, error) {
	var out []*relabel.Config
	for i, r := range in {
		c := relabel.DefaultRelabelConfig
		for _, name := range r.SourceLabels {
			c.SourceLabels = append(c.SourceLabels, model.LabelName(name))
		}
		override(&c.Separator, r.Separator)
		override(&c.Modulus, r.Modulus)
		override(&c.TargetLabel, r.TargetLabel)
		override(&c.Action, relabel.Action(r.Action))
		if r.Replacement != nil {
			c.Replacement = *r.Replacement
		}
		if r.Regex != "" {
			re, err := relabel.NewRegexp(r.Regex)
			if err != nil {
				return nil, fmt.Errorf("write_relabel_configs[%d]: %w", i, err)
			}
			c.Regex = re
		}
		if err := c.Validate(model.LegacyValidation); err != nil {
			return nil, fmt.Errorf("write_relabel_configs[%d]: %w", i, err)
		}
		out = append(out, &c)
	}
	return out, nil
}
