package pipeline

import (
	"maps"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/grafana/regexp"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// referenceLine is a line as the plainest reading of the stages has it: labels are a map, every parser extracts
// everything, and nothing is remembered.
type referenceLine struct {
	t      *testing.T
	line   string
	stream map[string]string
	meta   map[string]bool
	labels map[string]string
	// unsure is set where this reading is too plain: of a broken object, the fields before the error count.
	unsure bool
	// extracted are the labels that parsers filled.
	extracted map[string]bool
}

func newReferenceLine(t *testing.T, line string, stream map[string]string, meta []model.Pair) *referenceLine {
	r := &referenceLine{t: t, line: line, stream: stream, meta: map[string]bool{}, labels: maps.Clone(stream), extracted: map[string]bool{}}
	for _, m := range meta {
		name := m.Name
		if _, ok := stream[name]; ok {
			name += extractedSuffix
		}
		r.meta[name] = true
		r.labels[name] = m.Value
	}
	return r
}

// run reports whether the line is kept.
func (r *referenceLine) run(stages []syntax.Stage) bool {
	stages = reorder(stages)
	for i, st := range stages {
		ok := true
		switch st := st.(type) {
		case *syntax.LineFilter:
			ok = plainly(r.t, []syntax.Stage{st}, r.line)
		case *syntax.LabelFilterStage:
			ok = r.holds(st.Filter)
		case *syntax.JSONParser:
			// Control characters may stand in strings as they are, which Go's decoder does not allow.
			line := strings.ReplaceAll(r.line, "\x1b", `\u001b`)
			fields, valid := referenceJSON(line)
			if !valid {
				r.unsure = r.unsure || strings.HasPrefix(line, "{")
				r.labels[errorLabel] = errJSON
			}
			ok = r.extract(fields, stages[i+1:])
		case *syntax.LogfmtParser:
			ok = r.extract(referenceLogfmt(r.line), stages[i+1:])
		case *syntax.RegexpParser:
			ok = r.extract(referenceRegexp(st.Pattern, r.line), stages[i+1:])
		case *syntax.PatternParser:
			ok = r.extract(r.pattern(st.Pattern), stages[i+1:])
		case *syntax.Decolorize:
			r.line = colours.ReplaceAllString(r.line, "")
		case *syntax.Drop:
			for _, item := range st.Items {
				r.drop(item.Name)
			}
		case *syntax.Keep:
			for name := range maps.Clone(r.labels) {
				kept := name == errorLabel
				for _, item := range st.Items {
					kept = kept || item.Name == name
				}
				if !kept {
					r.drop(name)
				}
			}
		case *syntax.LabelFormat:
			r.format(st)
		case *syntax.LineFormat:
			r.line = r.expand(st.Template, maps.Clone(r.labels))
		default:
			r.t.Fatalf("stage %T", st)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (r *referenceLine) drop(name string) {
	delete(r.labels, name)
	delete(r.meta, name)
}

// extract takes over what a parser found, and tries later filters on it.
func (r *referenceLine) extract(fields map[string]string, later []syntax.Stage) bool {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		as := name
		if _, ok := r.stream[name]; ok || r.meta[name] {
			as += extractedSuffix
		}
		if r.extracted[as] {
			continue
		}
		r.extracted[as] = true
		r.labels[as] = fields[name]
		delete(r.meta, as)
		for _, st := range later {
			if f, ok := st.(*syntax.LabelFilterStage); ok {
				switch f := f.Filter.(type) {
				case *syntax.StringFilter:
					if f.Matcher.Name == as && !r.holds(f) {
						return false
					}
				case *syntax.NumberFilter:
					if f.Name == as && !r.holds(f) {
						return false
					}
				}
			}
		}
	}
	return true
}

func (r *referenceLine) holds(f syntax.LabelFilter) bool {
	switch f := f.(type) {
	case *syntax.StringFilter:
		return f.Matcher.Matches(r.labels[f.Matcher.Name])
	case *syntax.NumberFilter:
		text, ok := r.labels[f.Name]
		if !ok {
			return false
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			r.labels[errorLabel] = errLabelFilter
			return true
		}
		return f.Op == syntax.CompareGreater && v > f.Value || f.Op == syntax.CompareLess && v < f.Value || f.Op == syntax.CompareNotEqual && v != f.Value
	case *syntax.AndFilter:
		return r.holds(f.Left) && r.holds(f.Right)
	case *syntax.OrFilter:
		return r.holds(f.Left) || r.holds(f.Right)
	}
	r.t.Fatalf("filter %T", f)
	return false
}

func (r *referenceLine) format(st *syntax.LabelFormat) {
	var before map[string]string
	for _, op := range st.Ops {
		if op.Rename {
			if v, ok := r.labels[op.Value]; ok {
				r.labels[op.Name] = v
				delete(r.meta, op.Name)
				r.drop(op.Value)
			}
			continue
		}
		if before == nil {
			before = maps.Clone(r.labels)
		}
		r.labels[op.Name] = r.expand(op.Value, before)
		delete(r.meta, op.Name)
	}
}

// expand fills in {{.name}} and {{__line__}}.
func (r *referenceLine) expand(template string, from map[string]string) string {
	out := ""
	for {
		before, rest, ok := strings.Cut(template, "{{")
		out += before
		if !ok {
			return out
		}
		var name string
		name, template, _ = strings.Cut(rest, "}}")
		if name == "__line__" {
			out += r.line
		} else {
			out += from[strings.TrimPrefix(name, ".")]
		}
	}
}

// referenceRegexp returns the named groups of the first match.
func referenceRegexp(pattern, line string) map[string]string {
	re := regexp.MustCompile(pattern)
	m := re.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	fields := map[string]string{}
	for i, name := range re.SubexpNames() {
		if name != "" {
			fields[name] = m[i]
		}
	}
	return fields
}

// pattern returns the captures: each takes the text up to the literal behind it, or all of the rest if that is missing.
func (r *referenceLine) pattern(expr string) map[string]string {
	parts, err := parsePattern(expr)
	require.NoError(r.t, err)
	fields := map[string]string{}
	if r.line == "" {
		return nil
	}
	rest := r.line
	for i, part := range parts {
		if !part.capture {
			if i == 0 && !strings.HasPrefix(rest, part.literal) {
				return nil
			}
			if i == 0 {
				rest = rest[len(part.literal):]
			}
			continue // cut off with the capture before it
		}
		value, found := rest, false
		if i+1 < len(parts) {
			value, rest, found = strings.Cut(rest, parts[i+1].literal)
		}
		if part.name != "_" {
			fields[part.name] = value
		}
		if !found {
			break
		}
	}
	return fields
}
