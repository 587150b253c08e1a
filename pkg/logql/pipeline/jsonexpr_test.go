package pipeline

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestJSONExpressions(t *testing.T) {
	f := func(stages, line, want string, md ...string) {
		t.Helper()
		require.Equal(t, want, through(t, stages, line, md...), stages+" on "+line)
	}
	const failed = "__error__=JSONParserErr"
	doc := `{"nest":{"a":{"b":{"c":"deep"}},"list":[1,{"k":"v"},[2,3],null,"s\"q"],"empty":{}},"flat":"x","n":null,"x y":"blank","ключ":"k"}`
	f("| json c=`nest.a.b.c`, l=`nest.list`, e=`nest.empty`", doc, `c=deep e={} l=[1,{"k":"v"},[2,3],null,"s"q"]`)
	f("| json first=`nest.list[0]`, k=`nest.list[1].k`, in=`nest.list[2][1]`, q=`nest.list[4]`", doc, `first=1 in=3 k=v q=s"q`)
	f("| json a=`nest.a`, b=`nest.a.b`", doc, `a={"b":{"c":"deep"}} b={"c":"deep"}`)
	f("| json flat", doc, "flat=x")
	f("| json s=`[\"x y\"]`, k=`[\"ключ\"]`, f=`[\"nest\"].a[\"b\"].c`", doc, "f=deep k=k s=blank")
	f("| json n, missing, m=`nest.list[3]`, out=`nest.list[9]`, deep=`flat.x`", doc, "deep= m= missing= n= out=")
	f("| json a=`x`, b=`x`", `{"x":1}`, "a=1 b=1")
	f("| json x, y", `{"x":1,"x":2,"y":3}`, "x=1 y=3")
	f("| json app=`x`, b", `{"x":1,"b":2}`, "app_extracted=1 b=m b_extracted=2", "b", "m")
	f("| json app, b", `{"x":1}`, "b=m", "b", "m")
	// Arrays and texts at the top are taken, other things are errors without labels.
	f("| json z=`[0]`, y=`[2]`", `["array","at","top"]`, "y=top z=array")
	f("| json a", `["array"]`, "a=")
	f("| json a", `"text"`, "a=")
	f("| json a", "", "")
	f("| json a", ` {"a":1}`, failed)
	f("| json a", "plain", failed)
	// Errors count only where a value is asked for.
	f("| json cut, then", `{"cut":"off","then":`, failed+" cut=off then=")
	f("| json a", `{"a":"open}`, failed+" a=")
	f("| json a, b", `{"a":1 "b":2}`, "a=1 b=2")
	f("| json a", `{"a":1,"b":tru`, "a=1")
	f("| json a | a=`2`", `{"a":1}`, "dropped")
}

func TestJSONPaths(t *testing.T) {
	f := func(expr, want string) {
		t.Helper()
		steps, err := parsePath(expr)
		if want == "" {
			require.ErrorContains(t, err, "cannot parse json expression")
			return
		}
		require.NoError(t, err)
		got := ""
		for _, s := range steps {
			if s.field != nil {
				got += "/" + *s.field
			} else {
				got += "#" + string(rune('0'+s.index))
			}
		}
		require.Equal(t, want, got)
	}
	f("a", "/a")
	f("a.b_1", "/a/b_1")
	f("a[0][1].b", "/a#0#1/b")
	f(`["x y"].z["\"q"]`, `/x y/z/"q`)
	f("[2]", "#2")
	for _, bad := range []string{"", ".", ".b", "a.", "a..b", "b-c", "b[1.5]", "b[", "b[]", "b[-1]", "1a", "a b", `["x"`, `["x]`, "a]", "a[0]b"} {
		f(bad, "")
	}
}

func FuzzJSONExpressions(f *testing.F) {
	f.Add(`{"a":{"b":[1,{"c":"d"}]}}`)
	f.Add(`{"a" {`)
	f.Add(`["a",{"b":`)
	p := build(f, "| json a, b=`a.b`, c=`a.b[1].c`, d=`[0]`")
	f.Fuzz(func(t *testing.T, line string) {
		s := p.ForStream(labels.EmptyLabels())
		_, _, ok := s.Process(1, []byte(line), nil)
		require.True(t, ok)
	})
}
