package schema

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	require.NoError(t, err)
	return d
}

func threePeriods(t *testing.T) Periods {
	ps := Periods{period(9), period(11), period(12)}
	ps[0].From, ps[1].From, ps[2].From = day(t, "2026-01-01"), day(t, "2026-01-11"), day(t, "2026-01-12")
	require.NoError(t, ps.Validate())
	return ps
}

func TestPeriodAt(t *testing.T) {
	ps := threePeriods(t)
	f := func(at string, want int) {
		t.Helper()
		ts, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		require.Equal(t, want, ps.At(ts.UnixMilli()))
	}
	f("2026-01-01T00:00:00Z", 0)
	f("2026-01-10T23:59:59.999Z", 0)
	f("2026-01-11T00:00:00Z", 1)
	f("2026-01-12T00:00:00Z", 2)
	f("2099-01-01T00:00:00Z", 2)
	f("1980-01-01T00:00:00Z", 0) // nothing is without a period
	require.Equal(t, 0, ps.At(math.MinInt64))

	from, through := ps.Bounds(1)
	require.Equal(t, day(t, "2026-01-11").UnixMilli(), from)
	require.Equal(t, day(t, "2026-01-12").UnixMilli()-1, through)
}

func TestSpans(t *testing.T) {
	ps := threePeriods(t)
	d11 := day(t, "2026-01-11").UnixMilli()
	const d = 20464 // the 11th
	f := func(from, through int64, want ...Span) {
		t.Helper()
		require.Equal(t, want, ps.Spans(from, through))
	}
	f(d11, d11, Span{1, d, d11, d11, 0})
	f(d11-1, d11, Span{0, d - 1, d11 - 1, d11 - 1, MillisPerDay - 1}, Span{1, d, d11, d11, 0})
	f(d11-MillisPerDay, d11+MillisPerDay,
		Span{0, d - 1, d11 - MillisPerDay, d11 - 1, MillisPerDay - 1},
		Span{1, d, d11, d11 + MillisPerDay - 1, MillisPerDay - 1},
		Span{2, d + 1, d11 + MillisPerDay, d11 + MillisPerDay, 0})
	// Within one period the end of a day that is not the last is the whole day.
	f(d11-3*MillisPerDay+7, d11-MillisPerDay-1,
		Span{0, d - 3, d11 - 3*MillisPerDay + 7, d11 - 2*MillisPerDay - 1, MillisPerDay},
		Span{0, d - 2, d11 - 2*MillisPerDay, d11 - MillisPerDay - 1, MillisPerDay - 1})
	f(-1, 0, Span{0, -1, -1, -1, MillisPerDay}, Span{0, 0, 0, 0, 0})

	require.Empty(t, ps.SpansOf(model.Interval{Start: 5, End: 5}))
	require.Len(t, ps.SpansOf(model.Interval{Start: d11 * 1e6, End: (d11 + MillisPerDay) * 1e6}), 1)
	require.Len(t, ps.SpansOf(model.Interval{Start: d11*1e6 - 1, End: d11*1e6 + 1}), 2)
}

func TestTables(t *testing.T) {
	ps := threePeriods(t)
	ps[2].IndexPrefix = "new_"
	require.Equal(t, "index_20463", ps[0].Table(20463))
	require.Equal(t, "index/index_20463/", ps[0].TableKey("index_20463"))
	f := func(name string, period int, day int64, ok bool) {
		t.Helper()
		gotPeriod, gotDay, gotOK := ps.FindTable(name)
		require.Equal(t, ok, gotOK)
		require.Equal(t, period, gotPeriod)
		require.Equal(t, day, gotDay)
	}
	f("index_20463", 0, 20463, true)
	f("index_20464", 1, 20464, true)
	f("new_20465", 2, 20465, true)
	for _, name := range []string{"index_20465", "index_", "index_x", "index_+1", "index_007", "delete_requests", "uploader", ""} {
		f(name, 0, 0, false)
	}
}

func TestValidate(t *testing.T) {
	good := threePeriods(t)
	f := func(want string, change func(ps Periods) Periods) {
		t.Helper()
		err := change(append(Periods{}, good...)).Validate()
		require.ErrorIs(t, err, ErrPeriod)
		require.ErrorContains(t, err, want)
	}
	f("no period", func(Periods) Periods { return nil })
	f("configs[1]: invalid schema period: from 2026-01-01 is not after", func(ps Periods) Periods { ps[1].From = ps[0].From; return ps })
	f("not midnight", func(ps Periods) Periods { ps[0].From = ps[0].From.Add(time.Hour); return ps })
	f(`store "boltdb"`, func(ps Periods) Periods { ps[0].Store = "boltdb"; return ps })
	f("schema v14", func(ps Periods) Periods { ps[0].Schema = 14; return ps })
	f("index.period 168h", func(ps Periods) Periods { ps[0].IndexPeriod = 168 * time.Hour; return ps })
	f("row_shards 0", func(ps Periods) Periods { ps[1].RowShards = 0; return ps })
	f("index.prefix", func(ps Periods) Periods { ps[1].IndexPrefix = "a/b"; return ps })
	f("index.path_prefix", func(ps Periods) Periods { ps[1].PathPrefix = "index"; return ps })
	f("index.path_prefix", func(ps Periods) Periods { ps[1].PathPrefix = "/index/"; return ps })

	for _, s := range []string{"v9", "v13"} {
		v, err := ParseVersion(s)
		require.NoError(t, err)
		require.Equal(t, s, v.String())
	}
	for _, s := range []string{"", "v8", "v14", "13", "v", "v300", "v-9"} {
		_, err := ParseVersion(s)
		require.ErrorIs(t, err, ErrPeriod, s)
	}
}
