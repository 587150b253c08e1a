package distributor

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/model"
)

// TestPolicies holds streams against what their policies demand.
func TestPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := conformanceLimits()
		lim.PolicyStreamMapping = map[string][]limits.PolicyStream{
			"finance": {{Selector: `{team="money"}`, Priority: 1}},
			"debug":   {{Selector: `{level="debug"}`, Priority: 5}, {Selector: `{broken`}},
		}
		lim.PolicyEnforcedLabels = map[string][]string{"finance": {"cost"}, "*": {"app"}}
		lim.BlockIngestionPolicyUntil = map[string]time.Time{"debug": time.Now().Add(time.Hour)}
		lim.BlockIngestionStatusCode = 260
		d, m, _, _ := newTestDistributor(t, lim)
		f := func(labels string, status int, want string) {
			t.Helper()
			got, text := push(d, "u", stream(labels, "x"))
			require.Equal(t, status, got, text)
			require.Contains(t, text, want)
		}
		f(`{app="a", team="money", cost="1"}`, 204, "")
		f(`{app="a", team="money"}`, 400, `missing required labels 'cost' for user 'u' for stream '{app="a", team="money"}' (policy: 'finance')`)
		f(`{team="other"}`, 400, `missing required labels 'app' for user 'u' for stream '{team="other"}' (policy: '')`)
		f(`{app="a", team="money", level="debug"}`, 260, "ingestion blocked for user 'u' (policy: 'debug') until '2000-01-01T01:00:00Z' with status code '260'")
		// Other streams of the same push are stored.
		status, _ := push(d, "u", stream(`{app="b", level="debug"}`, "x"), stream(`{app="b", level="info"}`, "y"))
		require.Equal(t, 260, status)
		require.Len(t, m.streams[`u {app="b", level="info"}`], 1)
		require.Empty(t, m.streams[`u {app="b", level="debug"}`])
		time.Sleep(61 * time.Minute)
		f(`{app="b", level="debug"}`, 204, "")
	})
}

// TestGenericFields finds fields in labels, metadata, JSON and logfmt.
func TestGenericFields(t *testing.T) {
	lim := conformanceLimits()
	lim.DiscoverGenericFields = map[string][]string{"trace": {"trace_id", "traceID", "span.trace"}, "code": {"status", "http.status"}}
	d, m, _, _ := newTestDistributor(t, lim)
	f := func(labels, line, want string, meta ...model.Pair) {
		t.Helper()
		clear(m.streams)
		status, text := push(d, "u", stream(labels, at(time.Now().UnixNano(), line, meta...)))
		require.Equal(t, 204, status, text)
		var stored []string
		for _, entries := range m.streams {
			for _, e := range entries {
				stored = append(stored, e.meta)
			}
		}
		require.Equal(t, want, strings.Join(stored, "; "))
	}
	f(`{a="b"}`, `plain`, ``)
	f(`{a="b", trace_id="7"}`, `plain`, `trace=7`)
	f(`{a="b"}`, `msg="status=1" status=200 traceID="x y"`, `code=200,trace=x y`)
	f(`{a="b"}`, `{"http":{"status":404},"span":{"trace":"z\u00e9"},"status":null}`, `code=404,trace=zé`)
	f(`{a="b"}`, `status=`, ``)
	f(`{a="b"}`, `status=5`, `code=1`, model.Pair{Name: "code", Value: "1"})
	f(`{a="b"}`, `status=5`, `code=5,trace=m,traceID=m`, model.Pair{Name: "traceID", Value: "m"})
}
