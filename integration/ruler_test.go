package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
	"logstore/pkg/wire"
)

const rulerConfig = `
auth_enabled: true
common:
  path_prefix: {{DIR}}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
limits_config:
  ruler_evaluation_delay_duration: 500ms # for lines that are on their way
ruler:
  alertmanager_url: "{{AM}}"
  external_url: http://store.example
  evaluation_interval: 1s
  poll_interval: 1s
  resend_delay: 2s
  for_grace_period: 0s
  remote_write:
    enabled: true
    clients:
      prom:
        url: "{{PROM}}"
        queue_config: {batch_send_deadline: 200ms}
logstore:
  ruler:
    external_labels: {cluster: one}
`

const rulerGroup = `name: errors
interval: 1s
rules:
- alert: ManyErrors
  expr: sum by (app) (count_over_time({app="web"} |= "error" [3s])) > 2
  for: 2s
  labels: {severity: page}
  annotations: {summary: "{{ $labels.app }} has {{ $value }} errors"}
- record: app:errors:count
  expr: sum by (app) (count_over_time({app="web"} |= "error" [3s]))
  labels: {source: logs}
`

const rulerTenant = "team"

// TestRuler sees an alert through its life, and a recorded series arrive, with real receivers, which are killed on the way, as
// is the store itself: nothing is missing afterwards, and Alertmanager saw one alert.
func TestRuler(t *testing.T) {
	t.Parallel()
	am, prom := testservers.StartAlertmanager(t), testservers.StartPrometheus(t)
	dir := t.TempDir()
	p := NewProcess(t, dir, "-config.file="+writeConfig(t, dir, rulerConfig, "{{AM}}", am.URL, "{{PROM}}", prom.RemoteWriteURL()))
	p.Start()
	request(t, p, http.MethodPost, "/loki/api/v1/rules/ns", rulerGroup, http.StatusAccepted)

	begin := time.Now()
	stopPushing := pushErrors(t, p)
	states := []string{}
	eventually(t, 20*time.Second, "the alert fires", func() bool {
		for _, a := range alertsOf(t, p) {
			if len(states) == 0 || states[len(states)-1] != a.State {
				states = append(states, a.State)
			}
		}
		return len(states) > 0 && states[len(states)-1] == "firing"
	})
	require.Equal(t, []string{"pending", "firing"}, states)
	var sent testservers.AMAlert
	eventually(t, 10*time.Second, "Alertmanager has the alert", func() bool {
		for _, a := range am.Alerts(t) {
			sent = a
		}
		return sent.Labels != nil
	})
	require.Equal(t, map[string]string{"alertname": "ManyErrors", "app": "web", "severity": "page", "cluster": "one"}, sent.Labels)
	require.Regexp(t, `^web has \d+ errors$`, sent.Annotations["summary"])
	require.True(t, strings.HasPrefix(sent.GeneratorURL, "http://store.example/ui/#/explore?q=sum+by"), sent.GeneratorURL)

	// Both receivers are away for a while.
	prom.Kill()
	am.Kill()
	time.Sleep(3 * time.Second)
	prom.Restart(t)
	am.Restart(t)
	eventually(t, 20*time.Second, "the alert comes again", func() bool { return len(am.Alerts(t)) == 1 })
	require.True(t, am.Alerts(t)[0].StartsAt.Equal(sent.StartsAt))

	// So is the store.
	time.Sleep(3 * time.Second) // the state is saved
	p.Kill()
	time.Sleep(2 * time.Second)
	p.Start()
	eventually(t, 10*time.Second, "the alert fires after the restart", func() bool {
		for _, a := range alertsOf(t, p) {
			require.Equal(t, "firing", a.State, "it need not wait again")
			return true
		}
		return false
	})
	time.Sleep(2500 * time.Millisecond)
	require.Len(t, am.Alerts(t), 1)
	require.True(t, am.Alerts(t)[0].StartsAt.Equal(sent.StartsAt), "it is the same alert")

	stopPushing()
	eventually(t, 20*time.Second, "the alert is resolved", func() bool { return len(am.Alerts(t)) == 0 && len(alertsOf(t, p)) == 0 })
	checkRecorded(t, p, prom, begin)
	for _, state := range []string{"pending", "firing"} {
		key := `{"__name__":"ALERTS","alertname":"ManyErrors","alertstate":"` + state + `","app":"web","cluster":"one","severity":"page"}`
		require.NotEmpty(t, prom.Samples(t, "ALERTS", time.Since(begin))[key], "Prometheus knows when the alert was "+state)
	}
}

// checkRecorded compares what Prometheus has with what queries give, and looks for gaps.
func checkRecorded(t *testing.T, p *Process, prom *testservers.Prometheus, begin time.Time) {
	t.Helper()
	key := `{"__name__":"app:errors:count","app":"web","cluster":"one","source":"logs"}`
	var got []testservers.PromSample
	eventually(t, 20*time.Second, "the samples arrive", func() bool {
		got = prom.Samples(t, "app:errors:count", time.Since(begin))[key]
		return len(got) > 10 && time.Since(got[len(got)-1].Time) > 3*time.Second // the series has ended
	})
	for i, s := range got {
		if i > 0 {
			require.Equal(t, time.Second, s.Time.Sub(got[i-1].Time).Round(time.Millisecond), "a gap after sample %d of %d", i, len(got))
		}
		require.Equal(t, instant(t, p, `sum by (app) (count_over_time({app="web"} |= "error" [3s]))`, s.Time), s.Value)
	}
	t.Logf("%d samples without a gap", len(got))
}

// instant returns the value of the first series of a query at a time.
func instant(t *testing.T, p *Process, query string, at time.Time) string {
	t.Helper()
	body := request(t, p, http.MethodGet, "/loki/api/v1/query?"+url.Values{"query": {query}, "time": {strconv.FormatInt(at.UnixNano(), 10)}}.Encode(), "", http.StatusOK)
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	require.NotEmpty(t, answer.Data.Result)
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

// pushErrors pushes a line every 50 ms, through restarts, until the returned function is called.
func pushErrors(t *testing.T, p *Process) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	client := &http.Client{Transport: withTenant(rulerTenant)}
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			_ = pushProto(ctx, client, p.URL, []wire.PushStream{{Labels: `{app="web"}`,
				Entries: []wire.PushEntry{{Timestamp: time.Now().UnixNano(), Line: fmt.Appendf(nil, "level=error n=%d", n)}}}})
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// alertState is an alert of Prometheus' API.
type alertState struct {
	Labels map[string]string
	State  string
}

func alertsOf(t *testing.T, p *Process) []alertState {
	t.Helper()
	var answer struct{ Data struct{ Alerts []alertState } }
	require.NoError(t, json.Unmarshal([]byte(request(t, p, http.MethodGet, "/prometheus/api/v1/alerts", "", http.StatusOK)), &answer))
	return answer.Data.Alerts
}

// request sends a request of the rules' tenant and returns the answer's body.
func request(t *testing.T, p *Process, method, path, body string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Scope-OrgID", rulerTenant)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, want, resp.StatusCode, "%s %s: %s", method, path, text)
	return string(text)
}

// eventually waits until something holds.
func eventually(t *testing.T, wait time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", wait, what)
		}
	}
}
