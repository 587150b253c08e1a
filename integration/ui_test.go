package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"logstore/integration/faultproxy"
	"logstore/pkg/auth"
)

// pageTests runs a file of ui/e2e, where the tests of the page are, in the language of the page. SHOTS names a folder for
// screenshots of every page.
func pageTests(t *testing.T, file string, env ...string) {
	t.Helper()
	dir, err := filepath.Abs("../ui")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(dir, "node_modules"))
	require.NoError(t, err, "run scripts/install-test-tools.sh first")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", "e2e/"+file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// The web page in a real browser.
func TestUI(t *testing.T) {
	p := NewProcess(t, t.TempDir(), "-pattern-ingester.enabled=true")
	p.Start()
	pageTests(t, "explore.test.mjs", "UI_URL="+p.URL)
}

// The page of a store with users: the browser asks for a password, and what the page asks then brings it along.
func TestUIPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	hash, err := auth.HashPassword([]byte("ann-password"), bcrypt.MinCost)
	require.NoError(t, err)
	text := "users:\n- {name: ann, password_hash: '" + hash + "', tenants: [a], scopes: [read, write]}\n"
	require.NoError(t, os.WriteFile(users, []byte(text), 0o600))
	config := filepath.Join(dir, "logstore.yaml")
	require.NoError(t, os.WriteFile(config, []byte("auth_enabled: true\nlogstore: {auth: {file: "+users+"}}\n"), 0o600))
	p := NewProcess(t, dir, "-config.file="+config)
	p.Start()
	pageTests(t, "password.test.mjs", "UI_URL="+p.URL, "UI_PASSWORD=ann-password")
}

// rulesOfShop are one of each kind: a recording rule, an alert that fires, one that does not.
const rulesOfShop = `
name: shop
interval: 1s
rules:
  - {record: "app:lines:count1m", expr: 'sum by (app) (count_over_time({app=~".+"}[1m]))'}
  - alert: ErrorsInShop
    expr: sum(count_over_time({app="shop"} |= "level=error" [1h])) > 5
    labels: {severity: critical}
    annotations: {summary: "{{ $value }} errors in an hour"}
  - {alert: ShopIsSilent, expr: 'absent_over_time({app="shop"}[1h])'}
`

// The pages of the process on a cluster that is at work, and from which a member was killed.
func TestUICluster(t *testing.T) {
	c := NewCluster(t, 3, "-ruler.evaluation-interval=1s", "-ruler.poll-interval=1s", "-compactor.retention-enabled=true", "-store.retention=720h")
	first, last := c.Members[0], c.Members[2]
	push := func(app string, end time.Time) {
		var values []string
		for i := range 200 {
			at := end.Add(-time.Duration(200-i) * 5 * time.Second)
			values = append(values, fmt.Sprintf(`["%d","level=%s msg=\"line %d of %s\" took=%dms"]`, at.UnixNano(), []string{"error", "info", "warn", "info"}[i%4], i, app, i))
		}
		send(t, first.URL+"/loki/api/v1/push", "application/json", `{"streams":[{"stream":{"app":"`+app+`"},"values":[`+strings.Join(values, ",")+`]}]}`)
	}
	push("slow", time.Now().Add(-10*time.Minute))
	for _, p := range c.Members {
		send(t, p.URL+"/flush", "", "")
	}
	push("shop", time.Now())
	push("mail", time.Now())
	send(t, first.URL+"/loki/api/v1/rules/team", "application/yaml", rulesOfShop)
	send(t, first.URL+"/loki/api/v1/delete?"+url.Values{
		"query": {`{app="shop"} |= "secret"`}, "start": {strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)},
	}.Encode(), "", "")

	last.Kill()
	require.Eventually(t, func() bool { return c.active(first) == 2 }, time.Minute, 100*time.Millisecond, "the others see that it is dead")
	// What stands in the bucket alone is slow to come.
	c.Redis.CLI(t, "flushall")
	c.Way.Break(faultproxy.Rule{Method: http.MethodGet, PathPrefix: "/loki-chunks/fake/", Fault: faultproxy.Hang()})
	c.Way.Break(faultproxy.Rule{Method: http.MethodGet, PathPrefix: "/loki-chunks/logstore/", Fault: faultproxy.Hang()})
	pageTests(t, "cluster.test.mjs", "UI_URL="+first.URL, "UI_DEAD=loki-3", `UI_SLOW={app="slow"} |= "line"`)
}

// send sends a body and wants it to be taken.
func send(t *testing.T, address, contentType, body string) {
	t.Helper()
	resp, err := http.Post(address, contentType, strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Less(t, resp.StatusCode, 300, address)
}
