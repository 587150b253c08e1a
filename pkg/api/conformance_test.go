package api_test

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/pkg/api"
	"logstore/pkg/cache"
	"logstore/pkg/changes"
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
var queriers = map[string]func(*querier.Config, *limits.Limits, *querier.Deps){
	"plain":      func(*querier.Config, *limits.Limits, *querier.Deps) {},
	"sequential": func(c *querier.Config, _ *limits.Limits, _ *querier.Deps) { c.MaxConcurrent = 1 },
	"splits": func(_ *querier.Config, l *limits.Limits, _ *querier.Deps) {
		l.SplitQueriesByInterval, l.SplitInstantMetricQueriesByInterval = 7*time.Minute, 5*time.Minute
	},
	"shards": func(_ *querier.Config, l *limits.Limits, d *querier.Deps) {
		l.SplitQueriesByInterval, l.TSDBMaxBytesPerShard = time.Hour, 1<<20
		d.Peers = helpers(*d, 2)
	},
	"caches": func(_ *querier.Config, l *limits.Limits, d *querier.Deps) {
		kept := cache.NewLocal("results", cache.LocalConfig{MaxBytes: 64 << 20}, cache.Deps{Registerer: prometheus.NewRegistry()})
		d.Caches = querier.Caches{Results: kept, Instant: kept, Stats: kept, Volume: kept, Series: kept, Labels: kept}
		written := changes.NewLog()
		d.Changes = func(_ context.Context, id string, span model.Interval) ([]changes.State, error) {
			return []changes.State{written.State(id, span)}, nil
		}
		l.SplitQueriesByInterval, l.SplitInstantMetricQueriesByInterval = 15*time.Minute, 15*time.Minute
	},
}

// helpers are members that run parts of queries over the same sources.
func helpers(of querier.Deps, n int) querier.Peers {
	all := map[string]*querier.Querier{}
	for i := range n {
		d := of
		d.Registerer = prometheus.NewRegistry()
		cfg := querier.DefaultConfig
		cfg.MultiTenantQueries = true
		q, err := querier.New(cfg, d)
		if err != nil {
			panic(err)
		}
		all[strconv.Itoa(i)] = q
	}
	return querier.Peers{
		List: func() []string { return slices.Sorted(maps.Keys(all)) },
		Call: func(ctx context.Context, member string, req []byte) ([]byte, error) {
			return all[member].Serve(ctx, req)
		},
		Stored: of.Sources[0],
	}
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
			reg := prometheus.NewRegistry()
			overrides, err := limits.New(lim)
			require.NoError(t, err)
			deps := querier.Deps{
				Sources: []logql.Source{sources}, Observe: func(string, []*labels.Matcher, func([]wire.Stream)) func() { return func() {} },
				Limits: overrides, Logger: slog.New(slog.DiscardHandler), Registerer: reg,
			}
			set(&cfg, &lim, &deps)
			require.NoError(t, overrides.Replace(lim, nil))
			q, err := querier.New(cfg, deps)
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
