package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"logstore/pkg/auth"
)

// usersText is a file of users: ann has a password, the shipper a token, the operator everything.
func usersText(t testing.TB, annPassword, shipperToken string) string {
	t.Helper()
	hash := func(password string) string {
		h, err := auth.HashPassword([]byte(password), bcrypt.MinCost)
		require.NoError(t, err)
		return h
	}
	return fmt.Sprintf(`users:
- name: ann
  password_hash: %s
  tenants: [a, shared]
  default_tenant: a
  scopes: [read, manage]
- name: shipper
  token_hashes: ["%s"]
  certificates: ["CN=shipper"]
  tenants: [a]
  scopes: [write]
- name: ben
  password_hash: %s
  tenants: [b]
- name: operator
  password_hash: %s
  tenants: ["*"]
  scopes: [read, write, manage, admin]
`, hash(annPassword), auth.HashToken([]byte(shipperToken)), hash("ben-password"), hash("operator-password"))
}

func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// asked is a request with credentials; who is "", "name:password" or a token.
func asked(t testing.TB, client *http.Client, method, target, who, org, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if name, password, ok := strings.Cut(who, ":"); ok {
		req.SetBasicAuth(name, password)
	} else if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	if org != "" {
		req.Header.Set("X-Scope-OrgID", org)
	}
	return do(t, client, req)
}

func do(t testing.TB, client *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func onePush(line string) string {
	return fmt.Sprintf(`{"streams":[{"stream":{"app":"x"},"values":[["%d","%s"]]}]}`, time.Now().UnixNano(), line)
}

// TestAuthentication runs the store with a file of users: by basic and bearer credentials, over reloads good and bad, and for a tail.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	token := auth.NewToken()
	replaceFile(t, users, usersText(t, "ann-password", token))
	config := filepath.Join(dir, "logstore.yaml")
	require.NoError(t, os.WriteFile(config, []byte("auth_enabled: true\nquerier:\n  multi_tenant_queries_enabled: true\nlogstore:\n  auth:\n    file: "+users+"\n    reload_period: 1h\n"), 0o600))
	p := NewProcess(t, dir, "-config.file="+config)
	p.Start()
	f := func(method, path, who, org, body string, want int, wantText string) {
		t.Helper()
		status, text := asked(t, http.DefaultClient, method, p.URL+path, who, org, body)
		require.Equal(t, want, status, text)
		require.Contains(t, text, wantText)
	}
	const push, query = "/loki/api/v1/push", "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D"
	f("POST", push, "", "a", onePush("x"), 401, "credentials are missing")
	f("POST", push, "wrong", "a", onePush("x"), 401, "not valid")
	f("POST", push, token, "", onePush("of-a"), 204, "")
	f("POST", push, token, "a", onePush("also-of-a"), 204, "")
	f("POST", push, token, "b", onePush("x"), 403, "tenant b")
	f("POST", push, "ben:ben-password", "", onePush("of-b"), 204, "")
	f("GET", query, "ann:ann-password", "", "", 200, "also-of-a")
	f("GET", query, "ann:ann-password", "b", "", 403, "tenant b")
	f("GET", query, "ann:ann-password", "a|b", "", 403, "tenant b")
	f("GET", query, "operator:operator-password", "a|b", "", 200, "of-b")
	f("GET", query, token, "", "", 403, "do not allow this")
	f("GET", "/config", "ann:ann-password", "", "", 403, "")
	f("GET", "/config", "operator:operator-password", "", "", 200, "users.yaml")
	f("GET", "/ready", "", "", "", 200, "ready")
	f("GET", "/metrics", "", "", "", 401, "")
	f("GET", "/metrics", "operator:operator-password", "", "", 200, `logstore_auth_requests_total{result="forbidden_tenant"} 3`)
	testAuthTail(t, p)

	// A bad file changes nothing; a good one holds at once.
	replaceFile(t, users, "users: [{name: ann}]")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "users are not reloaded") }, 10*time.Second, 10*time.Millisecond)
	f("GET", query, "ann:ann-password", "", "", 200, "of-a")
	f("GET", "/metrics", "operator:operator-password", "", "", 200, "logstore_auth_last_reload_successful 0")
	replaceFile(t, users, usersText(t, "another-password", token))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool {
		status, _ := asked(t, http.DefaultClient, "GET", p.URL+query, "ann:another-password", "", "")
		return status == 200
	}, 10*time.Second, 10*time.Millisecond)
	f("GET", query, "ann:ann-password", "", "", 401, "")
	for _, secret := range []string{"ann-password", "another-password", token, "ben-password"} {
		require.NotContains(t, p.Log(), secret)
	}
	require.NoError(t, p.Stop())
}

// testAuthTail opens tails as a page does, with the tenant as a parameter.
func testAuthTail(t *testing.T, p *Process) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dial := func(tenant, who, origin string) (*websocket.Conn, int) {
		params := url.Values{"query": {`{app="x"}`}, "tenant": {tenant}, "start": {strconv.FormatInt(time.Now().Add(-time.Hour).UnixNano(), 10)}}
		h := http.Header{}
		req := http.Request{Header: h}
		name, password, _ := strings.Cut(who, ":")
		req.SetBasicAuth(name, password)
		if origin != "" {
			h.Set("Origin", origin)
		}
		conn, resp, _ := websocket.Dial(ctx, strings.Replace(p.URL, "http:", "ws:", 1)+"/loki/api/v1/tail?"+params.Encode(), &websocket.DialOptions{HTTPHeader: h})
		require.NotNil(t, resp)
		return conn, resp.StatusCode
	}
	conn, _ := dial("a", "ann:ann-password", p.URL)
	require.NotNil(t, conn)
	_, text, err := conn.Read(ctx)
	require.NoError(t, err)
	require.Contains(t, string(text), "of-a")
	require.NotContains(t, string(text), "of-b")
	require.NoError(t, conn.CloseNow())
	for _, c := range [][3]string{{"b", "ann:ann-password", p.URL}, {"a", "ann:ann-password", "https://evil.test"}, {"a|b", "ann:ann-password", ""}} {
		conn, status := dial(c[0], c[1], c[2])
		require.Nil(t, conn)
		require.Equal(t, 403, status, c)
	}
	_, status := dial("a", "ann:wrong", p.URL)
	require.Equal(t, 401, status)
}
