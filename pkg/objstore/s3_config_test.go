package objstore_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

func TestS3ConfigValidate(t *testing.T) {
	f := func(change func(*objstore.S3Config), want string) {
		t.Helper()
		cfg := objstore.DefaultS3Config()
		cfg.BucketNames = []string{"bucket"}
		cfg.SecretAccessKey, cfg.AccessKeyID = "S3CR3T", "key"
		require.NoError(t, cfg.Validate())
		change(&cfg)
		err := cfg.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "S3CR3T")
		_, err = objstore.NewS3(cfg, slog.New(slog.DiscardHandler), nil)
		require.ErrorContains(t, err, want)
	}
	f(func(c *objstore.S3Config) { c.BucketNames = nil }, "bucketnames must be set")
	f(func(c *objstore.S3Config) { c.BucketNames = []string{"a b"} }, "bucket's name must consist")
	f(func(c *objstore.S3Config) { c.AccessKeyID = "" }, "must be given both or not at all")
	f(func(c *objstore.S3Config) { c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "", "", "x" }, "session_token needs")
	f(func(c *objstore.S3Config) { c.URL = "s3://key:S3CR3T@/b" }, "bad S3 URL")
	f(func(c *objstore.S3Config) { c.Endpoint = "s3://key:S3CR3T@minio/b" }, "belongs into the key s3")
	f(func(c *objstore.S3Config) { c.Endpoint = "key:S3CR3T@minio" }, "without credentials")
	f(func(c *objstore.S3Config) { c.Endpoint = "mi nio" }, "letters, digits")
	f(func(c *objstore.S3Config) { c.SignatureVersion = "v2" }, "only v4 is supported")
	f(func(c *objstore.S3Config) { c.StorageClass = "WARM" }, `storage_class "WARM": must be one of`)
	f(func(c *objstore.S3Config) { c.SSE.Type = "AES" }, `sse: type "AES" must be`)
	f(func(c *objstore.S3Config) { c.SSE.KMSKeyID = "x" }, "need the type SSE-KMS")
	f(func(c *objstore.S3Config) { c.SSE.Type, c.SSE.KMSEncryptionContext = "SSE-KMS", "{1}" }, "must be a JSON object of strings")
	f(func(c *objstore.S3Config) { c.MaxConcurrency = 0 }, "max_concurrency must be above zero")
	f(func(c *objstore.S3Config) { c.StallTimeout = -1 }, "must not be negative")
	f(func(c *objstore.S3Config) { c.Backoff.MinPeriod = 0 }, "min_period must be above zero")
	f(func(c *objstore.S3Config) { c.Backoff.MaxPeriod = 1 }, "must not be below min_period")
	f(func(c *objstore.S3Config) { c.Backoff.MaxRetries = -1 }, "max_retries must not be negative")
	f(func(c *objstore.S3Config) { c.HTTP.CAFile = "absent.pem"; c.StorageClass = "WARM" }, "storage_class")
}

// TestS3ConfigIsRedacted prints a configuration in every way that a log or a page might.
func TestS3ConfigIsRedacted(t *testing.T) {
	cfg := objstore.DefaultS3Config()
	cfg.URL = "s3://key:S3CR3T@minio/bucket"
	cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken = "K", "S3CR3T", "S3CR3T"
	cfg.SSE.KMSEncryptionContext = "S3CR3T"
	outer := struct{ S3 objstore.S3Config }{cfg}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n", cfg, outer)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "cfg", cfg, "outer", outer)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "cfg", cfg, "outer", outer)
	require.NoError(t, json.NewEncoder(&out).Encode(outer))
	require.NotContains(t, out.String(), "S3CR3T")
	require.Contains(t, out.String(), "s3://key:********@minio/bucket")
	require.Equal(t, "S3CR3T", cfg.SecretAccessKey)
}

// TestS3Forms opens a real store by each way of saying where it is and who asks.
func TestS3Forms(t *testing.T) {
	server := testservers.StartVersityGW(t, "chunks", "part-a", "part-b", "part-c")
	host, port, _ := strings.Cut(server.Address, ":")
	require.Equal(t, "127.0.0.1", host)
	f := func(name string, change func(*objstore.S3Config)) {
		t.Helper()
		cfg := s3Config("")
		cfg.BucketNames = []string{"chunks"}
		cfg.AccessKeyID, cfg.SecretAccessKey = server.AccessKeyID, server.SecretAccessKey
		cfg.Endpoint = server.Address
		change(&cfg)
		var logged bytes.Buffer
		b := newS3With(t, cfg, slog.New(slog.NewTextHandler(&logged, nil)), nil)
		require.NotContains(t, b.Name(), server.SecretAccessKey, name)
		require.NoError(t, b.Put(t.Context(), "dir/"+name, []byte("body")), name)
		got, err := b.Get(t.Context(), "dir/"+name)
		require.NoError(t, err, name)
		require.Equal(t, "body", string(got))
		require.Equal(t, []string{"dir/" + name}, objstoretest.Keys(t, b, "dir/"))
		require.NoError(t, b.Delete(t.Context(), "dir/"+name))
		require.Equal(t, 1, strings.Count(logged.String(), "S3 credentials found"), logged.String())
		require.NotContains(t, logged.String(), "se/cr+et")
	}
	f("discrete", func(*objstore.S3Config) {})
	f("endpoint as URL", func(c *objstore.S3Config) { c.Endpoint = "http://" + server.Address + "/"; c.Insecure = false })
	f("raw secret", func(c *objstore.S3Config) { *c = s3Config(server.URL("chunks")) })
	f("escaped secret", func(c *objstore.S3Config) {
		*c = s3Config("s3://test%2Bkey:se%2Fcr%2Bet%3Aw%25th%40all%3D@" + server.Address + "/chunks")
	})
	f("dot at the end of the host", func(c *objstore.S3Config) { c.Endpoint = "localhost.:" + port })
	f("path style", func(c *objstore.S3Config) { yes := true; c.ForcePathStyle = &yes })
	f("three buckets", func(c *objstore.S3Config) { c.BucketNames = []string{"part-a", "part-b", "part-c"} })
	f("environment", func(c *objstore.S3Config) {
		t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretAccessKey)
		c.AccessKeyID, c.SecretAccessKey = "", ""
	})

	cfg := s3Config(server.URL("absent"))
	b := newS3(t, cfg)
	_, err := b.Get(t.Context(), "x")
	require.ErrorContains(t, err, "NoSuchBucket")
	require.NotErrorIs(t, err, objstore.ErrNotFound)
	require.ErrorContains(t, b.Put(t.Context(), "x", nil), "NoSuchBucket")
	cfg.URL = "s3://test%2Bkey:wrong@" + server.Address + "/chunks"
	require.ErrorContains(t, newS3(t, cfg).Put(t.Context(), "x", nil), "cannot put object x: HTTP 403 SignatureDoesNotMatch")
}

// recorder is a store that takes everything, and the headers and paths that came in.
type recorder struct {
	mu       sync.Mutex
	requests []*http.Request
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req)
}

func (r *recorder) last() *http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[len(r.requests)-1]
}

// TestS3Headers checks what a put asks of the store, and that nothing is asked that only AWS knows.
func TestS3Headers(t *testing.T) {
	r := &recorder{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	f := func(change func(*objstore.S3Config)) *http.Request {
		t.Helper()
		cfg := s3Config("s3://key:secret@" + server.Listener.Addr().String() + "/bucket")
		change(&cfg)
		require.NoError(t, newS3(t, cfg).Put(t.Context(), "a/b", []byte("123456789")))
		return r.last()
	}
	plain := f(func(*objstore.S3Config) {})
	require.Equal(t, "/bucket/a/b", plain.URL.Path)
	require.Equal(t, int64(9), plain.ContentLength)
	require.Equal(t, "e3069283-9", plain.Header.Get("X-Amz-Meta-Logstore-Crc32c"))
	require.Contains(t, plain.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=key/")
	require.Contains(t, plain.Header.Get("Authorization"), "/us-east-1/s3/")
	require.Empty(t, plain.TransferEncoding)
	requireNothingSpecial(t, plain)
	t.Run("default chain", func(t *testing.T) {
		// AWS's own configuration asks for more by default.
		t.Setenv("AWS_ACCESS_KEY_ID", "key")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
		requireNothingSpecial(t, f(func(c *objstore.S3Config) { c.URL = strings.Replace(c.URL, "key:secret@", "", 1) }))
	})
	require.Equal(t, "AES256", f(func(c *objstore.S3Config) { c.SSE.Type = objstore.SSES3 }).Header.Get("X-Amz-Server-Side-Encryption"))
	kms := f(func(c *objstore.S3Config) {
		c.SSE = objstore.S3SSEConfig{Type: objstore.SSEKMS, KMSKeyID: "id", KMSEncryptionContext: `{"a":"b"}`}
	})
	require.Equal(t, "aws:kms", kms.Header.Get("X-Amz-Server-Side-Encryption"))
	require.Equal(t, "id", kms.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
	require.Equal(t, "eyJhIjoiYiJ9", kms.Header.Get("X-Amz-Server-Side-Encryption-Context"))
	require.Equal(t, "STANDARD_IA", f(func(c *objstore.S3Config) { c.StorageClass = "STANDARD_IA" }).Header.Get("X-Amz-Storage-Class"))
	token := f(func(c *objstore.S3Config) { c.SessionToken = "token" })
	require.Equal(t, "token", token.Header.Get("X-Amz-Security-Token"))
	region := f(func(c *objstore.S3Config) { c.Region = "mars-1" })
	require.Contains(t, region.Header.Get("Authorization"), "/mars-1/s3/")
	slow := f(func(c *objstore.S3Config) { c.HTTP.Timeout, c.HTTP.ResponseHeaderTimeout = time.Minute, time.Minute })
	require.Equal(t, "PUT", slow.Method)
}

// requireNothingSpecial checks that a request has no header that some S3 servers do not know.
func requireNothingSpecial(t *testing.T, r *http.Request) {
	t.Helper()
	for name := range r.Header {
		name = strings.ToLower(name)
		for _, special := range []string{"checksum", "trailer", "server-side-encryption", "storage-class", "security-token"} {
			require.NotContains(t, name, special)
		}
	}
}

// TestS3TLS checks ca_file and insecure_skip_verify, and that a refused certificate is not asked for again.
func TestS3TLS(t *testing.T) {
	r := &recorder{}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(block), 0o600))
	config := func() objstore.S3Config {
		cfg := s3Config("s3://key:secret@" + server.URL + "/bucket")
		cfg.Backoff.MinPeriod, cfg.Backoff.MaxPeriod = time.Hour, time.Hour
		return cfg
	}
	cfg := config()
	err := newS3(t, cfg).Put(t.Context(), "a", nil)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	require.True(t, isCertificate, err)
	require.False(t, objstore.IsTemporary(err))

	cfg.HTTP.CAFile = ca
	require.NoError(t, newS3(t, cfg).Put(t.Context(), "a", nil))
	cfg = config()
	cfg.HTTP.InsecureSkipVerify = true
	require.NoError(t, newS3(t, cfg).Put(t.Context(), "a", nil))

	cfg.HTTP.CAFile = filepath.Join(t.TempDir(), "absent")
	_, err = objstore.NewS3(cfg, slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "cannot read ca_file")
	require.NoError(t, os.WriteFile(ca, []byte("no PEM"), 0o600))
	cfg.HTTP.CAFile = ca
	_, err = objstore.NewS3(cfg, slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "holds no certificate")
}

// TestS3WebIdentity checks that a role's credentials are asked of STS though S3 has an end point of its own.
func TestS3WebIdentity(t *testing.T) {
	r := &recorder{}
	store := httptest.NewServer(r)
	t.Cleanup(store.Close)
	asked := 0
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>S3CR3T</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
	}))
	t.Cleanup(sts.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("jwt"), 0o600))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "eu-west-1", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
		"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ENDPOINT_URL_STS": sts.URL,
	} {
		t.Setenv(name, value)
	}
	var logged bytes.Buffer
	b := newS3With(t, s3Config("s3://"+store.Listener.Addr().String()+"/bucket"), slog.New(slog.NewTextHandler(&logged, nil)), prometheus.NewRegistry())
	for range 3 {
		require.NoError(t, b.Put(t.Context(), "a", nil))
	}
	require.Equal(t, 1, asked)
	require.Contains(t, r.last().Header.Get("Authorization"), "Credential=ASIAROLE/")
	require.Contains(t, r.last().Header.Get("Authorization"), "/eu-west-1/s3/")
	require.Contains(t, logged.String(), "source=WebIdentityCredentials")
	require.NotContains(t, logged.String(), "S3CR3T")
}
