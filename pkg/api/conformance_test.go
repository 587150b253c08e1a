package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/pkg/api"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/model"
	"logstore/pkg/querier"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

const testdata = "../../integration/testdata/conformance/"

// queriers are the ways in which the recorded queries are run; the answers must be the same. A setting that changes how a
// query is taken apart or remembered belongs here.
var queriers = map[string]func(*querier.Config, *limits.Limits){
	"plain":      func(*querier.Config, *limits.Limits) {},
	"sequential": func(c *querier.Config, _ *limits.Limits) { c.MaxConcurrent = 1 },
}

// refused are the cases in which the reference's answer is not ours by decision; integration/conformance_test.go says why.
var refused = map[string]bool{
	"params.window.008": true, "filter.regex.063": true, "range.unwrap.057": true, "filter.count.011": true, "wide.metric.001": true,
}

// tenantSources gives each tenant a source of its own.
type tenantSources map[string]*enginetest.Source

func (s tenantSources) of(ctx context.Context) *enginetest.Source {
	id, err := tenant.ID(ctx)
	if err != nil || s[id] == nil {
		return enginetest.New(enginetest.Options{})
	}
	return s[id]
}

func (s tenantSources) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	return s.of(ctx).Select(ctx, sel)
}

func (s tenantSources) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return s.of(ctx).LabelNames(ctx, sel)
}

func (s tenantSources) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return s.of(ctx).LabelValues(ctx, name, sel)
}

func (s tenantSources) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	return s.of(ctx).Series(ctx, sel)
}

var oddName = regexp.MustCompile(`[^a-zA-Z0-9_]|_{2,}`)

// loadSources fills a source per tenant; metadata are cleaned as they are when they are pushed.
func loadSources(t *testing.T) tenantSources {
	t.Helper()
	all := tenantSources{}
	require.NoError(t, conformance.EachLine(testdata+"dataset", func(l conformance.Line) error {
		if all[l.Tenant] == nil {
			all[l.Tenant] = enginetest.New(enginetest.Options{BlockEntries: 200, PieceEntries: 3000})
		}
		ts, err := strconv.ParseInt(l.Ts, 10, 64)
		if err != nil {
			return err
		}
		e := model.Entry{Timestamp: ts, Line: l.Line}
		for name, value := range l.Meta {
			if name = oddName.ReplaceAllString(name, "_"); name[0] >= '0' && name[0] <= '9' {
				name = "key_" + name
			}
			if value != "" {
				e.Metadata = append(e.Metadata, model.Pair{Name: name, Value: value})
			}
		}
		sort.Slice(e.Metadata, func(i, j int) bool { return e.Metadata[i].Name < e.Metadata[j].Name })
		all[l.Tenant].Add(labels.FromMap(l.Labels), e)
		return nil
	}))
	return all
}

// TestConformance runs the recorded queries on queriers of all settings, behind the API but without a store.
func TestConformance(t *testing.T) {
	sources := loadSources(t)
	cases, err := conformance.ReadDir(testdata+"cases", "logql-*.jsonl")
	require.NoError(t, err)
	for name, set := range queriers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, lim := querier.DefaultConfig, limits.DefaultLimits()
			cfg.MultiTenantQueries, cfg.AlignStep = true, true
			lim.MaxQuerySeries, lim.MaxEntriesLimitPerQuery, lim.MaxQueryLength = 5000, 5000, 0
			set(&cfg, &lim)
			overrides, err := limits.New(lim)
			require.NoError(t, err)
			reg := prometheus.NewRegistry()
			q, err := querier.New(cfg, querier.Deps{
				Sources: []logql.Source{sources}, Observe: func(string, []*labels.Matcher, func([]wire.Stream)) func() { return func() {} },
				Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg,
			})
			require.NoError(t, err)
			server := httptest.NewServer(api.New(api.DefaultConfig, api.Deps{
				Querier: q, Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, LogLevel: new(slog.LevelVar),
			}))
			defer server.Close()
			client := &http.Client{Timeout: time.Minute}
			every := 1
			if testing.Short() {
				every = 8
			}
			passed := 0
			for i := 0; i < len(cases); i += every {
				c := &cases[i]
				if refused[c.ID] {
					continue
				}
				if diff := c.Run(client, server.URL); diff != "" {
					t.Errorf("%s %s: %s", c.ID, c.Query(), diff)
					continue
				}
				passed++
			}
			require.Greater(t, passed, 1500/every)
			t.Logf("%d cases", passed)
		})
	}
}
