package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startBad starts a process that must end by itself with the code, and returns what it printed.
func startBad(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	p := newProcess(t, t.TempDir(), args...)
	p.Env = env
	p.Launch()
	require.Equal(t, code, p.Wait(20*time.Second), p.Log())
	return p.Log()
}

// TestBadConfigFiles starts the binary on each bad file: it ends with code 2 and says file, line and key of all mistakes.
func TestBadConfigFiles(t *testing.T) {
	dir, err := filepath.Abs("../pkg/config/testdata/bad")
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.bad.yml"))
	require.NoError(t, err)
	require.Greater(t, len(files), 10)
	for _, file := range files {
		want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".txt")
		require.NoError(t, err)
		for _, verify := range []string{"-verify-config=false", "-verify-config"} {
			log := startBad(t, 2, nil, "-config.file="+file, verify)
			require.Contains(t, strings.ReplaceAll(log, dir+"/", ""), strings.TrimSpace(string(want)), file)
			require.NotContains(t, log, "goroutine ")
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	typo := write("typo.yaml", "auth_enabled: false\ningester:\n  chunk_target_sise: 1\n")
	env := write("env.yaml", "server:\n  http_listen_port: ${NO_SUCH_PORT}\n")
	f := func(want string, args ...string) {
		t.Helper()
		require.Contains(t, startBad(t, 2, nil, args...), want)
	}
	f("there is no file", "-config.file="+filepath.Join(dir, "none.yaml"))
	f("-no.such.flag", "-no.such.flag=1")
	f("target", "-target=querier")
	f("server.http-listen-port", "-server.http-listen-port=many")
	f("typo.yaml:3:3: ingester.chunk_target_sise: unknown key", "-config.file="+typo)
	f("chunk_target_size", "-config.file="+typo)
	f("typo.yaml:3", "-config.file="+filepath.Join(dir, "none.yaml")+","+typo)
	f("env.yaml:2", "-config.file="+env)
	f("log_level", "-log.level=loud")
	f("directory", "-config.file="+dir)
	// A bad runtime file is as bad as a bad file at the start.
	overrides := write("overrides.yaml", "overrides:\n  a:\n    max_line_sise: 5\n")
	runtime := write("runtime.yaml", "runtime_config:\n  file: "+overrides+"\n")
	require.Contains(t, startBad(t, 1, nil, "-config.file="+runtime), "overrides.yaml:3")
}
