package pipeline

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestRegexpParser(t *testing.T) {
	f := func(re, line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| regexp `"+re+"`", line), re)
	}
	f(`user=(?P<user>\w+) (?P<n>\d+)`, "at user=ann 17", "n=17 user=ann")
	f(`user=(?P<user>\w+)`, "nobody", "")
	f(`port (?P<port>\d+)|by (?P<ip>.*)$`, "closed by ::1", "ip=::1 port=")
	f(`(?P<a>x)?(?P<b>ssh)`, "ssh", "a= b=ssh")
	f(`(?P<1st>\w)`, "abc", "_1st=a")
	f(`(?P<app>\w+)`, "abc", "app_extracted=abc")
	f(`(?i)(?P<w>FAILED|accepted) (\w+)`, "Failed password", "w=Failed")
	f(`(?m)^(?P<c>Caused.*)$`, "x\nCaused by y\nz", "c=Caused by y")
	require.Equal(t, "dropped", through(t, "| regexp `(?P<a>\\d)` | a=`2`", "1"))
	require.Equal(t, "a=1", through(t, "| regexp `(?P<a>\\d)` | regexp `\\d(?P<a>\\d)`", "12"))
}

func TestPatternParser(t *testing.T) {
	f := func(pattern, line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| pattern `"+pattern+"`", line), pattern)
	}
	f("<ip> - <user> [<_>] \"<method> <path> <_>\" <status> <size>", `::1 - - [now] "GET /x HTTP/1.1" 200 17`, "ip=::1 method=GET path=/x size=17 status=200 user=-")
	f("<a> <b>", "x  y", "a=x b= y")
	f("<a> <b> <c>", "x  y", "a=x b= c=y")
	f("<a>, <b>; <c>", "x, y", "a=x b=y")
	f("a<x>", "ab", "x=b")
	f("a<x>", "ba", "")
	f("<x>", "", "")
	f("<x>z", "xyz!", "x=xy")
	f("<x>z", "xy", "x=xy")
	f("<app>=<1>=<b>", "k=<1>=v", "app_extracted=k b=v")
	f("<b>=<s>=<v>", "k=1 s=2 v=3", "b=k s=1 s v=2 v=3")
	f("<>_<a-b> <a>", "<>_<a-b> 1", "a=1")
	require.Equal(t, "b=2", through(t, "| pattern `<a> <b>` | keep b", "1 2"))
	require.Equal(t, "dropped", through(t, "| pattern `<a> <b>` | a=`2`", "1 2"))
}

func FuzzPattern(f *testing.F) {
	f.Add("<a> - <_> [<b>]", "x - y [z]")
	f.Add("a<b>c", "abc")
	f.Fuzz(func(t *testing.T, pattern, line string) {
		parts, err := parsePattern(pattern)
		if err != nil {
			return
		}
		back := ""
		for _, p := range parts {
			if p.capture {
				back += "<" + p.name + ">"
			} else {
				back += p.literal
			}
		}
		require.Equal(t, pattern, back)
		if m, err := newLinePattern(pattern); err == nil && m.match([]byte(line)) {
			for _, p := range m.parts {
				require.Contains(t, line, string(p.literal))
			}
		}
		if len(parts) == 0 {
			return
		}
		b := (&patternParser{hints: parserHints{want: needs{all: true}}, parts: parts}).bind(build(t, "").ForStream(labels.EmptyLabels()))
		_, ok := b.process([]byte(line))
		require.True(t, ok)
	})
}

func BenchmarkPattern(b *testing.B) {
	line := []byte(`203.0.113.7 - frank [15/Jan/2026:10:00:00 +0000] "GET /api/v1/orders/17/items HTTP/1.1" 200 5123 "https://example.org/" "curl/7.68.0" 0.231`)
	s := buildSample(b, "sum by (status) (count_over_time({app=`x`} | pattern `<_> - <_> [<_>] \"<method> <path> <_>\" <status> <_>` [1m]))").ForStream(labels.EmptyLabels())
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		s.Sample(1, line, nil)
	}
}

func TestUnpack(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| unpack", line), line)
	}
	const failed = "__error__=JSONParserErr"
	f(`{"container":"c","_entry":"the \"line\""}`, `container=c | the "line"`)
	f(`{"_entry":"e","build.tag":"v1","app":"shadow","k":"v","k":"w"} rest`, "app_extracted=shadow build_tag=v1 k=v | e")
	f(`{"_entry":"e","n":4,"ok":true,"no":null,"o":{"x":1},"l":[1]}`, " | e")
	f(`{"container":"c"}`, "")
	f(`{"_entry":4,"c":"d"}`, "")
	f("", "")
	f(` {"_entry":"e"}`, failed)
	f("plain", failed)
	f(`{"c":"d","_entry":"x`, failed)
	f(`{"c":"d","_entry":"x"`, failed)
	require.Equal(t, "dropped", through(t, "| unpack | c=`x`", `{"c":"d","_entry":"e"}`))
	require.Equal(t, "a=1 c=d | a=1", through(t, "| unpack | logfmt", `{"c":"d","_entry":"a=1"}`))
}

func FuzzUnpack(f *testing.F) {
	f.Add(`{"a":"b","_entry":"c"}`)
	f.Add(`{"a":{"_entry":"x"}`)
	p := build(f, "| unpack")
	f.Fuzz(func(t *testing.T, line string) {
		s := p.ForStream(labels.EmptyLabels())
		out, r, ok := s.Process(1, []byte(line), nil)
		require.True(t, ok)
		if r.Labels.Has(errorLabel) || !strings.Contains(line, "_entry") {
			require.Equal(t, line, string(out))
		}
	})
}

func TestDecolorize(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		out, _, ok := build(t, "| decolorize").ForStream(labels.EmptyLabels()).Process(1, []byte(line), nil)
		require.True(t, ok)
		require.Equal(t, want, string(out))
	}
	f("plain", "plain")
	f("\x1b[31mred\x1b[0m", "red")
	f("\x1b[1;32;40mINFO\x1b[0m server", "INFO server")
	f("\u009b31mred", "red")
	f("\x1b]8;;http://example.org/64\x1b\\link\x1b]8;;\x1b\\ done", "ttp://example.org/64\x1b\\link;;\x1b\\ done")
}
