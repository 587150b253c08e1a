package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
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
		if forCompactor(point) {
			continue // TestCompactionFailpoints walks these.
		}
		walked++
		t.Run(point, func(t *testing.T) {
			t.Parallel()
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

func forCompactor(point string) bool {
	group, _, _ := strings.Cut(point, "/")
	return group == "compactor" || group == "deletes"
}

// compacting makes the compactor, retention and deletion do in seconds what takes them hours.
const compacting = `
auth_enabled: false
common: {path_prefix: {{DIR}}}
storage_config: {boltdb_shipper: {resync_interval: 500ms}}
ingester: {chunk_retain_period: 0s}
compactor: {compaction_interval: 500ms, retention_enabled: true, delete_request_store: filesystem, delete_request_cancel_period: 500ms, retention_delete_delay: 1s, apply_retention_interval: 500ms}
limits_config: {reject_old_samples: false, retention_period: 30d}
`

// TestCompactionFailpoints lets the process kill itself at each place on the way of a table that is compacted, of chunks that
// retention or a delete request wants gone, and of the request itself. Afterwards exactly the lines must be there that nobody
// wanted gone, and the index must agree with the chunks.
func TestCompactionFailpoints(t *testing.T) {
	walked := 0
	for _, point := range failpoints(t) {
		if !forCompactor(point) {
			continue
		}
		walked++
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := "-config.file=" + writeConfig(t, dir, compacting, "{{DIR}}", dir)
			p := NewProcess(t, dir, config)
			p.Start()
			now := time.Now()
			for round := range 2 { // two files, and two chunks of each stream
				pushAges(t, p, round, now)
				require.NoError(t, p.Stop(), p.Log()) // flushes and uploads
				if round == 1 {
					p.Env = []string{"LOGSTORE_FAILPOINTS=" + point + "=kill"}
				}
				p.Start()
			}
			deleteErrors(p, now)
			p.Env = nil
			require.True(t, p.killed(90*time.Second), "the point was not passed\n%s", p.Log())
			p.Start()
			deleteErrors(p, now) // the first one's answer may have been lost
			want := map[string]string{"young": "20", "young error": "", "young info": "20", "old": ""}
			var got map[string]string
			for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
				_, requests, err := p.Get("/loki/api/v1/delete")
				require.NoError(t, err)
				got = map[string]string{
					"young": counted(t, p, `{app="young"}`), "young error": counted(t, p, `{app="young"} |= "error"`),
					"young info": counted(t, p, `{app="young"} |= "info"`), "old": counted(t, p, `{app="old"}`),
				}
				// What is to be deleted is hidden at once, and nothing else ever is.
				require.Equal(t, "20", got["young info"])
				require.Empty(t, got["young error"])
				if !strings.Contains(requests, "received") && !strings.Contains(requests, "Complete") && got["old"] == "" {
					break
				}
			}
			require.Equal(t, want, got, p.Log())
			var out []byte
			require.Eventually(t, func() bool { // until what is marked is removed
				var err error
				out, err = exec.Command(Binary(t), "check", config, "-grace=0").CombinedOutput()
				return err == nil
			}, time.Minute, 500*time.Millisecond, "%s", &lastOutput{&out})
			require.Contains(t, string(out), "no problem found")
		})
	}
	require.GreaterOrEqual(t, walked, 12)
}

// lastOutput shows at the end what was said last.
type lastOutput struct{ text *[]byte }

// String implements fmt.Stringer.
func (o *lastOutput) String() string { return string(*o.text) }

// pushAges pushes a stream that a delete request will touch in part, and one that retention will remove.
func pushAges(t *testing.T, p *Process, round int, now time.Time) {
	t.Helper()
	push := func(app string, at time.Time) {
		var values [][2]string
		for i := range 20 {
			level := []string{"info", "error"}[i%2]
			ns := at.Add(time.Duration(i)*time.Second - time.Duration(round)*time.Minute).UnixNano()
			values = append(values, [2]string{strconv.FormatInt(ns, 10), fmt.Sprintf("level=%s round=%d n=%d", level, round, i)})
		}
		body, err := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": map[string]string{"app": app}, "values": values}}})
		require.NoError(t, err)
		res, err := http.Post(p.URL+"/loki/api/v1/push", "application/json", bytes.NewReader(body))
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusNoContent, res.StatusCode)
	}
	push("young", now.Add(-time.Hour))
	push("old", now.Add(-40*24*time.Hour))
}

// deleteErrors asks for the deletion of errors; the process may die of it.
func deleteErrors(p *Process, now time.Time) {
	q := url.Values{"query": {`{app="young"} |= "error"`}, "start": {strconv.FormatInt(now.Add(-24*time.Hour).Unix(), 10)}}
	if res, err := http.Post(p.URL+"/loki/api/v1/delete?"+q.Encode(), "", nil); err == nil {
		res.Body.Close()
	}
}

// killed reports whether a failpoint kills the process within a time.
func (p *Process) killed(wait time.Duration) bool {
	p.t.Helper()
	select {
	case <-p.done:
		status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		require.True(p.t, ok)
		require.Equal(p.t, syscall.SIGKILL, status.Signal(), p.Log())
		p.cmd = nil
		return true
	case <-time.After(wait):
		return false
	}
}

// counted returns the number of lines of a selector over 60 days, "" for none.
func counted(t *testing.T, p *Process, selector string) string {
	t.Helper()
	status, body, err := queryAs(t.Context(), p, "", "query", url.Values{"query": {"sum(count_over_time(" + selector + "[60d]))"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	if len(answer.Data.Result) == 0 {
		return ""
	}
	text, ok := answer.Data.Result[0].Value[1].(string)
	require.True(t, ok)
	return text
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
	for range 8 {
		pushFor(w, p.URL, 150*time.Millisecond)
		postFlush(p.URL)
		if p.killed(300 * time.Millisecond) {
			return
		}
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, p.killed(time.Minute), "the point was not passed")
}
