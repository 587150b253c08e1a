package api

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

func TestParseTime(t *testing.T) {
	f := func(s string, want int64) {
		t.Helper()
		got, err := parseTime(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	f("1768867200", 1768867200e9)
	f("0", 0)
	f("1768867200.25", 1768867200_250e6)
	f("1768867200.0004", 1768867200e9)
	f("1768867200000000001", 1768867200000000001)
	f("1768867200000", 1768867200000) // thirteen digits are nanoseconds, not milliseconds
	f("4000000000", 4000000000e9)
	f("2026-01-20T00:00:00Z", 1768867200e9)
	f("2026-01-20T02:30:00.5+02:00", 1768869000_500e6)
	for _, bad := range []string{"noon", "2026-01-20", "1e3x", "", "1.2.3"} {
		_, err := parseTime(bad)
		require.Error(t, err, bad)
	}
}

func TestDuration(t *testing.T) {
	f := func(s string, want time.Duration) {
		t.Helper()
		got, err := duration(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	f("1", time.Second)
	f("0.25", 250*time.Millisecond)
	f("1e2", 100*time.Second)
	f("5m", 5*time.Minute)
	f("1h30m", 90*time.Minute)
	f("15000ms", 15*time.Second)
	for _, bad := range []string{"fast", "5 m", "NaN", "1e300", ""} {
		_, err := duration(bad)
		require.Error(t, err, bad)
	}
}

func TestRangeParams(t *testing.T) {
	now := time.Unix(1768867200, 0)
	a := &API{deps: Deps{Now: func() time.Time { return now }}}
	f := func(params, wantErr string, check func(start, end int64, step time.Duration)) {
		t.Helper()
		form, err := url.ParseQuery(params)
		require.NoError(t, err)
		p, err := a.rangeParams(&http.Request{Form: form})
		if wantErr != "" {
			require.ErrorContains(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		check(p.Start, p.End, p.Step)
	}
	q := `query={a="b"}&`
	f(q, "", func(start, end int64, step time.Duration) {
		require.Equal(t, now.UnixNano(), end)
		require.Equal(t, now.Add(-time.Hour).UnixNano(), start)
		require.Equal(t, 14*time.Second, step)
	})
	f(q+"since=20m&end=1768863600", "", func(start, end int64, _ time.Duration) {
		require.EqualValues(t, 1768863600e9, end)
		require.EqualValues(t, 1768862400e9, start)
	})
	f(q+"end=1768870800", "", func(start, _ int64, _ time.Duration) {
		require.Equal(t, now.Add(-time.Hour).UnixNano(), start, "start counts from the earlier of end and now")
	})
	f(q+"start=5&end=5", "", func(start, end int64, _ time.Duration) { require.Equal(t, start+1, end) })
	f(q+"start=6&end=5", "end timestamp must not be before or equal to start time", nil)
	f(q+"start=x", "could not parse 'start' parameter", nil)
	f(q+"since=x", "could not parse 'since' parameter", nil)
	f(q+"limit=0", "limit must be a positive value", nil)
	f(q+"limit=many", "limit", nil)
	f(q+"direction=up", "invalid direction 'up'", nil)
	f(q+"step=0", "zero or negative query resolution", nil)
	f(q+"step=0.1", "exceeded maximum resolution of 11,000 points", nil)
	f(q+"interval=-1", "interval must be >= 0", nil)
	f("query={a=", "parse error", nil)
	f("", "parse error", nil)
}

func TestDirection(t *testing.T) {
	for s, want := range map[string]model.Direction{"": model.Backward, "FORWARD": model.Forward, "Backward": model.Backward} {
		got, err := directionParam(&http.Request{Form: url.Values{"direction": {s}}})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestSeriesInterval(t *testing.T) {
	a := &API{deps: Deps{Now: time.Now}}
	f := func(start, end string, want model.Interval) {
		t.Helper()
		got, err := a.seriesInterval(&http.Request{Form: url.Values{"start": {start}, "end": {end}}})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	const day = 1768089600e9
	f("1768003200000000000", "1768089599999999999", model.Interval{Start: 1768003200e9, End: day + 1})
	f("1768003200000000000", "1768089600000000000", model.Interval{Start: 1768003200e9, End: day + 1})
	f("1768089600000000000", "1768089600000000001", model.Interval{Start: day, End: day + 1e6 + 1})
	f("1768089600000000000", "1768089600000000000", model.Interval{Start: day, End: day + 1})
}
