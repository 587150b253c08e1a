package objstore_test

import (
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

// newS3 opens a bucket for one test.
func newS3(t testing.TB, cfg objstore.S3Config) objstore.Bucket {
	t.Helper()
	return newS3With(t, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func newS3With(t testing.TB, cfg objstore.S3Config, logger *slog.Logger, reg prometheus.Registerer) objstore.Bucket {
	t.Helper()
	b, err := objstore.NewS3(cfg, logger, reg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, objstore.Close(b)) })
	return b
}

// s3Config is a configuration with pauses short enough for tests.
func s3Config(url string) objstore.S3Config {
	cfg := objstore.DefaultS3Config()
	cfg.URL = url
	cfg.Insecure = true
	cfg.Backoff.MinPeriod = time.Millisecond
	cfg.Backoff.MaxPeriod = 10 * time.Millisecond
	return cfg
}

// startFakeS3 starts an S3 server in this process and returns its address.
func startFakeS3(t testing.TB, buckets ...string) string {
	t.Helper()
	backend := s3mem.New()
	for _, bucket := range buckets {
		require.NoError(t, backend.CreateBucket(bucket))
	}
	server := httptest.NewUnstartedServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestS3OnVersityGW(t *testing.T) {
	t.Parallel()
	server := testservers.StartVersityGW(t, "chunks")
	objstoretest.AcceptanceTest(t, newS3(t, s3Config(server.URL("chunks"))))
}

func TestS3OnFake(t *testing.T) {
	t.Parallel()
	address := startFakeS3(t, "chunks")
	objstoretest.AcceptanceTest(t, newS3(t, s3Config("s3://key:secret@"+address+"/chunks")))
}
