package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/config"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/objstore"
	"logstore/pkg/querier"
	"logstore/pkg/ring"
	"logstore/pkg/ruler"
	"logstore/pkg/rules"
	"logstore/pkg/tenant"
)

// Names of the calls between rulers.
const (
	callRulerStatus  = "ruler.status"
	callRulerChanged = "ruler.changed"
)

// newRuler builds the ruler over the querier.
func (a *App) newRuler() error {
	store, err := a.ruleStore()
	if err != nil {
		return err
	}
	state, err := a.rulerState()
	if err != nil {
		return err
	}
	cfg, err := a.rulerConfig()
	if err != nil {
		return err
	}
	a.notifiers = newNotifiers(a.cfg, a.limits, a.registry, a.logger.With("component", "notifier"))
	a.ruler, err = ruler.New(cfg, ruler.Deps{
		Store: store, State: state, Query: a.queryRule, Notify: a.notifiers.notify, Record: a.record, Link: a.queryLink,
		Owns: a.ownsRules, Written: a.tellRulers,
		Limits: a.limits, Logger: a.logger.With("component", "ruler"), Registerer: a.registry, Tracer: a.tracer,
	})
	if err != nil {
		return err
	}
	a.rpcServer.Handle(callRulerStatus, func(ctx context.Context, _ []byte) ([]byte, error) {
		id, err := tenant.ID(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a.ruler.Status(id))
	})
	a.rpcServer.Handle(callRulerChanged, func(context.Context, []byte) ([]byte, error) {
		a.ruler.Changed("api-change")
		return nil, nil
	})
	return nil
}

func (a *App) rulerConfig() (ruler.Config, error) {
	c, in := ruler.DefaultConfig, a.cfg.Ruler
	c.EvaluationInterval, c.PollInterval, c.MaxJitter = in.EvaluationInterval, in.PollInterval, in.Evaluation.MaxJitter
	c.ResendDelay, c.ForOutageTolerance, c.ForGracePeriod = in.ResendDelay, in.ForOutageTolerance, in.ForGracePeriod
	c.EnabledTenants, c.DisabledTenants = in.EnabledTenants, in.DisabledTenants
	c.DisableGroupLabel = in.DisableRuleGroupLabel
	c.Member, c.Concurrency = a.memberID(), a.cfg.Logstore.Ruler.Concurrency
	c.ExternalLabels = labels.FromMap(a.cfg.Logstore.Ruler.ExternalLabels)
	var err error
	if c.ExternalURL, err = url.Parse(a.externalURL()); err != nil {
		return c, fmt.Errorf("ruler.external_url: %w", err)
	}
	return c, c.Validate()
}

// externalURL is where people find this store: what is configured, or this process.
func (a *App) externalURL() string {
	if u := a.cfg.Ruler.ExternalURL; u != "" {
		return strings.TrimSuffix(u, "/")
	}
	host, scheme := a.cfg.Common.InstanceAddr, "http"
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "" {
		host = a.instanceID()
	}
	if a.cfg.Server.HTTPTLSConfig.Enabled() {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(a.cfg.Server.HTTPListenPort)) + strings.TrimSuffix(a.cfg.Server.HTTPPathPrefix, "/")
}

// queryLink returns the address that shows a query: in Grafana's Explore if its data source is known, else on our own page.
func (a *App) queryLink(expr string) string {
	uid := a.cfg.Ruler.DatasourceUID
	if uid == "" {
		return a.externalURL() + "/ui/#/explore?q=" + url.QueryEscape(expr)
	}
	source := map[string]string{"type": "loki", "uid": uid}
	pane, err := json.Marshal(map[string]any{
		"datasource": uid,
		"queries":    []any{map[string]any{"refId": "A", "expr": expr, "queryType": "range", "datasource": source}},
		"range":      map[string]string{"from": "now-1h", "to": "now"},
	})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return a.externalURL() + "/explore?left=" + url.QueryEscape(string(pane))
}

// ruleStore opens the place where the rules live.
func (a *App) ruleStore() (*ruler.Store, error) {
	where, writable, err := a.cfg.RulerStore()
	if err != nil {
		return nil, err
	}
	single := !a.cfg.AuthEnabled
	pattern := where.Directory
	if where.Kind == config.KindFilesystem && (!writable || strings.ContainsAny(pattern, "*?[")) {
		return ruler.NewLocal(pattern, single)
	}
	b, err := a.buckets.Rules(where)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store of rules: %w", err)
	}
	if where.Kind == config.KindFilesystem {
		return ruler.NewFolder(pattern, b, single)
	}
	return ruler.NewBucket(b, single), nil
}

// rulerState returns where the state of alerts is kept: where all members find it if there is such a place, which is the
// bucket of the rules or that of the chunks, else in a folder of this process.
func (a *App) rulerState() (objstore.Bucket, error) {
	where, _, err := a.cfg.RulerStore()
	if err != nil {
		return nil, err
	}
	if where.Kind == config.KindS3 {
		return a.buckets.Rules(where)
	}
	if n := len(a.cfg.Schema.Configs); n > 0 {
		b, where, err := a.buckets.Get(a.cfg.Schema.Configs[n-1].ObjectStore)
		if err != nil {
			return nil, err
		}
		if where.Kind == config.KindS3 {
			return b, nil
		}
	}
	return objstore.NewFilesystem(objstore.FilesystemConfig{Directory: a.cfg.Ruler.RulePath})
}

// queryRule evaluates the query of a rule as the API would.
func (a *App) queryRule(ctx context.Context, query string, ts time.Time) ([]rules.Sample, error) {
	expr, err := syntax.Parse(query)
	if err != nil {
		return nil, err
	}
	at := ts.UnixNano()
	res, err := a.querier.Query(querier.WithSource(ctx, querier.RuleSource), engine.Params{Text: query, Expr: expr, Start: at, End: at, Instant: true})
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case engine.Scalar:
		return []rules.Sample{{Time: v.T, Value: v.V}}, nil
	case engine.Vector:
		out := make([]rules.Sample, len(v))
		for i, s := range v {
			out[i] = rules.Sample{Labels: s.Labels, Time: s.Points[0].T, Value: s.Points[0].V}
		}
		return out, nil
	}
	return nil, fmt.Errorf("rule result is not a vector or scalar but %s", res.Value.Type())
}

// ownsRules tells whether this member evaluates a group: the first member that takes work after the group's place on the
// ring, among those that the tenant's rules are confined to by ruler_tenant_shard_size.
func (a *App) ownsRules(id, namespace, group string) bool {
	token := ring.TokenOf(id + "\x00" + namespace + "\x00" + group)
	shard := a.ruleShard(id)
	if shard == nil {
		m, ok := a.ring.Owner(token)
		return ok && m.Self
	}
	for m := range a.ring.Walk(token) {
		if slices.Contains(shard, m.ID) {
			return m.Self
		}
	}
	return false
}

// ruleShard returns the members that a tenant's rules are confined to, or nil for all. Each member is drawn by a hash of its
// own, so that one that comes or goes changes at most one place.
func (a *App) ruleShard(id string) []string {
	size := a.limits.For(id).RulerTenantShardSize
	if size <= 0 {
		return nil
	}
	var members []string
	for _, m := range a.ring.Members() {
		if m.Writable() {
			members = append(members, m.ID)
		}
	}
	if size >= len(members) {
		return nil
	}
	draw := func(member string) uint64 { return xxhash.Sum64String(id + "\x00" + member) }
	slices.SortFunc(members, func(x, y string) int {
		if draw(x) < draw(y) {
			return -1
		}
		return 1
	})
	return members[:size]
}

// runRuler evaluates rules from when queries are answered until ctx ends, and watches the ring for who owns what.
func (a *App) runRuler(ctx context.Context) error {
	for a.ingester.Ready() != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			changed := a.ring.Changed()
			a.ruler.Changed("ring-change")
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	})
	return a.ruler.Run(ctx)
}

// tellRulers makes the other members look at the rules, soon. Those that cannot be told look by themselves at their next poll.
func (a *App) tellRulers() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	go func() {
		defer cancel()
		_, _ = eachMember(ctx, a, callRulerChanged, func([]byte) error { return nil })
	}()
}

// eachMember calls all other members and hands each answer to fn, one at a time. It returns a text for each that failed.
func eachMember(ctx context.Context, a *App, name string, fn func([]byte) error) (failed []string, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range a.ring.Members() {
		if m.Self || !m.Healthy || !strings.Contains(m.Addr, ":") {
			continue
		}
		wg.Go(func() {
			body, err := a.peers.Call(ctx, m.Addr, name, nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = fn(body)
			}
			if err != nil {
				failed = append(failed, fmt.Sprintf("member %s: %v", m.ID, err))
			}
		})
	}
	wg.Wait()
	slices.Sort(failed)
	return failed, ctx.Err()
}

// rulerAPI is the ruler with what the other members know.
type rulerAPI struct {
	*ruler.Ruler
	app *App
}

// statusTimeout bounds the wait for a member that does not answer.
const statusTimeout = 10 * time.Second

// AllStatus implements api.Ruler.
func (r rulerAPI) AllStatus(ctx context.Context) ([]ruler.GroupStatus, []string, error) {
	id, err := tenant.ID(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, errors.New("members did not answer in time"))
	defer cancel()
	groups := r.Status(id)
	warnings, err := eachMember(ctx, r.app, callRulerStatus, func(body []byte) error {
		var theirs []ruler.GroupStatus
		if err := json.Unmarshal(body, &theirs); err != nil {
			return err
		}
		groups = append(groups, theirs...)
		return nil
	})
	if err != nil && len(warnings) == 0 {
		return nil, nil, err
	}
	return ruler.MergeStatus(groups), warnings, nil
}
