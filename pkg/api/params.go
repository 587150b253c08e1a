package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	prommodel "github.com/prometheus/common/model"

	"logstore/pkg/model"
	"logstore/pkg/querier"
)

const (
	defaultLimit = 100
	defaultSince = time.Hour
)

// parseTime reads a time: up to ten digits are seconds, more are nanoseconds, with a dot it is seconds and a fraction to
// the millisecond, and all else is RFC 3339.
func parseTime(s string) (int64, error) {
	if strings.Contains(s, ".") {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			sec, frac := math.Modf(f)
			ms := int64(math.Round(frac * 1000))
			return int64(sec)*int64(time.Second) + ms*int64(time.Millisecond), nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		if len(s) <= 10 {
			return n * int64(time.Second), nil
		}
		return n, nil
	}
	t, timeErr := time.Parse(time.RFC3339Nano, s)
	if timeErr != nil {
		return 0, fmt.Errorf("%w (a time is nanoseconds or seconds since 1970, or RFC 3339)", err)
	}
	return t.UnixNano(), nil
}

func timeParam(r *http.Request, name string, def int64) (int64, error) {
	s := r.Form.Get(name)
	if s == "" {
		return def, nil
	}
	t, err := parseTime(s)
	if err != nil {
		return 0, badRequest("could not parse '%s' parameter: %v", name, err)
	}
	return t, nil
}

// bounds reads start, end and since. start is by default `since` before the earlier of end and now.
func (a *API) bounds(r *http.Request) (start, end int64, err error) {
	now := a.deps.Now().UnixNano()
	end, err = timeParam(r, "end", now)
	if err != nil {
		return 0, 0, err
	}
	since := defaultSince
	if s := r.Form.Get("since"); s != "" {
		d, err := prommodel.ParseDuration(s)
		if err != nil {
			return 0, 0, badRequest("could not parse 'since' parameter: %v", err)
		}
		since = time.Duration(d)
	}
	start, err = timeParam(r, "start", min(end, now)-int64(since))
	if err != nil {
		return 0, 0, err
	}
	if end < start {
		return 0, 0, badRequest("end timestamp must not be before or equal to start time")
	}
	return start, end, nil
}

// interval is bounds as a half-open interval; equal bounds mean that very instant.
func (a *API) interval(r *http.Request) (model.Interval, error) {
	start, end, err := a.bounds(r)
	return model.Interval{Start: start, End: max(end, start+1)}, err
}

// seriesInterval reads the bounds of a request for series. Its end is inclusive and is rounded up to the millisecond, the
// unit of the index, as Loki does.
func (a *API) seriesInterval(r *http.Request) (model.Interval, error) {
	start, end, err := a.bounds(r)
	if rest := end % int64(time.Millisecond); rest > 0 && end < math.MaxInt64-int64(time.Millisecond) {
		end += int64(time.Millisecond) - rest
	}
	if end < math.MaxInt64 {
		end++
	}
	return model.Interval{Start: start, End: max(end, start+1)}, err
}

func intParam(r *http.Request, name string, def int) (int, error) {
	s := r.Form.Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, badRequest("%v (parameter %s)", err, name)
	}
	return n, nil
}

func limitParam(r *http.Request) (int, error) {
	n, err := intParam(r, "limit", defaultLimit)
	if err == nil && n < 1 {
		err = badRequest("limit must be a positive value")
	}
	return n, err
}

func directionParam(r *http.Request) (model.Direction, error) {
	switch s := r.Form.Get("direction"); strings.ToLower(s) {
	case "", "backward":
		return model.Backward, nil
	case "forward":
		return model.Forward, nil
	default:
		return 0, badRequest("invalid direction '%s'", s)
	}
}

// duration reads float seconds or a duration such as 5m or 250ms.
func duration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		ns := f * float64(time.Second)
		if math.IsNaN(ns) || ns > math.MaxInt64 || ns < math.MinInt64 {
			return 0, badRequest("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := prommodel.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, badRequest("cannot parse %q to a valid duration", s)
}

func stepParam(r *http.Request, start, end int64) (time.Duration, error) {
	step := time.Duration(max(1, (end-start)/250/int64(time.Second))) * time.Second
	if s := r.Form.Get("step"); s != "" {
		var err error
		if step, err = duration(s); err != nil {
			return 0, err
		}
	}
	if step <= 0 {
		return 0, badRequest("zero or negative query resolution step widths are not accepted. Try a positive integer")
	}
	if (end-start)/int64(step) > querier.MaxPoints { // log queries are held to it too
		return 0, badRequest("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return step, nil
}

func intervalParam(r *http.Request) (time.Duration, error) {
	s := r.Form.Get("interval")
	if s == "" {
		return 0, nil
	}
	d, err := duration(s)
	if err == nil && d < 0 {
		err = badRequest("interval must be >= 0")
	}
	return d, err
}
