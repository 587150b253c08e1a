package limits

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefaultsAreValid(t *testing.T) {
	l := DefaultLimits()
	require.NoError(t, l.Validate())
}

func TestValidate(t *testing.T) {
	f := func(change func(l *Limits), want string) {
		t.Helper()
		l := DefaultLimits()
		change(&l)
		require.EqualError(t, l.Validate(), want)
	}
	f(func(l *Limits) { l.IngestionRateStrategy = "both" }, `ingestion_rate_strategy: "both" is not allowed, only global, local`)
	f(func(l *Limits) { l.DeletionMode = "" }, `deletion_mode: "" is not allowed, only disabled, filter-only, filter-and-delete`)
	f(func(l *Limits) { l.MaxLineSize = -1 }, "max_line_size: -1 is negative")
	f(func(l *Limits) { l.QueryTimeout = -time.Second }, "query_timeout: -1s is negative")
	f(func(l *Limits) { l.IngestionRateMB = -0.5 }, "ingestion_rate_mb: -0.5 is negative")
	f(func(l *Limits) { l.ShardStreams.DesiredRate = -2 }, "shard_streams.desired_rate: -2 is negative")
	f(func(l *Limits) { l.BlockIngestionStatusCode = 42 }, "block_ingestion_status_code: 42 is no HTTP status code (100 to 599)")
	f(func(l *Limits) { l.MaxQueryCapacity = 2 }, "max_query_capacity: 2 is not between 0 and 1")
	f(func(l *Limits) { l.S3SSEType = "AES" }, `s3_sse_type: "AES" is not allowed, only SSE-KMS, SSE-S3`)
	f(func(l *Limits) { l.RetentionPeriod = time.Hour }, "retention_period: 1h0m0s is less than 24h (0 keeps everything)")
	f(func(l *Limits) { l.RetentionStream = []StreamRetention{{Period: time.Hour}} },
		"retention_stream[0].selector: it is empty\nretention_stream[0].period: 1h0m0s is less than 24h")
	f(func(l *Limits) { l.BlockedQueries = []BlockedQuery{{Pattern: "(", Regex: true}} },
		"blocked_queries[0].pattern: error parsing regexp: missing closing ): `(`")
	f(func(l *Limits) {
		l.MaxLineSizeTruncate, l.MaxLineSize, l.MaxLineSizeTruncateIdentifier = true, 3, "..."
	}, "max_line_size_truncate_identifier: its 3 bytes leave no room in max_line_size (3 bytes)")
	f(func(l *Limits) { l.OTLPConfig.LogAttributes = []OTLPAttributes{{Action: "keep", Regex: "x"}} },
		`otlp_config.log_attributes[0].action: "keep" is none of index_label, structured_metadata, drop`)
	f(func(l *Limits) { l.OTLPConfig.ScopeAttributes = []OTLPAttributes{{Action: OTLPDrop}} },
		"otlp_config.scope_attributes[0]: neither attributes nor regex is set")
}

func TestOverrides(t *testing.T) {
	o, err := New(DefaultLimits())
	require.NoError(t, err)
	require.Same(t, o.Defaults(), o.For("a"))

	a := DefaultLimits()
	a.MaxLineSize = 7
	require.NoError(t, o.Reload(map[string]Limits{"a": a}))
	before := o.For("a")
	require.Equal(t, 7, before.MaxLineSize)
	require.Same(t, o.Defaults(), o.For("b"))
	require.Equal(t, []string{"a"}, o.Tenants())

	bad := a
	bad.DeletionMode = "never"
	require.ErrorContains(t, o.Reload(map[string]Limits{"b": bad}), "tenant b: deletion_mode")
	require.Same(t, before, o.For("a"), "a bad reload changes nothing")

	require.NoError(t, o.Set("b", a))
	require.Equal(t, []string{"a", "b"}, o.Tenants())
	require.NoError(t, o.Reload(nil))
	require.Same(t, o.Defaults(), o.For("a"))
	require.Equal(t, 7, before.MaxLineSize, "limits that were handed out stay as they were")

	_, err = New(Limits{})
	require.Error(t, err)
}

func TestOverridesAreSharedSafely(t *testing.T) {
	o, err := New(DefaultLimits())
	require.NoError(t, err)
	many := map[string]Limits{} // so that copying the table takes long enough to collide
	for i := range 500 {
		many[fmt.Sprint("other", i)] = DefaultLimits()
	}
	require.NoError(t, o.Reload(many))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				l := DefaultLimits()
				l.MaxLineSize = j
				if j > 0 && o.For(fmt.Sprint(i)).MaxLineSize != j-1 {
					t.Error("a change was lost")
				}
				if err := o.Set(fmt.Sprint(i), l); err != nil {
					t.Error(err)
				}
				if o.For(fmt.Sprint(i)).MaxLineSize != j {
					t.Error("a change was lost")
				}
			}
		})
	}
	wg.Wait()
}

func TestForAllocatesNothing(t *testing.T) {
	o, err := New(DefaultLimits())
	require.NoError(t, err)
	require.NoError(t, o.Set("a", DefaultLimits()))
	n := 0
	require.Zero(t, testing.AllocsPerRun(100, func() { n += o.For("a").MaxLineSize + o.For("b").MaxLineSize }))
}

func TestOTLPRules(t *testing.T) {
	l := DefaultLimits()
	require.Equal(t, OTLPIndexLabel, l.OTLP().Resource("service.name"))
	require.Equal(t, OTLPStructuredMetadata, l.OTLP().Resource("host.name"))
	require.Equal(t, OTLPStructuredMetadata, l.OTLP().Log("service.name"))

	l.OTLPConfig.ResourceAttributes.AttributesConfig = []OTLPAttributes{
		{Action: OTLPDrop, Regex: `service\..*`},
		{Action: OTLPIndexLabel, Attributes: []string{"team", "service.owner"}},
		{Action: OTLPDrop, Attributes: []string{"team"}, Regex: "te.*"},
	}
	l.OTLPConfig.LogAttributes = []OTLPAttributes{{Action: OTLPDrop, Regex: "noise"}}
	o, err := New(l)
	require.NoError(t, err)
	rules := o.Defaults().OTLP()
	require.Same(t, rules, o.For("x").OTLP(), "compiled once")
	f := func(attribute string, want OTLPAction) {
		t.Helper()
		require.Equal(t, want, rules.Resource(attribute))
	}
	f("service.name", OTLPDrop) // a tenant's rule beats the defaults
	f("service.owner", OTLPDrop)
	f("team", OTLPIndexLabel) // the first rule wins
	f("tempo", OTLPDrop)
	f("k8s.pod.name", OTLPIndexLabel)
	f("other", OTLPStructuredMetadata)
	require.Equal(t, OTLPDrop, rules.Log("noise"))
	require.Equal(t, OTLPStructuredMetadata, rules.Log("noises"), "a regex matches the whole name")
	require.Equal(t, OTLPStructuredMetadata, rules.Scope("noise"))

	l.OTLPConfig.ResourceAttributes.IgnoreDefaults = true
	require.Equal(t, OTLPStructuredMetadata, l.OTLP().Resource("k8s.pod.name"))
}

func TestFormat(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		require.Equal(t, want, FormatDuration(d))
	}
	f(0, "0s")
	f(time.Minute, "1m")
	f(90*time.Minute, "1h30m")
	f(7*day, "1w")
	f(8*day, "8d")
	f(721*time.Hour, "30d1h")
	f(1500*time.Millisecond, "1s500ms")
	f(time.Microsecond, "1µs")
	f(-time.Second, "-1s")
	g := func(n int64, want string) {
		t.Helper()
		require.Equal(t, want, FormatBytes(n))
	}
	g(0, "0B")
	g(1000, "1000B")
	g(1536<<10, "1536KB")
	g(256<<10, "256KB")
	g(150<<30, "150GB")
}

func TestRedactURL(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		require.Equal(t, want, RedactURL(in))
	}
	f("http://host:1/path", "http://host:1/path")
	f("s3://key:se/cr@et@minio.:9000/bucket", "s3://<redacted>@minio.:9000/bucket")
	f("user:pass@host:6379", "<redacted>@host:6379")
	f("redis://h/0?password=abc&db=1", "redis://h/0?password=<redacted>&db=1")
}

func TestValues(t *testing.T) {
	l := DefaultLimits()
	l.RulerRemoteWriteHeaders = map[string]string{"Authorization": "hush"}
	l.RulerRemoteWriteURL = "http://u:hush@host/"
	l.RulerAlertManagerConfig = &AlertManagerConfig{Client: AlertManagerClient{BasicAuthPassword: "hush"}}
	values := l.Values()
	for key, want := range map[string]any{
		"query_timeout": "1m", "max_query_bytes_read": "0B", "max_line_size": "256KB", "retention_period": "0s",
		"reject_old_samples_max_age": "1w", "max_query_length": "30d1h", "volume_max_series": 1000, "volume_enabled": true,
	} {
		require.Equal(t, want, values[key], key)
	}
	text, err := json.Marshal(values)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), `"otlp_config":{"log_attributes":[],"resource_attributes":{"attributes_config":`+
		`[{"action":"index_label","attributes":["service.name",`)
}
