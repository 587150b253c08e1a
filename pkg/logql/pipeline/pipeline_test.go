package pipeline

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// build compiles the stages of a query such as `| json | a="b"`.
func build(t testing.TB, stages string) *Pipeline {
	t.Helper()
	q, err := syntax.ParseLog(`{app="x"} ` + stages)
	require.NoError(t, err, stages)
	p, err := Build(q.Stages)
	require.NoError(t, err, stages)
	return p
}

// buildSample compiles a metric query: a range aggregation, or a sum around one.
func buildSample(t testing.TB, query string) *Pipeline {
	t.Helper()
	e, err := syntax.Parse(query)
	require.NoError(t, err, query)
	var p *Pipeline
	switch e := e.(type) {
	case *syntax.VectorAggregation:
		g := e.Grouping
		if g == nil {
			g = &syntax.Grouping{}
		}
		p, err = BuildSample(e.Expr.(*syntax.RangeAggregation), g)
	case *syntax.RangeAggregation:
		p, err = BuildSample(e, e.Grouping)
	}
	require.NoError(t, err, query)
	return p
}

// show prints labels as name=value, sorted, without the details of errors.
func show(l labels.Labels) string {
	var out []string
	l.Range(func(l labels.Label) {
		if l.Name != errorDetailsLabel {
			out = append(out, l.Name+"="+l.Value)
		}
	})
	sort.Strings(out)
	return strings.Join(out, " ")
}

// meta makes structured metadata of names and values.
func meta(kv ...string) []model.Pair {
	var out []model.Pair
	for i := 0; i < len(kv); i += 2 {
		out = append(out, model.Pair{Name: kv[i], Value: kv[i+1]})
	}
	return out
}

// through runs one line of the stream {app="x"} through the stages; "dropped" if it is not kept. The line is shown only if
// a stage changed it.
func through(t testing.TB, stages, line string, md ...string) string {
	t.Helper()
	p := build(t, stages)
	if !p.MatchLine([]byte(line)) {
		return "dropped"
	}
	s := p.ForStream(labels.FromStrings("app", "x"))
	out, res, ok := s.Process(1768435200e9, []byte(line), meta(md...))
	if !ok {
		return "dropped"
	}
	got := strings.TrimPrefix(strings.TrimSpace(strings.Replace(" "+show(res.Labels)+" ", " app=x ", " ", 1)), " ")
	if string(out) != line {
		got += " | " + string(out)
	}
	require.Equal(t, res.Labels.Hash(), res.Hash)
	return got
}

func TestOrderOfStages(t *testing.T) {
	f := func(stages, line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, stages, line), stages)
	}
	// A line filter sees the line as it was before decolorize, but not before line_format, unpack or a label filter.
	f("| decolorize |= `\x1b[31m`", "\x1b[31mred", " | red")
	f("| decolorize |= `31mred`", "\x1b[31mred", " | red")
	f("| decolorize | app=`x` |= `31m`", "\x1b[31mred", "dropped")
	f("| line_format `new` |= `old`", "old", "dropped")
	f("| unpack |= `_entry`", `{"_entry":"e"}`, "dropped")
	f("| logfmt | drop a |= `a=1`", "a=1", "")
	// A filter on a parsed label is tried while parsing, though the label is gone when its turn comes.
	f("| logfmt | drop a | a=``", "a=1", "dropped")
	f("| logfmt | drop a | a=`` and app=`x`", "a=1", "")
	f("| logfmt | label_format a=`2` | a=`2`", "a=1", "dropped")
}

func TestLabelsAcrossStages(t *testing.T) {
	f := func(stages, line, want string, md ...string) {
		t.Helper()
		require.Equal(t, want, through(t, stages, line, md...), stages)
	}
	// The first of equal keys wins, across parsers too; the names of stream and metadata get a suffix.
	f("| json | logfmt", `{"a":1} a=2`, "a=1")
	f("| logfmt", "app=1 b=2", "app_extracted=1 b=2")
	f("| drop app | logfmt", "app=1", "app_extracted=1")
	f("| logfmt", "b=2", "b=m b_extracted=2", "b", "m")
	f("| drop b | logfmt", "b=2", "b=2", "b", "m")
	f("", "line", "app_extracted=m", "app", "m")
	f("| label_format b=`x` | logfmt", "b=2", "b=2")
	f("| logfmt | drop b | logfmt", "b=2", "")
	f("| json", `{"__error__":"mine"}`, "__error__=mine")
	// keep leaves errors alone, drop does not.
	f("| json | keep b", `{"a":1,"b":2`, "__error__=JSONParserErr b=2")
	f("| json | drop __error__", `{"a":1,"b":2`, "a=1 b=2")
	f("| logfmt | keep a=`1`", "a=1 b=2", "a=1")
	f("| logfmt | keep a=`2`", "a=1 b=2", "")
	f("| logfmt | drop a=~`1|2`, b!=`2`", "a=1 b=2", "b=2")
}

func TestResultsAreInterned(t *testing.T) {
	p := build(t, "| logfmt")
	s := p.ForStream(labels.FromStrings("app", "x"))
	run := func(line string, md ...string) *Result {
		_, res, ok := s.Process(1, []byte(line), meta(md...))
		require.True(t, ok)
		return res
	}
	a := run("a=1 b=2")
	require.Same(t, a, run("a=1 b=2"))
	require.Same(t, a, run("b=2 a=1"), "the order of keys does not matter")
	require.NotSame(t, a, run("a=1 b=3"))
	require.NotSame(t, a, run("a=1", "b", "2"), "where a label comes from does")
	require.Same(t, a, run("a=1 b=2"))
	require.Same(t, run(""), run("=="))

	r := run("a=1", "m", "v")
	require.Equal(t, "a=1 app=x m=v", show(r.Labels))
	require.Equal(t, "app=x", show(r.Stream))
	require.Equal(t, "m=v", show(r.Metadata))
	require.Equal(t, "a=1", show(r.Parsed))
	r = s.p.ForStream(labels.FromStrings("app", "x")).mustProcess(t, "z")
	require.Equal(t, "app=x", show(r.Labels))
}

func (s *Stream) mustProcess(t testing.TB, line string) *Result {
	_, res, ok := s.Process(1, []byte(line), nil)
	require.True(t, ok)
	return res
}

func TestResultsOutliveTheLine(t *testing.T) {
	s := build(t, "| json").ForStream(labels.EmptyLabels())
	line := []byte(`{"a":"first","b":"x\ny"}`)
	_, r1, _ := s.Process(1, line, nil)
	copy(line, `{"a":"third","b":"p\nq"}`)
	_, r2, _ := s.Process(1, line, nil)
	require.Equal(t, "a=first b=x\ny", show(r1.Labels))
	require.Equal(t, "a=third b=p\nq", show(r2.Labels))
}

func TestManyNamesAndResultsAreForgotten(t *testing.T) {
	s := build(t, "| json").ForStream(labels.FromStrings("app", "x"))
	s.mustProcess(t, `{"m":1}`)
	for i := range 3 * maxSlots {
		r := s.mustProcess(t, fmt.Sprintf(`{"k%d":"v","app":%d,"o%d":{"p":1}}`, i, i, i))
		require.Equal(t, fmt.Sprintf("app=x app_extracted=%d k%d=v o%d_p=1", i, i, i), show(r.Labels))
	}
	require.LessOrEqual(t, len(s.byName), maxSlots+16)
	s = build(t, "| json").ForStream(labels.FromStrings("app", "x"))
	s.mustProcess(t, `{"m":1}`)
	for i := range maxSlots + 1 {
		s.Process(1, []byte(`{}`), meta(fmt.Sprint("k", i), "v"))
	}
	_, r, _ := s.Process(1, []byte(`{"m":1}`), meta("m", "v"))
	require.Equal(t, "app=x m=v m_extracted=1", show(r.Labels))
	s = build(t, "| logfmt").ForStream(labels.FromStrings("app", "x"))
	for i := range 2*maxResults + 10 {
		require.Equal(t, fmt.Sprintf("app=x n=%d", i), show(s.mustProcess(t, fmt.Sprintf("n=%d", i)).Labels))
	}
	require.LessOrEqual(t, len(s.results.byLabels), maxResults)
}

func TestSamples(t *testing.T) {
	f := func(query, line, want string, md ...string) {
		t.Helper()
		p := buildSample(t, query)
		s := p.ForStream(labels.FromStrings("app", "x", "pod", "p"))
		v, res, ok, err := s.Sample(1, []byte(line), meta(md...))
		got := "none"
		switch {
		case err != nil:
			require.Error(t, err)
			got = "error " + err.(*Error).Kind
		case ok:
			got = strings.TrimSpace(fmt.Sprintf("%v %s", v, show(res.Labels)))
		}
		require.Equal(t, want, got, query)
	}
	f(`count_over_time({app="x"}[1m])`, "line", "1 app=x pod=p")
	f(`bytes_over_time({app="x"}[1m])`, "line", "4 app=x pod=p")
	f(`count_over_time({app="x"} | logfmt [1m])`, "a=1", "1 a=1 app=x pod=p")
	f(`count_over_time({app="x"} | logfmt --keep-empty [1m])`, "a= b=2", "1 app=x b=2 pod=p")
	f(`sum by (a) (count_over_time({app="x"} | logfmt --keep-empty [1m]))`, "a= b=2", "1 a=")
	f(`sum by (b) (count_over_time({app="x"} | logfmt [1m]))`, "a=1", "1")
	f(`sum without (app, a) (count_over_time({app="x"} | logfmt [1m]))`, "a=1 b=2", "1 b=2 pod=p")
	f(`sum by (m) (count_over_time({app="x"}[1m]))`, "a=1", "1 m=v", "k", "w", "m", "v")
	f(`sum by (pod_extracted) (count_over_time({app="x"}[1m]))`, "a=1", "1 pod_extracted=v", "pod", "v")
	// Only what is wanted is parsed: nothing else can fail.
	f(`sum(count_over_time({app="x"} | json [1m]))`, "no json", "1")
	f(`sum(bytes_over_time({app="x"} | unpack [1m]))`, `{"_entry":"e"}`, "14")
	f(`sum by (a) (bytes_over_time({app="x"} | unpack [1m]))`, `{"_entry":"e","a":"b"}`, "1 a=b")
	f(`sum by (a) (count_over_time({app="x"} | json [1m]))`, `{"a":1,broken`, "1 a=1")
	f(`sum by (b) (count_over_time({app="x"} | json [1m]))`, `{"a":1,broken`, "error JSONParserErr")
	f(`count_over_time({app="x"} | json [1m])`, `{"a":1,broken`, "error JSONParserErr")
	f(`sum by (b) (count_over_time({app="x"} | json | __error__!="" [1m]))`, `{"a":1,broken`, "1")
	f(`sum by (__error__) (count_over_time({app="x"} | json [1m]))`, `{"a":1,broken`, "1 __error__=JSONParserErr")
	f(`count_over_time({app="x"} | json | __error__!="" [1m])`, `{"a":1,broken`, "error JSONParserErr")
	f(`sum by (s) (count_over_time({app="x"} | json | n > 5 [1m]))`, `{"n":6,"s":"t"}`, "1 s=t")
	f(`sum by (s) (count_over_time({app="x"} | json | n > 5 [1m]))`, `{"n":5,"s":"t"}`, "none")
	f(`sum by (l) (count_over_time({app="x"} | logfmt | label_format l="{{.lvl | upper}}" [1m]))`, "a=1 lvl=warn", "1 l=WARN")
	f(`sum by (l) (count_over_time({app="x"} | logfmt | label_format l="{{.}}" [1m]))`, "a=1", "1 l=map[a:1 app:x pod:p]")
	// count skips a line_format that nobody reads, bytes do not.
	f(`count_over_time({app="x"} | line_format "{{ div 1 0 }}" [1m])`, "line", "1 app=x pod=p")
	f(`bytes_over_time({app="x"} | line_format "{{ div 1 0 }}" [1m])`, "line", "error TemplateFormatErr")
	f(`count_over_time({app="x"} | line_format "a=2" | logfmt [1m])`, "line", "1 a=2 app=x pod=p")
	// unwrap
	f(`sum_over_time({app="x"} | logfmt | unwrap n [1m])`, "a=1 n=2.5", "2.5 a=1 app=x pod=p")
	f(`sum_over_time({app="x"} | logfmt | unwrap n [1m])`, "a=1", "none")
	f(`sum_over_time({app="x"} | logfmt | unwrap n [1m])`, "n=abc", "error SampleExtractionErr")
	f(`sum_over_time({app="x"} | logfmt | unwrap n | __error__="" [1m])`, "n=abc", "none")
	f(`max_over_time({app="x"} | logfmt | unwrap n | n > 3 [1m]) by (a)`, "a=1 n=2.5", "none")
	f(`max_over_time({app="x"} | logfmt | unwrap n | n > 2 [1m]) by (a)`, "a=1 n=2.5", "2.5 a=1")
	f(`max_over_time({app="x"} | logfmt | unwrap duration(d) [1m]) by ()`, "d=1m3.5s", "63.5")
	f(`max_over_time({app="x"} | logfmt | unwrap bytes(d) [1m]) by ()`, "d=1.5KiB", "1536")
	f(`max_over_time({app="x"} | unwrap duration_seconds(d) [1m]) without (app)`, "", "0.25 pod=p", "d", "250ms")
}

func TestNeedsLines(t *testing.T) {
	f := func(query string, lines, length, trivial bool) {
		t.Helper()
		p := buildSample(t, query)
		require.Equal(t, lines, p.NeedsLines(), query)
		require.Equal(t, length, p.ValueIsLength(), query)
		require.Equal(t, trivial, p.Trivial(), query)
	}
	f(`count_over_time({app="x"}[1m])`, false, false, true)
	f(`bytes_rate({app="x"}[1m])`, false, true, true)
	f(`count_over_time({app="x"} |= "a" [1m])`, true, false, true)
	f(`count_over_time({app="x"} |= "" [1m])`, false, false, true)
	f(`count_over_time({app="x"} | a="b" [1m])`, false, false, false)
	f(`sum(count_over_time({app="x"} | json [1m]))`, false, false, true)
	f(`count_over_time({app="x"} | json [1m])`, true, false, false)
	f(`count_over_time({app="x"} | label_format a="{{__line__}}" [1m])`, true, false, false)
	f(`count_over_time({app="x"} | decolorize | line_format "x" [1m])`, false, false, true)
	f(`sum_over_time({app="x"} | unwrap a [1m])`, false, false, false)
	require.True(t, build(t, "").NeedsLines())
}

func TestBuildErrors(t *testing.T) {
	f := func(st syntax.Stage, want string) {
		t.Helper()
		_, err := Build([]syntax.Stage{st})
		require.ErrorContains(t, err, want)
	}
	filter := func(op syntax.LineFilterOp, text string, ip bool) syntax.Stage {
		return &syntax.LineFilter{Op: op, Alternatives: []syntax.LineMatch{{Text: text, IP: ip}}}
	}
	f(filter(syntax.LineMatches, "(", false), "missing closing )")
	f(filter(syntax.LinePattern, "<a>", false), "named captures are not allowed")
	f(filter(syntax.LinePattern, "<_><_>", false), "consecutive capture")
	f(filter(syntax.LineContains, "nope", true), "invalid pattern")
	f(filter(syntax.LineContains, "10.0.0.0/64", true), "invalid pattern")
	f(&syntax.RegexpParser{Pattern: "("}, "missing closing )")
	f(&syntax.RegexpParser{Pattern: "(a)"}, "at least one named capture")
	f(&syntax.RegexpParser{Pattern: "a"}, "at least one named capture")
	f(&syntax.RegexpParser{Pattern: "(?P<a>x)(?P<a>y)"}, "duplicate")
	f(&syntax.PatternParser{Pattern: "none"}, "at least one capture")
	f(&syntax.PatternParser{Pattern: "<_>"}, "at least one capture")
	f(&syntax.PatternParser{Pattern: "<a><b>"}, "consecutive capture")
	f(&syntax.PatternParser{Pattern: "<a> <a>"}, "duplicate capture name")
	f(&syntax.LineFormat{Template: "{{"}, "invalid line template")
	f(&syntax.LineFormat{Template: "{{ nope }}"}, "not defined")
	f(&syntax.LabelFormat{Ops: []syntax.LabelFormatOp{{Name: "a", Value: "{{"}}}, "invalid template")
	f(&syntax.LabelFormat{Ops: []syntax.LabelFormatOp{{Name: "__error__", Value: "x"}}}, "cannot be formatted")
	f(&syntax.LabelFormat{Ops: []syntax.LabelFormatOp{{Name: "a", Value: "x"}, {Name: "a", Value: "y"}}}, "multiple label name")
	f(&syntax.JSONParser{Extractions: []syntax.Extraction{{Name: "a", Expression: ".b"}}}, "cannot parse json expression")
	f(&syntax.LogfmtParser{Extractions: []syntax.Extraction{{Name: "a", Expression: "-"}}}, "cannot parse logfmt expression")
	f(&syntax.LabelFilterStage{Filter: &syntax.IPFilter{Name: "a", Pattern: "nope"}}, "invalid pattern")
	require.ErrorContains(t, ValidateTemplate("{{ .a"), "unclosed action")
	require.NoError(t, ValidateTemplate("{{ .a | upper }}"))
	_, err := BuildSample(&syntax.RangeAggregation{Op: "sum_over_time", Unwrap: &syntax.Unwrap{Label: "a", Conversion: "miles"}}, nil)
	require.ErrorContains(t, err, "unknown conversion")
}

func TestProcessDoesNotAllocate(t *testing.T) {
	f := func(p *Pipeline, line string, md ...string) {
		t.Helper()
		s := p.ForStream(labels.FromStrings("app", "x", "pod", "p"))
		b, m := []byte(line), meta(md...)
		n := testing.AllocsPerRun(100, func() {
			if p.sample {
				s.Sample(1, b, m)
			} else {
				s.Process(1, b, m)
			}
		})
		require.Zero(t, n, line)
	}
	js := `{"a":1,"s":"some\ntext","o":{"p":true,"q":[1,2]},"level":"warn","n":17,"u":"grüße"}`
	lf := `a=1 s="some\ntext" level=warn n=17 u=grüße bad="`
	f(build(t, ""), js, "k", "v")
	f(build(t, "| json"), js, "k", "v")
	f(build(t, "| json | n > 5 | level=~`w.*` | s!=``"), js)
	f(build(t, "| json lvl=`level`, q=`o.q[1]`, no=`x`"), js)
	f(build(t, "| logfmt"), lf, "k", "v")
	f(build(t, "| logfmt lvl=`level`, no | n > 5"), lf)
	f(build(t, "| pattern `<a> s=<_> level=<level> <_>` | drop a | keep level, app"), lf)
	f(build(t, "| logfmt | label_format x=`{{.level}}-{{.n}}`, y=a | line_format `{{.x}} {{__line__}}`"), lf)
	f(build(t, "| unpack"), `{"_entry":"a=1","b":"c"}`)
	f(buildSample(t, `sum by (level) (count_over_time({app="x"} | json [1m]))`), js)
	f(buildSample(t, `avg_over_time({app="x"} | logfmt | unwrap n [1m]) by (pod)`), lf)
	f(buildSample(t, `sum by (k) (count_over_time({app="x"}[1m]))`), lf, "k", "v")
}

func TestPipelineIsShared(t *testing.T) {
	p := build(t, "|= `a` | json | logfmt | pattern `<x> <y>` | n > 1 or a!=`` | label_format z=`{{ .a | upper | regexReplaceAll \"x\" .b }}` | line_format `{{ __line__ | trunc 3 }}`")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			s := p.ForStream(labels.FromStrings("app", fmt.Sprint(g)))
			for i := range 50 {
				line := []byte(fmt.Sprintf("a=%d n=%d b=c", g, i))
				require.True(t, p.MatchLine(line))
				_, r, ok := s.Process(1, line, nil)
				require.True(t, ok)
				require.Equal(t, fmt.Sprint(g), r.Labels.Get("a"))
			}
		})
	}
	wg.Wait()
}

// TestFilterBehindKeep wants a filter on a parsed label to be tried while the line is parsed, whatever keep leaves of it.
func TestFilterBehindKeep(t *testing.T) {
	require.Equal(t, "dropped", through(t, "| logfmt | keep a | b!=`2`", "a=1 b=2"))
	require.Equal(t, "dropped", through(t, "| json | keep a | b > 2", `{"a":1,"b":2}`))
	require.NotEqual(t, "dropped", through(t, "| logfmt | keep a | b!=`2`", "a=1 b=3"))
}
