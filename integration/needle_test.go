package integration

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
)

// oneMonth is a store in S3 that takes logs of the last thirty days. Nothing that was asked before is remembered.
const oneMonth = `
auth_enabled: false
common:
  path_prefix: {{DIR}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: s3, schema: v13, index: {prefix: index_, period: 24h}}
storage_config:
  aws: {s3: "{{S3}}", s3forcepathstyle: true, insecure: true}
ingester: {chunk_retain_period: 0s, chunk_block_size: {{BLOCK}}, chunk_idle_period: 24h, max_chunk_age: 168h, sync_period: 0s}
compactor: {compaction_interval: 24h}
query_range: {cache_results: false}
chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}
limits_config:
  reject_old_samples: false
  max_query_length: 0
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
  discover_service_name: []
  discover_log_levels: false
logstore: {sidecar: {enabled: {{SIDECARS}}}}
`

const (
	monthDays     = 30
	presentNeedle = "5e0c29aa-41d2-4b6e-9d1c-0a1b2c3d4e5f"
	absentNeedle  = "7f3b18cd-92e1-4f70-8a65-d4c3b2a19087"
)

// pushMonth pushes lines for each stream and day, and flushes after each day, so that each day has a chunk of each stream. One line in
// the middle of it all is the needle.
func pushMonth(t *testing.T, p *Process, first time.Time, streams, lines int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 1))
	for day := range monthDays {
		for s := range streams {
			var b bytes.Buffer
			fmt.Fprintf(&b, `{"streams":[{"stream":{"job":"shop","app":"app-%d"},"values":[`, s)
			for i := range lines {
				id := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", rnd.Uint32(), rnd.Uint32()>>16, rnd.Uint32()>>16, rnd.Uint32()>>16, rnd.Uint64()>>16)
				if day == monthDays/2 && s == 0 && i == lines/2 {
					id = presentNeedle
				}
				if i > 0 {
					b.WriteByte(',')
				}
				at := first.Add(time.Duration(day)*24*time.Hour + 20*time.Hour*time.Duration(i)/time.Duration(lines))
				fmt.Fprintf(&b, `["%d","level=info method=GET path=/api/v1/items/%d status=200 took=%dms user=u%d request_id=%s msg=\"request completed\""]`,
					at.UnixNano(), rnd.IntN(5000), rnd.IntN(1000), rnd.IntN(300), id)
			}
			b.WriteString("]}]}")
			resp, err := http.Post(p.URL+"/loki/api/v1/push", "application/json", &b)
			require.NoError(t, err)
			_ = resp.Body.Close()
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
		}
		waitFlushed(t, p, time.Minute)
	}
}

// cost is what a query takes.
type cost struct {
	requests, chunkBytes, blocks, chunks, cpu float64
	took                                      time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%.0f S3 requests, %.1f MB of chunks (%.0f whole, %.0f blocks), %.2f s of processor time, %d ms",
		c.requests, c.chunkBytes/1e6, c.chunks, c.blocks, c.cpu, c.took.Milliseconds())
}

func costs(p *Process) cost {
	return cost{
		requests: p.Metric("loki_s3_request_duration_seconds_count"), chunkBytes: p.Metric("loki_chunk_store_fetched_chunk_bytes_total"),
		blocks: p.Metric("logstore_store_fetched_blocks_total"), chunks: p.Metric("loki_chunk_store_fetched_chunks_total"), cpu: p.cpuSeconds(),
	}
}

// look runs a log query over the month and returns its answer and what it took.
func look(t *testing.T, p *Process, first time.Time, query string) (string, cost) {
	t.Helper()
	before, began := costs(p), time.Now()
	resp, err := http.Get(p.URL + "/loki/api/v1/query_range?" + url.Values{
		"query": {query}, "start": {strconv.FormatInt(first.UnixNano(), 10)}, "limit": {"100"}, "step": {"86400"},
		"end": {strconv.FormatInt(first.Add(monthDays*24*time.Hour).UnixNano(), 10)},
	}.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	took := time.Since(began)
	c := costs(p)
	c.requests, c.chunkBytes, c.blocks, c.chunks = c.requests-before.requests, c.chunkBytes-before.chunkBytes, c.blocks-before.blocks, c.chunks-before.chunks
	c.cpu, c.took = c.cpu-before.cpu, took
	answer, _, _ := strings.Cut(string(body), `"stats"`)
	return answer, c
}

// TestNeedleInAMonth looks for a line in the chunks of thirty days, in S3: sidecars must spare nearly everything that the same query
// reads without them.
func TestNeedleInAMonth(t *testing.T) {
	streams, lines, block := 4, 1000, "16KB"
	if soak() {
		streams, lines, block = 10, 8000, "256KB"
	}
	s3 := testservers.StartVersityGW(t, "chunks")
	first := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -monthDays)
	start := func(sidecars string) *Process {
		dir := t.TempDir()
		p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, oneMonth, "{{S3}}", s3.URL("chunks"), "{{BLOCK}}", block, "{{SIDECARS}}", sidecars))
		p.Start()
		return p
	}
	writer := start("true")
	pushMonth(t, writer, first, streams, lines)
	require.NoError(t, writer.Stop(), writer.Log())
	chunks := float64(monthDays * streams)

	without, with := start("false"), start("true")
	needle := func(text string) string { return fmt.Sprintf(`{job="shop"} |= "%s"`, text) }
	// The first query reads the index too.
	_, _ = look(t, without, first, `{job="nothing"}`)
	_, _ = look(t, with, first, `{job="nothing"}`)

	want, bare := look(t, without, first, needle(absentNeedle))
	got, cold := look(t, with, first, needle(absentNeedle))
	require.Equal(t, want, got)
	t.Logf("absent, without sidecars: %s", bare)
	t.Logf("absent, sidecars read first: %s", cold)
	require.GreaterOrEqual(t, bare.chunks, chunks)
	require.Less(t, cold.chunkBytes*20, bare.chunkBytes)
	require.LessOrEqual(t, cold.requests, chunks*1.1, "a request for each sidecar")

	_, warm := look(t, with, first, needle(absentNeedle))
	t.Logf("absent, sidecars in memory: %s", warm)
	require.Less(t, warm.chunkBytes*20, bare.chunkBytes)
	require.Less(t, warm.requests*20, bare.requests)
	require.Less(t, warm.cpu*pickFactor(4, 20), bare.cpu)

	want, bare = look(t, without, first, needle(presentNeedle))
	got, present := look(t, with, first, needle(presentNeedle))
	t.Logf("present, without sidecars: %s", bare)
	t.Logf("present, sidecars in memory: %s", present)
	require.Equal(t, want, got)
	require.Contains(t, got, presentNeedle)
	require.Less(t, present.chunkBytes*20, bare.chunkBytes)
	require.Less(t, present.requests*20, bare.requests)

	want, bare = look(t, without, first, `sum by (app) (count_over_time({job="shop"}[1d]))`)
	got, counted := look(t, with, first, `sum by (app) (count_over_time({job="shop"}[1d]))`)
	t.Logf("counted, without sidecars: %s", bare)
	t.Logf("counted: %s", counted)
	require.Equal(t, want, got)
	require.Zero(t, counted.chunkBytes)
	require.LessOrEqual(t, counted.requests, 3.0, "listings of the index at most")
	require.Positive(t, bare.chunkBytes)
}

// pickFactor returns by what something must be better in a short run, whose figures are small, or in a soak.
func pickFactor(short, long float64) float64 {
	if soak() {
		return long
	}
	return short
}
