package distributor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// stream is a short way to write a stream of a push: entries are strings (now, now+1, ...) or wire.PushEntry.
func stream(labels string, entries ...any) wire.PushStream {
	s := wire.PushStream{Labels: labels}
	for i, e := range entries {
		switch e := e.(type) {
		case string:
			s.Entries = append(s.Entries, wire.PushEntry{Timestamp: time.Now().UnixNano() + int64(i), Line: []byte(e)})
		case wire.PushEntry:
			s.Entries = append(s.Entries, e)
		}
	}
	return s
}

func at(ts int64, line string, meta ...model.Pair) wire.PushEntry {
	return wire.PushEntry{Timestamp: ts, Line: []byte(line), Metadata: meta}
}

func push(d *Distributor, tenantID string, streams ...wire.PushStream) (int, string) {
	return d.status(d.Push(tenant.Inject(context.Background(), tenantID), &wire.PushRequest{Streams: streams}))
}

func TestLimits(t *testing.T) {
	type limit func(l *limits.Limits)
	f := func(name string, change limit, wantStatus int, wantText string, wantStored string, streams func() []wire.PushStream) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lim := conformanceLimits()
				change(&lim)
				d, m, _, _ := newTestDistributor(t, lim)
				status, text := push(d, "u", streams()...)
				require.Equal(t, wantStatus, status, text)
				require.Equal(t, wantText, text)
				var stored []string
				for key, entries := range m.streams {
					for _, e := range entries {
						stored = append(stored, strings.TrimPrefix(key, "u ")+" "+e.line+" "+e.meta)
					}
				}
				require.Equal(t, wantStored, strings.Join(stored, "; "))
			})
		})
	}
	one := func(labels string, entries ...any) func() []wire.PushStream {
		return func() []wire.PushStream { return []wire.PushStream{stream(labels, entries...)} }
	}
	none := func(*limits.Limits) {}
	// A synctest bubble begins at midnight UTC 2000-01-01.
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	hour := int64(time.Hour)

	f("good", none, 204, "", `{a="b"} x `, one(`{a="b"}`, "x"))
	f("no streams", none, 422, "error at least one valid stream is required for ingestion", "", func() []wire.PushStream { return nil })
	f("no entries", none, 204, "", "", one(`{}`))
	f("no entries, bad labels", none, 400, `couldn't parse labels: 1:2: parse error: unexpected end of input inside braces`, "", one(`{`))
	f("labels in another form", none, 204, "", `{a="b", c="d"} x `, one("{ c = `d` , gone=\"\", a='b',}", "x"))
	f("rate", func(l *limits.Limits) { l.IngestionRateMB, l.IngestionBurstSizeMB = 0.0001, 0.0002 }, 429,
		"ingestion rate limit exceeded for user u (limit: 104 bytes/sec) while attempting to ingest '1' lines totaling '300' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased", "",
		one(`{a="b"}`, strings.Repeat("x", 300)))
	f("too old", func(l *limits.Limits) { l.RejectOldSamples = true }, 400,
		`entry for stream '{a="b"}' has timestamp too old: 1999-12-24T23:00:00Z, oldest acceptable timestamp is: 1999-12-25T00:00:00Z`, `{a="b"} new `,
		one(`{a="b"}`, at(start-7*24*hour-hour, "old"), at(start-7*24*hour, "new")))
	f("too new", none, 400, `entry for stream '{a="b"}' has timestamp too new: 2000-01-01T00:10:01Z`, `{a="b"} good `,
		one(`{a="b"}`, at(start+hour/6+1e9, "new"), at(start+hour/6, "good")))
	f("several", func(l *limits.Limits) { l.MaxLineSize, l.MaxLabelValueLength = 3, 3 }, 400,
		`2 errors like: max entry size '3' bytes exceeded for stream '{a="b"}' while adding an entry with length '4' bytes; 1 errors like: stream '{a="long"}' has label value too long: 'long'`, `{a="b"} x `,
		func() []wire.PushStream {
			return []wire.PushStream{stream(`{a="b"}`, "long", "x", "longer"), stream(`{a="long"}`, "y", "z")}
		})
	f("blocked", func(l *limits.Limits) { l.BlockIngestionUntil = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }, 260,
		"ingestion blocked for user 'u' until '2100-01-01T00:00:00Z' with status code '260'", "", one(`{a="b"}`, "x"))
	f("blocked in silence", func(l *limits.Limits) {
		l.BlockIngestionUntil, l.BlockIngestionStatusCode = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), 200
	}, 204, "", "", one(`{a="b"}`, "x"))
	f("block is over", func(l *limits.Limits) { l.BlockIngestionUntil = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }, 204, "", `{a="b"} x `, one(`{a="b"}`, "x"))
	f("truncated", func(l *limits.Limits) {
		l.MaxLineSize, l.MaxLineSizeTruncate, l.MaxLineSizeTruncateIdentifier = 10, true, "..."
	}, 204, "", `{a="b"} 0123456789 ; {a="b"} 0123456... `, one(`{a="b"}`, "0123456789", "0123456789abcdef"))
	f("enforced labels", func(l *limits.Limits) { l.EnforcedLabels = []string{"a", "env", "team"} }, 400,
		`missing required labels 'env,team' for user 'u' for stream '{a="b"}' (policy: '')`, "", one(`{a="b"}`, "x"))
	f("label count", func(l *limits.Limits) { l.MaxLabelNamesPerSeries = 1 }, 400,
		`entry for stream '{a="b", c="d", service_name="s"}' has 2 label names; limit 1`, "", one(`{a="b",c="d",service_name="s"}`, "x"))
	f("service_name is not counted", func(l *limits.Limits) { l.MaxLabelNamesPerSeries, l.DiscoverServiceName = 1, []string{"job"} }, 204, "",
		`{a="b", service_name="unknown_service"} x `, one(`{a="b"}`, "x"))
	f("service_name", func(l *limits.Limits) { l.DiscoverServiceName = []string{"app", "job"} }, 204, "",
		`{app="w", job="j", service_name="w"} x `, one(`{job="j",app="w"}`, "x"))
	f("service_name of one's own", func(l *limits.Limits) { l.DiscoverServiceName = []string{"app"} }, 204, "",
		`{app="w", service_name="own"} x `, one(`{app="w",service_name="own"}`, "x"))
	f("service_name alone", func(l *limits.Limits) { l.DiscoverServiceName = []string{"app"} }, 204, "", `{service_name="unknown_service"} x `, one(`{}`, "x"))
	f("no metadata", func(l *limits.Limits) { l.AllowStructuredMetadata = false }, 400,
		"stream '{a=\"b\"}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it", `{a="b"} y `,
		one(`{a="b"}`, at(start, "x", model.Pair{Name: "k", Value: "v"}), "y"))
	f("metadata", func(l *limits.Limits) { l.DiscoverLogLevels = true }, 204, "", `{a="b"} x _u=3,a=0,detected_level=unknown,e_f=1,key_1st=2,z_y=5`,
		one(`{a="b"}`, at(start, "x", model.Pair{Name: "z.y", Value: "4"}, model.Pair{Name: "e//f", Value: "1"}, model.Pair{Name: "1st", Value: "2"},
			model.Pair{Name: "a", Value: "0"}, model.Pair{Name: "__u", Value: "3"}, model.Pair{Name: "gone"}, model.Pair{Name: "z-y", Value: "5"})))
	f("metadata of nothing", none, 204, "", `{a="b"} x `, one(`{a="b"}`, at(start, "x", model.Pair{Name: "gone"}, model.Pair{Value: "v"})))
	f("level is there", func(l *limits.Limits) { l.DiscoverLogLevels = true }, 204, "", `{a="b"} error a=0,detected_level=own,z=1`,
		one(`{a="b"}`, at(start, "error", model.Pair{Name: "z", Value: "1"}, model.Pair{Name: "detected_level", Value: "own"}, model.Pair{Name: "a", Value: "0"})))
	f("level of the stream", func(l *limits.Limits) { l.DiscoverLogLevels = true }, 204, "", `{level="WARN"} error detected_level=warn`, one(`{level="WARN"}`, "error"))
	f("level of metadata", func(l *limits.Limits) { l.DiscoverLogLevels = true }, 204, "", `{a="b"} error detected_level=info,level=Information`,
		one(`{a="b"}`, at(start, "error", model.Pair{Name: "level", Value: "Information"})))
}

func TestIncrementDuplicateTimestamps(t *testing.T) {
	f := func(in []any, want ...int64) {
		t.Helper()
		var entries []wire.PushEntry
		for i := 0; i < len(in); i += 2 {
			entries = append(entries, at(int64(in[i].(int)), in[i+1].(string)))
		}
		moveDuplicates(entries)
		var got []int64
		for _, e := range entries {
			got = append(got, e.Timestamp)
		}
		require.Equal(t, want, got)
	}
	f(nil)
	f([]any{5, "a"}, 5)
	f([]any{5, "a", 5, "b", 5, "c"}, 5, 6, 7)
	f([]any{5, "a", 5, "a", 5, "b"}, 5, 5, 6)
	f([]any{5, "a", 5, "b", 6, "c", 6, "d", 20, "e"}, 5, 6, 7, 8, 20)
	f([]any{5, "a", 5, "b", 6, "b"}, 5, 6, 7)
	f([]any{5, "a", 4, "b", 5, "c"}, 5, 4, 5)
	f([]any{5, "a", 5, "b", 5, "b"}, 5, 6, 6)
}

func TestRateComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := conformanceLimits()
		lim.IngestionRateMB, lim.IngestionBurstSizeMB = 1, 2
		d, m, overrides, _ := newTestDistributor(t, lim)
		mib := strings.Repeat("x", 1<<18)
		four := stream(`{a="b"}`, mib, mib, mib, mib)
		for want := range 2 {
			status, text := push(d, "u", four)
			require.Equal(t, 204, status, "%d %s", want, text)
		}
		err := d.Push(tenant.Inject(t.Context(), "u"), &wire.PushRequest{Streams: []wire.PushStream{four}})
		var refused *PushError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 429, refused.Status)
		require.Equal(t, time.Second, refused.RetryAfter)
		// Another tenant has a rate of its own.
		status, _ := push(d, "v", four)
		require.Equal(t, 204, status)
		time.Sleep(time.Second)
		status, _ = push(d, "u", four)
		require.Equal(t, 204, status)
		require.Equal(t, 4, m.pushes)
		// A new limit counts from the next push on.
		lim.IngestionRateMB, lim.IngestionBurstSizeMB = 8, 8
		require.NoError(t, overrides.Set("u", lim))
		time.Sleep(time.Second)
		status, _ = push(d, "u", four)
		require.Equal(t, 204, status)
		time.Sleep(time.Second)
		for range 8 {
			status, _ = push(d, "u", four)
			require.Equal(t, 204, status)
		}
		status, _ = push(d, "u", four)
		require.Equal(t, 429, status)
	})
}

func TestNewLimitsChangeKnownStreams(t *testing.T) {
	lim := conformanceLimits()
	d, m, overrides, _ := newTestDistributor(t, lim)
	for range 2 {
		status, _ := push(d, "u", stream(`{a="long"}`, "x"))
		require.Equal(t, 204, status)
	}
	require.Equal(t, 1.0, testutil.ToFloat64(d.metrics.parsedLabelSet))
	require.Equal(t, 1.0, testutil.ToFloat64(d.metrics.cachedStreamHits))
	lim.MaxLabelValueLength = 3
	require.NoError(t, overrides.Set("u", lim))
	status, text := push(d, "u", stream(`{a="long"}`, "y", "z"))
	require.Equal(t, 400, status)
	require.Equal(t, `stream '{a="long"}' has label value too long: 'long'`, text)
	lim.MaxLabelValueLength, lim.DiscoverServiceName = 4, []string{"a"}
	require.NoError(t, overrides.Set("u", lim))
	status, _ = push(d, "u", stream(`{a="long"}`, "y"))
	require.Equal(t, 204, status)
	require.Len(t, m.streams[`u {a="long", service_name="long"}`], 1)
	require.Equal(t, 2.0, testutil.ToFloat64(d.metrics.discarded.WithLabelValues(reasonLabelValue, "u")))
	require.Equal(t, 2.0, testutil.ToFloat64(d.metrics.discardedBytes.WithLabelValues(reasonLabelValue, "u")))
	require.Equal(t, 5.0, testutil.ToFloat64(d.metrics.lines.WithLabelValues("u")))
}

func TestCacheKeepsNothingOfTheRequest(t *testing.T) {
	d, m, _, _ := newTestDistributor(t, conformanceLimits())
	raw := []byte(`{ b="2",a="1" }`)
	for range 2 {
		status, text := push(d, "u", stream(wire.AliasString(raw), "x"))
		require.Equal(t, 204, status, text)
	}
	require.Equal(t, 1.0, testutil.ToFloat64(d.metrics.parsedLabelSet))
	require.Equal(t, 2.0, testutil.ToFloat64(d.metrics.bytes.WithLabelValues("u")))
	// The request's memory serves another one: the first label set is still found, and is not taken for the new one.
	copy(raw, `{ c="3",d="4" }`)
	for _, labels := range []string{string(raw), `{ b="2",a="1" }`} {
		status, text := push(d, "u", stream(labels, "x"))
		require.Equal(t, 204, status, text)
	}
	require.Equal(t, 2.0, testutil.ToFloat64(d.metrics.parsedLabelSet))
	require.Len(t, m.streams, 2)
	require.NotEmpty(t, m.streams[`u {c="3", d="4"}`])
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _, _ := newTestDistributor(t, conformanceLimits())
		d.cfg.CachedStreams = 10
		for i := range 100 {
			for range 2 {
				status, _ := push(d, "u", stream(fmt.Sprintf(`{a="%d"}`, i), "x"), stream(`{a="always"}`, "x"))
				require.Equal(t, 204, status)
			}
			u := d.tenants.byID["u"]
			require.LessOrEqual(t, len(u.recent)+len(u.older), 20)
		}
		require.Equal(t, 101.0, testutil.ToFloat64(d.metrics.parsedLabelSet))
		// What is not used any more is gone after twice the age.
		for range 2 {
			time.Sleep(d.cfg.CachedStreamAge)
			status, _ := push(d, "u", stream(`{a="always"}`, "x"))
			require.Equal(t, 204, status)
		}
		u := d.tenants.byID["u"]
		require.Len(t, u.recent, 1)
		require.Len(t, u.older, 1)
		require.Equal(t, 101.0, testutil.ToFloat64(d.metrics.parsedLabelSet))
	})
}

func TestIdleTenantsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _, _ := newTestDistributor(t, conformanceLimits())
		for i := range tenantsBeforeSweep {
			push(d, fmt.Sprint("t", i), stream(`{a="b"}`, "x"))
		}
		time.Sleep(2 * idleTenant)
		push(d, "t0", stream(`{a="b"}`, "x"))
		push(d, "new", stream(`{a="b"}`, "x"))
		require.Len(t, d.tenants.byID, 2)
		require.Equal(t, 2, testutil.CollectAndCount(d.metrics.lines))
	})
}

func TestIngesterRefusals(t *testing.T) {
	lim := conformanceLimits()
	lim.MaxLineSize = 3
	d, m, _, _ := newTestDistributor(t, lim)
	m.refuse = func(string, []wire.Stream) error {
		return &wire.RefusedError{Refusals: []wire.Refusal{
			{Stream: 0, Kind: wire.StreamLimit, Labels: `{a="c"}`, Entries: 2, Bytes: 2, Total: 2},
			{Stream: 1, Kind: wire.TooFarBehind, Labels: `{a="d"}`, Entries: 1, Bytes: 1, Total: 2,
				First: []wire.RefusedEntry{{Timestamp: 1768870500_000000000, Oldest: 1768870600_000000000}}},
			{Stream: 2, Kind: wire.StreamLimit, Labels: `{a="e"}`, Entries: 1, Bytes: 1, Total: 1},
		}}
	}
	err := d.Push(tenant.Inject(t.Context(), "u"), &wire.PushRequest{Streams: []wire.PushStream{stream(`{a="c"}`, "x", "long")}})
	var refused *PushError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 429, refused.Status)
	require.Equal(t, defaultRetryAfter, refused.RetryAfter)
	require.Equal(t, `1 errors like: max entry size '3' bytes exceeded for stream '{a="c"}' while adding an entry with length '4' bytes; `+
		`2 errors like: maximum active stream limit exceeded when trying to create stream {a="c"}, reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, user: 'u'; `+
		`1 errors like: entry with timestamp 2026-01-20 00:55:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-01-20T00:55:00Z, oldest acceptable timestamp is: 2026-01-20T00:56:40Z',`+"\n"+`user 'u', total ignored: 1 out of 2 for stream: {a="d"}`, refused.Text)
	require.Equal(t, 3.0, testutil.ToFloat64(d.metrics.discarded.WithLabelValues("stream_limit", "u")))
	require.Equal(t, 1.0, testutil.ToFloat64(d.metrics.discarded.WithLabelValues("too_far_behind", "u")))
}

func TestStreamRateText(t *testing.T) {
	r := wire.Refusal{Kind: wire.StreamRate, Labels: `{a="b"}`, Entries: 1, Total: 1, Limit: 100, First: []wire.RefusedEntry{{Timestamp: 0, Bytes: 150}}}
	require.Contains(t, r.Text("u"), `Per stream rate limit exceeded (limit: 100B/sec) while attempting to ingest for stream '{a="b"}' totaling 150B, consider`)
}

func TestIngesterFails(t *testing.T) {
	d, m, _, _ := newTestDistributor(t, conformanceLimits())
	m.refuse = func(string, []wire.Stream) error { return fmt.Errorf("%w: no space left", wire.ErrUnavailable) }
	err := d.Push(tenant.Inject(t.Context(), "u"), &wire.PushRequest{Streams: []wire.PushStream{stream(`{a="c"}`, "x")}})
	var refused *PushError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 503, refused.Status)
	require.Positive(t, refused.RetryAfter)
	require.Equal(t, "cannot store push: ingester unavailable: no space left", refused.Text)
	require.ErrorIs(t, err, wire.ErrUnavailable)

	ctx, cancel := context.WithCancel(tenant.Inject(t.Context(), "u"))
	cancel()
	m.refuse = func(string, []wire.Stream) error { return context.Canceled }
	err = d.Push(ctx, &wire.PushRequest{Streams: []wire.PushStream{stream(`{a="c"}`, "x")}})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 499, refused.Status)
}

func TestConcurrentPushes(t *testing.T) {
	d, m, overrides, _ := newTestDistributor(t, conformanceLimits())
	errs := make(chan error, 8)
	for worker := range cap(errs) {
		go func() {
			var failed error
			for i := range 200 {
				r := &wire.PushRequest{Streams: []wire.PushStream{
					stream(fmt.Sprintf(`{a="%d"}`, i%17), fmt.Sprint(worker, " ", i)),
					stream(`{app="x",worker="`+fmt.Sprint(worker)+`"}`, fmt.Sprint(i), "info y"),
				}}
				failed = errors.Join(failed, d.Push(tenant.Inject(context.Background(), fmt.Sprint("t", worker%3)), r))
				if i%50 == 0 {
					failed = errors.Join(failed, overrides.Set("t1", conformanceLimits()))
				}
			}
			errs <- failed
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	total := 0
	for _, entries := range m.streams {
		total += len(entries)
	}
	require.Equal(t, 8*200*3, total)
}

// TestBeforeSchema wants entries from before the first period to be refused: no place is theirs.
func TestBeforeSchema(t *testing.T) {
	d, m, _, _ := newTestDistributor(t, conformanceLimits())
	d.schema = 1000
	status, text := push(d, "u", stream(`{app="x"}`, at(999, "before"), at(1000, "after")))
	require.Equal(t, 400, status)
	require.Contains(t, text, "no schema config found for time 1970-01-01T00:00:00Z")
	for _, entries := range m.streams {
		require.Equal(t, []entry{{ts: 1000, line: "after"}}, entries)
	}
}
