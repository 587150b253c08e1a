package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads what Loki's files hold: Go's durations (1h30m, 1.5s), Prometheus' (1d, 1w, 1y), mixtures of both and
// a plain 0.
func parseDuration(text string) (time.Duration, error) {
	s, sign := strings.TrimSpace(text), 1.0
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		s, sign = rest, -1
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == 0 {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return time.Duration(sign) * d, nil
	}
	if s == "" {
		return 0, errDuration
	}
	var total float64
	for s != "" {
		i := 0
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			i++
		}
		n, err := strconv.ParseFloat(s[:i], 64)
		if err != nil {
			return 0, errDuration
		}
		j := i
		for j < len(s) && (s[j] < '0' || s[j] > '9') && s[j] != '.' {
			j++
		}
		unit, ok := durationUnits[s[i:j]]
		if !ok {
			return 0, errDuration
		}
		total += n * float64(unit)
		s = s[j:]
	}
	if total >= math.MaxInt64 {
		return 0, errors.New("a duration of at most 292 years")
	}
	return time.Duration(sign * total), nil
}

var errDuration = errors.New("a duration such as 30s, 5m, 1h30m, 7d or 0")

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
	"m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "y": 365 * day,
}

var (
	errSize = errors.New("a size such as 4MB, 256KB or a number of bytes")
	errInt  = errors.New("an integer")
)

// parseSize reads a number of bytes: 1048576, 1.048576e+06, 4MB, 1.5GiB. As in Loki a KB has 1024 bytes.
func parseSize(text string) (int64, error) {
	s := strings.ToUpper(strings.TrimSpace(text))
	var total float64
	if s == "" {
		return 0, errSize
	}
	if n, err := parseInt(s); err == nil {
		return n, nil
	}
	for s != "" {
		i := 0
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			i++
		}
		n, err := strconv.ParseFloat(s[:i], 64)
		if err != nil {
			return 0, errSize
		}
		j := i
		for j < len(s) && (s[j] < '0' || s[j] > '9') {
			j++
		}
		unit, ok := sizeUnits[strings.TrimSpace(s[i:j])]
		if !ok {
			return 0, errSize
		}
		total += n * unit
		s = s[j:]
	}
	if total >= math.MaxInt64 {
		return 0, errors.New("a size below 8 exbibytes")
	}
	return int64(total), nil
}

var sizeUnits = map[string]float64{
	"B": 1, "K": 1 << 10, "KB": 1 << 10, "KIB": 1 << 10, "M": 1 << 20, "MB": 1 << 20, "MIB": 1 << 20,
	"G": 1 << 30, "GB": 1 << 30, "GIB": 1 << 30, "T": 1 << 40, "TB": 1 << 40, "TIB": 1 << 40, "P": 1 << 50, "PB": 1 << 50, "PIB": 1 << 50,
}

// parseInt reads an integer, also one that was written as a float (1.5e+06): what some programs make of integers.
func parseInt(text string) (int64, error) {
	s := strings.ReplaceAll(strings.TrimSpace(text), "_", "")
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return n, nil
	}
	if len(s) > 64 || strings.ContainsAny(s, "pPxX/") {
		return 0, errInt
	}
	f, ok := new(big.Float).SetPrec(256).SetString(s)
	if !ok || f.IsInf() || f.MantExp(nil) > 64 {
		return 0, errInt
	}
	n, accuracy := f.Int64()
	if accuracy != big.Exact {
		return 0, errInt
	}
	return n, nil
}

func parseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("a number")
	}
	return f, nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on", "y", "t", "1":
		return true, nil
	case "false", "no", "off", "n", "f", "0":
		return false, nil
	}
	return false, errors.New("true or false")
}

var errTime = errors.New("a time such as 2026-01-31T00:00:00Z")

func parseTime(text string) (time.Time, error) {
	s := strings.TrimSpace(text)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if s == "0" || s == "" {
		return time.Time{}, nil
	}
	return time.Time{}, errTime
}

// parseDay reads the day from which a period holds.
func parseDay(text string) (time.Time, error) {
	s := strings.TrimSpace(text)
	if s == "0" {
		return time.Unix(0, 0).UTC(), nil
	}
	if t, err := time.Parse("2006-1-2", s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !t.Equal(t.Truncate(day)) {
		return time.Time{}, errors.New("a day such as 2024-01-31")
	}
	return t.UTC(), nil
}

// parseList splits a list that was written as one string.
func parseList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// checkBits tells whether an integer fits a type of that many bits.
func checkBits(n int64, bits int, unsigned bool) error {
	lowest, highest := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
	if unsigned {
		lowest, highest = 0, math.MaxInt64
		if bits < 64 {
			highest = 1<<bits - 1
		}
	}
	if n < lowest || n > highest {
		return fmt.Errorf("an integer from %d to %d", lowest, highest)
	}
	return nil
}
