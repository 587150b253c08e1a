package integration

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
	"logstore/integration/testservers"
)

// onS3 is smallChunks with a bucket of S3, and little patience with it.
const onS3 = `
auth_enabled: false
common:
  path_prefix: {{DIR}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: s3, schema: v11, index: {prefix: index_, period: 24h}}
storage_config:
  aws:
    s3: {{S3}}
    s3forcepathstyle: true
    insecure: true
    http_config: {response_header_timeout: 1s}
    backoff_config: {min_period: 10ms, max_period: 100ms, max_retries: 3}
  boltdb_shipper:
    active_index_directory: {{DIR}}/index
    cache_location: {{DIR}}/index-cache
ingester:
  chunk_target_size: 20000
  chunk_block_size: 8000
  chunk_idle_period: 2s
  max_chunk_age: 10m
  chunk_retain_period: 0s
  flush_check_period: 1s
  flush_op_backoff: {min_period: 50ms, max_period: 500ms}
limits_config:
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  discover_service_name: []
  discover_log_levels: false
logstore:
  memory_limit: 128MB
`

// startS3 starts an S3 server and a proxy before it, and returns the bucket's URL through the proxy.
func startS3(t *testing.T, seed uint64) (*testservers.VersityGW, *faultproxy.Proxy, string) {
	t.Helper()
	s3 := testservers.StartVersityGW(t, "chunks")
	proxy := faultproxy.Start(t, s3.Address, seed)
	return s3, proxy, strings.Replace(s3.URL("chunks"), s3.Address, proxy.Address, 1)
}

// breakS3 makes one in three requests fail in one of the ways in which S3 and the way to it fail.
func breakS3(proxy *faultproxy.Proxy) {
	proxy.Heal()
	for _, fault := range []faultproxy.Fault{
		faultproxy.SlowDown(), faultproxy.Status(http.StatusInternalServerError, "InternalError", "We encountered an internal error."),
		faultproxy.Reset(), faultproxy.LoseAnswer(), faultproxy.Truncate(20), faultproxy.ResetInBody(20), faultproxy.ShortLength(7),
		faultproxy.Damage(), faultproxy.Latency(200 * time.Millisecond),
	} {
		proxy.Break(faultproxy.Rule{Probability: 0.04, Fault: fault})
	}
	proxy.Break(faultproxy.Rule{Probability: 0.02, Fault: faultproxy.Hang()})
}

// breakOnce makes the first request for each object fail, which nobody who reads must notice.
func breakOnce(proxy *faultproxy.Proxy) {
	seen := map[string]bool{}
	proxy.Break(faultproxy.Rule{Fault: faultproxy.SlowDown(), Match: func(r *http.Request) bool {
		first := !seen[r.Method+r.RequestURI]
		seen[r.Method+r.RequestURI] = true
		return first
	}})
}

// TestCrashS3 kills the process again and again while its bucket fails, hangs, truncates and resets, and wants every
// acknowledged line exactly once: after each restart, and in the end from the bucket alone.
func TestCrashS3(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	_, proxy, url := startS3(t, seed)
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, onS3, "{{S3}}", url))
	rounds := 5
	if os.Getenv("LOGSTORE_SOAK") != "" {
		rounds = 100
	}
	w := newWorkload(4)
	requests, broken := 0, 0
	for round := range rounds {
		breakS3(proxy)
		if round%2 == 0 { // so often that repeating a request does not help
			proxy.Break(faultproxy.Rule{Method: http.MethodPut, Probability: 0.8, Fault: faultproxy.SlowDown()})
		}
		p.Start()
		for range 2 {
			pushFor(w, p.URL, time.Duration(300+rng.IntN(1200))*time.Millisecond)
			postFlush(p.URL)
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
		p.Kill()
		proxy.Heal()
		if round%2 == 1 {
			breakOnce(proxy)
		}
		p.Start()
		w.check(t, p.URL)
		p.Kill()
		r, b := proxy.Requests()
		requests, broken = requests+r, broken+b
	}
	require.NotZero(t, broken)
	t.Logf("%d lines acked over %d crashes, %d of %d requests to S3 broken", len(w.acked), 2*rounds, broken, requests)
	proxy.Heal()
	p.Start()
	waitFlushed(t, p, time.Minute)
	w.check(t, p.URL)
	require.NoError(t, p.Stop(), p.Log())
	fromBucket(t, url, func(p *Process) { w.check(t, p.URL) })
}

// TestS3Away takes the bucket away for good while lines come in: they are taken and answered, memory stays bounded and
// what is too much is refused with the reason; when the bucket is back everything gets there.
func TestS3Away(t *testing.T) {
	_, proxy, url := startS3(t, 1)
	dir := t.TempDir()
	config := strings.Replace(onS3, "memory_limit: 128MB", "memory_limit: 16MB", 1)
	config = strings.Replace(config, "chunk_idle_period: 2s", "chunk_idle_period: 2s\n  chunk_encoding: none", 1)
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, config, "{{S3}}", url))
	p.Start()
	w := newWorkload(4)
	w.pause = 0
	pushFor(w, p.URL, 200*time.Millisecond)
	proxy.Break(faultproxy.Rule{Fault: faultproxy.Hang()})
	for deadline := time.Now().Add(30 * time.Second); w.lastRefusal() == "" && time.Now().Before(deadline); {
		pushFor(w, p.URL, 500*time.Millisecond)
	}
	require.Contains(t, w.lastRefusal(), "503", "a full memory refuses")
	require.Contains(t, w.lastRefusal(), "memory")
	require.Less(t, p.PeakMemory(), int64(250<<20))
	t.Logf("%d lines acked, then %s; peak memory %d MB", len(w.acked), w.lastRefusal(), p.PeakMemory()>>20)
	proxy.Heal()
	waitFlushed(t, p, time.Minute)
	w.check(t, p.URL)
	pushFor(w, p.URL, 100*time.Millisecond)
	require.NoError(t, p.Stop(), p.Log())
	fromBucket(t, url, func(p *Process) { w.check(t, p.URL) })
}

// pushFor pushes for a while.
func pushFor(w *workload, base string, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	w.run(ctx, base)
}

func postFlush(base string) {
	if resp, err := http.Post(base+"/flush", "", nil); err == nil {
		_ = resp.Body.Close() // Only that it was asked for counts.
	}
}

// waitFlushed flushes and waits until nothing is left in memory or waits for an upload.
func waitFlushed(t *testing.T, p *Process, timeout time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		postFlush(p.URL)
		time.Sleep(200 * time.Millisecond)
		return p.Metric("loki_ingester_memory_chunks") == 0 && p.Metric("logstore_index_files_not_uploaded") == 0
	}, timeout, 10*time.Millisecond, "not everything is flushed")
}

// fromBucket starts a process that has nothing but the bucket.
func fromBucket(t *testing.T, url string, check func(*Process)) {
	t.Helper()
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, onS3, "{{S3}}", url))
	p.Start()
	check(p)
	files, err := filepath.Glob(filepath.Join(dir, "index-cache", "*", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "the answers must come from the bucket's index")
	require.NoError(t, p.Stop(), p.Log())
}
