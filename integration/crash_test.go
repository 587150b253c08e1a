package integration

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// smallChunks makes chunks fill and flush within seconds.
const smallChunks = `
auth_enabled: false
common:
  path_prefix: {{DIR}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: {{DIR}}/chunks, rules_directory: {{DIR}}/rules}}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
ingester:
  chunk_target_size: 20000
  chunk_block_size: 8000
  chunk_idle_period: 2s
  max_chunk_age: 10m
  chunk_retain_period: 0s
  flush_check_period: 1s
limits_config:
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  discover_service_name: []
  discover_log_levels: false
`

// TestCrash kills the process in the middle of concurrent pushes, again and again, with flushes in between, and wants
// every acknowledged line exactly once after each restart.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
	rounds := 5
	if os.Getenv("LOGSTORE_SOAK") != "" {
		rounds = 100
	}
	crashRounds(t, p, rounds)
	require.NoError(t, p.Stop(), p.Log())
	p.Start()
}

// crashRounds pushes, kills and checks. In every other round a flush is under way when the process dies.
func crashRounds(t *testing.T, p *Process, rounds int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := newWorkload(4)
	for round := range rounds {
		p.Start()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, p.URL)
		}()
		time.Sleep(time.Duration(300+rng.IntN(1500)) * time.Millisecond)
		if round%2 == 1 {
			if resp, err := http.Post(p.URL+"/flush", "", nil); err == nil {
				resp.Body.Close()
			}
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
		p.Kill()
		cancel()
		<-done
		p.Start()
		w.check(t, p.URL)
		p.Kill()
	}
	p.Start()
	w.check(t, p.URL)
	t.Logf("%d lines acked over %d crashes", len(w.acked), 2*rounds)
}

// writeConfig writes a configuration with {{DIR}} replaced, and returns its path.
func writeConfig(t *testing.T, dir, text string, replace ...string) string {
	t.Helper()
	return writeFile(t, dir, "config.yaml", expand(text, append([]string{"{{DIR}}", dir}, replace...)...))
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
