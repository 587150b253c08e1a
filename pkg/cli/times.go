package cli

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/client"
	"logstore/pkg/command"
)

// span are the flags of a time range.
type span struct {
	since    durationFlag
	from, to string
}

// durationFlag reads durations with days and weeks.
type durationFlag time.Duration

func (d *durationFlag) String() string { return trimDuration(time.Duration(*d)) }
func (d *durationFlag) Set(text string) error {
	v, err := client.ParseDuration(text)
	*d = durationFlag(v)
	return err
}

// trimDuration writes 1h and not 1h0m0s.
func trimDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (s *span) register(set *flag.FlagSet, since time.Duration) {
	s.since = durationFlag(since)
	set.Var(&s.since, "since", "begin so long before now, if there is no -from: a `DURATION` such as 15m, 24h or 7d")
	set.StringVar(&s.from, "from", "", "first instant, a `TIME`: 2026-01-31T12:00:00Z, 2026-01-31T12:00:00 and 2026-01-31 (in this\nmachine's time zone), seconds or nanoseconds since 1970, or 2h for two hours ago")
	set.StringVar(&s.to, "to", "", "first instant behind, a `TIME` like -from; now if not given")
}

// at returns the time range that the flags name.
func (s *span) at(now time.Time) (client.Span, error) {
	out := client.Span{Start: now.Add(-time.Duration(s.since)), End: now}
	var err error
	if s.to != "" {
		if out.End, err = parseTime(s.to, now); err != nil {
			return out, command.Usagef("-to: %w", err)
		}
		out.Start = out.End.Add(-time.Duration(s.since))
	}
	if s.from != "" {
		if out.Start, err = parseTime(s.from, now); err != nil {
			return out, command.Usagef("-from: %w", err)
		}
	}
	if !out.Start.Before(out.End) {
		return out, command.Usagef("the time range is empty: it begins %s and ends %s", out.Start.Format(time.RFC3339), out.End.Format(time.RFC3339))
	}
	return out, nil
}

// parseTime reads an instant.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		if len(text) <= 10 {
			return time.Unix(n, 0), nil
		}
		return time.Unix(0, n), nil
	}
	if d, err := client.ParseDuration(strings.TrimPrefix(text, "now-")); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-01-31T12:00:00Z, 2026-01-31, 1769860800 or 2h (ago)", text)
}

// maxQuery bounds a query that is read from the standard input.
const maxQuery = 1 << 20

func readAll(r io.Reader) (string, error) {
	if r == nil {
		return "", command.Usagef("there is no standard input")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxQuery))
	return string(text), err
}
