package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFailpoints lets the process kill itself at each place on the way from a push to the bucket, and wants every
// acknowledged line once afterwards, and a bucket in which the index agrees with the chunks.
func TestFailpoints(t *testing.T) {
	walked := 0
	for _, point := range failpoints(t) {
		// Compaction, retention and deletion want a day to work on: they are walked elsewhere.
		if group, _, _ := strings.Cut(point, "/"); group != "ingester" && group != "store" && group != "shipper" {
			continue
		}
		walked++
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			config := "-config.file=" + writeConfig(t, dir, smallChunks, "{{DIR}}", dir)
			p := NewProcess(t, dir, config)
			p.Env = []string{"LOGSTORE_FAILPOINTS=" + point + "=2*kill"}
			p.Start()
			w := newWorkload(2)
			untilKilled(t, p, w)
			p.Env = nil
			p.Start()
			w.check(t, p.URL)
			pushFor(w, p.URL, 100*time.Millisecond)
			waitFlushed(t, p, time.Minute)
			w.check(t, p.URL)
			require.NoError(t, p.Stop(), p.Log())
			out, err := exec.Command(Binary(t), "check", config, "-grace=0").CombinedOutput()
			require.NoError(t, err, string(out))
			require.Contains(t, string(out), "no problem found")
			t.Logf("%d lines; %s", len(w.acked), strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
		})
	}
	require.GreaterOrEqual(t, walked, 9)
}

// failpoints returns the names of all points of the binary.
func failpoints(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(Binary(t), "failpoints", "-json").Output()
	require.NoError(t, err)
	var points []struct{ Name, Doc string }
	require.NoError(t, json.Unmarshal(out, &points))
	var names []string
	for _, p := range points {
		require.NotEmpty(t, p.Doc)
		names = append(names, p.Name)
	}
	return names
}

// untilKilled pushes, flushes and at last stops the process, until a failpoint has killed it.
func untilKilled(t *testing.T, p *Process, w *workload) {
	t.Helper()
	killed := func(wait time.Duration) bool {
		select {
		case <-p.done:
			status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			require.Equal(t, syscall.SIGKILL, status.Signal(), p.Log())
			p.cmd = nil
			return true
		case <-time.After(wait):
			return false
		}
	}
	for range 8 {
		pushFor(w, p.URL, 150*time.Millisecond)
		postFlush(p.URL)
		if killed(300 * time.Millisecond) {
			return
		}
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, killed(time.Minute), "the point was not passed")
}
