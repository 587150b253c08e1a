package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/auth"
	"logstore/pkg/certs/certstest"
)

// secret is part of every secret of the configuration below.
const secret = "hunter2"

// secretive is a configuration with a secret in each key that can hold one; nobody answers at the addresses, so that their failures
// are logged. %[1]s is a folder, %[2]s a key in PEM form on one line.
const secretive = `auth_enabled: true
server:
  log_level: debug
  grpc_tls_config: {cert_file: %[1]s/cert.pem, key: "%[2]s"}
storage_config:
  aws: {s3: "s3://key:hunter2-url@127.0.0.1:9/bucket", secret_access_key: hunter2-aws}
  named_stores: {aws: {other: {s3: "s3://key:hunter2-named@127.0.0.1:9/bucket", secret_access_key: hunter2-named-key}}}
  object_store: {s3: {secret_access_key: hunter2-thanos, session_token: hunter2-thanos-session}}
chunk_store_config:
  chunk_cache_config: {redis: {endpoint: "127.0.0.1:9", password: hunter2-redis}}
query_range:
  results_cache: {cache: {redis: {endpoint: "127.0.0.1:9", username: u, password: hunter2-results}}}
ruler:
  evaluation_interval: 200ms
  poll_interval: 200ms
  alertmanager_url: http://user:hunter2-url@127.0.0.1:9/
  external_url: http://user:hunter2-external@logs.test/
  alertmanager_client: {basic_auth_username: u, basic_auth_password: hunter2-am, type: Bearer}
  wal: {dir: %[1]s/ruler-wal}
  remote_write:
    enabled: true
    clients:
      one: {url: "http://user:hunter2-write@127.0.0.1:9/", headers: {X-Key: hunter2-header}}
      two: {url: "http://127.0.0.1:9/", basic_auth: {username: u, password: hunter2-basic}}
      three: {url: "http://127.0.0.1:9/", authorization: {credentials: hunter2-credentials}}
limits_config:
  ruler_alertmanager_config: {alertmanager_url: "http://user:hunter2-tenant@127.0.0.1:9/", alertmanager_client: {basic_auth_username: u, basic_auth_password: hunter2-tenant-am}}
logstore:
  ruler: {alertmanager_headers: {X-Key: hunter2-am-header}}
  auth: {file: %[1]s/users.yaml, cluster_secret: hunter2-cluster}
  tracing: {endpoint: "http://user:hunter2-trace@127.0.0.1:9"}
`

// TestNoSecrets runs with a secret in every key that can hold one, lets what uses them fail, and wants none in anything that is written.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certstest.NewCA(t, "ca").Issue(t, "x")
	operator := auth.HashToken([]byte("operator-token-hunter2"))
	users := fmt.Sprintf("users:\n- {name: operator, token_hashes: [%q], tenants: ['*'], scopes: [read, write, manage, admin]}\n- {name: ann, password_hash: %q, tenants: [a]}\n",
		operator, auth.HashToken([]byte("hunter2-password")))
	config := filepath.Join(dir, "logstore.yaml")
	for name, text := range map[string]string{
		"cert.pem": string(cert), "users.yaml": users, "logstore.yaml": fmt.Sprintf(secretive, dir, strings.ReplaceAll(string(key), "\n", `\n`)),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	_, keyLine, _ := strings.Cut(string(key), "\n")
	secrets := []string{secret, keyLine[:40], strings.TrimPrefix(operator, "sha256:")}
	clean := func(what, text string) {
		t.Helper()
		for _, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s shows a secret: ...%s", what, text[max(0, i-150):min(len(text), i+80)])
			}
		}
	}
	out, err := exec.Command(Binary(t), "-config.file="+config, "-verify-config").CombinedOutput()
	require.NoError(t, err, string(out))
	clean("-verify-config", string(out))

	p := NewProcess(t, dir, "-config.file="+config, "-print-config-stderr", "-logstore.auth.cluster-secret=hunter2-flag")
	p.Start()
	ask := func(method, path, body string) string {
		t.Helper()
		status, text := asked(t, http.DefaultClient, method, p.URL+path, "operator-token-hunter2", "a", body)
		require.Less(t, status, 500, "%s: %s", path, text)
		return text
	}
	ask("POST", "/loki/api/v1/push", onePush("x"))
	ask("POST", "/loki/api/v1/rules/ns", "name: g\nrules:\n- alert: A\n  expr: sum(count_over_time({app=\"x\"}[1h])) > 0\n- record: r\n  expr: sum(count_over_time({app=\"x\"}[1h]))\n")
	ask("GET", "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D", "")
	require.Eventually(t, func() bool {
		log := p.Log()
		return strings.Contains(log, "lertmanager") && strings.Contains(log, "127.0.0.1:9")
	}, 20*time.Second, 50*time.Millisecond, "what uses the secrets has not failed yet")
	time.Sleep(time.Second) // other failures
	for _, path := range []string{
		"/config", "/config?mode=diff", "/config?mode=defaults", "/metrics", "/debug/pprof/cmdline", "/services", "/ring", "/memberlist", "/compactor/status", "/", "/ui/",
		"/config/tenant/v1/limits", "/loki/api/v1/drilldown-limits", "/logstore/api/v1/tenants", "/logstore/api/v1/storage", "/prometheus/api/v1/rules", "/prometheus/api/v1/alerts",
		"/loki/api/v1/status/buildinfo", "/log_level", "/debug/pprof/goroutine?debug=2",
	} {
		clean(path, ask("GET", path, ""))
	}
	_, text := asked(t, http.DefaultClient, "GET", p.URL+"/config", "ann:hunter2-wrong", "a", "")
	clean("401", text)
	require.Contains(t, ask("GET", "/config", ""), "<redacted>", "the configuration shows that there are secrets")
	_ = p.Stop()
	clean("the log", p.Log())
}
