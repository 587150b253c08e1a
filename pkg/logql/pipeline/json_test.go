package pipeline

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestJSON(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| json", line), line)
	}
	const failed = "__error__=JSONParserErr"
	f(`{"a":1,"b":"two","c":true,"d":null,"e":1.5e3,"f":-0.0,"g":false}`, "a=1 b=two c=true e=1.5e3 f=-0.0 g=false")
	f(`{}`, "")
	f(" \t\r\n{\"a\" : 1 ,\n\"b\": {\t\"c\":2 } } rest", "a=1 b_c=2")
	f(`{"dup":"first","dup":"second"}`, "dup=first")
	f(`{"x.y":1,"x-y":2,"1num":3,"9":4,"":5," ":6," pad ":7}`, "_1num=3 _9=4 pad=7 x_y=1")
	f(`{"ключ":"v","emoji😀":"yes"}`, "____=v emoji_=yes")
	f(`{"nest":{"a":{"b":{"c":"deep"}},"list":[1,{"k":"}"},[2]],"empty":{}},"nest_a_b_c":"flat"}`, "nest_a_b_c=deep")
	f(`{"o":{"1":2,"":3," ":4,"x y":5}}`, "o_1=2 o_x_y=5")
	f(`{"esc":"q\"uote \\ \/ \b\f\n\r\t","u":"\u00e9\u4e2d","pair":"\ud83d\ude00","lone":"\ud83d x","bad":"\q"}`,
		"bad= esc=q\"uote \\ / \b\f\n\r\t lone= pair=😀 u=é中")
	f("{\"k\\u0041\":\"escaped key\",\"tab\tin\":\"raw\ttab\"}", "kA=escaped key tab_in=raw\ttab")
	f(`{"a":"x\ud83d\u0041y","b":"\udc00\ud800","c":"\u12"}`, "a= b= c=")
	f("{\"a\":\"x\xffy\ufffdz\"}", "a=xyz")
	f(`{"a":"","b":[],"c":{},"d":["e"]}`, "a=")
	// Fields before a syntax error stay.
	f(`{"a":1,}`, "a=1")
	f(`{"a":1 "b":2}`, failed+" a=1")
	f(`{"a":01,"b":+1}`, failed+" a=01")
	f(`{"a":1,"b":tru}`, failed+" a=1")
	f(`{"a":1,"b":"open}`, failed+" a=1")
	f(`{"a":1,"b":`, failed+" a=1")
	f(`{"a":1,"b":2`, failed+" a=1 b=2")
	f(`{"a":1,"b":[1,2`, failed+" a=1")
	f(`{"a":1,"b":{"c":2`, failed+" a=1")
	f(`{"a":1,"b":{"c":2,"d":{"e":3}`, failed+" a=1")
	f(`{"a":1,"b":{"c":2 "d":3},"e":4}`, failed+" a=1 b_c=2")
	f(`{"bad\qkey":1}`, failed)
	f(`{'a':1}`, failed)
	for _, line := range []string{"", " ", "42", "null", `"text"`, `["a"]`, "plain text", "{", `{"a"`, `{"a":`, `{"a"}`} {
		f(line, failed)
	}
}

func TestJSONSkipsWhatNobodyWants(t *testing.T) {
	p := build(t, "| json | keep b")
	s := p.ForStream(labels.EmptyLabels())
	require.Equal(t, "b=2", show(s.mustProcess(t, `{"a":"x\ny","b":2,"c":{"d":1}}`).Labels))
	require.NotContains(t, s.byName, "a")
	require.NotContains(t, s.byName, "c_d")
	require.Equal(t, "__error__=JSONParserErr b=2", show(s.mustProcess(t, `{"b":2,"c":{"d":1 2}}`).Labels), "errors still count")
}

// reference flattens a JSON object as the parser should.
func referenceJSON(line string) (map[string]string, bool) {
	if !json.Valid([]byte(line)) {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	if tok, _ := dec.Token(); tok != json.Delim('{') {
		return nil, false
	}
	out := map[string]string{}
	flatten(dec, "", out)
	return out, true
}

func flatten(dec *json.Decoder, prefix string, out map[string]string) {
	for dec.More() {
		k, _ := dec.Token()
		name := sanitize(k.(string), prefix == "")
		full := name
		switch {
		case prefix != "" && name != "":
			full = prefix + "_" + name
		case prefix != "":
			full = prefix
		}
		v, _ := dec.Token()
		put := func(s string) {
			if _, ok := out[full]; !ok && name != "" {
				out[full] = strings.ReplaceAll(s, "\ufffd", "")
			}
		}
		switch v := v.(type) {
		case string:
			put(v)
		case json.Number:
			put(v.String())
		case bool:
			put(map[bool]string{true: "true", false: "false"}[v])
		case json.Delim:
			if v == '{' {
				flatten(dec, full, out)
			} else {
				for depth := 1; depth > 0; {
					switch tok, _ := dec.Token(); tok {
					case json.Delim('['), json.Delim('{'):
						depth++
					case json.Delim(']'), json.Delim('}'):
						depth--
					}
				}
			}
		}
	}
	dec.Token()
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":{"b":"c\u00e9","d":[{"e":1}]},"f":null}`, `{"a":"\ud83d\ude00"}`, `{"a":1`, `[`, ` {"x y":"z"} `, `{"":{"":1}}`} {
		f.Add(s)
	}
	p, err := Build(nil)
	require.NoError(f, err)
	p.stages = []stage{newJSONParser(parserHints{want: needs{all: true}})}
	f.Fuzz(func(t *testing.T, line string) {
		s := p.ForStream(labels.EmptyLabels())
		for range 2 { // the second time the keys are guessed
			_, r, ok := s.Process(1, []byte(line), nil)
			require.True(t, ok)
			got := r.Labels.Map()
			want, valid := referenceJSON(line)
			if !valid || !utf8.ValidString(line) || bytes.Contains([]byte(line), []byte(`\u`)) || strings.Contains(line, errorLabel) {
				continue
			}
			require.Equal(t, want, got)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	line := []byte(`{"time":"2026-01-15T10:00:00.123Z","level":"info","msg":"request completed","method":"GET","path":"/api/v1/orders/17/items","status":200,"duration_ms":12.7,"bytes":5123,"client_ip":"10.1.2.3","user_id":4711,"trace_id":"8d3b6f7a0c1e4f5a9b2d3c4e5f6a7b8c","upstream":"orders"}`)
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
	run("all", build(b, "| json"))
	run("keep", build(b, "| json | keep status"))
	run("filter", build(b, "| json | status >= 500"))
	run("by", buildSample(b, `sum by (status) (count_over_time({app="x"} | json [1m]))`))
	run("unwrap", buildSample(b, `avg_over_time({app="x"} | json | unwrap duration_ms [1m]) by (app)`))
	run("expression", build(b, "| json s=`status`"))
}
