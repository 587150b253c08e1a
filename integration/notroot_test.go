package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNotRoot runs the binary as the image does: alone in a root that it cannot write to, as user 10001, with one folder of its own.
func TestNotRoot(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root can change the root folder and the user")
	}
	const user = 10001
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	binary := filepath.Join(t.TempDir(), "logstore")
	build := exec.Command("go", "build", "-o", binary, "logstore/cmd/logstore")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if bin := os.Getenv("LOGSTORE_BIN"); bin != "" {
		binary = bin // make build makes it static
	} else if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(binary)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logstore"), text, 0o555))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	require.NoError(t, os.Chown(filepath.Join(dir, "data"), user, user))
	port := FreePort(t)
	log := &tail{}
	cmd := exec.Command("/logstore", "-common.path-prefix=/data", "-server.http-listen-address=127.0.0.1", fmt.Sprint("-server.http-listen-port=", port),
		"-server.grpc-listen-address=127.0.0.1", fmt.Sprint("-server.grpc-listen-port=", FreePort(t)), "-pattern-ingester.enabled=true")
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{}, "/data", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: user, Gid: user}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "not ready: %s", log)
	f := func(method, path, body string, want int) {
		t.Helper()
		status, text := asked(t, http.DefaultClient, method, url+path, "", "", body)
		require.Equal(t, want, status, text)
	}
	f("POST", "/loki/api/v1/push", onePush("x"), 204)
	f("POST", "/loki/api/v1/rules/ns", "name: g\nrules:\n- alert: A\n  expr: sum(count_over_time({app=\"x\"}[1h])) > 0\n", 202)
	f("GET", "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D", "", 200)
	f("POST", "/flush", "", 204)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), log.String())
	require.NotContains(t, log.String(), "permission denied")
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel := strings.TrimPrefix(path, dir); err == nil && rel != "" && rel != "/logstore" && rel != "/data" && !strings.HasPrefix(rel, "/data/") {
			t.Errorf("%s was written outside of the data folder", rel)
		}
		return err
	}))
}
