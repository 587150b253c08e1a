package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/integration/lokibuckets"
	"logstore/integration/testservers"
)

// TestFixtures starts a store on each bucket that Loki wrote, with the configuration that Loki had, and wants Loki's
// answers from it.
func TestFixtures(t *testing.T) {
	for _, name := range lokibuckets.Names(t) {
		t.Run(name, func(t *testing.T) {
			c := lokibuckets.Open(t, name)
			p := startOnBucket(t, c)
			cases, err := conformance.Read(filepath.Join(filepath.Dir(c.Config), "queries.jsonl"))
			require.NoError(t, err)
			require.Greater(t, len(cases), 50)
			for i, why := range runCases(p.URL, cases) {
				if why != "" {
					t.Errorf("%s\n  %s\n  %s", cases[i].ID, cases[i].Query(), why)
				}
			}
			require.NoError(t, p.Stop(), p.Log())
			t.Logf("%d queries", len(cases))
		})
	}
}

// startOnBucket starts a store on a case with the case's own configuration. Only a case on S3 needs a change in it: the
// address and the credentials of the server.
func startOnBucket(t *testing.T, c *lokibuckets.Case) *Process {
	t.Helper()
	p := prepareOnBucket(t, c)
	p.Launch()
	p.WaitReady(time.Minute)
	status, _, err := p.Get("/ready")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	return p
}

// prepareOnBucket is startOnBucket without the start.
func prepareOnBucket(t *testing.T, c *lokibuckets.Case) *Process {
	t.Helper()
	dir := filepath.Dir(c.Config)
	text, err := os.ReadFile(c.Config)
	require.NoError(t, err)
	if strings.Contains(string(text), "object_store: s3") {
		s3 := testservers.StartVersityGW(t, "loki")
		s3.Fill(t, "loki", c.Bucket)
		changed := expand(string(text), "127.0.0.1:3195", s3.Address,
			"access_key_id: key", "access_key_id: "+strconv.Quote(s3.AccessKeyID),
			"secret_access_key: secret", "secret_access_key: "+strconv.Quote(s3.SecretAccessKey))
		require.NotEqual(t, string(text), changed)
		require.NoError(t, os.WriteFile(c.Config, []byte(changed), 0o600))
	}
	p := newProcess(t, dir, "-config.file="+c.Config, "-config.expand-env=true")
	p.Env = []string{"DATA_DIR=" + dir, "HTTP_PORT=" + strconv.Itoa(p.Port), "GRPC_PORT=" + strconv.Itoa(FreePort(t))}
	return p
}
