package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
)

// refused lists the cases in which the reference's answer is not ours by decision.
var refused = map[string]string{
	"api-not-found-root": "/ is a page for people and a health check for clients, so it answers 200",
	"params.window.008":  "the reference loses a line at the very start of a piece of a split query; every line in [start, end) is found",
	"filter.regex.063":   "the reference's (?i) does not find a capital sigma; it is found",
	"range.unwrap.057":   "the reference divides an average by lines that have no such label; they do not count",
	"filter.count.011":   "the reference loses a stream's first line if it is empty; it is kept",
	"wide.metric.001":    "the reference loses a stream's first line if it is empty; it is kept",
}

// startConformance runs a store on the reference's configuration, its paths and ports aside, with the dataset loaded.
func startConformance(t *testing.T, args ...string) *Process {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/conformance/loki.yaml")
	require.NoError(t, err)
	file := filepath.Join(dir, "loki.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "/tmp/conform", dir)), 0o600))
	p := NewProcess(t, dir, append([]string{"-config.file=" + file}, args...)...)
	p.Start()
	lines, err := conformance.Load(http.DefaultClient, p.URL, "testdata/conformance/dataset")
	require.NoError(t, err)
	require.Greater(t, lines, 40000)
	return p
}

// TestConformance replays every recorded case over HTTP.
func TestConformance(t *testing.T) {
	p := startConformance(t)
	cases, err := conformance.ReadDir("testdata/conformance/cases", "*.jsonl")
	require.NoError(t, err)
	require.Greater(t, len(cases), 2000)
	results := runCases(p.URL, cases)
	report(t, cases, results)
}

// TestConformanceFromBucket replays the recorded queries on a process that has nothing in memory.
func TestConformanceFromBucket(t *testing.T) {
	p := startConformance(t)
	require.NoError(t, p.Stop(), p.Log())
	p.Start()
	cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
	require.NoError(t, err)
	report(t, cases, runCases(p.URL, cases))
}

// TestConformanceDescribed replays recorded queries on chunks all of which have sidecars, and on the same bucket without them.
func TestConformanceDescribed(t *testing.T) {
	p := startConformance(t, "-logstore.sidecar.min-chunk-size=1", "-ingester.chunks-block-size=16KB")
	require.NoError(t, p.Stop(), p.Log())
	cases, err := conformance.ReadDir("testdata/conformance/cases", "logql-*.jsonl")
	require.NoError(t, err)
	if !soak() {
		cases = some(cases)
	}
	p.Start()
	report(t, cases, runCases(p.URL, cases))
	require.Greater(t, p.Metric("logstore_store_sidecars_read_total", `result="read"`), 10.0)
	require.Zero(t, p.Metric("logstore_store_sidecars_read_total", `result="failed"`))
	require.NoError(t, p.Stop(), p.Log())
	p.args = append(p.args, "-logstore.sidecar.enabled=false")
	p.Start()
	report(t, cases, runCases(p.URL, cases))
	require.Zero(t, p.Metric("logstore_store_sidecars_read_total"))
}

// runCases runs cases side by side; a serial case waits for all before it.
func runCases(base string, cases []conformance.Case) []string {
	const workers = 4
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	results := make([]string, len(cases))
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i := range cases {
		if cases[i].Serial {
			wg.Wait()
			results[i] = cases[i].Run(client, base)
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			results[i] = cases[i].Run(client, base)
			<-slots
		})
	}
	wg.Wait()
	return results
}

func report(t *testing.T, cases []conformance.Case, results []string) {
	t.Helper()
	passed, failed := 0, 0
	for i := range cases {
		c := &cases[i]
		switch why := results[i]; {
		case why == "":
			passed++
		case refused[c.ID] != "":
			t.Logf("by decision %s: %s", c.ID, refused[c.ID])
		default:
			failed++
			t.Errorf("%s (quirk: %v)\n  %s\n  %s", c.ID, c.Quirk, c.Query(), why)
		}
	}
	t.Logf("%d cases passed, %d failed", passed, failed)
}
