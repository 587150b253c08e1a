package integration

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"logstore/pkg/auth"
	"logstore/pkg/certs/certstest"
)

// tlsClient trusts an authority and shows the certificates.
func tlsClient(ca *certstest.CA, pairs ...tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: pairs}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
}

// TestHTTPS runs the store with TLS, client certificates that stand for users, and a certificate that is renewed while it runs.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		replaceFile(t, path, string(text))
		return path
	}
	issue := func(name string) {
		cert, key := ca.Issue(t, name)
		write("key.pem", key)
		write("cert.pem", cert)
	}
	issue("first")
	config := fmt.Sprintf(`auth_enabled: true
server:
  tls_min_version: VersionTLS13
  http_tls_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: %s, client_auth_type: VerifyClientCertIfGiven}
  grpc_tls_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}
logstore:
  auth: {file: %s}
`, write("ca.pem", ca.PEM), write("users.yaml", []byte(usersText(t, "ann-password", auth.NewToken()))))
	p := NewProcess(t, dir, "-config.file="+write("logstore.yaml", []byte(config)))
	p.URL = strings.Replace(p.URL, "http:", "https:", 1)
	p.Launch()
	nobody, shipper := tlsClient(ca), tlsClient(ca, ca.Pair(t, "shipper"))
	require.Eventually(t, func() bool {
		resp, err := nobody.Get(p.URL + "/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		require.Equal(t, "HTTP/2.0", resp.Proto)
		return resp.StatusCode == 200
	}, time.Minute, 20*time.Millisecond, "not ready: %s", p.Log())
	f := func(client *http.Client, method, path, who, body string, want int) {
		t.Helper()
		status, text := asked(t, client, method, p.URL+path, who, "", body)
		require.Equal(t, want, status, text)
	}
	const push, query = "/loki/api/v1/push", "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D"
	f(shipper, "POST", push, "", onePush("x"), 204)
	f(nobody, "POST", push, "", onePush("x"), 401)
	f(tlsClient(ca, ca.Pair(t, "stranger")), "POST", push, "", onePush("x"), 401)
	f(shipper, "GET", query, "", "", 403)
	f(nobody, "GET", query, "ann:ann-password", "", 200)
	forged := other.Pair(t, "shipper")
	_, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &forged, nil },
	}}}).Get(p.URL + "/ready")
	require.Error(t, err, "a certificate of another authority")
	_, err = tlsClient(other).Get(p.URL + "/ready")
	require.Error(t, err, "a client that does not trust the store")
	_, err = (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}}}).Get(p.URL + "/ready")
	require.Error(t, err, "an old version")
	_, text := asked(t, http.DefaultClient, "GET", strings.Replace(p.URL, "https:", "http:", 1)+"/ready", "", "", "")
	require.Contains(t, text, "HTTP request to an HTTPS server")

	h := http.Header{}
	(&http.Request{Header: h}).SetBasicAuth("ann", "ann-password")
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(p.URL, "https:", "wss:", 1)+"/loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D&tenant=a",
		&websocket.DialOptions{HTTPHeader: h, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}})
	require.NoError(t, err)
	defer conn.CloseNow()

	serving := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(p.URL, "https://"), &tls.Config{RootCAs: ca.Pool()})
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", serving())
	issue("second")
	require.Eventually(t, func() bool { return serving() == "second" }, 20*time.Second, 100*time.Millisecond)
	write("cert.pem", []byte("no certificate"))
	require.Eventually(t, func() bool {
		require.Equal(t, "second", serving())
		return strings.Contains(p.Log(), "TLS files are not reloaded")
	}, 20*time.Second, 100*time.Millisecond)
	status, text := asked(t, nobody, "GET", p.URL+"/metrics", "operator:operator-password", "", "")
	require.Equal(t, 200, status)
	require.Contains(t, text, `logstore_tls_last_reload_successful{of="http"} 0`)
	require.NoError(t, p.Stop())
}

// TestTLSRefused wants a clear word about TLS that cannot work.
func TestTLSRefused(t *testing.T) {
	t.Parallel()
	ca := certstest.NewCA(t, "ca")
	cert, key := ca.Issue(t, "x")
	dir := t.TempDir()
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key, "ca.pem": ca.PEM} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	f := func(block, want string) {
		t.Helper()
		file := filepath.Join(dir, "logstore.yaml")
		require.NoError(t, os.WriteFile(file, []byte("server:\n  http_tls_config: "+block+"\n"), 0o600))
		p := NewProcess(t, dir, "-config.file="+file)
		p.Launch()
		require.NotZero(t, p.Wait(time.Minute))
		require.Contains(t, p.Log(), want)
		require.NotContains(t, p.Log(), "PRIVATE")
	}
	f("{cert_file: cert.pem}", "a certificate and a key are both needed")
	f("{cert_file: cert.pem, key_file: nowhere.pem}", "cannot read the TLS key")
	f("{cert_file: cert.pem, key_file: cert.pem}", "cannot use the TLS certificate")
	f("{cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert}", "needs the authorities of clients")
	f("{cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem}", "it has no effect without a client_auth_type")
}
