package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/conformance"
	"logstore/integration/lokibuckets"
)

// quickCompaction makes the compactor do in seconds what takes it minutes.
var quickCompaction = []string{
	"-compactor.compaction-interval=1s", "-boltdb.shipper.resync-interval=1s", "-compactor.retention-delete-delay=1s",
}

// compactorStatus is what /compactor/status shows.
type compactorStatus struct {
	LastRun   time.Time `json:"last_run"`
	LastError string    `json:"last_error"`
	Tables    int       `json:"tables"`
	Pending   int       `json:"pending_files"`
}

// WaitCompacted waits until the compactor has made some passes and no superseded file is left.
func (p *Process) WaitCompacted(timeout time.Duration) {
	p.t.Helper()
	const passes = 4
	runs := map[time.Time]bool{}
	var s compactorStatus
	for end := time.Now().Add(timeout); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, body, err := p.Get("/compactor/status")
		require.NoError(p.t, err)
		require.Equal(p.t, http.StatusOK, status)
		require.NoError(p.t, json.Unmarshal([]byte(body), &s))
		if !s.LastRun.IsZero() && s.LastError == "" {
			runs[s.LastRun] = true
		}
		if len(runs) >= passes && s.Pending == 0 {
			return
		}
	}
	p.t.Fatalf("the compactor does not come to rest: %+v\n%s", s, p.Log())
}

// indexFiles returns the index objects of a bucket in a folder, by table.
func indexFiles(t *testing.T, bucket string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	paths, err := filepath.Glob(filepath.Join(bucket, "index", "index_*", "*"))
	require.NoError(t, err)
	for _, path := range paths {
		info, err := os.Stat(path)
		require.NoError(t, err)
		names := []string{path}
		if info.IsDir() {
			names, err = filepath.Glob(filepath.Join(path, "*"))
			require.NoError(t, err)
		}
		for _, name := range names {
			rel, err := filepath.Rel(filepath.Join(bucket, "index"), name)
			require.NoError(t, err)
			out[filepath.Dir(rel)] = append(out[filepath.Dir(rel)], filepath.Base(rel))
		}
	}
	return out
}

// TestFixturesCompacted wants the recorded answers from each bucket of Loki's after our compactor has merged its tables and its
// small chunks: from the process that did so, and from one that knows nothing but the bucket.
func TestFixturesCompacted(t *testing.T) {
	for _, name := range lokibuckets.Names(t) {
		if strings.Contains(name, "-tsdb-") {
			continue // The tables of a TSDB are read-only: the compactor passes them over.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			c := lokibuckets.Open(t, name)
			cases, err := conformance.Read(filepath.Join(filepath.Dir(c.Config), "queries.jsonl"))
			require.NoError(t, err)
			p := prepareOnBucket(t, c)
			p.args = append(p.args, quickCompaction...)
			check := func(when string) {
				for i, why := range runCases(p.URL, cases) {
					if why != "" {
						t.Errorf("%s: %s\n  %s\n  %s", when, cases[i].ID, cases[i].Query(), why)
					}
				}
			}
			p.Start()
			check("while it is compacted")
			p.WaitCompacted(time.Minute)
			check("compacted")
			require.NoError(t, p.Stop(), p.Log())
			if _, err := os.Stat(filepath.Join(c.Bucket, "index")); err == nil && !isS3(t, c) {
				for table, files := range indexFiles(t, c.Bucket) {
					require.Len(t, files, 1, "files of %s", table)
					require.True(t, strings.HasPrefix(files[0], "compactor-"), files[0])
				}
			}
			for _, dir := range []string{"index-active", "index-cache"} {
				require.NoError(t, os.RemoveAll(filepath.Join(filepath.Dir(c.Config), dir)))
			}
			p.Start()
			check("from the compacted bucket")
			require.NoError(t, p.Stop(), p.Log())
		})
	}
}

func isS3(t *testing.T, c *lokibuckets.Case) bool {
	t.Helper()
	text, err := os.ReadFile(c.Config)
	require.NoError(t, err)
	return strings.Contains(string(text), "object_store: s3")
}

// TestStoppedCompactorLetsGo wants the compactor's lock free once its process has stopped.
func TestStoppedCompactorLetsGo(t *testing.T) {
	dir := t.TempDir()
	p := NewProcess(t, dir, quickCompaction...)
	p.Start()
	// holding returns when the locks that there are end, in ms; 0 is a free one.
	holding := func() (out []int64) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "lock" {
				return nil //nolint:nilerr // files come and go
			}
			body, err := os.ReadFile(path)
			var held struct{ Expires int64 }
			if err == nil && json.Unmarshal(body, &held) == nil {
				out = append(out, held.Expires)
			}
			return nil
		}))
		return out
	}
	require.Eventually(t, func() bool { l := holding(); return len(l) == 1 && l[0] > 0 }, time.Minute, 50*time.Millisecond)
	require.NoError(t, p.Stop(), p.Log())
	require.Equal(t, []int64{0}, holding())
}
