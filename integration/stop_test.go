package integration

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/faultproxy"
)

// TestStopAndRestart stops under load: what was acknowledged is in the bucket when the process has ended, so that a start
// without the log and the local index finds it.
func TestStopAndRestart(t *testing.T) {
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
	w := newWorkload(4)
	for range 3 {
		p.Start()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, p.URL)
		}()
		time.Sleep(700 * time.Millisecond)
		begin := time.Now()
		require.NoError(t, p.Stop(), p.Log())
		require.Less(t, time.Since(begin), 20*time.Second)
		cancel()
		<-done
		require.Contains(t, p.Log(), "logstore stopped")
		require.NotContains(t, p.Log(), "level=error")
		removeLocal(t, dir)
	}
	p.Start()
	w.check(t, p.URL)
	t.Logf("%d lines acked", len(w.acked))
}

// removeLocal removes everything but the bucket.
func removeLocal(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if name := e.Name(); name != "chunks" && name != "config.yaml" {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
}

// TestStopWithBucketAway stops while the bucket does not answer: the process gives up in time and says so, and the next
// one has everything, since the log has it.
func TestStopWithBucketAway(t *testing.T) {
	t.Parallel()
	_, proxy, url := startS3(t, 1)
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, onS3, "{{S3}}", url))
	p.Start()
	w := newWorkload(2)
	pushFor(w, p.URL, 200*time.Millisecond)
	proxy.Break(faultproxy.Rule{Fault: faultproxy.Hang()})
	begin := time.Now()
	require.NoError(t, p.Stop(), p.Log())
	require.Less(t, time.Since(begin), 60*time.Second)
	require.Contains(t, p.Log(), "not everything could be flushed before the stop; the rest stays in the log")
	proxy.Heal()
	p.Start()
	w.check(t, p.URL)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	_, proxy, url := startS3(t, 1)
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, onS3, "{{S3}}", url))
	p.Start()
	w := newWorkload(2)
	pushFor(w, p.URL, 200*time.Millisecond)
	proxy.Break(faultproxy.Rule{Fault: faultproxy.Hang()})
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "stopping") }, 10*time.Second, 10*time.Millisecond)
	begin := time.Now()
	require.Error(t, p.Stop())
	require.Less(t, time.Since(begin), 5*time.Second)
	proxy.Heal()
	p.Start()
	w.check(t, p.URL)
}

func TestTakenPort(t *testing.T) {
	p := NewProcess(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p.Port))
	require.NoError(t, err)
	defer l.Close()
	p.Launch()
	require.Equal(t, 1, p.Wait(20*time.Second), p.Log())
	require.Contains(t, p.Log(), strconv.Itoa(p.Port))
	require.Contains(t, p.Log(), "server.http_listen_port")
	require.Contains(t, p.Log(), "address already in use")
}

// TestTwoOnOneLog refuses a second process on the folder of a running one, by the folder's name; after a crash the folder is
// free.
func TestTwoOnOneLog(t *testing.T) {
	dir := t.TempDir()
	first := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
	first.Start()
	second := NewProcess(t, dir, first.args[len(first.args)-1])
	second.Launch()
	require.Equal(t, 1, second.Wait(20*time.Second), second.Log())
	require.Contains(t, second.Log(), "cannot lock the write-ahead log in "+filepath.Join(dir, "wal"))
	first.Kill()
	first.Start()
	require.NoError(t, first.Stop(), first.Log())
}

// TestFolderThatCannotBe starts with a file where a folder must be; that stops root, too.
func TestFolderThatCannotBe(t *testing.T) {
	for _, name := range []string{"wal", "chunks", "boltdb-shipper-active", "boltdb-shipper-cache"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, smallChunks))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("I was here first"), 0o600))
			p.Launch()
			require.Equal(t, 1, p.Wait(20*time.Second), p.Log())
			require.Contains(t, p.Log(), filepath.Join(dir, name))
			require.Contains(t, p.Log(), "not a directory")
		})
	}
}

// TestDiskFull fills the disk of the log: pushes are refused with the reason, reads go on, and when there is space again
// so do pushes. Nothing acknowledged is lost by it, not even by a crash.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	wal := filepath.Join(dir, "wal")
	require.NoError(t, os.Mkdir(wal, 0o755))
	if err := syscall.Mount("tmpfs", wal, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("cannot mount a small disk (%v); the ingester's own tests fill one that is made of Go", err)
		return
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(wal, syscall.MNT_DETACH)) })
	config := strings.NewReplacer("chunk_idle_period: 2s", "chunk_idle_period: 30m", "chunk_target_size: 20000", "chunk_target_size: 2000000").Replace(smallChunks)
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, config), "-ingester.wal-disk-full-threshold=0")
	p.Start()
	w := newWorkload(2)
	w.pause = 0
	for deadline := time.Now().Add(20 * time.Second); w.lastRefusal() == "" && time.Now().Before(deadline); {
		pushFor(w, p.URL, 200*time.Millisecond)
	}
	require.Contains(t, w.lastRefusal(), "status 503")
	require.Contains(t, w.lastRefusal(), "no space left on device")
	w.check(t, p.URL)
	acked := len(w.acked)
	require.Greater(t, acked, 1000)
	require.NotZero(t, p.Metric("loki_ingester_wal_disk_full_failures_total"))
	pushFor(w, p.URL, 100*time.Millisecond)
	w.check(t, p.URL)

	require.NoError(t, syscall.Mount("tmpfs", wal, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
	before := len(w.acked)
	pushFor(w, p.URL, 200*time.Millisecond)
	require.Greater(t, len(w.acked), before, "there is space again")
	w.check(t, p.URL)
	p.Kill()
	p.Start()
	w.check(t, p.URL)
	require.NoError(t, p.Stop(), p.Log())

	status, _, err := p.Get("/ready")
	require.Error(t, err, status)
	http.DefaultClient.CloseIdleConnections()
}
