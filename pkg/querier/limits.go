package querier

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"logstore/pkg/limits"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	logmodel "logstore/pkg/model"
)

// MaxPoints is how many steps a range query may have, so that each series has enough points for any screen and no more.
const MaxPoints = 11000

// strictest returns the limits of one tenant, or for several the smallest of each limit that queries obey.
func (q *Querier) strictest(ids []string) *limits.Limits {
	lim := q.limits.For(ids[0])
	if len(ids) == 1 {
		return lim
	}
	m := *lim
	for _, id := range ids[1:] {
		o := q.limits.For(id)
		m.MaxQuerySeries = smaller(m.MaxQuerySeries, o.MaxQuerySeries)
		m.MaxEntriesLimitPerQuery = smaller(m.MaxEntriesLimitPerQuery, o.MaxEntriesLimitPerQuery)
		m.MaxQueryParallelism = smaller(m.MaxQueryParallelism, o.MaxQueryParallelism)
		m.MaxQueryLength = smaller(m.MaxQueryLength, o.MaxQueryLength)
		m.MaxQueryRange = smaller(m.MaxQueryRange, o.MaxQueryRange)
		m.MaxQueryLookback = smaller(m.MaxQueryLookback, o.MaxQueryLookback)
		m.MaxQueryBytesRead = smaller(m.MaxQueryBytesRead, o.MaxQueryBytesRead)
		m.MaxQuerierBytesRead = smaller(m.MaxQuerierBytesRead, o.MaxQuerierBytesRead)
		m.QueryTimeout = smaller(m.QueryTimeout, o.QueryTimeout)
		m.VolumeMaxSeries = smaller(m.VolumeMaxSeries, o.VolumeMaxSeries)
	}
	return &m
}

// smaller returns the stricter of two limits, where zero means none.
func smaller[T ~int | ~int64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// limitError is an error that names a limit.
func limitError(format string, args ...any) error {
	return &exceeded{text: fmt.Sprintf(format, args...)}
}

type exceeded struct{ text string }

func (e *exceeded) Error() string { return e.text }
func (e *exceeded) Unwrap() error { return ErrLimit }

// checkQuery holds a query against the limits and cuts it to max_query_lookback.
func checkQuery(p *engine.Params, lim *limits.Limits, now time.Time) error {
	_, metric := p.Expr.(syntax.SampleExpr)
	if !metric && lim.MaxEntriesLimitPerQuery > 0 && p.Limit > lim.MaxEntriesLimitPerQuery {
		return limitError("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", p.Limit, lim.MaxEntriesLimitPerQuery)
	}
	if !p.Instant && p.Step > 0 && (p.End-p.Start)/int64(p.Step) > MaxPoints {
		return limitError("exceeded maximum resolution of 11,000 points per time series. Try decreasing the query resolution (?step=XX)")
	}
	if err := checkRanges(p.Expr, lim.MaxQueryRange); err != nil {
		return err
	}
	span := logmodel.Interval{Start: p.Start, End: p.End}
	if err := checkInterval(&span, lim, now); err != nil {
		return err
	}
	if !p.Instant {
		p.Start, p.End = span.Start, span.End
	}
	return nil
}

// checkInterval refuses what is longer than max_query_length and cuts off what is older than max_query_lookback.
func checkInterval(span *logmodel.Interval, lim *limits.Limits, now time.Time) error {
	return checkRounded(span, 0, lim, now)
}

// checkRounded is checkInterval for an interval whose end was rounded up by less than slack, which does not count.
func checkRounded(span *logmodel.Interval, slack time.Duration, lim *limits.Limits, now time.Time) error {
	if back := lim.MaxQueryLookback; back > 0 {
		oldest := now.Add(-back).UnixNano()
		span.Start = max(span.Start, oldest)
		span.End = max(span.End, oldest)
	}
	length := time.Duration(span.End - span.Start)
	if limit := lim.MaxQueryLength; limit > 0 && length-slack > limit {
		return limitError("the query time range exceeds the limit (query length: %s, limit: %s)", length, limits.FormatDuration(limit))
	}
	return nil
}

// checkRanges holds every range of the expression against max_query_range.
func checkRanges(e syntax.Expr, limit time.Duration) error {
	if limit <= 0 {
		return nil
	}
	switch e := e.(type) {
	case *syntax.RangeAggregation:
		if e.Range > limit {
			return limitError("[interval] value exceeds limit: [%s] > [%s]", model.Duration(e.Range), model.Duration(limit))
		}
	case *syntax.VectorAggregation:
		return checkRanges(e.Expr, limit)
	case *syntax.LabelReplace:
		return checkRanges(e.Expr, limit)
	case *syntax.BinaryExpr:
		if err := checkRanges(e.Left, limit); err != nil {
			return err
		}
		return checkRanges(e.Right, limit)
	}
	return nil
}
