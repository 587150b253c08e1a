package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/integration/lokibuckets"
	"logstore/pkg/audit"
	"logstore/pkg/command"
)

// bench is a recorded bucket with its configuration, and the commands.
type bench struct {
	t      *testing.T
	c      *lokibuckets.Case
	config string
}

func newBench(t *testing.T, name string) *bench {
	c := lokibuckets.Open(t, name)
	return &bench{t: t, c: c, config: c.Config}
}

// run runs a command line and returns its exit code, and what it wrote.
func (b *bench) run(args ...string) (code int, stdout, stderr string) {
	b.t.Helper()
	root := &command.Command{Name: "logstore", Summary: "tools"}
	root.Sub = []*command.Command{Inspect(), Check(), Rebuild(), Migrate()}
	var out, errs bytes.Buffer
	env := map[string]string{"DATA_DIR": filepath.Dir(b.c.Config), "HTTP_PORT": "1", "GRPC_PORT": "2"}
	in := &command.IO{Stdout: &out, Stderr: &errs, LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	code = root.Main(b.t.Context(), in, args)
	return code, out.String(), errs.String()
}

// on runs a command on the bucket.
func (b *bench) on(want int, args ...string) string {
	b.t.Helper()
	code, stdout, stderr := b.run(append(args, "-config.file="+b.config, "-config.expand-env")...)
	require.Equal(b.t, want, code, "%s\n%s", stdout, stderr)
	if want == command.ExitOK {
		require.Empty(b.t, stderr)
	}
	return stdout
}

func (b *bench) check(want int, args ...string) audit.Report {
	b.t.Helper()
	var r audit.Report
	require.NoError(b.t, json.Unmarshal([]byte(b.on(want, append([]string{"check", "-json", "-grace=0"}, args...)...)), &r))
	return r
}

// objects returns the paths of a kind of object.
func (b *bench) objects(pattern string) []string {
	b.t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.c.Bucket, pattern))
	require.NoError(b.t, err)
	require.NotEmpty(b.t, paths)
	return paths
}

// TestCheckRecorded finds the buckets that Loki wrote whole, except what is known of one.
func TestCheckRecorded(t *testing.T) {
	for _, name := range lokibuckets.Names(t) {
		if name == "l37-s3" {
			continue // It wants a server: the integration tests have one.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name)
			if name == "l29-v12-deletes" {
				r := b.check(command.ExitFindings)
				require.Equal(t, map[audit.Kind]int{audit.MissingRows: 10}, r.ByKind, "a deletion took rows that other streams still need")
				return
			}
			r := b.check(command.ExitOK)
			require.Zero(t, r.ProblemsAll)
			require.Greater(t, r.Chunks, 50)
			require.Greater(t, r.ChunkRefs, int64(r.Chunks))
			require.Contains(t, b.on(command.ExitOK, "check", "-quick"), "no problem found")
		})
	}
}

// TestCheckFinds breaks a bucket in each way that there is a kind of problem for.
func TestCheckFinds(t *testing.T) {
	for _, name := range []string{"l37-v13-raw", "l37-tsdb-raw"} {
		for kind, harm := range map[audit.Kind]func(t *testing.T, b *bench){
			audit.MissingObject: func(t *testing.T, b *bench) { require.NoError(t, os.Remove(b.objects("acme/*/*")[3])) },
			audit.NotIndexed: func(t *testing.T, b *bench) {
				for _, path := range b.objects("index/index_20463/*") {
					require.NoError(t, os.Remove(path))
				}
			},
			audit.DamagedChunk: func(t *testing.T, b *bench) {
				path := b.objects("beta-2/*/*")[5]
				body, err := os.ReadFile(path)
				require.NoError(t, err)
				body[len(body)/2] ^= 1
				require.NoError(t, os.WriteFile(path, body, 0o600))
			},
			audit.DamagedIndex: func(t *testing.T, b *bench) {
				require.NoError(t, os.Truncate(b.objects("index/index_20464/*")[0], 500))
			},
		} {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				b := newBench(t, name)
				harm(t, b)
				r := b.check(command.ExitFindings)
				require.Positive(t, r.ByKind[kind], "%v", r.ByKind)
				require.NotEmpty(t, r.Problems[0].Key)
				if kind != audit.DamagedIndex {
					require.Len(t, r.ByKind, 1)
				}
				text := b.on(command.ExitFindings, "check", "-grace=0")
				require.Contains(t, text, string(kind)+": ")
				if kind == audit.NotIndexed {
					require.Zero(t, b.check(command.ExitOK, "-grace=1h").ProblemsAll, "the files are young")
					require.Zero(t, b.check(command.ExitOK, "-from=2026-01-12").ProblemsAll, "another day is whole")
				}
			})
		}
	}
}

// TestRebuild takes all tables away and makes them anew, in every schema.
func TestRebuild(t *testing.T) {
	for _, name := range []string{"l29-v9-raw", "l29-v11-compacted", "l29-periods", "l29-v12-tenant-raw", "l37-v13-raw", "made-v11-oldchunks"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, name)
			before := b.check(command.ExitOK)
			require.NoError(t, os.RemoveAll(filepath.Join(b.c.Bucket, "index")))
			require.Contains(t, b.on(command.ExitOK, "rebuild-index"), "would be indexed; -write does it")
			_, err := os.Stat(filepath.Join(b.c.Bucket, "index"))
			require.ErrorIs(t, err, os.ErrNotExist, "nothing is written without -write")
			bare := b.check(command.ExitFindings)
			// The chunks of blank lines have no entry at all: nothing is missing without their rows.
			require.Equal(t, before.Chunks, bare.ByKind[audit.NotIndexed]+bare.Redundant)
			require.LessOrEqual(t, bare.Redundant, 3)
			require.Contains(t, b.on(command.ExitOK, "rebuild-index", "-write"), fmt.Sprintf("%d chunks", before.Chunks))
			after := b.check(command.ExitOK)
			require.Equal(t, before.Entries, after.Entries)

			files := len(b.objects("index/*/*"))
			var r struct{ Replaced []string }
			require.NoError(t, json.Unmarshal([]byte(b.on(command.ExitOK, "rebuild-index", "-write", "-replace", "-json")), &r))
			require.Len(t, r.Replaced, files)
			require.Len(t, b.objects("index/*/*"), files)
			require.Zero(t, b.check(command.ExitOK).ProblemsAll)
		})
	}
}

// writeConfig writes the configuration of another place.
func (b *bench) writeConfig(dir string, period string) string {
	b.t.Helper()
	text := fmt.Sprintf("auth_enabled: true\ncommon:\n  path_prefix: %s\n  storage:\n    filesystem:\n      chunks_directory: %s\n"+
		"schema_config:\n  configs:\n  - %s\n", b.t.TempDir(), dir, period)
	path := filepath.Join(b.t.TempDir(), "to.yaml")
	require.NoError(b.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestMigrate moves buckets: days of a TSDB into tables beside it, and an old schema into a new bucket.
func TestMigrate(t *testing.T) {
	const v13 = "{from: 2026-01-01, store: boltdb-shipper, object_store: filesystem, schema: v13, index: {prefix: fresh_, period: 24h}}"
	for name, same := range map[string]bool{"l37-tsdb-compacted": true, "l29-v9-raw": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, name)
			before := b.check(command.ExitOK)
			dir := b.c.Bucket
			if !same {
				dir = t.TempDir()
			}
			to := b.writeConfig(dir, v13)
			text := b.on(command.ExitOK, "migrate", "-to.config.file="+to)
			require.Contains(t, text, "would be indexed")
			text = b.on(command.ExitOK, "migrate", "-to.config.file="+to, "-write", "-verify")
			require.Contains(t, text, "verified: all days have the same chunks and entries on both sides")
			require.Contains(t, text, "2026-01-10  acme")
			copied := 0
			if !same {
				copied = before.Chunks
			}
			require.Contains(t, text, fmt.Sprintf("%d copied", copied))
			old := b.config
			b.config = to
			after := b.check(command.ExitOK)
			require.Equal(t, before.Chunks, after.Chunks)
			require.Equal(t, before.Entries, after.Entries)
			b.config = old
			require.Zero(t, b.check(command.ExitOK).ProblemsAll, "the old place is as it was")

			// What is missing on the other side is found.
			paths, err := filepath.Glob(filepath.Join(dir, "index", "fresh_20464", "*"))
			require.NoError(t, err)
			for _, path := range paths {
				require.NoError(t, os.Remove(path))
			}
			require.Contains(t, b.on(command.ExitFindings, "migrate", "-to.config.file="+to, "-verify"), "differs: 2026-01-11 of acme")
		})
	}
	b := newBench(t, "l37-v13-raw")
	code, _, stderr := b.run("migrate", "-config.file="+b.config, "-config.expand-env", "-to.config.file="+b.config)
	require.Equal(t, command.ExitUsage, code)
	require.Contains(t, stderr, "nothing to migrate")
}

func TestInspect(t *testing.T) {
	b := newBench(t, "l37-tsdb-raw")
	const key = "acme/3d2895e91bd515a0/19ba7c71eb2:19ba7c8f372:d7e21882"
	text := b.on(command.ExitOK, "inspect", "chunk", "-lines", key)
	for _, want := range []string{"version 4, snappy", "3 entries in 1 block", `{"attempt":"1","trace_id":"same-trace"} pod 3 k=1`, "d7e21882"} {
		require.Contains(t, text, want)
	}
	var chunks []chunkView
	require.NoError(t, json.Unmarshal([]byte(b.on(command.ExitOK, "inspect", "chunk", "-json", "-lines", key)), &chunks))
	require.Len(t, chunks[0].Lines, 3)
	require.Equal(t, "pods", chunks[0].Labels["app"])

	path := b.objects("acme/3d2895e91bd515a0/*")[0]
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := filepath.Join(t.TempDir(), "bad")
	for _, at := range []int{3, 40, 0xe8 + 0x60} {
		broken := bytes.Clone(body)
		broken[at] ^= 0x10
		require.NoError(t, os.WriteFile(bad, broken, 0o600))
		require.Contains(t, b.on(command.ExitFindings, "inspect", "chunk", bad), "damaged: ", "byte %d", at)
	}

	text = b.on(command.ExitOK, "inspect", "index", "2026-01-11")
	require.Contains(t, text, "index/index_20464/1795379695-ingester-0-1795379695130441152.tsdb.gz  tsdb")
	file := b.objects("index/index_20463/*")[0]
	text = b.on(command.ExitOK, "inspect", "index", "-rows", file)
	require.Contains(t, text, `{app="api", enc=`)
	require.Contains(t, b.on(command.ExitOK, "inspect", "bucket"), "2026-01-10  index_20463  tsdb   v13     2")

	old := newBench(t, "l29-v12-raw")
	text = old.on(command.ExitOK, "inspect", "index", "-rows", "index_20463")
	require.Contains(t, text, `index label names "CmVCYIpmQpLkN4u+JtMnTucPDIGeWGmQ3VBoaMJyOcs\x00\x00\x00\x009\x00" = "[\"app\",\"at\",\"enc\",\"job\"]"`)
	require.NoError(t, os.Truncate(old.objects("index/index_20463/*")[0], 100))
	require.Contains(t, old.on(command.ExitFindings, "inspect", "index", "-json", "index_20463"), "damaged index file")
}

func TestBadCommandLines(t *testing.T) {
	b := newBench(t, "l29-v9-raw")
	for args, want := range map[string]string{
		"check -from 2026-13-01":                 "is no day",
		"check -from 2026-01-02 -to 2026-01-01":  "-from is after -to",
		"check -config.file=nowhere.yaml":        "there is no file nowhere.yaml",
		"rebuild-index -replace":                 "-replace needs -write",
		"migrate":                                "-to.config.file is missing",
		"inspect chunk":                          "name a chunk",
		"inspect chunk no/such/key":              "no file and no key",
		"inspect index":                          "name a table",
		"inspect index -config.file=x.yaml what": "there is no file x.yaml",
		"inspect wal a b":                        "one folder",
		"check more":                             "unexpected argument",
	} {
		code, _, stderr := b.run(strings.Fields(args)...)
		require.Equal(t, command.ExitUsage, code, args)
		require.Contains(t, stderr, want, args)
	}
	code, _, stderr := b.run("inspect", "wal", t.TempDir())
	require.Equal(t, command.ExitFailure, code)
	require.Contains(t, stderr, "there is none of data, parts, marks")
	require.NoError(t, os.RemoveAll(b.c.Bucket))
	code, _, stderr = b.run("check", "-config.file="+b.config, "-config.expand-env")
	require.Equal(t, command.ExitUsage, code)
	require.Contains(t, stderr, "cannot open the bucket")
	_, err := os.Stat(b.c.Bucket)
	require.ErrorIs(t, err, os.ErrNotExist, "looking makes no folder")
}
