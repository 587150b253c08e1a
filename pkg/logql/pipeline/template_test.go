package pipeline

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestTemplateFunctions(t *testing.T) {
	t.Setenv("TZ", "UTC")
	f := func(template, want string) {
		t.Helper()
		p := build(t, "| logfmt | line_format `"+template+"`")
		line := `run=17 task=backup took=1m3.5s size=1.5KB uni=日本語 js="{\"a\":[1,2]}"`
		out, r, ok := p.ForStream(labels.FromStrings("app", "x")).Process(1768435200123456789, []byte(line), nil)
		require.True(t, ok)
		got := string(out)
		if r.Labels.Has(errorLabel) {
			require.Equal(t, line, got, "a failing template leaves the line")
			got = r.Labels.Get(errorLabel)
			require.NotEmpty(t, r.Labels.Get(errorDetailsLabel))
		}
		require.Equal(t, want, got, template)
	}
	const failed = errTemplate
	f("{{.run}} {{.missing}}|{{.task}}", "17 |backup")
	f("{{.run}}", "17")
	f("", "")
	f("{{ __line__ | trunc 6 }}", "run=17")
	f("{{ __timestamp__ }} {{ __timestamp__ | unixEpoch }} {{ __timestamp__ | unixEpochMillis }} {{ __timestamp__ | unixEpochNanos }}",
		"2026-01-15 00:00:00.123456789 +0000 UTC 1768435200 1768435200123 1768435200123456789")
	f(`{{ ToUpper .task }}{{ ToLower "AB" }}{{ upper "a" }}{{ lower "B" }}{{ title "c" }}`, "BACKUPabAbC")
	f(`{{ Replace "aaaa" "a" "b" 2 }} {{ replace "a" "b" "aa" }} {{ repeat 3 "x" }}`, "bbaa bb xxx")
	f(`{{ Trim "xax" "x" }}{{ TrimLeft "xax" "x" }}{{ TrimRight "xax" "x" }}{{ TrimPrefix "xa" "x" }}{{ TrimSuffix "ax" "x" }}{{ TrimSpace " a " }}`, "aaxxaaaa")
	f(`{{ trim " a " }}{{ trimAll "$" "$5$" }}{{ trimPrefix "b" "ba" }}{{ trimSuffix "b" "ab" }}`, "a5aa")
	f(`{{ trunc 3 "abcdef" }} {{ trunc -2 "abcdef" }} {{ substr 1 3 "abcdef" }} {{ substr -1 2 "abc" }}`, "abc ef bc ab")
	f(`{{ alignLeft 3 .uni }}|{{ alignLeft 5 .uni }}|{{ alignLeft 1 .uni }}|{{ alignLeft -1 "a" }}`, "日本語|日本語  |日|a")
	f(`{{ alignRight 3 .uni }}|{{ alignRight 5 .uni }}|{{ alignRight 1 .uni }}|{{ alignRight 0 "a" }}`, "日本語|  日本語|語|")
	f(`{{ contains "ack" .task }} {{ hasPrefix "b" .task }} {{ hasSuffix "x" .task }} {{ eq .run "17" }}`, "true true false true")
	f(`{{ indent 2 "a" }}{{ nindent 2 "b" }}`, "  a\n  b")
	f(`{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 4 }} {{ max 1 .run }} {{ min 9 .run }}`, "6 3 6 3 3 17 9")
	f(`{{ addf 1.5 2 }} {{ subf 5 2.5 }} {{ mulf 1.5 2 }} {{ divf 1 4 }} {{ maxf 1 2.5 }} {{ minf 1.5 2 }}`, "3.5 2.5 3 0.25 2.5 1.5")
	f(`{{ ceil 1.2 }} {{ floor 1.8 }} {{ round 1.256 2 }} {{ int "3.9" }} {{ int "0x1F" }} {{ float64 "2.5" }}`, "2 1 1.26 3 31 2.5")
	f(`{{ div 1 0 }}`, failed)
	f(`{{ bytes .size }} {{ duration .took }} {{ duration_seconds "250ms" }}`, "1500 63.5 0.25")
	f(`{{ bytes "big" }}`, failed)
	f(`{{ duration "long" }}`, failed)
	f(`{{ count "[0-9]" .run }} {{ regexReplaceAll "(r)un" "run" "<$1>" }} {{ regexReplaceAllLiteral "r" "run" "$0" }}`, "2 <r> $0un")
	f(`{{ count "(" "x" }}`, failed)
	f(`{{ regexReplaceAll "(" "x" "y" }}`, failed)
	f(`{{ regexReplaceAllLiteral "(" "x" "y" }}`, failed)
	f(`{{ urlencode "a b&c/é" }} {{ urldecode "a%20b+c" }}`, "a+b%26c%2F%C3%A9 a b c")
	f(`{{ urldecode "%zz" }}`, failed)
	f(`{{ "hello" | b64enc }} {{ "aGVsbG8=" | b64dec }}`, "aGVsbG8= hello")
	f(`{{ .missing | default "-" }} {{ default "-" .run }} {{ 0 | default 1 }}`, "- 17 1")
	f(`{{ range (fromJson .js).a }}<{{.}}>{{ end }}{{ fromJson "nope" }}`, "<1><2><no value>")
	f(`{{ date "2006-01-02" (unixToTime "1768435200") }} {{ unixToTime "20468" | date "2006-01-02" }}`, "2026-01-15 2026-01-15")
	f(`{{ unixToTime "1768435200123" | unixEpochMillis }} {{ unixToTime "1768435200123456" | unixEpochNanos }} {{ unixToTime "1768435200123456789" | unixEpochNanos }}`,
		"1768435200123 1768435200123456000 1768435200123456789")
	f(`{{ unixToTime "12" }}`, failed)
	f(`{{ unixToTime "0x123" }}`, failed)
	f(`{{ toDate "2006-01-02" "2021-11-02" | unixEpoch }}`, "1635811200")
	f(`{{ toDateInZone "2006-01-02" "America/New_York" "2021-11-02" | unixEpoch }} {{ toDateInZone "2006-01-02" "No/Where" "2021-07-02" | unixEpoch }}`, "1635825600 1625184000")
	f(`{{ if gt (now | unixEpoch | int) 1700000000 }}later{{ end }}`, "later")
	f(`{{ printf "%s-%d" .task 5 }} {{ len .task }} {{ index . "run" }} {{ with .run }}w{{.}}{{ end }}`, "backup-5 6 17 w17")
	f(`{{ define "t" }}<{{.}}>{{ end }}{{ template "t" .run }}{{ $x := .run }}{{ $x }}`, "<17>17")
	f(`{{.}}`, `map[app:x js:{"a":[1,2]} run:17 size:1.5KB task:backup took:1m3.5s uni:日本語]`)
	f(`{{ index .run 99 }}`, failed)
	f(`{{ repeat 1000000000 "x" }}`, failed)
	f(`{{ nindent 1000000000 "x" }}`, failed)
	f(`{{ alignLeft 1000000000 "x" }}`, failed)
	f(`{{ range 1000000000 }}xxxxxxxx{{ end }}`, failed)
	f(`{{ gt .run 5 }}`, failed)
}

func TestLineFormatSeesErrors(t *testing.T) {
	f := func(template, want string) {
		t.Helper()
		out, _, _ := build(t, "| json | line_format `"+template+"`").ForStream(labels.EmptyLabels()).Process(1, []byte("x"), nil)
		require.Equal(t, want, string(out))
	}
	f("{{.__error__}}", "")
	f("{{.__error__}}!", "JSONParserErr!")
	f("{{ print .__error__ }}", "JSONParserErr")
}

func TestLabelFormat(t *testing.T) {
	f := func(ops, line, want string, md ...string) {
		t.Helper()
		require.Equal(t, want, through(t, "| logfmt | label_format "+ops, line, md...), ops)
	}
	f("b=a", "a=1", "b=1")
	f("b=missing", "a=1", "a=1")
	f("a=a", "a=1", "")
	f("b=`{{.a}}!`", "a=1", "a=1 b=1!")
	f("b=`{{.missing}}`", "a=1", "a=1 b=")
	f("b=m", "a=1", "a=1 b=v", "m", "v")
	f("a=`x`, b=`[{{.a}}]`", "z=1", "a=x b=[] z=1")
	f("b=a, c=`[{{.a}}{{.b}}]`", "a=1", "b=1 c=[1]")
	f("c=`[{{.a}}]`, b=a", "a=1", "b=1 c=[1]")
	f("swap=a, a=b", "a=1 b=2", "a=2 swap=1")
	f("b=`{{ div .a 0 }}`, c=`ok`", "a=1", "__error__=TemplateFormatErr a=1 c=ok")
	f("b=`{{ .a | upper }}`, c=`{{ printf \"%s\" .b }}`", "a=x", "a=x b=X c=")
	f("b=`{{ __line__ }}`", "a=1", "a=1 b=a=1")
	r := build(t, "| label_format app=`y`, m=k").ForStream(labels.FromStrings("app", "x", "k", "v")).mustProcess(t, "")
	require.Equal(t, []string{"", "", "app=y m=v"}, []string{show(r.Stream), show(r.Metadata), show(r.Parsed)})
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{.a}} {{ __line__ | upper }}", "a=1")
	f.Add("{{ if .a }}{{ regexReplaceAll \"x\" .b \"y\" }}{{ end }}", "b=x")
	f.Fuzz(func(t *testing.T, template, line string) {
		if ValidateTemplate(template) != nil || len(template) > 64 || strings.Contains(template, "range") {
			return
		}
		n, err := templateNeeds("t", template)
		require.NoError(t, err)
		_ = n
		l, err := newFormatter("t", template)
		require.NoError(t, err)
		s := build(t, "| logfmt").ForStream(labels.FromStrings("app", "x"))
		s.mustProcess(t, line)
		b := l.bind(s)
		data := map[string]string{}
		s.labelMap(data)
		got, err := b.append(nil, []byte(line), data)
		if err != nil {
			return
		}
		// A simple template prints what text/template prints.
		l.simple = false
		want, err := b.append(nil, []byte(line), data)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	})
}

func BenchmarkTemplate(b *testing.B) {
	for name, st := range map[string]string{"fields": "{{.level}} {{.msg}} {{.n}}", "functions": "{{ .level | upper }} {{ .msg | trunc 5 }}"} {
		b.Run(name, func(b *testing.B) {
			s := build(b, "| logfmt | line_format `"+st+"`").ForStream(labels.EmptyLabels())
			line := []byte(`level=info msg="order processed" n=17`)
			b.ReportAllocs()
			for b.Loop() {
				s.Process(1, line, nil)
			}
		})
	}
}
