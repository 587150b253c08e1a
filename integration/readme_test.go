package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readmeBlocks returns the shell commands of the README in order.
func readmeBlocks(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// copyOfSource copies what `go run` needs, so that the store's ./data is not left in the checkout.
func copyOfSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		writeFile(t, dir, name, string(text))
	}
	for _, name := range []string{"cmd", "pkg"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))))
	}
	return dir
}

// TestReadme does what the README says: start the store, push a line, read it back. It runs on the README's port, in a
// network of its own where the system lets it, so that nothing else on the machine is in the way.
func TestReadme(t *testing.T) {
	blocks := readmeBlocks(t)
	require.Len(t, blocks, 4)
	run, curls, withFile, test := blocks[0], blocks[1], blocks[2], blocks[3]
	require.Equal(t, "go run ./cmd/logstore\n", run)

	script := strings.TrimSpace(run) + ` &
until curl -sf -m 5 http://localhost:3100/ready; do kill -0 $! || exit 1; sleep 0.1; done
set -e
` + curls
	out := inOwnNetwork(t, copyOfSource(t), script)
	require.Contains(t, out, `level=info msg=\"it works\" took=12ms`)
	require.Regexp(t, `"metric":\{"app":"hello"\},"value":\[[0-9.]+,"1"\]`, out)

	require.Contains(t, withFile, "-config.file=loki.yaml -config.expand-env=true")
	file, err := filepath.Abs("testdata/conformance/loki.yaml")
	require.NoError(t, err)
	p := newProcess(t, t.TempDir(), "-config.file="+file, "-config.expand-env=true", "-verify-config")
	p.Launch()
	require.Equal(t, 0, p.Wait(20*time.Second), p.Log())

	target, ok := strings.CutPrefix(strings.TrimSpace(test), "make ")
	require.True(t, ok)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	require.Contains(t, string(makefile), "\n"+target+":")
}

// inOwnNetwork runs a script and ends everything that it started.
func inOwnNetwork(t *testing.T, dir, script string) string {
	t.Helper()
	attr := &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := (&exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", "ip link set lo up"}, SysProcAttr: attr}).Run(); err != nil {
		t.Logf("no network of its own (%v), so this uses port 3100 of the machine", err)
		attr.Cloneflags = 0
	} else {
		script = "ip link set lo up\n" + script
	}
	// The flags are those of the Makefile, so that the build is in the cache; the commands are the README's. What has to be
	// downloaded and built is so before, since the store's network reaches nothing.
	env := append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "./cmd/logstore")
	build.Dir, build.Env = dir, env
	built, err := build.CombinedOutput()
	require.NoError(t, err, string(built))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := os.Create(filepath.Join(t.TempDir(), "output")) // no pipe: the store holds it when the script has ended
	require.NoError(t, err)
	defer out.Close()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.SysProcAttr, cmd.Env = dir, attr, env
	cmd.Stdout, cmd.Stderr = out, out
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = end
	failed := cmd.Run()
	_ = end() // the store goes on when the script has ended
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.NoError(t, failed, string(text))
	return string(text)
}
