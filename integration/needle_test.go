package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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
compactor: {compaction_interval: {{EVERY}}}
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
logstore: {sidecar: {enabled: {{SIDECARS}}, build_per_pass: {{BUILD}}}}
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
	requests, chunkBytes, packBytes, blocks, chunks, cpu float64
	took                                                 time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%.0f S3 requests, %.1f MB of chunks (%.0f whole, %.0f blocks), %.1f MB of packs, %.3f s of processor time, %d ms",
		c.requests, c.chunkBytes/1e6, c.chunks, c.blocks, c.packBytes/1e6, c.cpu, c.took.Milliseconds())
}

// costs is what a process has taken so far, but for its processor time. It is asked for once and as plain text: what that leaves to collect
// would be counted to the query.
func costs(p *Process) cost {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.URL+"/metrics", nil)
	require.NoError(p.t, err)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, resp.StatusCode)
	metric := func(name string) float64 { return sumOf(p.t, string(body), name) }
	return cost{
		requests: metric("loki_s3_request_duration_seconds_count"), chunkBytes: metric("loki_chunk_store_fetched_chunk_bytes_total"),
		blocks: metric("logstore_store_fetched_blocks_total"), chunks: metric("loki_chunk_store_fetched_chunks_total"),
		packBytes: metric("logstore_store_sidecar_pack_bytes_total"),
	}
}

// taskSeconds is cpuSeconds to the nanosecond, if the system tells: the other one counts in hundredths of a second.
func (p *Process) taskSeconds() float64 {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "task", "*", "schedstat"))
	require.NoError(p.t, err)
	sum := 0.0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanos, err := strconv.ParseFloat(first, 64)
		require.NoError(p.t, err)
		sum += nanos / 1e9
	}
	if sum == 0 {
		return p.cpuSeconds()
	}
	return sum
}

// look runs a log query over the month and returns its answer and what it took.
func look(t *testing.T, p *Process, first time.Time, query string) (string, cost) {
	t.Helper()
	before, cpu, began := costs(p), p.taskSeconds(), time.Now()
	resp, err := http.Get(p.URL + "/loki/api/v1/query_range?" + url.Values{
		"query": {query}, "start": {strconv.FormatInt(first.UnixNano(), 10)}, "limit": {"100"}, "step": {"86400"},
		"end": {strconv.FormatInt(first.Add(monthDays*24*time.Hour).UnixNano(), 10)},
	}.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	took, used := time.Since(began), p.taskSeconds()-cpu
	c := costs(p)
	c.requests, c.chunkBytes, c.blocks, c.chunks = c.requests-before.requests, c.chunkBytes-before.chunkBytes, c.blocks-before.blocks, c.chunks-before.chunks
	c.packBytes, c.cpu, c.took = c.packBytes-before.packBytes, used, took
	answer, _, _ := strings.Cut(string(body), `"stats"`)
	return answer, c
}

// month is a bucket with the logs of thirty days.
type month struct {
	t  *testing.T
	s3 string
	// folder has the objects of the bucket.
	folder string
	block  string
	first  time.Time
}

// start starts a process that remembers nothing. Its compactor makes a pass each time that every has gone by, in which it looks at so
// many chunks to build sidecars.
func (m *month) start(sidecars, every, build string) *Process {
	dir := m.t.TempDir()
	p := NewProcess(m.t, dir, "-config.file="+writeConfig(m.t, dir, oneMonth, "{{S3}}", m.s3, "{{BLOCK}}", m.block, "{{SIDECARS}}", sidecars, "{{EVERY}}", every, "{{BUILD}}", build))
	p.Start()
	return p
}

// ask starts a process, runs a query in it twice and stops it. The first query of all reads the index.
func (m *month) ask(sidecars, query string) (answer string, cold, warm cost) {
	p := m.start(sidecars, "24h", "0")
	_, _ = look(m.t, p, m.first, `{job="nothing"}`)
	answer, cold = look(m.t, p, m.first, query)
	again, warm := look(m.t, p, m.first, query)
	require.Equal(m.t, answer, again)
	require.Zero(m.t, p.Metric("logstore_store_sidecar_packs_failed_total"))
	require.NoError(m.t, p.Stop(), p.Log())
	return answer, cold, warm
}

// pack lets the compactor pack the sidecars of all days.
func (m *month) pack() {
	p := m.start("true", "1s", "1000")
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		packs, left := p.Metric("logstore_compactor_sidecar_packs_total"), p.Metric("logstore_compactor_sidecar_tables_left")
		if packs >= monthDays && left == 0 {
			break
		}
		if time.Now().After(end) {
			m.t.Fatalf("%.0f packs, %.0f tables left: %s", packs, left, p.Log())
		}
	}
	require.NoError(m.t, p.Stop(), p.Log())
	// What the packs replace goes once they are known to be there for long enough.
	m.each("__logstore__/sidecars/", func(path string, _ fs.FileInfo) {
		before := time.Now().Add(-time.Hour)
		require.NoError(m.t, os.Chtimes(path, before, before))
	})
	p = m.start("true", "1s", "1000")
	require.Eventually(m.t, func() bool { return m.bytes("logstore/sidecar/") == 0 }, time.Minute, 100*time.Millisecond, p.Log())
	require.NoError(m.t, p.Stop(), p.Log())
}

// each calls fn with the files of the objects whose keys begin with a folder.
func (m *month) each(prefix string, fn func(path string, info fs.FileInfo)) {
	m.t.Helper()
	err := filepath.WalkDir(filepath.Join(m.folder, filepath.FromSlash(prefix)), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			fn(path, info)
		}
		return err
	})
	require.NoError(m.t, err)
}

// bytes returns the size of the objects whose keys begin with a folder.
func (m *month) bytes(prefix string) (n int64) {
	m.each(prefix, func(_ string, info fs.FileInfo) { n += info.Size() })
	return n
}

// measure wants the sidecars to be small beside their chunks.
func (m *month) measure(what string) {
	m.t.Helper()
	chunks, alone, packed := m.bytes("fake/"), m.bytes("logstore/sidecar/"), m.bytes("logstore/sidecar-packs/")
	m.t.Logf("%s: %d bytes of chunks, %d of sidecars alone, %d of packs: %.1f %%", what, chunks, alone, packed, 100*float64(alone+packed)/float64(chunks))
	require.Positive(m.t, alone+packed)
	require.LessOrEqual(m.t, float64(alone+packed), 0.12*float64(chunks))
}

// TestNeedleInAMonth looks for a line in the chunks of thirty days, in S3: sidecars must spare nearly everything that the same query
// reads without them, and packs of sidecars most of the requests.
func TestNeedleInAMonth(t *testing.T) {
	streams, lines, block := 4, 1000, "16KB"
	if soak() {
		streams, lines, block = 10, 8000, "256KB"
	}
	s3 := testservers.StartVersityGW(t, "chunks")
	// The last day is over for so long that its sidecars are packed.
	m := &month{t: t, s3: s3.URL("chunks"), folder: s3.Folder("chunks"), block: block, first: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -monthDays-1)}
	writer := m.start("true", "24h", "0")
	pushMonth(t, writer, m.first, streams, lines)
	require.NoError(t, writer.Stop(), writer.Log())
	chunks := float64(monthDays * streams)

	queries := map[string]string{
		"absent": fmt.Sprintf(`{job="shop"} |= "%s"`, absentNeedle), "present": fmt.Sprintf(`{job="shop"} |= "%s"`, presentNeedle),
		"counted": `sum by (app) (count_over_time({job="shop"}[1d]))`,
	}
	want, bare := map[string]string{}, map[string]cost{}
	for name, query := range queries {
		want[name], bare[name], _ = m.ask("false", query)
		t.Logf("%s, without sidecars: %s", name, bare[name])
		require.GreaterOrEqual(t, bare[name].chunks, chunks)
		got, cold, _ := m.ask("true", query)
		t.Logf("%s, sidecars one by one: %s", name, cold)
		require.Equal(t, want[name], got)
		require.Less(t, cold.chunkBytes*20, bare[name].chunkBytes)
		require.LessOrEqual(t, cold.requests, chunks*1.1, "a request for each sidecar")
	}
	require.Contains(t, want["present"], presentNeedle)

	m.measure("sidecars one by one")
	m.pack()
	m.measure("sidecars in packs")
	for name, query := range queries {
		got, cold, warm := m.ask("true", query)
		t.Logf("%s, sidecars in packs: %s", name, cold)
		t.Logf("%s, sidecars in memory: %s", name, warm)
		require.Equal(t, want[name], got)
		require.Less(t, cold.chunkBytes*20, bare[name].chunkBytes)
		require.LessOrEqual(t, cold.requests, monthDays*1.2+5, "a request for each day, some that list, the needle's block")
		require.Less(t, warm.requests*20, bare[name].requests)
		require.Less(t, warm.chunkBytes*20, bare[name].chunkBytes)
		t.Logf("%s: a cold query takes 1/%.1f of the processor time and 1/%.1f of the time", name, bare[name].cpu/cold.cpu, float64(bare[name].took)/float64(cold.took))
		require.Less(t, cold.cpu*pickFactor(1.5, map[string]float64{"absent": 8, "present": 8, "counted": 3}[name]), bare[name].cpu)
		require.Less(t, warm.cpu*pickFactor(4, 20), bare[name].cpu)
	}
}

// pickFactor returns by what something must be better in a short run, whose figures are small, or in a soak.
func pickFactor(short, long float64) float64 {
	if soak() {
		return long
	}
	return short
}
