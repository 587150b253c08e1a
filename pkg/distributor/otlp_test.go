package distributor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
)

// otlpLogs is a record with a severity and attributes of a resource without service.name.
const otlpLogs = `{"resourceLogs":[{"resource":{"attributes":[{"key":"team","value":{"stringValue":"red"}},{"key":"secret","value":{"stringValue":"s"}},{"key":"host.name","value":{"stringValue":"h"}}]},
"scopeLogs":[{"logRecords":[{"timeUnixNano":"1768867201000000000","severityText":"Warn","severityNumber":13,"body":{"stringValue":"otlp"},"attributes":[{"key":"kind","value":{"stringValue":"k"}},{"key":"noise.x","value":{"stringValue":"1"}},{"key":"keep","value":{"stringValue":"2"}},{"key":"host.name","value":{"stringValue":"own"}}]}]}]}]}`

func TestOTLP(t *testing.T) {
	f := func(change func(l *limits.Limits), wantStatus int, wantText, wantStream, wantMeta string) {
		t.Helper()
		lim := conformanceLimits()
		change(&lim)
		d, m, _, _ := newTestDistributor(t, lim)
		status, text := serve(d, pushCase{Tenant: "u", Path: "/otlp/v1/logs", Headers: map[string]string{"Content-Type": "application/json"}, Body: otlpLogs})
		require.Equal(t, wantStatus, status, text)
		require.Contains(t, text, wantText)
		if wantStatus != 204 {
			require.Empty(t, m.streams)
			return
		}
		require.Equal(t, []entry{{ts: 1768867201000000000, line: "otlp", meta: wantMeta}}, m.lines("u "+wantStream))
	}
	f(func(*limits.Limits) {}, 400, "error at least one label pair is required per stream", "", "")
	// Of a name that is an attribute of both, the record's counts.
	discover := func(l *limits.Limits) { l.DiscoverServiceName, l.DiscoverLogLevels = []string{"app"}, true }
	f(discover, 204, "", `{service_name="unknown_service"}`,
		"detected_level=warn,host_name=own,keep=2,kind=k,noise_x=1,secret=s,severity_number=13,severity_text=Warn,team=red")
	f(func(l *limits.Limits) {
		l.OTLPConfig.ResourceAttributes.AttributesConfig = []limits.OTLPAttributes{{Action: limits.OTLPIndexLabel, Attributes: []string{"team"}}, {Action: limits.OTLPDrop, Attributes: []string{"secret"}}}
		l.OTLPConfig.LogAttributes = []limits.OTLPAttributes{{Action: limits.OTLPIndexLabel, Attributes: []string{"kind"}}, {Action: limits.OTLPDrop, Regex: `^noise\..*`}}
		l.OTLPConfig.SeverityTextAsLabel = true
	}, 204, "", `{kind="k", severity_text="Warn", team="red"}`, "host_name=own,keep=2,severity_number=13,severity_text=Warn")
	f(func(l *limits.Limits) { discover(l); l.IngestionRateMB, l.IngestionBurstSizeMB = 1e-4, 1e-5 }, 429, "ingestion rate limit exceeded for user u", "", "")
	f(func(l *limits.Limits) { discover(l); l.MaxStructuredMetadataEntriesCount = 5 }, 400, "has too many structured metadata labels: '9', limit: '5'", "", "")
	require.Equal(t, 1, strings.Count(otlpLogs, "timeUnixNano"))
}
