package querier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
)

// Field is a field that some of the newest lines of a query have.
type Field struct {
	Label       string `json:"label"`
	Type        string `json:"type"`
	Cardinality int    `json:"cardinality"`
	// Parsers name what finds the field in the line; null stands for structured metadata.
	Parsers []string `json:"parsers"`
	// JSONPath leads to the field in a JSON line.
	JSONPath []string `json:"jsonPath,omitempty"`
}

// detected gathers what was seen of one field.
type detected struct {
	values   map[string]struct{}
	parsers  []string
	jsonPath []string
	kind     string
}

// fieldSet gathers fields over lines.
type fieldSet struct {
	fields map[string]*detected
	logfmt *pipeline.Stream
}

func newFieldSet() (*fieldSet, error) {
	p, err := pipeline.Build([]syntax.Stage{&syntax.LogfmtParser{}})
	if err != nil {
		return nil, err
	}
	return &fieldSet{fields: map[string]*detected{}, logfmt: p.ForStream(labels.EmptyLabels())}, nil
}

func (f *fieldSet) add(name, value, parser string, path []string) {
	d := f.fields[name]
	if d == nil {
		d = &detected{values: map[string]struct{}{}, kind: typeOf(value)}
		f.fields[name] = d
	}
	if parser != "" && !slices.Contains(d.parsers, parser) {
		d.parsers = append(d.parsers, parser)
	}
	if len(d.jsonPath) == 0 {
		d.jsonPath = path
	}
	d.values[value] = struct{}{}
}

// parseObject reads a line that is a JSON object.
func parseObject(line string) (object map[string]any, ok bool) {
	if !strings.HasPrefix(strings.TrimSpace(line), "{") {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	return object, dec.Decode(&object) == nil
}

// line finds the fields of a line: those of a JSON object, else the pairs of logfmt.
func (f *fieldSet) line(line string) {
	if object, ok := parseObject(line); ok {
		eachField(object, "", nil, func(name, value string, path []string) { f.add(name, value, "json", path) })
		return
	}
	_, res, _ := f.logfmt.Process(0, []byte(line), nil)
	if res == nil {
		return
	}
	res.Parsed.Range(func(l labels.Label) {
		if !strings.HasPrefix(l.Name, "__error") {
			f.add(l.Name, l.Value, "logfmt", nil)
		}
	})
}

// parsed takes over the labels that the parsers of the query itself found in a line. Clients build stages of their own from the
// answer, so each field names the parser that finds it in such a line, and its path where the line is JSON.
func (f *fieldSet) parsed(line string, lbs labels.Labels, parsers []string) {
	paths := map[string][]string{}
	object, isObject := parseObject(line)
	if isObject && slices.Contains(parsers, "json") {
		eachField(object, "", nil, func(name, _ string, path []string) { paths[name] = path })
	}
	other := parsers[0]
	for _, p := range parsers {
		// Of json and logfmt only the one that fits the line can have found anything.
		if (p == "json") == isObject || p != "json" && p != "logfmt" {
			other = p
			break
		}
	}
	lbs.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, "__error") {
			return
		}
		path, ok := paths[l.Name]
		if !ok {
			path, ok = paths[strings.TrimSuffix(l.Name, "_extracted")]
		}
		if ok {
			f.add(l.Name, l.Value, "json", path)
		} else {
			f.add(l.Name, l.Value, other, nil)
		}
	})
}

// eachField flattens a JSON object as the json parser does: names joined by _, arrays and null left out.
func eachField(object map[string]any, prefix string, path []string, fn func(name, value string, path []string)) {
	for key, v := range object {
		name := prefix + sanitize(key, prefix == "")
		at := append(slices.Clone(path), key)
		switch v := v.(type) {
		case map[string]any:
			eachField(v, name+"_", at, fn)
		case string:
			fn(name, v, at)
		case json.Number:
			fn(name, v.String(), at)
		case bool:
			fn(name, strconv.FormatBool(v), at)
		}
	}
}

// sanitize makes a key a label name: an underscore for each odd character, and one before a leading digit.
func sanitize(key string, first bool) string {
	var b strings.Builder
	for i, r := range key {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_':
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			if i == 0 && first {
				b.WriteByte('_')
			}
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// detect runs the log query of p and gathers the fields of its lines.
func (q *Querier) detect(ctx context.Context, p engine.Params) (*fieldSet, error) {
	query, ok := p.Expr.(*syntax.LogQuery)
	if !ok {
		return nil, limitError("only log selector is supported")
	}
	p.Categorize = true
	res, err := q.Query(ctx, p)
	if err != nil {
		return nil, err
	}
	streams, _ := res.Value.(engine.Streams)
	set, err := newFieldSet()
	if err != nil {
		return nil, err
	}
	parsers := parsersOf(query)
	for _, s := range streams {
		for _, e := range s.Entries {
			e.Metadata.Range(func(l labels.Label) { set.add(l.Name, l.Value, "", nil) })
			if len(parsers) == 0 {
				set.line(e.Line)
			} else {
				set.parsed(e.Line, e.Parsed, parsers)
			}
		}
	}
	return set, nil
}

// parsersOf names the parsers that the query itself uses, in its order.
func parsersOf(query *syntax.LogQuery) (parsers []string) {
	for _, s := range query.Stages {
		switch s.(type) {
		case *syntax.JSONParser:
			parsers = append(parsers, "json")
		case *syntax.LogfmtParser:
			parsers = append(parsers, "logfmt")
		case *syntax.RegexpParser:
			parsers = append(parsers, "regexp")
		case *syntax.PatternParser:
			parsers = append(parsers, "pattern")
		case *syntax.UnpackParser:
			parsers = append(parsers, "unpack")
		}
	}
	return parsers
}

// DetectedFields returns the fields of the newest p.Limit lines, at most limit of them.
func (q *Querier) DetectedFields(ctx context.Context, p engine.Params, limit int) ([]Field, error) {
	set, err := q.detect(ctx, p)
	if err != nil {
		return nil, err
	}
	fields := make([]Field, 0, len(set.fields))
	for name, d := range set.fields {
		fields = append(fields, Field{Label: name, Type: d.kind, Cardinality: len(d.values), Parsers: d.parsers, JSONPath: d.jsonPath})
	}
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Label, b.Label) })
	return fields[:min(limit, len(fields))], nil
}

// DetectedFieldValues returns the values of one field within the newest p.Limit lines, at most limit of them. Sizes are
// written in one way.
func (q *Querier) DetectedFieldValues(ctx context.Context, p engine.Params, name string, limit int) ([]string, error) {
	set, err := q.detect(ctx, p)
	if err != nil {
		return nil, err
	}
	d := set.fields[name]
	if d == nil {
		return nil, nil
	}
	seen := map[string]struct{}{}
	for v := range d.values {
		if n, ok := parseSize(v); ok && d.kind == "bytes" {
			v = formatSize(n)
		}
		seen[v] = struct{}{}
	}
	values := make([]string, 0, len(seen))
	for v := range seen {
		values = append(values, v)
	}
	sort.Strings(values)
	return values[:min(limit, len(values))], nil
}

// typeOf tries the types in Loki's order.
func typeOf(v string) string {
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		return "int"
	}
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return "float"
	}
	if _, err := strconv.ParseBool(v); err == nil {
		return "boolean"
	}
	if _, err := time.ParseDuration(v); err == nil {
		return "duration"
	}
	if _, ok := parseSize(v); ok {
		return "bytes"
	}
	return "string"
}

// sizeUnits are the prefixes of sizes: kB and KB count in thousands, KiB in 1024s.
const sizeUnits = "kmgtpe"

// parseSize reads a size such as 5KB, 1.5 MiB or 12b.
func parseSize(s string) (float64, bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return 0, false
	}
	unit := strings.ToLower(strings.TrimSpace(s[i:]))
	if unit == "b" {
		return n, true
	}
	if len(unit) == 0 {
		return 0, false
	}
	power := strings.IndexByte(sizeUnits, unit[0]) + 1
	switch {
	case power == 0:
		return 0, false
	case unit[1:] == "" || unit[1:] == "b":
		return n * math.Pow(1000, float64(power)), true
	case unit[1:] == "ib" || unit[1:] == "i":
		return n * math.Pow(1024, float64(power)), true
	}
	return 0, false
}

// formatSize writes a size in thousands with two digits at least: 9.0kB, 35kB.
func formatSize(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.0fB", n)
	}
	power := 0
	for v := n; v >= 1000 && power < len(sizeUnits); v /= 1000 {
		power++
	}
	v := math.Floor(n/math.Pow(1000, float64(power))*10+0.5) / 10
	unit := "B"
	if power > 0 {
		unit = string(bytes.ToUpper([]byte{sizeUnits[power-1]})) + "B"
		if power == 1 {
			unit = "kB"
		}
	}
	if v < 10 {
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}

// DetectedLabel is a label and how many values it has.
type DetectedLabel struct {
	Label       string `json:"label"`
	Cardinality int    `json:"cardinality"`
}

// alwaysShown are labels that are offered whatever their values are.
var alwaysShown = map[string]bool{"cluster": true, "namespace": true, "instance": true, "pod": true}

// DetectedLabels returns the labels that are worth offering to a person: those whose values are ids are left out.
func (q *Querier) DetectedLabels(ctx context.Context, r LabelRequest) ([]DetectedLabel, error) {
	series, err := q.Series(ctx, [][]*labels.Matcher{r.Matchers}, r.Interval)
	if err != nil {
		return nil, err
	}
	values := map[string]map[string]struct{}{}
	for _, s := range series {
		s.Range(func(l labels.Label) {
			if values[l.Name] == nil {
				values[l.Name] = map[string]struct{}{}
			}
			values[l.Name][l.Value] = struct{}{}
		})
	}
	var out []DetectedLabel
	for name, set := range values {
		if alwaysShown[name] || !allIDs(set) {
			out = append(out, DetectedLabel{Label: name, Cardinality: len(set)})
		}
	}
	slices.SortFunc(out, func(a, b DetectedLabel) int { return strings.Compare(a.Label, b.Label) })
	return out, nil
}

// allIDs reports whether all values are numbers or UUIDs; 0 and 1 alone are a flag.
func allIDs(values map[string]struct{}) bool {
	flag := true
	for v := range values {
		flag = flag && (v == "0" || v == "1")
		if _, err := strconv.ParseFloat(v, 64); err != nil && !isUUID(v) {
			return false
		}
	}
	return !flag
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
