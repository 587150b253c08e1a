package limits

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/regexp"
)

// Redacted stands for a secret wherever limits or configuration are shown.
const Redacted = "<redacted>"

// FormatDuration writes a duration as Prometheus and Loki do: 1h30m, 1w, 30d1h, 0s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	if d%time.Millisecond != 0 || d < 0 {
		return d.String()
	}
	var out strings.Builder
	for _, unit := range durationUnits {
		// A week or a year only when nothing is left, so that 30 days stay 30d.
		if n := d / unit.length; n > 0 && !(unit.exact && d%unit.length != 0) {
			out.WriteString(strconv.FormatInt(int64(n), 10) + unit.name)
			d %= unit.length
		}
	}
	return out.String()
}

var durationUnits = []struct {
	name   string
	length time.Duration
	exact  bool
}{
	{"y", 365 * day, true}, {"w", 7 * day, true}, {"d", day, false}, {"h", time.Hour, false},
	{"m", time.Minute, false}, {"s", time.Second, false}, {"ms", time.Millisecond, false},
}

// FormatBytes writes a number of bytes in the greatest unit that divides it: 256KB, 1536KB, 4MB, 0B.
func FormatBytes(n int64) string {
	if n > 0 {
		for i, unit := range []string{"PB", "TB", "GB", "MB", "KB"} {
			if size := int64(1) << (50 - 10*i); n%size == 0 {
				return strconv.FormatInt(n/size, 10) + unit
			}
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

var secretParameter = regexp.MustCompile(`(?i)([?&;][^=&;]*(?:pass|secret|token|credential|sig|key)[^=&;]*=)[^&;,\s]*`)

// RedactURL hides user and password in an address, with or without a scheme. A secret may hold any character, even an "@"
// or a "/", so everything up to the last "@" is hidden.
func RedactURL(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at >= 0 {
		from := 0
		if i := strings.Index(s, "://"); i >= 0 && i < at {
			from = i + len("://")
		}
		s = s[:from] + Redacted + s[at:]
	}
	return secretParameter.ReplaceAllString(s, "${1}"+Redacted)
}

// Values returns the limits as Loki shows them in JSON: by their keys, with durations and sizes as text, without secrets.
// The rules for OTLP are those in effect, the default labels among them.
func (l *Limits) Values() map[string]any {
	shown := *l
	otlp := &shown.OTLPConfig
	if labels := otlp.DefaultIndexLabels; !otlp.ResourceAttributes.IgnoreDefaults && len(labels) > 0 {
		rules := otlp.ResourceAttributes.AttributesConfig
		otlp.ResourceAttributes.AttributesConfig = append(rules[:len(rules):len(rules)],
			OTLPAttributes{Action: OTLPIndexLabel, Attributes: labels})
	}
	return blockValues(reflect.ValueOf(shown))
}

func blockValues(v reflect.Value) map[string]any {
	values := map[string]any{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("loki"), ",")
		if name != "" && name != "-" {
			values[name] = value(v.Field(i), options)
		}
	}
	return values
}

func value(v reflect.Value, options string) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case time.Time:
		if x.IsZero() {
			return "0"
		}
		return x.Format(time.RFC3339Nano)
	case string:
		switch {
		case options == "secret" && x != "":
			return Redacted
		case options == "url":
			return RedactURL(x)
		}
		return x
	}
	switch v.Kind() {
	case reflect.Struct:
		return blockValues(v)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return value(v.Elem(), options)
	case reflect.Map:
		values := map[string]any{}
		for entries := v.MapRange(); entries.Next(); {
			values[entries.Key().String()] = value(entries.Value(), options)
		}
		return values
	case reflect.Slice:
		values := make([]any, v.Len())
		for i := range values {
			values[i] = value(v.Index(i), options)
		}
		return values
	case reflect.Int:
		if options == "bytes" {
			return FormatBytes(v.Int())
		}
	}
	return v.Interface()
}
