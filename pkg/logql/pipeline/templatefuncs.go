package pipeline

import (
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/Masterminds/sprig/v3"
	"regexp"
)

// sprigFuncs are the functions of sprig that templates may call.
var sprigFuncs = []string{
	"add", "addf", "b64dec", "b64enc", "ceil", "contains", "date", "default", "div", "divf", "float64", "floor",
	"fromJson", "hasPrefix", "hasSuffix", "int", "lower", "max", "maxf", "min", "minf", "mod", "mul", "mulf",
	"now", "replace", "round", "sub", "subf", "substr", "title", "toDate", "trim", "trimAll",
	"trimPrefix", "trimSuffix", "trunc", "unixEpoch", "upper",
}

// staticFuncs are those that depend on their arguments only.
var staticFuncs = func() template.FuncMap {
	m := template.FuncMap{
		"ToLower":    strings.ToLower,
		"ToUpper":    strings.ToUpper,
		"Replace":    strings.Replace,
		"Trim":       strings.Trim,
		"TrimLeft":   strings.TrimLeft,
		"TrimRight":  strings.TrimRight,
		"TrimPrefix": strings.TrimPrefix,
		"TrimSuffix": strings.TrimSuffix,
		"TrimSpace":  strings.TrimSpace,

		"indent":  func(n int, s string) (string, error) { return indent("", n, s) },
		"nindent": func(n int, s string) (string, error) { return indent("\n", n, s) },
		"repeat":  repeat,

		"alignLeft":        alignLeft,
		"alignRight":       alignRight,
		"bytes":            bytesOf,
		"duration":         secondsOf,
		"duration_seconds": secondsOf,
		"toDateInZone":     toDateInZone,
		"unixEpochMillis":  func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) },
		"unixEpochNanos":   func(t time.Time) string { return fmt.Sprint(t.UnixNano()) },
		"unixToTime":       unixToTime,
		"urlencode":        url.QueryEscape,
		"urldecode":        url.QueryUnescape,
	}
	all := sprig.GenericFuncMap()
	for _, name := range sprigFuncs {
		m[name] = all[name]
	}
	return m
}()

// templateFuncs returns the functions of templates, for b's line; b is nil where a template is only read.
func templateFuncs(b *boundFormatter) template.FuncMap {
	if b == nil {
		b = &boundFormatter{}
		m := make(template.FuncMap, len(staticFuncs)+8)
		for name, f := range staticFuncs {
			m[name] = f
		}
		b.addFuncs(m)
		return m
	}
	m := make(template.FuncMap, 8)
	b.addFuncs(m)
	return m
}

func (b *boundFormatter) addFuncs(m template.FuncMap) {
	m["__line__"] = b.currentLine
	m["__timestamp__"] = b.currentTime
	m["count"] = b.regexps.count
	m["regexReplaceAll"] = b.regexps.replaceAll
	m["regexReplaceAllLiteral"] = b.regexps.replaceAllLiteral
}

// maxRegexps bounds the regular expressions that a template remembers.
const maxRegexps = 64

// regexpCache compiles the regular expressions of a template once.
type regexpCache struct{ compiled map[string]*regexp.Regexp }

func (c *regexpCache) get(expr string) (*regexp.Regexp, error) {
	if re := c.compiled[expr]; re != nil {
		return re, nil
	}
	expr = strings.Clone(expr)
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	if c.compiled == nil || len(c.compiled) >= maxRegexps {
		c.compiled = map[string]*regexp.Regexp{}
	}
	c.compiled[expr] = re
	return re, nil
}

func (c *regexpCache) count(expr, s string) (int, error) {
	re, err := c.get(expr)
	if err != nil {
		return 0, err
	}
	return len(re.FindAllStringIndex(s, -1)), nil
}

func (c *regexpCache) replaceAll(expr, s, repl string) (string, error) {
	re, err := c.get(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, repl), nil
}

func (c *regexpCache) replaceAllLiteral(expr, s, repl string) (string, error) {
	re, err := c.get(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, repl), nil
}

// repeat returns s n times.
func repeat(n int, s string) (string, error) {
	if n > 0 && len(s) > maxOutput/n {
		return "", errOutput
	}
	return strings.Repeat(s, max(n, 0)), nil
}

// indent puts first before s, and n blanks before each line.
func indent(first string, n int, s string) (string, error) {
	pad, err := repeat(n, " ")
	if err == nil && len(pad)*(1+strings.Count(s, "\n")) > maxOutput {
		err = errOutput
	}
	if err != nil {
		return "", err
	}
	return first + pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

// alignLeft pads or cuts s on the right to count characters.
func alignLeft(count int, s string) (string, error) {
	n := utf8.RuneCountInString(s)
	switch {
	case count < 0 || n == count:
		return s, nil
	case n < count:
		pad, err := repeat(count-n, " ")
		return s + pad, err
	}
	return string([]rune(s)[:count]), nil
}

// alignRight pads or cuts s on the left to count characters.
func alignRight(count int, s string) (string, error) {
	n := utf8.RuneCountInString(s)
	switch {
	case count < 0 || n == count:
		return s, nil
	case n < count:
		pad, err := repeat(count-n, " ")
		return pad + s, err
	}
	return string([]rune(s)[n-count:]), nil
}

func bytesOf(s string) (float64, error) {
	v, err := parseSize(s)
	return float64(v), err
}

func secondsOf(s string) (float64, error) {
	v, err := parseDuration(s)
	return v.Seconds(), err
}

// toDateInZone reads a date; an unknown zone is UTC, and what is no date is the zero time.
func toDateInZone(layout, zone, s string) time.Time {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC
	}
	t, _ := time.ParseInLocation(layout, s, loc)
	return t
}

// unixToTime reads days, seconds, milli-, micro- or nanoseconds since 1970, told apart by the number of digits.
func unixToTime(s string) (time.Time, error) {
	var n int64
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != s {
		return time.Time{}, fmt.Errorf("unable to parse time '%s'", s)
	}
	switch len(s) {
	case 5:
		return time.Unix(n*86400, 0), nil
	case 10:
		return time.Unix(n, 0), nil
	case 13:
		return time.UnixMilli(n), nil
	case 16:
		return time.UnixMicro(n), nil
	case 19:
		return time.Unix(0, n), nil
	}
	return time.Time{}, fmt.Errorf("unable to parse time '%s': expected 5, 10, 13, 16 or 19 digits", s)
}
