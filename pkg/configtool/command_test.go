package configtool

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/command"
)

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := &command.Command{Name: "logstore", Summary: "x", Sub: []*command.Command{Command()}}
	code = root.Main(t.Context(), &command.IO{Stdout: &out, Stderr: &errs}, append([]string{"config"}, args...))
	return code, out.String(), errs.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "loki.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestCheckTriesFolders(t *testing.T) {
	dir := t.TempDir()
	file := write(t, "common:\n  path_prefix: "+dir+"\nfrontend_worker: {parallelism: 3}\n")
	code, out, errs := run(t, "check", file)
	require.Equal(t, 0, code, errs)
	require.Regexp(t, `2 +\* +common.path_prefix`, out)
	require.Regexp(t, `3 +frontend_worker.parallelism +NO EFFECT`, out)
	require.Contains(t, out, "ok   bucket filesystem (chunks, index)")
	entries, err := os.ReadDir(filepath.Join(dir, "chunks"))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left behind")

	code, out, _ = run(t, "check", "-json", "-offline", file)
	require.Equal(t, 0, code)
	var report Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.True(t, report.OK)
	require.Empty(t, report.Tried)
	require.Len(t, report.Keys, 2)

	// A file where the folder should be.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "chunks")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "chunks"), nil, 0o600))
	code, out, errs = run(t, "check", file)
	require.Equal(t, 3, code, errs)
	require.Contains(t, out, "FAIL bucket filesystem")
	require.Contains(t, out, "this user may write to")
}

func TestExitCodes(t *testing.T) {
	bad := write(t, "server:\n  http_listen_prot: 1\n")
	code, out, errs := run(t, "check", "-offline", bad)
	require.Equal(t, 2, code)
	require.Contains(t, out, "REFUSED: unknown key, did you mean http_listen_port?")
	require.Contains(t, errs, "would not start")
	code, _, _ = run(t, "check", "/nowhere")
	require.Equal(t, 2, code)
	a, b := write(t, "auth_enabled: false\n"), write(t, "auth_enabled: false\nserver: {http_listen_port: 1}\n")
	code, out, _ = run(t, "diff", a, a)
	require.Equal(t, 0, code)
	require.Empty(t, out)
	code, out, _ = run(t, "diff", a, b)
	require.Equal(t, 3, code)
	require.Regexp(t, `server.http_listen_port +3100 +1\n`, out)
	code, out, _ = run(t, "diff", "-json", b)
	require.Equal(t, 3, code)
	require.JSONEq(t, `[{"key":"server.http_listen_port","a":"3100","b":"1"}]`, out)
	code, _, errs = run(t, "convert", write(t, "common: {storage: {azure: {account_name: x}}}\n"))
	require.Equal(t, 3, code)
	require.Contains(t, errs, "problem: ")
	converted := filepath.Join(t.TempDir(), "out.yaml")
	code, _, errs = run(t, "convert", "-output", converted, bad)
	require.Equal(t, 0, code, errs)
	require.Contains(t, errs, "line 2: server.http_listen_prot: removed")
	code, _, errs = run(t, "check", "-offline", converted)
	require.Equal(t, 0, code, errs)
}
