package querier

import (
	"context"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/tenant"
)

// tenants is one source seen by several tenants at once. Its streams carry engine.TenantLabel, which selectors may match.
type tenants struct {
	source logql.Source
	ids    []string
}

// each calls ask for every tenant that the matchers on engine.TenantLabel accept, with a context of that tenant and the other
// matchers.
func (t tenants) each(ctx context.Context, sel logql.Selection, ask func(context.Context, string, logql.Selection) error) error {
	var onTenant, rest []*labels.Matcher
	for _, m := range sel.Matchers {
		if m.Name == engine.TenantLabel {
			onTenant = append(onTenant, m)
		} else {
			rest = append(rest, m)
		}
	}
	sel.Matchers = rest
	for _, id := range t.ids {
		if !acceptAll(onTenant, id) {
			continue
		}
		if err := ask(tenant.Inject(ctx, id), id, sel); err != nil {
			return err
		}
	}
	return nil
}

func acceptAll(matchers []*labels.Matcher, value string) bool {
	for _, m := range matchers {
		if !m.Matches(value) {
			return false
		}
	}
	return true
}

// Select returns the streams of all tenants; the engine puts the tenant's label on behind the pipeline.
func (t tenants) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	var all []logql.Stream
	err := t.each(ctx, sel, func(ctx context.Context, id string, sel logql.Selection) error {
		streams, err := t.source.Select(ctx, sel)
		for i := range streams {
			streams[i].Tenant = id
		}
		all = append(all, streams...)
		return err
	})
	return all, err
}

// LabelNames returns the names that any tenant has, and engine.TenantLabel.
func (t tenants) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	all := []string{engine.TenantLabel}
	err := t.each(ctx, sel, func(ctx context.Context, _ string, sel logql.Selection) error {
		names, err := t.source.LabelNames(ctx, sel)
		all = append(all, names...)
		return err
	})
	sort.Strings(all)
	return slices.Compact(all), err
}

// LabelValues returns the values that any tenant has under name; of engine.TenantLabel, the tenants.
func (t tenants) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	if name == engine.TenantLabel {
		return slices.Clone(t.ids), nil
	}
	var all []string
	err := t.each(ctx, sel, func(ctx context.Context, _ string, sel logql.Selection) error {
		values, err := t.source.LabelValues(ctx, name, sel)
		all = append(all, values...)
		return err
	})
	sort.Strings(all)
	return slices.Compact(all), err
}

// Series returns the label sets of all tenants with engine.TenantLabel.
func (t tenants) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	var all []labels.Labels
	err := t.each(ctx, sel, func(ctx context.Context, id string, sel logql.Selection) error {
		series, err := t.source.Series(ctx, sel)
		for _, s := range series {
			b := labels.NewBuilder(s)
			b.Set(engine.TenantLabel, id)
			all = append(all, b.Labels())
		}
		return err
	})
	return distinct(all), err
}
