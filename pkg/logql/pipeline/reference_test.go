package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
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
			fields, valid := referenceJSON(r.line)
			if !valid {
				r.labels[errorLabel] = errJSON
			}
			ok = r.extract(fields, stages[i+1:])
		case *syntax.LogfmtParser:
			ok = r.extract(referenceLogfmt(r.line), stages[i+1:])
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

// randomStages are drawn by TestAgreesWithReference.
var randomStages = []string{
	"| json", "| json", "| logfmt", "| logfmt", "|= `a`", "!= `b=2`", "|~ `[0-9]{2}`", "|= `one` or `7`",
	"| a=`1`", "| b!=`2`", "| c=~`o.+`", "| a_extracted=`1`", "| n > 5", "| n < 7 | a!=``", "| n != 3 or c=`one`", "| o_a > 1 and b=`2`",
	"| drop b", "| drop a, m", "| keep app, n, b, b_extracted", "| keep a, c, o_a", "| __error__=``", "| __error__!=`JSONParserErr`",
	"| label_format x=a, y=`<{{.b}}{{.m}}>`", "| label_format b=`{{.n}}`", "| label_format a=m", "| label_format z=`{{__line__}}`, n=a",
	"| line_format `a={{.a}} n={{.n}} k=v`", "| line_format `{\"o\":{\"a\":\"{{.b}}\"}}`", "| line_format `{{.c}}`",
}

// TestAgreesWithReference runs random lines through random pipelines and through the reference.
func TestAgreesWithReference(t *testing.T) {
	const seed = 20260115
	rng := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	value := func() string { return pick("1", "2", "7", "3.5", "one", "x y", "-4", "12") }
	line := func() string {
		var parts []string
		for range rng.IntN(7) {
			parts = append(parts, pick("a", "b", "c", "n", "m", "app"))
		}
		if rng.IntN(2) == 0 {
			for i, k := range parts {
				parts[i] = fmt.Sprintf("%s=%q", k, value())
				if v := value(); rng.IntN(2) == 0 && !strings.Contains(v, " ") {
					parts[i] = k + "=" + v
				}
			}
			return strings.Join(parts, " ")
		}
		for i, k := range parts {
			parts[i] = fmt.Sprintf("%q:%s", k, pick(`"`+value()+`"`, "7", "12", "true", "null", `[1,{"a":2}]`))
			if rng.IntN(4) == 0 {
				parts[i] = fmt.Sprintf(`"o":{"a":%q,"p":{"%s":3}}`, value(), k)
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	stream := map[string]string{"app": "x", "a": "s"}
	for round := range 3000 {
		var stages string
		for range rng.IntN(6) {
			stages += randomStages[rng.IntN(len(randomStages))] + " "
		}
		q, err := syntax.ParseLog("{app=`x`} " + stages)
		require.NoError(t, err, stages)
		log, err := Build(q.Stages)
		require.NoError(t, err, stages)
		group := []string{"b", "x", "o_a", "n", "app", "b_extracted"}[:1+rng.IntN(6)]
		by, err := BuildSample(&syntax.RangeAggregation{Op: "bytes_over_time", Query: q}, &syntax.Grouping{Labels: group})
		require.NoError(t, err, stages)
		ls, bs := log.ForStream(labels.FromMap(stream)), by.ForStream(labels.FromMap(stream))
		for range 6 {
			text := line()
			var md []model.Pair
			if rng.IntN(3) == 0 {
				md = meta("b", value(), "m", value())
			}
			ref := newReferenceLine(t, text, stream, md)
			kept := ref.run(q.Stages)
			where := fmt.Sprintf("round %d of seed %d: %s on %q with %v", round, seed, stages, text, md)

			out, res, ok := ls.Process(1, []byte(text), md)
			ok = ok && log.MatchLine([]byte(text))
			require.Equal(t, kept, ok, where)
			if !ok {
				continue
			}
			got := res.Labels.Map()
			delete(got, errorDetailsLabel)
			require.Equal(t, ref.labels, got, where)
			require.Equal(t, ref.line, string(out), where)

			v, res, ok, err := bs.Sample(1, []byte(text), md)
			require.True(t, ok, where)
			if err != nil || ref.labels[errorLabel] != "" {
				// Whether a query that groups meets the error depends on how far it has to read.
				continue
			}
			want := map[string]string{}
			for _, name := range group {
				if v, ok := ref.labels[name]; ok {
					want[name] = v
				}
			}
			require.Equal(t, want, res.Labels.Map(), "by %v, %s", group, where)
			require.Equal(t, float64(len(ref.line)), v, where)
		}
	}
}
