package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/integration/testservers"
)

const rulerClusterConfig = `
auth_enabled: true
common:
  path_prefix: {{DIR}}
  replication_factor: 2
  instance_addr: 127.0.0.1
  ring: {kvstore: {store: memberlist}, heartbeat_period: 500ms, heartbeat_timeout: 3s, instance_id: "{{ID}}"}
memberlist:
  bind_addr: [127.0.0.1]
  bind_port: {{PORT}}
  join_members: [{{JOIN}}]
ingester:
  lifecycler: {join_after: 0s, observe_period: 0s, min_ready_duration: 0s, final_sleep: 0s}
schema_config:
  configs:
    - {from: 2020-01-01, store: boltdb-shipper, object_store: aws, schema: v13, index: {prefix: index_, period: 24h}}
storage_config:
  aws: {s3: "{{S3}}", s3forcepathstyle: true, insecure: true}
limits_config:
  ruler_evaluation_delay_duration: 500ms
ruler:
  storage: {type: s3, s3: {s3: "{{RULES}}", s3forcepathstyle: true, insecure: true}}
  alertmanager_url: "{{AM}}"
  evaluation_interval: 1s
  poll_interval: 5s
  resend_delay: 2s
  ring: {kvstore: {store: memberlist}}
  remote_write:
    enabled: true
    client: {url: "{{PROM}}", queue_config: {batch_send_deadline: 200ms}}
logstore:
  ruler:
    external_labels: {cluster: one}
`

// startRulers starts members that share rules and data.
func startRulers(t *testing.T, n int, am, prom string) []*Process {
	t.Helper()
	s3 := testservers.StartVersityGW(t, "chunks", "rules")
	var ports, join []string
	for range n {
		port := strconv.Itoa(FreePort(t))
		ports, join = append(ports, port), append(join, `"127.0.0.1:`+port+`"`)
	}
	var out []*Process
	for i := range n {
		dir := t.TempDir()
		out = append(out, NewProcess(t, dir, "-config.file="+writeConfig(t, dir, rulerClusterConfig, "{{ID}}", fmt.Sprint("member-", i), "{{PORT}}", ports[i],
			"{{JOIN}}", strings.Join(join, ","), "{{S3}}", s3.URL("chunks"), "{{RULES}}", s3.URL("rules"), "{{AM}}", am, "{{PROM}}", prom)))
		out[i].Launch()
	}
	for _, p := range out {
		p.WaitReady(60 * time.Second)
	}
	eventually(t, 30*time.Second, "the members know each other", func() bool {
		for _, p := range out {
			_, body, err := p.Get("/ring")
			if err != nil || strings.Count(body, ">ACTIVE<") < n {
				return false
			}
		}
		return true
	})
	return out
}

// TestRulerTakeover kills the member that evaluates a group: another one goes on with the alert and with the recorded series.
func TestRulerTakeover(t *testing.T) {
	t.Parallel()
	am, prom := testservers.StartAlertmanager(t), testservers.StartPrometheus(t)
	members := startRulers(t, 3, am.URL, prom.RemoteWriteURL())
	request(t, members[0], http.MethodPost, "/loki/api/v1/rules/ns", rulerGroup, http.StatusAccepted)
	owner := -1
	eventually(t, 20*time.Second, "one member has the group", func() bool {
		owned := 0
		for i, p := range members {
			if p.Metric("logstore_ruler_owned_groups") == 1 {
				owner, owned = i, owned+1
			}
		}
		return owned == 1
	})
	other := members[(owner+1)%3]
	begin := time.Now()
	stopPushing := pushErrors(t, other)
	firing := func() bool {
		alerts := alertsOf(t, other) // which come from the owner
		return len(alerts) == 1 && alerts[0].State == "firing"
	}
	eventually(t, 20*time.Second, "the alert fires", firing)
	eventually(t, 20*time.Second, "Alertmanager has it", func() bool { return len(am.Alerts(t)) == 1 })
	since := am.Alerts(t)[0].StartsAt
	time.Sleep(4 * time.Second) // the state is saved
	killed := time.Now()
	members[owner].Kill()
	eventually(t, 30*time.Second, "another member goes on", func() bool {
		return other.Metric("logstore_ruler_owned_groups")+members[(owner+2)%3].Metric("logstore_ruler_owned_groups") == 1 && firing()
	})
	t.Logf("taken over after %s", time.Since(killed).Round(10*time.Millisecond))
	time.Sleep(3 * time.Second)
	alerts := am.Alerts(t)
	require.Len(t, alerts, 1, "no second alert")
	require.True(t, alerts[0].StartsAt.Equal(since), "and it is the same one")
	stopPushing()
	eventually(t, 20*time.Second, "the alert is resolved", func() bool { return len(am.Alerts(t)) == 0 })
	checkRecorded(t, other, prom, begin)
}
