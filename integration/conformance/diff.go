package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// looseLabel must be there where the reference has it, but its text is a parser's own.
const looseLabel = "__error_details__"

// Diff compares an answer with the recorded one and says how they differ, or "".
func (c *Case) Diff(status int, header http.Header, body []byte) string {
	if status != c.Expect.Status {
		if slices.Contains(c.OrStatus, status) {
			return ""
		}
		return fmt.Sprintf("status: want %d got %d: %.200q", c.Expect.Status, status, body)
	}
	for _, s := range c.Contains {
		if !bytes.Contains(body, []byte(s)) {
			return fmt.Sprintf("%q is not in %.200q", s, body)
		}
	}
	if d := c.diffHeaders(header); d != "" {
		return d
	}
	silent := ""
	if status >= 400 && len(bytes.TrimSpace(body)) == 0 && c.Expect.Body != "" && c.Expect.Body != nil {
		silent = "an error that says nothing"
	}
	switch c.Compare {
	case "status":
		return silent
	case "text":
		want, _ := c.Expect.Body.(string)
		if got := strings.TrimSpace(string(body)); got != strings.TrimSpace(want) {
			return fmt.Sprintf("want %.200q got %.200q", want, got)
		}
		return ""
	}
	_, isMap := c.Expect.Body.(map[string]any)
	_, isList := c.Expect.Body.([]any)
	if c.Compare != "shape" && (status >= 400 || !isMap && !isList) {
		return silent
	}
	return c.diffBody(body)
}

func (c *Case) diffHeaders(got http.Header) string {
	for name, want := range c.Expect.Headers {
		seen := got.Get(name)
		if strings.EqualFold(name, "Content-Type") {
			want, seen = mediaType(want), mediaType(seen)
		}
		if want != seen {
			return fmt.Sprintf("header %s: want %q got %q", name, want, seen)
		}
	}
	return ""
}

func mediaType(s string) string {
	m, _, err := mime.ParseMediaType(s)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(s))
	}
	return m
}

func (c *Case) diffBody(body []byte) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var got any
	if err := dec.Decode(&got); err != nil {
		return fmt.Sprintf("not JSON: %.200q", body)
	}
	want := c.Expect.Body
	if c.Compare == "shape" {
		prune(want, c.Ignore)
		return diffShape(want, got, "$")
	}
	tol := c.Tol
	if tol == 0 {
		tol = 1e-9
	}
	if wm, ok := want.(map[string]any); ok && (c.Compare == "" || c.Compare == "auto") {
		if data, ok := wm["data"].(map[string]any); ok && data["resultType"] != nil {
			gm, _ := got.(map[string]any)
			return diffQuery(wm, gm, tol, c.Ordered)
		}
	}
	prune(want, c.Ignore)
	prune(got, c.Ignore)
	return diffJSON(want, got, tol, c.Compare != "json", "$")
}

func diffQuery(want, got map[string]any, tol float64, ordered bool) string {
	if got["status"] != want["status"] {
		return fmt.Sprintf("status field: want %v got %v", want["status"], got["status"])
	}
	wd, gd := object(want["data"]), object(got["data"])
	if wd["resultType"] != gd["resultType"] {
		return fmt.Sprintf("resultType: want %v got %v", wd["resultType"], gd["resultType"])
	}
	if fmt.Sprint(wd["encodingFlags"]) != fmt.Sprint(gd["encodingFlags"]) {
		return fmt.Sprintf("encodingFlags: want %v got %v", wd["encodingFlags"], gd["encodingFlags"])
	}
	w, g := list(wd["result"]), list(gd["result"])
	switch wd["resultType"] {
	case "streams":
		return diffStreams(w, g)
	case "matrix":
		return diffSamples(w, g, "values", tol, ordered)
	case "vector":
		return diffSamples(w, g, "value", tol, ordered)
	}
	if len(g) != 2 || !sameNumber(w[1], g[1], tol) {
		return fmt.Sprintf("scalar: want %v got %v", w, g)
	}
	return ""
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
func list(v any) []any            { l, _ := v.([]any); return l }

// key writes a label set in one canonical way.
func key(v any) string {
	m := object(v)
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, k := range names {
		val := fmt.Sprint(m[k])
		if k == looseLabel && val != "" {
			val = "*"
		}
		fmt.Fprintf(&b, "%s=%q,", k, val)
	}
	return b.String()
}

func foldStreams(result []any) map[string][]any {
	out := map[string][]any{}
	for _, s := range result {
		k := key(object(s)["stream"])
		out[k] = append(out[k], list(object(s)["values"])...)
	}
	for k, values := range out {
		if strings.Contains(k, looseLabel+"=") {
			sort.SliceStable(values, func(i, j int) bool { return number(list(values[i])[0]) < number(list(values[j])[0]) })
		}
	}
	return out
}

func diffStreams(want, got []any) string {
	w, g := foldStreams(want), foldStreams(got)
	if d := diffKeys(w, g, "streams"); d != "" {
		return d
	}
	for k := range w {
		if len(w[k]) != len(g[k]) {
			return fmt.Sprintf("stream %s: want %d entries, got %d", k, len(w[k]), len(g[k]))
		}
		for i := range w[k] {
			if fmt.Sprint(list(w[k][i])[0]) != fmt.Sprint(list(g[k][i])[0]) {
				return fmt.Sprintf("stream %s: timestamps or their order differ at %d", k, i)
			}
		}
		we, ge := entries(w[k]), entries(g[k])
		for i := range we {
			if we[i] != ge[i] {
				return fmt.Sprintf("stream %s: want %.300s got %.300s", k, we[i], ge[i])
			}
		}
	}
	return ""
}

func entries(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		var b strings.Builder
		for _, item := range list(v) {
			m, ok := item.(map[string]any)
			if !ok {
				fmt.Fprintf(&b, "%q ", fmt.Sprint(item))
				continue
			}
			kinds := make([]string, 0, len(m))
			for kind := range m {
				kinds = append(kinds, kind+"{"+key(m[kind])+"}")
			}
			sort.Strings(kinds)
			fmt.Fprint(&b, kinds)
		}
		out[i] = b.String()
	}
	sort.Strings(out)
	return out
}

func diffKeys[V any](w, g map[string]V, what string) string {
	var missing, extra []string
	for k := range w {
		if _, ok := g[k]; !ok {
			missing = append(missing, k)
		}
	}
	for k := range g {
		if _, ok := w[k]; !ok {
			extra = append(extra, k)
		}
	}
	if len(missing)+len(extra) == 0 {
		return ""
	}
	return fmt.Sprintf("%s differ: %d missing e.g. %.300v, %d extra e.g. %.300v", what, len(missing), first(missing), len(extra), first(extra))
}

func first(s []string) []string { return s[:min(1, len(s))] }

func diffSamples(want, got []any, field string, tol float64, ordered bool) string {
	if ordered {
		for i := range want {
			if i >= len(got) || key(object(want[i])["metric"]) != key(object(got[i])["metric"]) {
				return "order of series differs"
			}
		}
	}
	w, g := map[string][]any{}, map[string][]any{}
	for _, s := range want {
		w[key(object(s)["metric"])] = list(object(s)[field])
	}
	for _, s := range got {
		g[key(object(s)["metric"])] = list(object(s)[field])
	}
	if len(g) != len(got) {
		return "the same series stands twice"
	}
	if d := diffKeys(w, g, "series"); d != "" {
		return d
	}
	for k := range w {
		a, b := w[k], g[k]
		if field == "value" {
			a, b = []any{a}, []any{b}
		}
		if len(a) != len(b) {
			return fmt.Sprintf("series %s: want %d points, got %d", k, len(a), len(b))
		}
		for i := range a {
			p, q := list(a[i]), list(b[i])
			if math.Abs(number(p[0])-number(q[0])) > 5e-4 || !sameNumber(p[1], q[1], tol) {
				return fmt.Sprintf("series %s: want %v got %v", k, p, q)
			}
		}
	}
	return ""
}

func number(v any) float64 {
	f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

func sameNumber(x, y any, tol float64) bool {
	a, b := number(x), number(y)
	switch {
	case math.IsNaN(a) || math.IsNaN(b):
		return math.IsNaN(a) && math.IsNaN(b)
	case a == b:
		return true
	case math.IsInf(a, 0) || math.IsInf(b, 0):
		return false
	}
	return math.Abs(a-b) <= tol*max(1, math.Abs(a), math.Abs(b))
}

func prune(v any, paths []string) {
	for _, p := range paths {
		cut(v, strings.Split(p, "."))
	}
}

func cut(v any, parts []string) {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case parts[0] == "*" && len(parts) > 1:
			for _, item := range v {
				cut(item, parts[1:])
			}
		case len(parts) == 1:
			delete(v, parts[0])
		default:
			cut(v[parts[0]], parts[1:])
		}
	case []any:
		if parts[0] == "*" && len(parts) > 1 {
			for _, item := range v {
				cut(item, parts[1:])
			}
		}
	}
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case json.Number, float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "list"
	}
	return "object"
}

func diffShape(want, got any, path string) string {
	if kind(want) != kind(got) {
		return fmt.Sprintf("%s: want a %s, got a %s", path, kind(want), kind(got))
	}
	switch w := want.(type) {
	case map[string]any:
		for k := range w {
			v, ok := object(got)[k]
			if !ok {
				return fmt.Sprintf("%s: no %q", path, k)
			}
			if d := diffShape(w[k], v, path+"."+k); d != "" {
				return d
			}
		}
	case []any:
		if len(w) > 0 {
			if len(list(got)) == 0 {
				return path + ": empty"
			}
			return diffShape(w[0], list(got)[0], path+"[0]")
		}
	}
	return ""
}

func diffJSON(want, got any, tol float64, unordered bool, path string) string {
	if kind(want) != kind(got) {
		return fmt.Sprintf("%s: want %.120v got %.120v", path, want, got)
	}
	switch w := want.(type) {
	case json.Number:
		if !sameNumber(want, got, tol) {
			return fmt.Sprintf("%s: want %v got %v", path, want, got)
		}
	case map[string]any:
		if d := diffKeys(w, object(got), path+" keys"); d != "" {
			return d
		}
		for k := range w {
			if d := diffJSON(w[k], object(got)[k], tol, unordered, path+"."+k); d != "" {
				return d
			}
		}
	case []any:
		g := list(got)
		if len(w) != len(g) {
			return fmt.Sprintf("%s: want %d items got %d", path, len(w), len(g))
		}
		if unordered {
			w, g = sorted(w), sorted(g)
		}
		for i := range w {
			if d := diffJSON(w[i], g[i], tol, unordered, fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
	default:
		if want != got {
			return fmt.Sprintf("%s: want %.120v got %.120v", path, want, got)
		}
	}
	return ""
}

func sorted(items []any) []any {
	items = slices.Clone(items)
	keys := map[int]string{}
	order := make([]int, len(items))
	for i, v := range items {
		b, err := json.Marshal(v)
		if err != nil {
			panic("BUG: cannot marshal what was decoded: " + err.Error())
		}
		keys[i], order[i] = string(b), i
	}
	sort.SliceStable(order, func(a, b int) bool { return keys[order[a]] < keys[order[b]] })
	out := make([]any, len(items))
	for i, j := range order {
		out[i] = items[j]
	}
	return out
}
