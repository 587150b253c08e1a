package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
)

// clusterFile is the configuration of a cluster as its operator wrote it for Loki.
const clusterFile = "testdata/acceptance/cluster.yaml"

// TestClusterFile runs one member on the operator's file as it is. Only ports come from the command line.
func TestClusterFile(t *testing.T) {
	s3 := testservers.StartVersityGW(t, "loki-chunks", "loki-rules")
	file, err := filepath.Abs(clusterFile)
	require.NoError(t, err)
	p := NewProcess(t, t.TempDir(), append(clusterFolders(t), "-config.file="+file, "-config.expand-env=true")...)
	p.Env = []string{
		"S3_ACCESS_KEY=" + s3.AccessKeyID, "S3_SECRET_KEY=" + s3.SecretAccessKey, "S3_URL=" + s3.Address,
		"S3_BUCKET=loki-chunks", "S3_RULES_BUCKET=loki-rules", "ALERTMANAGER_URL=http://127.0.0.1:9/",
	}
	p.Start()
	require.NotContains(t, p.Log(), "some keys of the configuration have no effect here", "all that the operator wrote is obeyed")
	require.NotContains(t, p.Log(), s3.SecretAccessKey)
	w := newWorkload(2)
	pushFor(w, p.URL, 300*time.Millisecond)
	w.check(t, p.URL)
	waitFlushed(t, p, 30*time.Second)
	chunks, indexes := bucketKeys(t, s3.Folder("loki-chunks"))
	require.NotZero(t, chunks)
	require.NotZero(t, indexes)
	w.check(t, p.URL)
	_, config, err := p.Get("/config")
	require.NoError(t, err)
	require.NotContains(t, config, s3.SecretAccessKey)
	require.NoError(t, p.Stop(), p.Log())
	p.Start()
	w.check(t, p.URL)
}

// clusterFolders makes the file's folder /loki for this test, if it may; else flags name another place.
func clusterFolders(t *testing.T) []string {
	t.Helper()
	if err := os.Mkdir("/loki", 0o755); err == nil {
		t.Cleanup(func() { require.NoError(t, os.RemoveAll("/loki")) })
		return nil
	}
	dir := t.TempDir()
	t.Logf("cannot make /loki, so its folders are in %s", dir)
	return []string{"-boltdb.shipper.active-index-directory=" + dir + "/index", "-boltdb.shipper.cache-location=" + dir + "/boltdb-cache"}
}

// bucketKeys counts the chunks and the index files in a bucket of schema v11; there must be nothing else but what is ours
// alone, under names that Loki does not look at.
func bucketKeys(t *testing.T, folder string) (chunks, indexes int) {
	t.Helper()
	chunk := regexp.MustCompile(`^fake/[0-9a-f]{1,16}:[0-9a-f]{11}:[0-9a-f]{11}:[0-9a-f]{1,8}$`)
	index := regexp.MustCompile(`^index/index_[0-9]{5}/.+-[0-9]{19}-[0-9]{10,19}\.gz$`)
	own := regexp.MustCompile(`^(__logstore__|logstore/sidecar|logstore/sidecar-packs)/`)
	require.NoError(t, fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case chunk.MatchString(path):
			chunks++
		case index.MatchString(path):
			indexes++
		case own.MatchString(path):
		default:
			t.Errorf("what is %s?", path)
		}
		return nil
	}))
	return chunks, indexes
}

// TestClusterFileNeedsItsEnvironment starts with nothing set: the bucket's address is then empty, which must be said.
func TestClusterFileNeedsItsEnvironment(t *testing.T) {
	file, err := filepath.Abs(clusterFile)
	require.NoError(t, err)
	p := NewProcess(t, t.TempDir(), "-config.file="+file, "-config.expand-env=true")
	p.Launch()
	require.Equal(t, 1, p.Wait(10*time.Second), p.Log())
	require.Contains(t, p.Log(), "cannot open object store aws")
	require.Contains(t, p.Log(), "it names no host and no region")
}
