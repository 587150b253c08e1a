package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// panels are those of a dashboard over six hours.
var panels = []string{
	`sum(rate({job="shop"}[1m]))`, `sum by (app) (rate({job="shop"}[1m]))`, `sum by (level) (count_over_time({job="shop"} | logfmt [1m]))`,
	`sum by (app) (bytes_rate({job="shop"}[1m]))`, `topk(5, sum by (pod) (count_over_time({job="shop"}[1m])))`,
	`sum(count_over_time({job="shop"} |= "error" [1m]))`, `sum by (app) (count_over_time({job="shop"} |~ "status=5.." [1m]))`,
	`max_over_time({job="shop"} | logfmt | unwrap took [1m]) by (app)`, `quantile_over_time(0.95, {job="shop"} | logfmt | unwrap took [1m]) by (app)`,
	`sum(rate({job="shop"} |= "error" [1m])) / sum(rate({job="shop"}[1m]))`,
}

// freely lets a test push as fast as it can.
var freely = []string{
	"-distributor.ingestion-rate-limit-mb=1000", "-distributor.ingestion-burst-size-mb=1000",
	"-ingester.per-stream-rate-limit=1GB", "-ingester.per-stream-rate-limit-burst=1GB",
}

// pushHours fills the last hours up to now with lines of the streams, every second one of each.
func pushHours(t *testing.T, p *Process, hours, streams int) {
	t.Helper()
	end := time.Now().Truncate(time.Minute)
	for at := end.Add(-time.Duration(hours) * time.Hour); at.Before(end); at = at.Add(2 * time.Minute) {
		var b strings.Builder
		b.WriteString(`{"streams":[`)
		for s := range streams {
			if s > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `{"stream":{"job":"shop","app":"app-%d","pod":"pod-%d"},"values":[`, s%5, s)
			for i := range 120 {
				if i > 0 {
					b.WriteString(",")
				}
				n := int(at.Unix())*7 + i*13 + s
				level := []string{"info", "info", "info", "warn", "error"}[n%5]
				fmt.Fprintf(&b, `["%d","level=%s status=%d took=%d method=GET path=/api/v1/items/%d user=u%d trace=%x"]`,
					at.UnixNano()+int64(i)*1e9+int64(s), level, 200+n%7*50, n%1000, n%5000, n%300, uint32(n)*2654435761)
			}
			b.WriteString("]}")
		}
		b.WriteString("]}")
		resp, err := http.Post(p.URL+"/loki/api/v1/push", "application/json", strings.NewReader(b.String()))
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
	}
}

// cpuSeconds is how long the process has used the processors.
func (p *Process) cpuSeconds() float64 {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	require.NoError(p.t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	require.NoError(p.t, err)
	system, err := strconv.ParseFloat(fields[12], 64)
	require.NoError(p.t, err)
	return (user + system) / 100
}

// refresh asks for all panels as a dashboard does, and returns the processor time that this took.
func refresh(t *testing.T, p *Process, now time.Time) float64 {
	t.Helper()
	const step = 15 * time.Second
	end := now.Truncate(step)
	before := p.cpuSeconds()
	var wg sync.WaitGroup
	for _, query := range panels {
		wg.Go(func() {
			resp, err := http.Get(p.URL + "/loki/api/v1/query_range?" + url.Values{
				"query": {query}, "start": {strconv.FormatInt(end.Add(-6*time.Hour).UnixNano(), 10)}, "end": {strconv.FormatInt(end.UnixNano(), 10)},
				"step": {"15"},
			}.Encode())
			if err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", query, resp.Status)
				}
			}
		})
	}
	wg.Wait()
	return p.cpuSeconds() - before
}

// TestDashboardRefresh refreshes a dashboard of six hours: what was answered before is not computed again.
func TestDashboardRefresh(t *testing.T) {
	p := NewProcess(t, t.TempDir(), freely...)
	p.Start()
	pushHours(t, p, 6, int(pickFactor(10, 60)))
	now := time.Now()
	first := refresh(t, p, now)
	var later []float64
	for i := range 3 {
		later = append(later, refresh(t, p, now.Add(time.Duration(i+1)*10*time.Second)))
	}
	t.Logf("first round %.2f s of processor time, refreshes %.2f s", first, later)
	require.Less(t, (later[0]+later[1]+later[2])/3, first/pickFactor(4, 10), "a refresh must cost far less than the first round")
}

// TestManyQueriesInLittleMemory asks fifty mixed queries at the same time of a process that has 512 MiB.
func TestManyQueriesInLittleMemory(t *testing.T) {
	p := NewProcess(t, t.TempDir(), append([]string{"-querier.query-timeout=5m", "-server.http-write-timeout=5m"}, freely...)...)
	p.Env = append(p.Env, "GOMEMLIMIT=512MiB")
	p.Start()
	pushHours(t, p, 6, int(pickFactor(10, 50)))
	if soak() { // the queries read what is stored
		waitFlushed(t, p, 2*time.Minute)
	}
	end := time.Now()
	mixed := append([]string{`{job="shop"}`, `{job="shop"} |= "trace=a"`, `{app="app-1"} | logfmt | status = 450`, `{job="shop"} |= "nowhere"`}, panels...)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			resp, err := http.Get(p.URL + "/loki/api/v1/query_range?" + url.Values{
				"query": {mixed[i%len(mixed)]}, "start": {strconv.FormatInt(end.Add(-6*time.Hour+time.Duration(i)*time.Minute).UnixNano(), 10)},
				"end": {strconv.FormatInt(end.UnixNano(), 10)}, "step": {strconv.Itoa(10 + i)}, "limit": {"1000"},
			}.Encode())
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", mixed[i%len(mixed)], resp.Status)
			}
		})
	}
	wg.Wait()
	peak := p.PeakMemory()
	t.Logf("the most memory in use was %d MiB", peak>>20)
	require.Less(t, peak, int64(512<<20))
}
