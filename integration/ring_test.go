package integration

import (
	"encoding/json"
	"fmt"
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

// ringMember is a member as /ring shows it.
type ringMember struct {
	ID        string   `json:"id"`
	State     string   `json:"state"`
	Address   string   `json:"address"`
	Tokens    []uint32 `json:"tokens"`
	Ownership float64  `json:"ownership"`
}

// ringOf returns what a member sees on one of its ring pages, by ID.
func ringOf(t testing.TB, p *Process, page string) map[string]ringMember {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.URL+page, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct {
		Shards []ringMember `json:"shards"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	out := map[string]ringMember{}
	for _, m := range body.Shards {
		out[m.ID] = m
	}
	return out
}

// waitRing waits until a member sees the others in the given states, and nobody else.
func waitRing(t testing.TB, p *Process, want map[string]string) map[string]ringMember {
	t.Helper()
	var seen map[string]ringMember
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		seen = ringOf(t, p, "/ring")
		same := len(seen) == len(want)
		for id, state := range want {
			same = same && seen[id].State == state
		}
		if same {
			return seen
		}
	}
	t.Fatalf("the ring is not %v but %v\n%s", want, seen, p.Log())
	return nil
}

// ringProcess prepares member i of three on the operator's file; they listen at 127.0.0.1 to 127.0.0.3.
func ringProcess(t *testing.T, s3 *testservers.VersityGW, i, gossipPort int, args ...string) *Process {
	t.Helper()
	file, err := filepath.Abs(clusterFile)
	require.NoError(t, err)
	dir, host := t.TempDir(), "127.0.0."+strconv.Itoa(i)
	p := newProcess(t, dir)
	p.URL = fmt.Sprintf("http://%s:%d", host, p.Port)
	p.args = append([]string{
		"-config.file=" + file, "-config.expand-env=true", "-server.http-listen-address=" + host,
		"-server.http-listen-port=" + strconv.Itoa(p.Port), "-server.grpc-listen-address=" + host,
		"-server.grpc-listen-port=" + strconv.Itoa(FreePort(t)), "-memberlist.bind-addr=" + host,
		"-memberlist.bind-port=" + strconv.Itoa(gossipPort), "-memberlist.join=127.0.0.1", "-memberlist.join=127.0.0.2",
		"-memberlist.join=127.0.0.3", "-ingester.lifecycler.ID=loki-" + strconv.Itoa(i), "-ingester.observe-period=1s",
		"-ingester.min-ready-duration=0s", "-boltdb.shipper.active-index-directory=" + dir + "/index",
		"-boltdb.shipper.cache-location=" + dir + "/boltdb-cache",
	}, args...)
	p.Env = []string{
		"S3_ACCESS_KEY=" + s3.AccessKeyID, "S3_SECRET_KEY=" + s3.SecretAccessKey, "S3_URL=" + s3.Address,
		"S3_BUCKET=loki-chunks", "S3_RULES_BUCKET=loki-rules", "ALERTMANAGER_URL=http://127.0.0.1:9/",
	}
	return p
}

// TestRing runs three members on the operator's file, which names memberlist for two of the rings.
func TestRing(t *testing.T) {
	s3 := testservers.StartVersityGW(t, "loki-chunks", "loki-rules")
	port := FreePort(t)
	var p [4]*Process
	for i := 1; i <= 3; i++ {
		p[i] = ringProcess(t, s3, i, port)
		p[i].Launch()
	}
	everybody := map[string]string{"loki-1": "ACTIVE", "loki-2": "ACTIVE", "loki-3": "ACTIVE"}
	for i := 1; i <= 3; i++ {
		p[i].WaitReady(60 * time.Second)
		for id, m := range waitRing(t, p[i], everybody) {
			require.InDelta(t, 1.0/3, m.Ownership, 0.02, id)
			require.Len(t, m.Tokens, 128)
		}
	}
	tokens := ringOf(t, p[1], "/ring")["loki-3"].Tokens
	checkRingPages(t, p[1])

	p[3].Kill()
	ill := map[string]string{"loki-1": "ACTIVE", "loki-2": "ACTIVE", "loki-3": "UNHEALTHY"}
	waitRing(t, p[1], ill)
	waitRing(t, p[2], ill)
	require.Equal(t, http.StatusConflict, forget(t, p[1], "loki-2"), "it lives")
	require.Equal(t, http.StatusFound, forget(t, p[1], "loki-3"))
	waitRing(t, p[2], map[string]string{"loki-1": "ACTIVE", "loki-2": "ACTIVE"})

	double := ringProcess(t, s3, 3, port, "-ingester.lifecycler.ID=loki-2")
	double.Launch()
	require.NotZero(t, double.Wait(30*time.Second))
	require.Contains(t, double.Log(), `instance ID "loki-2" lives already`)

	p[3].Start()
	require.Equal(t, tokens, waitRing(t, p[1], everybody)["loki-3"].Tokens, "they are on its disk")
	require.NoError(t, p[2].Stop(), p[2].Log())
	waitRing(t, p[3], map[string]string{"loki-1": "ACTIVE", "loki-3": "ACTIVE"})
}

func checkRingPages(t *testing.T, p *Process) {
	t.Helper()
	for _, page := range []string{"/ring", "/distributor/ring", "/ruler/ring", "/compactor/ring"} {
		require.Len(t, ringOf(t, p, page), 3, page)
		_, body, err := p.Get(page)
		require.NoError(t, err)
		require.Contains(t, body, "<html")
		require.Contains(t, body, "loki-3")
		require.NotContains(t, body, "<button", "nobody is ill")
	}
	_, body, err := p.Get("/memberlist")
	require.NoError(t, err)
	for _, part := range []string{"loki-2", "logstore/loki-chunks", "127.0.0.3"} {
		require.Contains(t, body, part)
	}
	_, body, err = p.Get("/metrics")
	require.NoError(t, err)
	for _, line := range []string{
		`loki_ring_members{name="ingester",state="ACTIVE"} 3`, `loki_ring_members{name="ruler",state="Unhealthy"} 0`,
		"loki_memberlist_client_cluster_members_count 3", `loki_ring_tokens_total{name="distributor"} 384`,
	} {
		require.Contains(t, body, line)
	}
}

// forget presses the button of a member's ring page and returns the status.
func forget(t *testing.T, p *Process, id string) int {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Post(p.URL+"/ring", "application/x-www-form-urlencoded", strings.NewReader(url.Values{"forget": {id}}.Encode()))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// A ring elsewhere is refused by its name.
func TestForeignRings(t *testing.T) {
	for _, store := range []string{"consul", "etcd"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "loki.yaml")
		require.NoError(t, os.WriteFile(file, []byte("common: {ring: {kvstore: {store: "+store+"}}}"), 0o600))
		p := NewProcess(t, dir, "-config.file="+file)
		p.Launch()
		require.NotZero(t, p.Wait(30*time.Second))
		require.Contains(t, p.Log(), `a ring in "`+store+`" is not supported`)
	}
}
