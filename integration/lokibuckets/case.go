package lokibuckets

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const archiveSuffix = ".tar.gz"

// Case is one unpacked bucket.
type Case struct {
	Name string
	// Bucket is the folder with the objects: as under the filesystem's chunks_directory, or for an S3 case by their keys.
	Bucket string
	// Config is Loki's configuration file, with DATA_DIR, HTTP_PORT and GRPC_PORT to be expanded.
	Config  string
	Queries []Query
}

// Query is a request and the answer that Loki gave.
type Query struct {
	ID     string      `json:"id"`
	Group  string      `json:"group"`
	Tenant string      `json:"tenant"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Params [][2]string `json:"params"`
	Expect struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	} `json:"expect"`
}

// Param returns the first parameter of a name.
func (q *Query) Param(name string) string {
	for _, p := range q.Params {
		if p[0] == name {
			return p[1]
		}
	}
	return ""
}

// folder returns where the archives are, from wherever a test runs.
func folder(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	require.True(tb, ok)
	return filepath.Join(filepath.Dir(file), "..", "testdata", "loki-buckets")
}

// Names returns all cases.
func Names(tb testing.TB) []string {
	tb.Helper()
	entries, err := os.ReadDir(folder(tb))
	require.NoError(tb, err)
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), archiveSuffix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	require.NotEmpty(tb, names)
	return names
}

// Open unpacks a case.
func Open(tb testing.TB, name string) *Case {
	tb.Helper()
	dir := tb.TempDir()
	f, err := os.Open(filepath.Join(folder(tb), name+archiveSuffix))
	require.NoError(tb, err)
	defer f.Close()
	zr, err := gzip.NewReader(f)
	require.NoError(tb, err)
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(tb, err)
		require.True(tb, filepath.IsLocal(h.Name), h.Name)
		body, err := io.ReadAll(tr)
		require.NoError(tb, err)
		path := filepath.Join(dir, h.Name)
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(tb, os.WriteFile(path, body, 0o666))
	}
	c := &Case{Name: name, Bucket: filepath.Join(dir, "bucket"), Config: filepath.Join(dir, "config.yaml")}
	text, err := os.ReadFile(filepath.Join(dir, "queries.jsonl"))
	require.NoError(tb, err)
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var q Query
		require.NoError(tb, json.Unmarshal(sc.Bytes(), &q))
		c.Queries = append(c.Queries, q)
	}
	require.NoError(tb, sc.Err())
	require.NotEmpty(tb, c.Queries)
	return c
}
