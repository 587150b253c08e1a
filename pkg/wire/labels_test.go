package wire

import (
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestParseLabels(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		set, err := ParseLabels(in)
		require.NoError(t, err)
		var got []string
		for _, l := range set {
			got = append(got, l.Name, l.Value)
		}
		require.Equal(t, want, got)
	}
	f(`{}`)
	f(` { } `)
	f(`{a="b"}`, "a", "b")
	f(`{a="b",}`, "a", "b")
	f("{ z=\"1\",\n\tapp = \"x y\" , b='2'\t, }", "z", "1", "app", "x y", "b", "2")
	f("{a=`b\\n\"`}", "a", `b\n"`)
	f(`{a='it\'s "quoted"'}`, "a", `it's "quoted"`)
	f(`{a="\"\\\n\t\u00e9\x41\101"}`, "a", "\"\\\n\té"+"AA")
	f(`{a="",a="c",_1B=""}`, "a", "", "a", "c", "_1B", "")
	f(`{a="日本"}`, "a", "日本")
}

func TestParseLabelsRefusals(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		_, err := ParseLabels(in)
		require.EqualError(t, err, "couldn't parse labels: "+want)
	}
	f(``, `1:1: parse error: unexpected end of input, expected "{"`)
	f(`a`, `1:1: parse error: unexpected character: 'a', expected "{"`)
	f(`{`, `1:2: parse error: unexpected end of input inside braces`)
	f(`{app=`, `1:6: parse error: unexpected end of input inside braces`)
	f(`{app="x"`, `1:9: parse error: unexpected end of input inside braces`)
	f(`{app=x}`, `1:6: parse error: unexpected identifier "x" in label set, expected string`)
	f(`{app=~"x"}`, `1:5: parse error: unexpected <op:=~> in label set, expected "="`)
	f(`{app!="x"}`, `1:5: parse error: unexpected <op:!=> in label set, expected "="`)
	f(`{="x"}`, `1:2: parse error: unexpected "=" in label set, expected identifier or "}"`)
	f(`{a-b="c"}`, `1:3: parse error: unexpected character inside braces: '-'`)
	f(`{1a="c"}`, `1:2: parse error: unexpected character inside braces: '1'`)
	f(`{é="c"}`, `1:2: parse error: unexpected character inside braces: 'é'`)
	f(`{"a"="c"}`, `1:2: parse error: unexpected string "\"a\"" in label set, expected identifier or "}"`)
	f(`{a="b"} |= "x"`, `1:9: parse error: unexpected character: '|'`)
	f(`{a="b" c="d"}`, `1:8: parse error: unexpected identifier "c" in label set, expected "," or "}"`)
	f(`{a="b}`, `1:7: parse error: unexpected end of input inside braces`)
	f(`{,}`, `1:2: parse error: unexpected "," in label set, expected identifier or "}"`)
	f(`{a="\q"}`, `1:4: parse error: error unquoting string "\"\\q\"": invalid syntax`)
}

func TestAppendLabelsIsCanonical(t *testing.T) {
	f := func(set ...string) {
		t.Helper()
		l := labels.FromStrings(set...)
		var list []labels.Label
		l.Range(func(one labels.Label) { list = append(list, one) })
		require.Equal(t, l.String(), string(AppendLabels(nil, list)))
	}
	f()
	f("a", "b")
	f("a", "b\"\\\n\x00é\xff\u2028", "c", "d")
}

func TestCleanNames(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		require.Equal(t, want, string(AppendCleanName(nil, in)))
		require.Equal(t, in == want && in != "", IsCleanName(in))
		if want != "" {
			require.True(t, IsCleanName(want))
		}
	}
	f("", "")
	f("a", "a")
	f("a_b", "a_b")
	f("a.b.c", "a_b_c")
	f("1digit", "key_1digit")
	f("with space", "with_space")
	f("a..b", "a_b")
	f("a._b", "a_b")
	f("_under", "_under")
	f("__two", "_two")
	f("UPPER9", "UPPER9")
	f("é", "_")
	f("日本x", "_x")
	f("end_", "end_")
	f("end__", "end_")
}

// FuzzLabels wants that what is parsed is written and read again the same.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{`{}`, `{a="b", c='d',}`, "{a=`b`}", `{a="\x00\""`, `{a=~"b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := ParseLabels(s)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := ParseLabels(string(AppendLabels(nil, set)))
		require.NoError(t, err, strconv.Quote(s))
		require.Equal(t, set, again)
	})
}
