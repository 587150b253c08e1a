package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
)

// uneventful are the metrics that a cluster in good health does not have: they come with the first event that they count.
var uneventful = []string{
	"logstore_ruler_remote_write_last_success_timestamp_seconds", // no receiver is configured here
	"logstore_objstore_retries_total",
}

// groupedBy finds the labels that an expression groups by.
var groupedBy = regexp.MustCompile(`by \(([a-z_, ]+)\)`)

// panel is one expression of a dashboard.
type panel struct{ dashboard, title, expr string }

// dashboardPanels reads the expressions of all dashboards that are for Prometheus.
func dashboardPanels(t *testing.T) (out []panel) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "deploy/monitoring/dashboards/*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &d))
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				out = append(out, panel{filepath.Base(file), p.Title, target.Expr})
			}
		}
	}
	return out
}

// TestDashboardsShowData lets Prometheus scrape three members at work and asks it for every panel: a panel without data is one that
// was written for a metric or a label that nobody has.
func TestDashboardsShowData(t *testing.T) {
	if os.Getenv("LOGSTORE_SOAK") == "" {
		t.Skip("a minute of load: set LOGSTORE_SOAK")
	}
	c := NewCluster(t, 3, "-ruler.evaluation-interval=1s", "-ruler.poll-interval=1s", "-ingester.max-chunk-age=5s", "-ingester.chunks-idle-period=5s",
		"-ingester.flush-check-period=1s", "-compactor.retention-enabled=true", "-compactor.compaction-interval=5s")
	var targets []string
	for _, p := range c.Members {
		targets = append(targets, strings.TrimPrefix(p.URL, "http://"))
	}
	prometheus := testservers.StartPrometheus(t, targets...)
	send(t, c.Members[0].URL+"/loki/api/v1/rules/team", "application/yaml", rulesOfShop)
	for i := range 120 {
		p := c.Members[i%3]
		now := time.Now()
		var values []string
		for k := range 50 {
			values = append(values, fmt.Sprintf(`["%d","level=error msg=\"line %d\""]`, now.UnixNano()+int64(k), i*50+k))
		}
		send(t, p.URL+"/loki/api/v1/push", "application/json", fmt.Sprintf(`{"streams":[{"stream":{"app":"shop","n":"%d"},"values":[%s]}]}`, i%40, strings.Join(values, ",")))
		// Too old: refused, and counted.
		if resp, err := http.Post(p.URL+"/loki/api/v1/push", "application/json", strings.NewReader(`{"streams":[{"stream":{"app":"old"},"values":[["1","x"]]}]}`)); err == nil {
			_ = resp.Body.Close()
		}
		for _, query := range []string{`{app="shop"} |= "line"`, `sum(rate({app="shop"} |~ "l.ne" [1m]))`} {
			status, body, err := p.Get("/loki/api/v1/query_range?" + url.Values{"query": {query}, "start": {strconv.FormatInt(now.Add(-time.Minute).UnixNano(), 10)}}.Encode())
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, body)
		}
		time.Sleep(300 * time.Millisecond)
	}
	fill := strings.NewReplacer("$namespace", ".*", "$pod", ".*", "$__rate_interval", "30s", "sum by (pod)", "sum by (instance)", "max by (pod)", "max by (instance)")
panels:
	for _, p := range dashboardPanels(t) {
		var answer struct {
			Status string
			Error  string
			Data   struct {
				Result []struct{ Metric map[string]string }
			}
		}
		resp, err := http.Get(prometheus.URL + "/api/v1/query?" + url.Values{"query": {fill.Replace(p.expr)}}.Encode())
		require.NoError(t, err)
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "success", answer.Status, "%s, %s: %s: %s", p.dashboard, p.title, p.expr, answer.Error)
		for _, name := range uneventful {
			if strings.Contains(p.expr, name) {
				continue panels
			}
		}
		if len(answer.Data.Result) == 0 {
			t.Errorf("%s, %s: no data for %s", p.dashboard, p.title, p.expr)
			continue
		}
		// What is summed by a label that nobody has is one sum without a name.
		if m := groupedBy.FindStringSubmatch(fill.Replace(p.expr)); m != nil {
			for label := range strings.SplitSeq(m[1], ", ") {
				if _, ok := answer.Data.Result[0].Metric[label]; !ok && label != "le" {
					t.Errorf("%s, %s: no label %s in %s", p.dashboard, p.title, label, p.expr)
				}
			}
		}
	}
}
