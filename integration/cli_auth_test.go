package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/auth"
	"logstore/pkg/certs/certstest"
)

// secured is a store with TLS and users, and the folder with what a client needs: ca.pem, and a pair of files for each name.
type secured struct {
	*Process
	token string
}

// startSecured starts a store that wants certificates as clientAuth says.
func startSecured(t *testing.T, clientAuth string, names ...string) secured {
	t.Helper()
	dir := t.TempDir()
	ca := certstest.NewCA(t, "ca")
	writeFile(t, dir, "ca.pem", string(ca.PEM))
	for _, name := range append(names, "server") {
		cert, key := ca.Issue(t, name)
		writeFile(t, dir, name+".pem", string(cert))
		writeFile(t, dir, name+".key", string(key))
	}
	s := secured{token: auth.NewToken()}
	users := writeFile(t, dir, "users.yaml", usersText(t, "ann-password", s.token))
	writeFile(t, dir, "token", s.token+"\n")
	s.Process = NewProcess(t, dir, "-config.file="+writeFile(t, dir, "logstore.yaml", fmt.Sprintf(`auth_enabled: true
server:
  http_tls_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, client_auth_type: %s}
logstore:
  auth: {file: %s}
`, clientAuth, users)))
	s.URL = strings.Replace(s.URL, "http:", "https:", 1)
	s.Launch()
	client := tlsClient(ca, ca.Pair(t, "shipper"))
	require.Eventually(t, func() bool {
		resp, err := client.Get(s.URL + "/ready")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "not ready: %s", s.Log())
	return s
}

// TestCommandsOfUsers runs the commands against a store with TLS and built-in users: by password, by token and by certificate, and where
// none of them lets the user in.
func TestCommandsOfUsers(t *testing.T) {
	t.Parallel()
	p := startSecured(t, "VerifyClientCertIfGiven", "shipper", "stranger")
	file := func(name string) string { return filepath.Join(p.Dir, name) }
	at := []string{"LOKI_CLIENT_RETRIES=0", "LOKI_ADDR=" + p.URL, "LOKI_CA_CERT_PATH=" + file("ca.pem")}
	with := func(env ...string) *shell { return newShell(t, append(env, at...)...) }
	ann := with("LOKI_USERNAME=ann", "LOKI_PASSWORD=ann-password")
	ben := with("LOKI_USERNAME=ben", "LOKI_PASSWORD=ben-password", "LOKI_ORG_ID=b")
	operator := with("LOKI_USERNAME=operator", "LOKI_PASSWORD=operator-password", "LOKI_ORG_ID=b")
	shipper := with("LOKI_BEARER_TOKEN_FILE="+file("token"), "LOKI_ORG_ID=a")
	byCert := with("LOKI_CLIENT_CERT_PATH="+file("shipper.pem"), "LOKI_CLIENT_KEY_PATH="+file("shipper.key"))

	for line, sh := range map[string]*shell{"by token": shipper, "by certificate": byCert, "of ben": ben} {
		r := sh.runIn(line+"\n", "push", "-label", "app=x")
		require.Equal(t, 0, r.code, "%s: %s", line, r.stderr)
	}
	const query = `{app="x"}`
	require.ElementsMatch(t, []string{"by token", "by certificate"}, linesOf(ann.ok("query", "-o", "raw", query)), "ann's own tenant is a")
	require.Equal(t, "of ben\n", ben.ok("query", "-o", "raw", query))
	require.Equal(t, "of ben\n", operator.ok("query", "-o", "raw", query))
	require.Equal(t, "app\nservice_name\n", ann.ok("labels"))
	require.Contains(t, ann.ok("stats", query), "entries  2\n")
	require.Contains(t, ann.ok("volume", query), "x")
	require.Contains(t, ann.ok("series", query), `app="x"`)
	require.Contains(t, ann.ok("instant-query", `sum(count_over_time({app="x"}[1h]))`), `"2"`)
	require.Equal(t, "ready\n", with().ok("health"), "without credentials")
	rules := writeFile(t, p.Dir, "rules.yaml", "groups: [{name: g, rules: [{alert: A, expr: 'sum(rate({app=\"x\"}[1m])) > 1'}]}]\n")
	ann.ok("rules", "set", "n", rules)
	require.Contains(t, ann.ok("rules", "list"), "g")

	for _, c := range []struct {
		sh   *shell
		args string
		says string
	}{
		{with(), "labels", "-username and -password"},
		{with("LOKI_USERNAME=ann", "LOKI_PASSWORD=wrong"), "labels", "401"},
		{with("LOKI_BEARER_TOKEN=" + auth.NewToken()), "labels", "401"},
		{shipper, "query " + query, "the user may not do this"},
		{ann, "push -label app=x " + file("token"), "the user may not do this"},
		{ann, "query -org-id=b " + query, "not for this tenant"},
		{ben, "query -org-id=a " + query, "not for this tenant"},
		{with("LOKI_CLIENT_CERT_PATH="+file("stranger.pem"), "LOKI_CLIENT_KEY_PATH="+file("stranger.key")), "labels", "401"},
		{ann, "labels -ca-cert= -tls-server-name=other.test", "-tls-server-name"},
		{ann, "labels -addr=" + strings.Replace(p.URL, "https:", "http:", 1), "write https://"},
		{newShell(t, "LOKI_ADDR="+p.URL), "labels -retries=0", "-ca-cert"},
		{newShell(t, "LOKI_ADDR="+p.URL), "health", "-ca-cert"},
		{with(), "health -cert=" + file("ca.pem"), "both, its file and that of its key"},
	} {
		r := c.sh.run(strings.Fields(c.args)...)
		require.NotZero(t, r.code, c.args)
		require.Contains(t, r.stderr, c.says, c.args)
		for _, secret := range []string{"ann-password", p.token} {
			require.NotContains(t, r.stdout+r.stderr, secret)
		}
	}
	require.Equal(t, "app\nservice_name\n", newShell(t, "LOKI_ADDR="+p.URL, "LOKI_USERNAME=ann", "LOKI_PASSWORD=ann-password").ok("labels", "-tls-skip-verify"))

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out lockedOutput
	tail := ann.command(ctx, "", "tail", "-output=raw", query)
	tail.Stdout, tail.Stderr = &out, &out
	require.NoError(t, tail.Start())
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "by certificate") }, 20*time.Second, 20*time.Millisecond, "%s", &out)
	require.Equal(t, 0, shipper.runIn("come later\n", "push", "-label", "app=x").code)
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "come later") }, 20*time.Second, 20*time.Millisecond, "%s", &out)
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	require.NoError(t, tail.Wait(), "%s", &out)
}

// TestCommandsWithCertificates runs the commands against a store that talks to nobody without a certificate.
func TestCommandsWithCertificates(t *testing.T) {
	t.Parallel()
	p := startSecured(t, "RequireAndVerifyClientCert", "shipper", "anybody")
	file := func(name string) string { return filepath.Join(p.Dir, name) }
	bare := newShell(t, "LOKI_ADDR="+p.URL)
	r := bare.run("labels", "-retries=0", "-ca-cert", file("ca.pem"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "give it with -cert and -key")
	require.Contains(t, bare.run("health", "-ca-cert", file("ca.pem")).stderr, "give it with -cert and -key")
	pair := func(name string) []string {
		return []string{"-ca-cert", file("ca.pem"), "-cert", file(name + ".pem"), "-key", file(name + ".key")}
	}
	require.Equal(t, "ready\n", bare.ok(append([]string{"health"}, pair("anybody")...)...))
	other := certstest.NewCA(t, "other")
	cert, key := other.Issue(t, "shipper")
	writeFile(t, p.Dir, "forged.pem", string(cert))
	writeFile(t, p.Dir, "forged.key", string(key))
	r = bare.run(append([]string{"health"}, pair("forged")...)...)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "-cert")
	r = bare.runIn("with a certificate\n", append([]string{"push", "-label", "app=x"}, pair("shipper")...)...)
	require.Equal(t, 0, r.code, r.stderr)
	// The certificate opens the door, the password says who it is.
	asAnn := newShell(t, "LOKI_ADDR="+p.URL, "LOKI_USERNAME=ann", "LOKI_PASSWORD=ann-password")
	require.Equal(t, "with a certificate\n", asAnn.ok(append([]string{"query", "-o", "raw", `{app="x"}`}, pair("anybody")...)...))
}
