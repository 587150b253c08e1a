package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"logstore/integration/testservers"
	"logstore/pkg/auth"
)

// gossipNames is where the members' names stand in the rendered configuration.
var gossipNames = regexp.MustCompile(`\["dns\+[^"]*"\]`)

// rendered is what the members' pods of a rendered chart get.
type rendered struct {
	config string
	args   []string
	// env are variables with a value; those that Kubernetes fills in are only named.
	env []string
}

// readRendered reads the manifests that the chart gave for a file of values of deploy/check.
func readRendered(t *testing.T, path string) rendered {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var out rendered
	for decoder := yaml.NewDecoder(file); ; {
		var doc struct {
			Kind       string
			Data       map[string]string
			StringData map[string]string `yaml:"stringData"`
			Spec       struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Args []string
							Env  []struct{ Name, Value string }
						}
					}
				}
			}
		}
		err := decoder.Decode(&doc)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if text, ok := doc.Data["loki.yaml"]; ok {
			out.config = text
		}
		for name, value := range doc.StringData {
			out.env = append(out.env, name+"="+value)
		}
		if doc.Kind == "StatefulSet" {
			c := doc.Spec.Template.Spec.Containers[0]
			out.args = c.Args
			for _, e := range c.Env {
				if e.Value != "" {
					out.env = append(out.env, e.Name+"="+e.Value)
				}
			}
		}
	}
	require.NotEmpty(t, out.config)
	require.NotEmpty(t, out.args)
	return out
}

// place makes the pod's paths those of a folder, as its mounts do, and returns its arguments as the kubelet would.
func (r rendered) place(t *testing.T, dir, pod, zone string) []string {
	t.Helper()
	paths := strings.NewReplacer("/data", dir+"/data", "/etc/logstore-tls", dir+"/tls", "/etc/logstore-auth", dir, "/etc/logstore/", dir+"/")
	require.NoError(t, os.MkdirAll(dir+"/data", 0o755))
	writeFile(t, dir, "loki.yaml", paths.Replace(r.config))
	writeFile(t, dir, "users.yaml", "users: [{name: shipper, token_hashes: ["+auth.HashToken([]byte(podToken))+"], tenants: [acme], scopes: [read, write, admin]}]\n")
	var args []string
	for _, a := range r.args {
		args = append(args, strings.NewReplacer("$(POD_NAME)", pod, "$(ZONE)", zone, "/etc/logstore/", dir+"/").Replace(a))
	}
	return args
}

// podToken is the token of the user that pushes and reads where there is authentication.
const podToken = "lgs_of-a-test"

// TestKubernetesConfig lets the store check the configuration and command line that each of the chart's test values gives.
func TestKubernetesConfig(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "deploy/check/testdata/*.yaml"))
	require.NoError(t, err)
	require.Greater(t, len(paths), 6)
	for _, path := range paths {
		r := readRendered(t, path)
		dir := t.TempDir()
		newAuthority(t).issue(t, dir+"/tls", "logs-logstore")
		cmd := exec.Command(Binary(t), append(r.place(t, dir, "logs-logstore-0", ""), "-verify-config")...)
		cmd.Env = append(append(os.Environ(), "S3_BUCKET=logs", "CLUSTER_SECRET=c", "S3_ENDPOINT=http://127.0.0.1:1", "S3_ACCESS_KEY=a", "S3_SECRET_KEY=b"), r.env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", path, out)
		require.Contains(t, string(out), "config is valid", path)
		require.NotContains(t, string(out), "no effect", "%s: the chart sets a key that does nothing", path)
	}
}

// TestKubernetesPods runs two members with what their pods would get, without TLS, with it, and with users besides: they find each
// other, and what one takes is found through the other, by those who may.
func TestKubernetesPods(t *testing.T) {
	for _, name := range []string{"plain", "tls", "auth"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s3 := testservers.StartVersityGW(t, "logs")
			r := readRendered(t, filepath.Join(root, "deploy/check/testdata", name+".yaml"))
			ca := newAuthority(t)
			network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), 1+rand.IntN(250))
			gossip := FreePort(t)
			scheme := "http"
			if name != "plain" {
				scheme = "https"
			}
			// The names of the cluster's DNS are the only thing that cannot be as it is there.
			r.config = gossipNames.ReplaceAllString(r.config, fmt.Sprintf(`["%s1:%d", "%s2:%d"]`, network, gossip, network, gossip))
			var urls []string
			for i := range 2 {
				dir, ip := t.TempDir(), fmt.Sprint(network, i+1)
				ca.issue(t, dir+"/tls", "logs-logstore")
				p := newProcess(t, dir, append(r.place(t, dir, fmt.Sprint("logs-logstore-", i), fmt.Sprint("zone-", i)),
					"-server.http-listen-address="+ip, "-server.grpc-listen-address="+ip, "-ingester.lifecycler.addr="+ip,
					fmt.Sprint("-memberlist.bind-port=", gossip), "-memberlist.bind-addr="+ip, "-memberlist.advertise-addr="+ip,
					"-ingester.min-ready-duration=0s", "-ingester.join-after=2s", "-ingester.observe-period=500ms")...)
				p.Env = append(p.Env, "S3_ENDPOINT=http://"+s3.Address, "S3_BUCKET=logs", "S3_ACCESS_KEY="+s3.AccessKeyID, "S3_SECRET_KEY="+s3.SecretAccessKey,
					"CLUSTER_SECRET=of-a-test")
				p.Launch()
				urls = append(urls, scheme+"://"+ip+":3100")
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(p.Log())
					}
				})
			}
			client := ca.client("logs-logstore")
			stranger := *client
			if name == "auth" {
				client.Transport = bearer{client.Transport, podToken}
			}
			require.Eventually(t, func() bool {
				status, body := get(client, urls[0]+"/ring")
				return status == http.StatusOK && strings.Count(body, `"ACTIVE"`) == 2 && strings.Contains(body, "zone-1")
			}, time.Minute, 100*time.Millisecond, "two members in the ring")
			push := fmt.Sprintf(`{"streams":[{"stream":{"app":"pods"},"values":[["%d","from the first"]]}]}`, time.Now().UnixNano())
			resp, err := client.Post(urls[0]+"/loki/api/v1/push", "application/json", strings.NewReader(push))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
			status, body := get(client, urls[1]+"/loki/api/v1/query_range?"+url.Values{"query": {`{app="pods"}`}}.Encode())
			require.Equal(t, http.StatusOK, status, body)
			require.Equal(t, 1, strings.Count(body, "from the first"), body)
			if name != "auth" {
				return
			}
			status, body = get(&stranger, urls[1]+"/loki/api/v1/labels")
			require.Equal(t, http.StatusUnauthorized, status, body)
			resp, err = stranger.Post(urls[0]+"/loki/api/v1/push", "application/json", strings.NewReader(push))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
			status, body = get(&stranger, urls[0]+"/ready")
			require.Equal(t, http.StatusOK, status, "the kubelet's probe has no credentials: %s", body)
		})
	}
}

// bearer sends a token with each request.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(req)
}

// get fetches as JSON; the status is 0 if there was no answer.
func get(client *http.Client, address string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// authority signs certificates as cert-manager's would.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert: cert, key: key}
}

// issue writes tls.crt, tls.key and ca.crt for a name into a folder.
func (a *authority) issue(t *testing.T, dir, name string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(crand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(file, kind string, der []byte) {
		writeFile(t, dir, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	write("tls.crt", "CERTIFICATE", der)
	write("tls.key", "PRIVATE KEY", private)
	write("ca.crt", "CERTIFICATE", a.cert.Raw)
}

// client trusts the authority alone and wants that name.
func (a *authority) client(name string) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}},
	}
}
