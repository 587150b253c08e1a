package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ran is what a command left behind.
type ran struct {
	code           int
	stdout, stderr string
}

// shell runs commands of the binary with variables of the environment, as a user's shell does.
type shell struct {
	t   testing.TB
	env []string
	dir string
}

func newShell(t testing.TB, env ...string) *shell { return &shell{t: t, env: env, dir: t.TempDir()} }

func (s *shell) command(ctx context.Context, stdin string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, Binary(s.t), args...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(stdin)
	cmd.Env = append([]string{"TZ=UTC", "PATH=" + os.Getenv("PATH")}, s.env...)
	return cmd
}

func (s *shell) runIn(stdin string, args ...string) ran {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := s.command(ctx, stdin, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the code is what counts
	return ran{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
}

func (s *shell) run(args ...string) ran { s.t.Helper(); return s.runIn("", args...) }

// ok runs a command that must succeed and returns its output.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.Equal(s.t, 0, r.code, "%v: %s", args, r.stderr)
	return r.stdout
}

func linesOf(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// smallLimits is a store that gives little at a time.
const smallLimits = `auth_enabled: true
limits_config:
  max_entries_limit_per_query: 400
  max_query_length: 2h
  reject_old_samples: false
  ingestion_rate_mb: 100
  ingestion_burst_size_mb: 100
compactor:
  retention_enabled: true
  delete_request_store: filesystem
ingester:
  max_chunk_age: 24h
pattern_ingester:
  enabled: true
`

// TestCommandLine pushes lines, finds them by every command, and reads what the commands say when something is wrong.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeFile(t, dir, "loki.yaml", smallLimits))
	p.Start()
	sh := newShell(t, "LOKI_ADDR="+p.URL, "LOKI_ORG_ID=shop")
	now := time.Now()
	first := now.Add(-5 * time.Hour).Truncate(time.Second)

	// 10,000 lines over five hours, some hundreds of them at one instant.
	const total, burst = 10_000, 300
	var in strings.Builder
	var want []string
	for i := range total {
		at := first.Add(time.Duration(i) * 1500 * time.Millisecond)
		if i >= 5000 && i < 5000+burst {
			at = first.Add(5000 * 1500 * time.Millisecond)
		}
		line := fmt.Sprintf("level=info n=%05d", i)
		want = append(want, line)
		one, err := json.Marshal(map[string]any{
			"line": line, "timestamp": at.Format(time.RFC3339Nano), "labels": map[string]string{"host": fmt.Sprint(i % 3)}, "metadata": map[string]string{"trace": fmt.Sprint(i)},
		})
		require.NoError(t, err)
		in.Write(append(one, '\n'))
	}
	for _, compression := range []string{"snappy", "gzip", "none"} { // what is there already is stored once
		r := sh.runIn(in.String(), "push", "-input=jsonl", "-label", "app=web", "-compression", compression, "-batch-lines=3000", "-batch-wait=1m")
		require.Equal(t, 0, r.code, r.stderr)
		require.Contains(t, r.stderr, "pushed 10000 lines")
		require.Contains(t, r.stderr, "in 4 requests")
	}

	t.Run("every line once", func(t *testing.T) {
		forward := linesOf(sh.ok("query", "-since=6h", "-limit=0", "-forward", "-output=raw", `{app="web"}`))
		require.Len(t, forward, total)
		require.Equal(t, want[:5000], forward[:5000])
		slices.Sort(forward)
		require.Equal(t, want, forward)
		backward := linesOf(sh.ok("query", "-since=6h", "-limit=0", "-o", "raw", `{app="web"}`))
		require.Equal(t, want[total-1], backward[0])
		slices.Sort(backward)
		require.Equal(t, want, backward)
		parallel := linesOf(sh.ok("query", "-since=6h", "-limit=0", "-forward", "-output=raw", "-parallel-duration=25m", "-parallel-max-workers=4", `{app="web"}`))
		require.Equal(t, want[:5000], parallel[:5000])
		slices.Sort(parallel)
		require.Equal(t, want, parallel)
		require.Len(t, linesOf(sh.ok("query", "-since=6h", "-limit=777", "-batch=100", "-output=raw", `{app="web"}`)), 777)
	})
	t.Run("what is written can be pushed", func(t *testing.T) {
		jsonl := sh.ok("query", "-since=6h", "-limit=500", "-output=export", `{app="web",host="1"}`)
		require.Contains(t, jsonl, `"metadata":{"detected_level":"info","trace":"`)
		copied := newShell(t, "LOKI_ADDR="+p.URL, "LOKI_ORG_ID=copy")
		require.Equal(t, 0, copied.runIn(jsonl, "push", "-input=jsonl").code)
		require.Equal(t, jsonl, copied.ok("query", "-since=6h", "-limit=500", "-output=export", `{app="web",host="1"}`))
	})
	t.Run("text", func(t *testing.T) {
		r := sh.run("query", "-since=6h", "-limit=3", "-timezone=UTC", "-include-label=host", `{app="web"} | trace="9999"`)
		require.Equal(t, first.Add(9999*1500*time.Millisecond).UTC().Format(time.RFC3339)+" {host=\"0\"} level=info n=09999\n", r.stdout)
		require.Contains(t, r.stderr, `Common labels: {app="web", detected_level="info", host="0", service_name="web", trace="9999"}`)
		r = sh.run("query", "-q", "-since=6h", "-limit=2", "-no-labels", "-colored-output", "-stats", `{app="web"}`)
		require.NotContains(t, r.stderr, "Common")
		require.Contains(t, r.stderr, "summary.totalLinesProcessed")
		require.NotContains(t, r.stdout, "{")
	})
	t.Run("metrics", func(t *testing.T) { metricCommands(t, sh, first) })
	t.Run("look-ups", func(t *testing.T) {
		require.Equal(t, "app\nhost\nservice_name\n", sh.ok("labels", "-since=6h"))
		require.Equal(t, "0\n1\n2\n", sh.ok("labels", "-since=6h", "-query", `{app="web"}`, "host"))
		require.Len(t, linesOf(sh.ok("series", "-since=6h", `{host="1"}`, `{host="2"}`)), 2)
		require.Contains(t, sh.ok("series", "-since=6h", "-analyze-labels"), "3 streams, 3 labels")
		require.Contains(t, sh.run("stats", "-since=6h", `{app="web"}`).stderr, "ask for a shorter time range")
		require.Regexp(t, `entries  \d{4}\n`, sh.ok("stats", "-since=2h", `{app="web"}`))
		require.Contains(t, sh.ok("volume", "-since=2h", "-targetLabels=host", "-output=table", `{app="web"}`), "host  value")
		require.Contains(t, sh.ok("volume-range", "-since=2h", "-step=30m", "-targetLabels=app", `{app="web"}`), `"app": "web"`)
		require.Contains(t, sh.ok("detected-fields", "-since=2h", `{app="web"}`), "trace")
		require.Equal(t, "09999\n", sh.ok("detected-fields", "-since=2h", `{app="web"} | trace="9999"`, "n"))
		require.Contains(t, sh.ok("fmt", `sum(rate({app="web"}[5m]))by(host)`), `sum by (host)`)
	})
	t.Run("deletes", func(t *testing.T) {
		id := strings.TrimSpace(sh.ok("delete", "create", "-from", first.Format(time.RFC3339), "-to", first.Add(time.Hour).Format(time.RFC3339), `{app="web",host="2"}`))
		require.NotEmpty(t, id)
		require.Contains(t, sh.ok("delete", "list"), id+"  received")
		sh.ok("delete", "cancel", id)
		require.NotContains(t, sh.ok("delete", "list"), id)
	})
	t.Run("mistakes", func(t *testing.T) { commandMistakes(t, sh, p) })
	t.Run("through a proxy", func(t *testing.T) { commandsThroughProxy(t, p) })
}

func metricCommands(t *testing.T, sh *shell, first time.Time) {
	from, to := first.Format(time.RFC3339), first.Add(5*time.Hour).Format(time.RFC3339)
	var matrix []struct {
		Metric map[string]string
		Values [][2]any
	}
	// The store takes two hours at a time: this is put together of pieces.
	out := sh.ok("query", "-from", from, "-to", to, "-step=10m", `sum by (app) (count_over_time({app="web"}[10m]))`)
	require.NoError(t, json.Unmarshal([]byte(out), &matrix))
	require.Len(t, matrix, 1)
	sum, last := 0.0, 0.0
	for _, v := range matrix[0].Values {
		var n float64
		_, err := fmt.Sscan(v[1].(string), &n)
		require.NoError(t, err)
		if sum += n; last > 0 {
			require.InDelta(t, last+600, v[0].(float64), 0.001, "each step once")
		}
		last = v[0].(float64)
	}
	require.InDelta(t, 10_000, sum, 0)
	table := sh.ok("query", "-from", from, "-to", to, "-step=1h", "-output=table", "-z=UTC", `sum by (host) (count_over_time({app="web"}[1h]))`)
	require.Contains(t, table, "time                  host  value\n")
	require.Contains(t, table, first.Add(time.Hour).UTC().Format(time.RFC3339)+"  0     ")
	instant := sh.ok("instant-query", "-now", first.Add(5*time.Hour-time.Second).Format(time.RFC3339), `sum(count_over_time({app="web"}[5h]))`)
	require.Contains(t, instant, `"10000"`)
	require.Equal(t, 2, len(linesOf(sh.ok("instant-query", "-output=table", "-now", to, `vector(1)`))))
}

func commandMistakes(t *testing.T, sh *shell, p *Process) {
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{`query {app="web"`, 1, []string{"parse error at line 1", "^"}},
		{`query {app="none"}`, 0, nil},
		{`query -fail-if-empty {app="none"}`, 3, []string{"nothing was found"}},
		{`query`, 2, []string{"an argument is missing", "logstore query -help"}},
		{`query -limit=x {app="web"}`, 2, []string{"-limit"}},
		{`query -from=yesterday {app="web"}`, 2, []string{`"yesterday" is no time such as`}},
		{`query -from=1h -to=2h {app="web"}`, 2, []string{"the time range is empty"}},
		{`query -output=xml {app="web"}`, 2, []string{`no mode "xml"`}},
		{`query -nosuch {app="web"}`, 2, []string{"not defined: -nosuch"}},
		{`query -org-id= -addr=http://127.0.0.1:1 -retries=0 {app="web"}`, 1, []string{"cannot reach http://127.0.0.1:1", "nothing listens there"}},
		{`query -addr=` + p.URL + `/nowhere {app="web"}`, 1, []string{"404", "http_path_prefix"}},
		{`query -addr=http://u:hunter2@[bad {app="web"}`, 2, []string{"the address is no URL"}},
		{`query -ca-cert=/nowhere {app="web"}`, 2, []string{"cannot read the certificate authority"}},
		{`tail sum(rate({app="web"}[1m]))`, 1, []string{"only log queries can be tailed"}},
		{`push -label app`, 2, []string{"want name=value"}},
		{`push`, 2, []string{"a stream needs a label"}},
		{`push -label app=x /nowhere`, 1, []string{"after 0 lines in 0 requests", "/nowhere"}},
		{`delete create {app="web"}`, 2, []string{"-from or -since"}},
		{`nosuch`, 2, []string{`there is no command "nosuch"`}},
	} {
		r := sh.run(strings.Fields(c.args)...)
		require.Equal(t, c.code, r.code, "%s: %s", c.args, r.stderr)
		for _, text := range c.says {
			require.Contains(t, r.stderr, text, c.args)
		}
		require.NotContains(t, r.stderr, "hunter2")
		require.NotContains(t, r.stdout, "rror", "errors belong to the standard error")
	}
	r := newShell(t, "LOKI_ADDR="+p.URL).run("labels")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "name one with -org-id")

	// A line that is refused, between others that are not.
	long := strings.Repeat("x", 300<<10)
	r = sh.runIn("good\n"+long+"\nfine\n", "push", "-label", "app=partly")
	require.Equal(t, 3, r.code)
	require.Contains(t, r.stderr, "max entry size")
	require.Equal(t, []string{"fine", "good"}, linesOf(sh.ok("query", "-o", "raw", `{app="partly"}`)))
	r = sh.runIn("{\"line\":\"a\",\"labels\":{\"app\":\"strict\"}}\n{\"line\":\"b\",\"lables\":{}}\n", "push", "-input=jsonl")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "standard input:2:")
	require.Equal(t, []string{"a"}, linesOf(sh.ok("query", "-o", "raw", `{app="strict"}`)))
}

// commandsThroughProxy asks through a proxy with a certificate of its own that wants a user, a token or a client header.
func commandsThroughProxy(t *testing.T, p *Process) {
	target, err := url.Parse(p.URL)
	require.NoError(t, err)
	const secret = "s3cret:w/ord%"
	var mu sync.Mutex
	failures := 2 // that many requests fail before one succeeds
	proxy := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if (user != "ann" || password != secret) && r.Header.Get("Authorization") != "Bearer "+secret {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mu.Lock()
		failures--
		fail := failures >= 0
		mu.Unlock()
		if fail {
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(token, []byte(secret+"\n"), 0o600))

	sh := newShell(t, "LOKI_ADDR="+srv.URL, "LOKI_ORG_ID=shop", "LOKI_CA_CERT_PATH="+ca)
	r := sh.run("labels", "-since=6h")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "who are you?")
	require.Contains(t, r.stderr, "-bearer-token-file")
	r = sh.run("labels", "-since=6h", "-username=ann", "-password="+secret)
	require.Equal(t, 0, r.code, r.stderr)
	require.Contains(t, r.stderr, "slow down (429 Too Many Requests); trying again")
	withToken := newShell(t, append(sh.env, "LOKI_BEARER_TOKEN_FILE="+token)...)
	require.Equal(t, "app\nhost\nservice_name\n", withToken.ok("labels", "-since=6h"))
	byAddress := strings.Replace(srv.URL, "https://", "https://ann:"+url.QueryEscape(secret)+"@", 1)
	require.Equal(t, "app\nhost\nservice_name\n", sh.ok("labels", "-since=6h", "-addr", byAddress))

	// A tail needs them too.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out lockedOutput
	tail := withToken.command(ctx, "", "tail", "-since=6h", "-limit=5", "-output=raw", `{app="web"}`)
	tail.Stdout, tail.Stderr = &out, &out
	require.NoError(t, tail.Start())
	require.Eventually(t, func() bool { return len(linesOf(out.String())) == 5 }, 20*time.Second, 20*time.Millisecond, "%s", &out)
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	require.NoError(t, tail.Wait(), "an interrupted tail ends well: %s", out.String())

	for _, env := range [][]string{{"LOKI_ADDR=" + srv.URL}, {"LOKI_ADDR=" + srv.URL, "LOKI_USERNAME=eve", "LOKI_PASSWORD=" + secret, "LOKI_CA_CERT_PATH=" + ca}} {
		r := newShell(t, env...).run("labels")
		require.Equal(t, 1, r.code)
		require.NotContains(t, r.stderr, secret)
	}
	require.Contains(t, newShell(t, "LOKI_ADDR="+srv.URL).run("labels").stderr, "-ca-cert")
	require.NotContains(t, withToken.ok("query", "-help"), secret)
}

// lockedOutput collects what a process writes while it is read.
type lockedOutput struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *lockedOutput) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *lockedOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// TestTailCommandComesBack kills the store under a tail while lines come in: the tail shows each line once.
func TestTailCommandComesBack(t *testing.T) {
	t.Parallel()
	p := NewProcess(t, t.TempDir())
	p.Start()
	sh := newShell(t, "LOKI_ADDR="+p.URL)
	const rounds, size = 30, 100
	push := func(round int) {
		var in strings.Builder
		for i := range size {
			fmt.Fprintf(&in, "%d/%d\n", round, i)
		}
		// The store may be down: the command tries again.
		if r := sh.runIn(in.String(), "push", "-label", "app=web", "-retries=20", "-max-backoff=500ms"); r.code != 0 {
			t.Errorf("cannot push: %s", r.stderr)
		}
	}
	push(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs lockedOutput
	tail := sh.command(ctx, "", "tail", "-limit=1000", "-output=raw", `{app="web"}`)
	tail.Stdout, tail.Stderr = &out, &errs
	require.NoError(t, tail.Start())
	shown := func(n int) func() bool {
		return func() bool { return strings.Count(out.String(), "\n") >= n }
	}
	require.Eventually(t, shown(size), 30*time.Second, 50*time.Millisecond, "the tail is open")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := range rounds - 1 {
			push(round + 1)
		}
	}()
	for range 2 {
		time.Sleep(500 * time.Millisecond)
		p.Kill()
		p.Start()
	}
	<-done
	if !assert.Eventually(t, shown(rounds*size), 30*time.Second, 50*time.Millisecond) {
		t.Fatalf("%d lines\n%s", strings.Count(out.String(), "\n"), errs.String())
	}
	time.Sleep(300 * time.Millisecond) // for what would come twice
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	require.NoError(t, tail.Wait())
	seen := map[string]int{}
	for _, line := range linesOf(out.String()) {
		seen[line]++
	}
	require.Len(t, seen, rounds*size)
	for line, n := range seen {
		require.Equal(t, 1, n, line)
	}
	require.Contains(t, errs.String(), "coming back")
}
