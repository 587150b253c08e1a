package integration

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
)

// TestUnshippedIndex flushes on all members while the bucket takes chunks and no index, and kills and restarts them one
// by one: what was flushed is in nobody's memory and in no index of the bucket, and every member still finds it,
// through those that have the rows.
func TestUnshippedIndex(t *testing.T) {
	t.Parallel()
	c := NewCluster(t, 2, "-distributor.replication-factor=1")
	w := newWorkload(4)
	w.pause = 0
	for _, p := range c.Members {
		pushFor(w, p.URL, 500*time.Millisecond)
	}
	c.Way.Break(faultproxy.Rule{Method: http.MethodPut, PathPrefix: "/loki-chunks/index/", Fault: faultproxy.Reset()})
	inMemory := func() (n float64) {
		for _, p := range c.Members {
			n += p.Metric("loki_ingester_memory_chunks")
		}
		return n
	}
	require.Eventually(t, func() bool { c.flush(); return inMemory() == 0 }, time.Minute, 200*time.Millisecond)
	unshipped := func() {
		t.Helper()
		chunks, indexes := bucketKeys(t, c.S3.Folder("loki-chunks"))
		require.NotZero(t, chunks)
		require.Zero(t, indexes, "nothing tells what the chunks are")
		require.Zero(t, inMemory())
		for _, p := range c.Members {
			require.Eventually(t, func() bool { return p.Metric("logstore_index_files_not_uploaded") > 0 }, 20*time.Second, 20*time.Millisecond)
			w.check(t, p.URL)
		}
	}
	unshipped()
	for _, p := range c.Members {
		p.Kill()
		p.Start()
		c.WaitRing(2)
		unshipped()
	}
	c.Way.Heal()
	c.flushWait(t)
	for _, p := range c.Members {
		w.check(t, p.URL)
	}
	_, indexes := bucketKeys(t, c.S3.Folder("loki-chunks"))
	require.NotZero(t, indexes)
}
