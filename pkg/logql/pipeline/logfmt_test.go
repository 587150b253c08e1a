package pipeline

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestLogfmt(t *testing.T) {
	f := func(flags, line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| logfmt "+flags, line), flags+" on "+line)
	}
	const failed = "__error__=LogfmtParserErr"
	f("", `a=1 b=two c="three four" d= e f=""`, "a=1 b=two c=three four")
	f("--keep-empty", `a=1 b=two c="three four" d= e f=""`, "a=1 b=two c=three four d= e= f=")
	f("", "dup=first dup=second", "dup=first")
	f("", "n= n=3", "n=3")
	f("--keep-empty", "n= n=3", "n=")
	f("", `esc="q\"uote" back="a\\b" nl="x\ny" uni="\u00e9"`, "back=a\\b esc=q\"uote nl=x\ny uni=é")
	f("", "  a=1\tb=2\nc=3\x00d=4 ", "a=1 b=2 c=3 d=4")
	f("", "x.y=dot 1num=digit a,b=1 (c)=2 ключ=v", "_1num=digit ____=v _c_=2 a_b=1 x_y=dot")
	f("", "a=x\xffy b=\ufffd", "a=xy b=")
	f("", `key="quoted"glued=1`, "glued=1 key=quoted")
	f("", "no pairs here", "")
	f("--keep-empty", "no pairs", "no= pairs=")
	f("", "", "")
	// Bad pairs are skipped, or stop a strict parser.
	for _, bad := range []string{"a=b=c", "=novalue", `fo"o=bar`, `val=a"b`, `json={"a":1}`, "k\xffey=1", `bad="\q"`} {
		f("", "before=ok "+bad+" after=ok", "after=ok before=ok")
		f("--strict", "before=ok "+bad+" after=ok", failed+" before=ok")
	}
	f("", `"quoted key"=1 n=2`, "n=2")
	f("", `a=1 broken="open value n=2`, "a=1")
	f("--strict", `a=1 broken="open value n=2`, failed+" a=1")
	f("--strict", `a=1 b`, "a=1")
	f("--strict | keep b", `a=x=y b=1`, failed)
	f("| keep b", `a=x=y b=1`, "b=1")
	f("--strict --keep-empty", `a=1 b`, "a=1 b=")
}

func TestLogfmtExpressions(t *testing.T) {
	f := func(args, line, want string, md ...string) {
		t.Helper()
		require.Equal(t, want, through(t, "| logfmt "+args, line, md...), args+" on "+line)
	}
	f("a, b=`c`, no", `a=1 c="2 3" d=4`, "a=1 b=2 3 no=")
	f("a", "a=1 a= a=3", "a=3")
	f("a", "a=1 a=", "a=")
	f("app, a", "app=1 a=2", "a=m a_extracted=2 app_extracted=1", "a", "m")
	f("app, a", "x=1", "a=m", "a", "m")
	f("x=`a`, y=`a`", "a=1", "x=1 y=1")
	f("--strict a, after", "a=b=c after=ok", "__error__=LogfmtParserErr a= after=")
	f("app_extracted, app", "app=1 app_extracted=2", "app_extracted=")
	f("a | a=`2`", "a=1", "dropped")
}

// referenceLogfmt reads pairs in the plainest way.
func referenceLogfmt(line string) map[string]string {
	out := map[string]string{}
	for line != "" {
		if line[0] <= ' ' {
			line = line[1:]
			continue
		}
		skip := func() {
			if i := strings.IndexFunc(line, func(r rune) bool { return r <= ' ' }); i >= 0 {
				line = line[i:]
			} else {
				line = ""
			}
		}
		end := strings.IndexFunc(line, func(r rune) bool { return r <= ' ' || r == '=' || r == '"' })
		if end < 0 {
			break
		}
		key := line[:end]
		line = line[end:]
		if line[0] <= ' ' {
			continue
		}
		if line[0] == '"' || key == "" {
			skip()
			continue
		}
		line = line[1:]
		val := ""
		if strings.HasPrefix(line, `"`) {
			end := 1
			for end < len(line) && line[end] != '"' {
				if line[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(line) {
				break
			}
			raw := line[1:end]
			line = line[end+1:]
			unescaped, ok := appendUnescaped(nil, []byte(raw))
			if !ok {
				skip()
				continue
			}
			val = string(unescaped)
		} else {
			end := strings.IndexFunc(line, func(r rune) bool { return r <= ' ' || r == '=' || r == '"' })
			if end < 0 {
				end = len(line)
			}
			val = line[:end]
			line = line[end:]
			if line != "" && line[0] > ' ' {
				skip()
				continue
			}
		}
		if name := sanitize(key, true); name != "" && val != "" {
			if _, ok := out[name]; !ok {
				out[name] = strings.ReplaceAll(val, "\ufffd", "")
			}
		}
	}
	return out
}

func FuzzLogfmt(f *testing.F) {
	for _, s := range []string{"a=1 b=2", `a="x y" b`, `a="\n`, "=1 a=b=c d=e", `k="v"x=1`, "a=1 a=2 ключ=я"} {
		f.Add(s)
	}
	p := build(f, "| logfmt")
	f.Fuzz(func(t *testing.T, line string) {
		if !utf8.ValidString(line) {
			return
		}
		s := p.ForStream(labels.EmptyLabels())
		for range 2 {
			_, r, ok := s.Process(1, []byte(line), nil)
			require.True(t, ok)
			require.Equal(t, referenceLogfmt(line), r.Labels.Map())
		}
	})
}

func BenchmarkLogfmt(b *testing.B) {
	line := []byte(`ts=2026-01-15T10:00:00.123Z level=info caller=order.go:117 msg="order processed" order_id=8231934 warehouse=ber-2 items=4 duration=231ms queue=hi retries=0 trace_id=8d3b6f7a0c1e4f5a`)
	run := func(name string, p *Pipeline) {
		b.Run(name, func(b *testing.B) {
			s := p.ForStream(labels.FromStrings("app", "x"))
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if p.sample {
					s.Sample(1, line, nil)
				} else {
					s.Process(1, line, nil)
				}
			}
		})
	}
	run("all", build(b, "| logfmt"))
	run("filter", build(b, "| logfmt | duration > 500ms"))
	run("by", buildSample(b, `sum by (warehouse) (count_over_time({app="x"} | logfmt [1m]))`))
	run("expression", build(b, "| logfmt w=`warehouse`"))
}
