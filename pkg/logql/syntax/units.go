package syntax

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

type durationUnit struct {
	name string
	size time.Duration
}

// allUnits are the units of durations in the order in which they may follow each other.
var allUnits = []durationUnit{
	{"y", 365 * 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"ns", time.Nanosecond},
}

// durationUnits are those of Prometheus.
var durationUnits = allUnits[:7]

// ParseDuration reads a duration as Prometheus writes it: whole numbers and the units y, w, d, h, m, s and ms, each at most
// once and in this order, as in 1d12h; or 0.
func ParseDuration(text string) (time.Duration, error) { return parseUnits(text, durationUnits) }

func parseUnits(text string, units []durationUnit) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	bad := func() (time.Duration, error) { return 0, fmt.Errorf("not a valid duration: %q", text) }
	if text == "" {
		return bad()
	}
	var total time.Duration
	next := 0 // of units
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 {
			return bad()
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return bad()
		}
		rest = rest[digits:]
		name := rest[:len(rest)-len(strings.TrimLeft(rest, "ywdhmsun"))]
		for next < len(units) && units[next].name != name {
			next++
		}
		if next == len(units) {
			return bad()
		}
		unit := units[next].size
		next++
		if n > (math.MaxInt64-int64(total))/int64(unit) {
			return 0, fmt.Errorf("duration %q is too long", text)
		}
		total += time.Duration(n) * unit
		rest = rest[len(name):]
	}
	return total, nil
}

// FormatDuration writes a duration in whole numbers, so that ParseDuration reads it back if it has no fraction of a millisecond, and the
// lexer, within a range and elsewhere, in any case: 5m, 1d12h, 1us500ns.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	if d == math.MinInt64 { // which has no positive counterpart
		return d.String()
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, u := range allUnits {
		// Years and weeks are written only if nothing is left: 1w is clear, 1w1d is not.
		if (u.name == "y" || u.name == "w") && d%u.size != 0 {
			continue
		}
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.size
		}
	}
	return b.String()
}

// parseAnyDuration reads a duration as Go or as Prometheus writes it.
func parseAnyDuration(text string) (time.Duration, bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	d, err := parseUnits(text, allUnits)
	return d, err == nil
}

// byteUnits are the exponents of 1000, or with an i of 1024.
const byteUnits = "kmgtpe"

// ParseBytes reads a size such as 5KB, 1.5 MiB or 100b: units without an i are powers of 1000, those with one of 1024.
// Letters may be of either case, and the B may be left out.
func ParseBytes(text string) (uint64, error) {
	bad := func() (uint64, error) { return 0, fmt.Errorf("not a valid size: %q", text) }
	digits := len(text) - len(strings.TrimLeft(text, "0123456789."))
	number, err := strconv.ParseFloat(text[:digits], 64)
	if err != nil {
		return bad()
	}
	unit := strings.ToLower(strings.TrimSpace(text[digits:]))
	scale := 1.0
	if unit != "" && unit != "b" {
		power := strings.IndexByte(byteUnits, unit[0]) + 1
		if power == 0 {
			return bad()
		}
		switch unit[1:] {
		case "", "b":
			scale = math.Pow(1000, float64(power))
		case "i", "ib":
			scale = math.Pow(1024, float64(power))
		default:
			return bad()
		}
	}
	if number*scale >= math.MaxUint64 {
		return 0, fmt.Errorf("size %q is too large", text)
	}
	return uint64(number * scale), nil
}

// filterBytes rounds the size in a label filter to two or three digits, as 1.5 kB or 20 kB: the store whose answers are the
// reference prints a query before it runs it, and its sizes come out rounded. So 1KiB is 1000 bytes in a filter.
func filterBytes(n uint64) uint64 {
	unit := uint64(1)
	for n/unit >= 1000 {
		unit *= 1000
	}
	if unit == 1 {
		return n
	}
	v := math.Floor(float64(n)/float64(unit)*10+0.5) / 10
	if v >= 10 {
		v = math.RoundToEven(v)
	}
	return uint64(math.Round(v * float64(unit)))
}

// FormatBytes writes a size so that ParseBytes reads it back: 5KB, 3MiB, 1537B.
func FormatBytes(n uint64) string {
	for power := len(byteUnits); power > 0; power-- {
		for _, base := range []uint64{1000, 1024} {
			unit := uint64(1)
			for range power {
				unit *= base
			}
			if n >= unit && n%unit == 0 && n/unit < 1<<53 {
				name := strings.ToUpper(byteUnits[power-1 : power])
				if base == 1024 {
					name += "i"
				}
				return strconv.FormatUint(n/unit, 10) + name + "B"
			}
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}

// formatNumber writes a float so that the parser reads it back. NaN cannot be written.
func formatNumber(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "1e999"
	case math.IsInf(v, -1):
		return "-1e999"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
