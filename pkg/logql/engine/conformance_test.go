package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/pkg/compress"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

const testdata = "../../../integration/testdata/conformance/"

// tenants are sources of several tenants, as the querier puts them together.
type tenants map[string]*enginetest.Source

func (t tenants) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	var out []logql.Stream
	for id, src := range t {
		inner := sel
		inner.Matchers = nil
		ok := true
		for _, m := range sel.Matchers {
			if m.Name == "__tenant_id__" {
				ok = ok && m.Matches(id)
			} else {
				inner.Matchers = append(inner.Matchers, m)
			}
		}
		if !ok {
			continue
		}
		streams, err := src.Select(ctx, inner)
		if err != nil {
			return nil, err
		}
		for i := range streams {
			streams[i].Tenant = id
		}
		out = append(out, streams...)
	}
	return out, nil
}

func (t tenants) LabelNames(context.Context, logql.Selection) ([]string, error) { return nil, nil }
func (t tenants) LabelValues(context.Context, string, logql.Selection) ([]string, error) {
	return nil, nil
}
func (t tenants) Series(context.Context, logql.Selection) ([]labels.Labels, error) { return nil, nil }

var odd = regexp.MustCompile(`[^a-zA-Z0-9_]|_{2,}`)

// loadDataset fills a source per tenant; metadata are cleaned as they are when they are pushed.
func loadDataset(t testing.TB, opts enginetest.Options) tenants {
	t.Helper()
	all := tenants{}
	err := conformance.EachLine(testdata+"dataset", func(l conformance.Line) error {
		if all[l.Tenant] == nil {
			all[l.Tenant] = enginetest.New(opts)
		}
		ts, err := strconv.ParseInt(l.Ts, 10, 64)
		if err != nil {
			return err
		}
		e := model.Entry{Timestamp: ts, Line: l.Line}
		for name, value := range l.Meta {
			if value == "" {
				continue
			}
			name = odd.ReplaceAllString(name, "_")
			if name[0] >= '0' && name[0] <= '9' {
				name = "key_" + name
			}
			e.Metadata = append(e.Metadata, model.Pair{Name: name, Value: value})
		}
		sort.Slice(e.Metadata, func(i, j int) bool { return e.Metadata[i].Name < e.Metadata[j].Name })
		all[l.Tenant].Add(labels.FromMap(l.Labels), e)
		return nil
	})
	require.NoError(t, err)
	return all
}

// answer evaluates a case and encodes the result as the HTTP API does.
func answer(c *conformance.Case, all tenants) (status int, body []byte) {
	values := c.Values()
	if len(c.Body) > 0 {
		var form string
		if err := json.Unmarshal(c.Body, &form); err != nil {
			return 400, []byte(err.Error())
		}
		values, _ = url.ParseQuery(form)
	}
	p, err := params(c.Path, values)
	if err != nil {
		return 400, []byte(err.Error())
	}
	p.Categorize = c.Headers["X-Loki-Response-Encoding-Flags"] != ""
	var src logql.Source = enginetest.New(enginetest.Options{})
	if ids := strings.Split(*c.Tenant, "|"); len(ids) > 1 {
		chosen := tenants{}
		for _, id := range ids {
			if all[id] != nil {
				chosen[id] = all[id]
			}
		}
		src = chosen
		if ids[0] == ids[1] {
			src = all[ids[0]]
		}
	} else if all[ids[0]] != nil {
		src = all[ids[0]]
	}
	res, err := new(engine.Engine).Run(context.Background(), src, p, engine.Limits{MaxSeries: 5000, MaxMemory: 1 << 30, MaxParallelism: 2})
	switch {
	case engine.IsBadQuery(err):
		return 400, []byte(err.Error())
	case err != nil:
		return 500, []byte(err.Error())
	}
	return 200, encode(res.Value, p.Categorize)
}

func params(path string, v url.Values) (engine.Params, error) {
	expr, err := syntax.Parse(v.Get("query"))
	if err != nil {
		return engine.Params{}, err
	}
	p := engine.Params{Text: v.Get("query"), Expr: expr, Limit: 100, Instant: strings.HasSuffix(path, "/query")}
	if p.Instant {
		p.End, err = instant(v.Get("time"))
		return p, err
	}
	if p.End, err = instant(v.Get("end")); err != nil {
		return p, err
	}
	since := time.Hour
	if s := v.Get("since"); s != "" {
		if since, err = syntax.ParseDuration(s); err != nil {
			return p, err
		}
	}
	p.Start = p.End - int64(since)
	if s := v.Get("start"); s != "" {
		if p.Start, err = instant(s); err != nil {
			return p, err
		}
	}
	if s := v.Get("limit"); s != "" {
		if p.Limit, err = strconv.Atoi(s); err != nil {
			return p, err
		}
	}
	if strings.EqualFold(v.Get("direction"), "forward") {
		p.Direction = model.Forward
	}
	p.Step = time.Duration(max(1, math.Floor(float64(p.End-p.Start)/1e9/250))) * time.Second
	for name, into := range map[string]*time.Duration{"step": &p.Step, "interval": &p.Interval} {
		if s := v.Get(name); s != "" {
			if *into, err = seconds(s); err != nil {
				return p, err
			}
		}
	}
	if _, ok := expr.(syntax.SampleExpr); ok && p.Step > 0 {
		p.Start -= p.Start % int64(p.Step)
		p.End -= p.End % int64(p.Step)
	}
	return p, nil
}

func seconds(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(f * 1e9), nil
	}
	return syntax.ParseDuration(s)
}

func instant(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if len(s) <= 10 {
			n *= 1e9
		}
		return n, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return int64(math.Round(f*1000)) * 1e6, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UnixNano(), err
}

func encode(v engine.Value, categorize bool) []byte {
	data := map[string]any{"resultType": v.Type()}
	point := func(p engine.Point) any {
		return []any{float64(p.T) / 1000, strconv.FormatFloat(p.V, 'f', -1, 64)}
	}
	list := []any{}
	switch v := v.(type) {
	case engine.Streams:
		if categorize {
			data["encodingFlags"] = []string{"categorize-labels"}
		}
		for _, s := range v {
			var values []any
			for _, e := range s.Entries {
				value := []any{strconv.FormatInt(e.Timestamp, 10), e.Line}
				if categorize {
					third := map[string]any{}
					if !e.Metadata.IsEmpty() {
						third["structuredMetadata"] = e.Metadata.Map()
					}
					if !e.Parsed.IsEmpty() {
						third["parsed"] = e.Parsed.Map()
					}
					value = append(value, third)
				}
				values = append(values, value)
			}
			list = append(list, map[string]any{"stream": s.Labels.Map(), "values": values})
		}
	case engine.Matrix:
		for _, s := range v {
			var values []any
			for _, p := range s.Points {
				values = append(values, point(p))
			}
			list = append(list, map[string]any{"metric": s.Labels.Map(), "values": values})
		}
	case engine.Vector:
		for _, s := range v {
			list = append(list, map[string]any{"metric": s.Labels.Map(), "value": point(s.Points[0])})
		}
	case engine.Scalar:
		list = point(engine.Point(v)).([]any)
	}
	data["result"] = list
	body, err := json.Marshal(map[string]any{"status": "success", "data": data})
	if err != nil {
		panic(err)
	}
	return body
}

// ofTheAPI are cases about the parameters of requests.
func ofTheAPI(c *conformance.Case) bool {
	return c.Group == "error.params" || !strings.HasSuffix(c.Path, "/query") && !strings.HasSuffix(c.Path, "/query_range")
}

// deviations are cases that the reference answers wrongly.
var deviations = map[string]string{
	"filter.count.011":  "an empty line at the beginning of a block is lost",
	"wide.metric.001":   "an empty line at the beginning of a block is lost",
	"params.window.008": "the last line of the data is not found by a query that ends a second later",
	"filter.regex.063":  "a capital sigma is not found by (?i) and a small one",
	"range.unwrap.057":  "an average is divided by all lines, also by those without the label that is unwrapped",
}

// TestConformance runs the recorded queries on the bare engine, with the data cut in several ways.
func TestConformance(t *testing.T) {
	for name, opts := range map[string]enginetest.Options{
		"usual":      {Encoding: compress.Snappy},
		"fine":       {BlockEntries: 7, PieceEntries: 50},
		"replicated": {BlockEntries: 100, PieceEntries: 300, Replicas: 2, Live: true},
		"described":  {BlockEntries: 60, PieceEntries: 400, Live: true, Encoding: compress.Snappy, Described: &sidecar.Options{BitsPerKey: 8, MaxBytes: 1 << 20}},
		"described replicas": {BlockEntries: 30, PieceEntries: 300, Replicas: 2, Encoding: compress.Snappy,
			Described: &sidecar.Options{BitsPerKey: 12, MaxBytes: 1 << 20}},
		"sparsely described": {BlockEntries: 9, PieceEntries: 100, Described: &sidecar.Options{BitsPerKey: 5, MaxBytes: 300}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, loadDataset(t, opts))
		})
	}
}

func conform(t *testing.T, all tenants) {
	cases, err := conformance.ReadDir(testdata+"cases", "logql-*.jsonl")
	require.NoError(t, err)
	verbose, only := os.Getenv("CONFORM_VERBOSE") != "", os.Getenv("CONFORM_ONLY")
	type count struct{ passed, all int }
	groups := map[string]*count{}
	var mu sync.Mutex
	for i := range cases {
		c := &cases[i]
		if ofTheAPI(c) || deviations[c.ID] != "" || !strings.Contains(c.ID, only) {
			continue
		}
		status, body := answer(c, all)
		diff := c.Diff(status, http.Header{"Content-Type": {c.Expect.Headers["Content-Type"]}}, body)
		mu.Lock()
		if groups[c.Group] == nil {
			groups[c.Group] = &count{}
		}
		groups[c.Group].all++
		if diff == "" {
			groups[c.Group].passed++
		} else if verbose {
			fmt.Printf("%s %s\n    %s\n", c.ID, c.Query(), diff)
		}
		mu.Unlock()
		if diff != "" && !verbose {
			t.Errorf("%s %s: %s", c.ID, c.Query(), diff)
		}
	}
	total := count{}
	for name, g := range groups {
		total.passed += g.passed
		total.all += g.all
		if g.passed != g.all {
			t.Logf("%s: %d of %d", name, g.passed, g.all)
		}
	}
	t.Logf("%d of %d cases", total.passed, total.all)
}
