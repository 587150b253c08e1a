package syntax

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPrintedForm(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		expr, err := Parse(query)
		require.NoError(t, err, query)
		require.Equal(t, want, expr.String())
	}
	const c = `count_over_time({a="b"}[5m])`
	// Selectors and line filters.
	f("{ a = \"b\" ,c=~`p.*` }", `{a="b", c=~"p.*"}`)
	f(`{a="b"}|="x"!="y"|~"z"!~"w"|>"<_>"!>"<_>v"`, `{a="b"} |= "x" != "y" |~ "z" !~ "w" |> "<_>" !> "<_>v"`)
	f(`{a="b"} != ip("10.0.0.0/8") |= "x" or "y"`, `{a="b"} != ip("10.0.0.0/8") |= "x" or "y"`)
	f(`({a="b"})`, `{a="b"}`)
	f("{json=\"x\", by!=\"\"} | json | keep=\"1\" | by > 2", `{json="x", by!=""} | json | keep="1" | by>2`)
	// Stages.
	f(`{a="b"} | logfmt --keep-empty --strict x, y="z"`, `{a="b"} | logfmt --strict --keep-empty x, y="z"`)
	f(`{a="b"} | json | regexp "(?P<x>.)" | pattern "<x>" | unpack | decolorize`,
		`{a="b"} | json | regexp "(?P<x>.)" | pattern "<x>" | unpack | decolorize`)
	f(`{a="b"} | line_format "{{.x}}" | label_format x=y,z="{{.q}}" | drop x, y="1" | keep z!~"2"`,
		`{a="b"} | line_format "{{.x}}" | label_format x=y, z="{{.q}}" | drop x, y="1" | keep z!~"2"`)
	// The operands of label filters.
	f(`{a="b"} | x > -1.5 | x == +2 | x<1h30m | x!=-5m | x>=1.5KB | x=3MiB | x!=ip("::1")`,
		`{a="b"} | x>-1.5 | x==2 | x<1h30m | x!=-5m | x>=1500B | x==3100KB | x!=ip("::1")`)
	// Sizes in filters are rounded as the reference rounds them.
	f(`{a="b"} | x<1KiB | x<20KiB | x<999B | x<1049B | x<1051B`, `{a="b"} | x<1KB | x<20KB | x<999B | x<1KB | x<1100B`)
	// A comma or a blank is the tighter one against an or before it and the looser one against an or behind it.
	f(`{a="b"} | x="1" or y="2", z="3"`, `{a="b"} | x="1" or y="2" and z="3"`)
	f(`{a="b"} | x="1" or y="2" z="3"`, `{a="b"} | x="1" or y="2" and z="3"`)
	f(`{a="b"} | x="1", y="2" or z="3"`, `{a="b"} | x="1" and (y="2" or z="3")`)
	f(`{a="b"} | x="1" and y="2" or z="3"`, `{a="b"} | x="1" and y="2" or z="3"`)
	f(`{a="b"} | x="1" and (y="2" or z="3") and w="4"`, `{a="b"} | x="1" and (y="2" or z="3") and w="4"`)
	// The range may stand in several places.
	f(`count_over_time({a="b"}[5m] |= "x" | json)`, `count_over_time({a="b"} |= "x" | json [5m])`)
	f(`count_over_time(({a="b"} |= "x")[1d] offset -90s)`, `count_over_time({a="b"} |= "x" [1d] offset -1m30s)`)
	f(`count_over_time((({a="b"}[5m] offset 1h |= "x")))`, `count_over_time({a="b"} |= "x" [5m] offset 1h)`)
	f(`sum_over_time(({a="b"})[5m] | unwrap x)`, `sum_over_time({a="b"} | unwrap x [5m])`)
	f(`quantile_over_time(.5, {a="b"} | unwrap duration(x) | x > 1 | y="z" [5m]) without (c, d)`,
		`quantile_over_time(0.5, {a="b"} | unwrap duration(x) | x>1 | y="z" [5m]) without (c, d)`)
	// Aggregations and functions, in any case.
	f(`SUM BY (x) (COUNT_OVER_TIME({a="b"}[5m]))`, `sum by (x) (`+c+`)`)
	f(`topk(3, `+c+`) without ()`, `topk without () (3, `+c+`)`)
	f(`label_replace(`+c+`, "a", "$1", "b", "(.*)")`, `label_replace(`+c+`, "a", "$1", "b", "(.*)")`)
	f(`vector(1) # one`, `vector(1)`)
	f("vector(1) // one\n+ /* two */ vector(2)", `(vector(1) + vector(2))`)
	// Operators: strength, grouping and modifiers.
	f(c+` or `+c+` and `+c+` == `+c+` + `+c+` * `+c+` ^ `+c+` ^ `+c,
		`(`+c+` or (`+c+` and (`+c+` == (`+c+` + (`+c+` * (`+c+` ^ (`+c+` ^ `+c+`)))))))`)
	f(c+` - `+c+` - `+c, `((`+c+` - `+c+`) - `+c+`)`)
	f(c+` > bool on (x) group_left (y, z) `+c, `(`+c+` > bool on (x) group_left (y, z) `+c+`)`)
	f(c+` / ignoring (x) group_right `+c, `(`+c+` / ignoring (x) group_right () `+c+`)`)
	f(c+` / on () group_left (`+c+`)`, `(`+c+` / on () group_left () `+c+`)`)
	// Numbers are folded; a minus belongs to its number.
	f(`-2^2`, `4`)
	f(`2 ^ 3 ^ 2`, `512`)
	f(`1 - -1 * 3 > bool 3`, `1`)
	f(`(1 > 2) + 5`, `5`)
	f(`1 / 0`, `(0 / 0)`)
	f(`-1e308 * 10`, `-1e999`)
}

func TestErrors(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		_, err := Parse(query)
		require.Error(t, err, query)
		require.Equal(t, want, err.Error())
	}
	f(`{app="web"`, "parse error at line 1, col 11: unexpected end of query, expected } or ,\n"+
		"  {app=\"web\"\n            ^")
	f("{app=\"é\"}\n\t|> \"x\" | jsno", "parse error at line 2, col 11: unknown stage jsno, or a label filter without a comparison; did you mean json?\n"+
		"  \t|> \"x\" | jsno\n  \t         ^")
	f(`cuont_over_time({a="b"}[5m])`, "parse error at line 1, col 1: unknown function cuont_over_time; did you mean count_over_time?\n"+
		"  cuont_over_time({a=\"b\"}[5m])\n  ^")
	f(``, "parse error at line 1, col 1: the query is empty, expected a selector such as {app=\"web\"} or a function")
	f(strings.Repeat("x", MaxQueryLength+1), "parse error at line 1, col 1: the query has 131073 bytes, 131072 are allowed")
}

func TestDepth(t *testing.T) {
	for _, query := range []string{
		strings.Repeat("(", 50000), strings.Repeat("sum(", 30000), `{a="b"} | ` + strings.Repeat("(", 50000),
		`count_over_time(` + strings.Repeat("(", 1200) + `{a="b"}[5m]`, `{a="b"} | ` + strings.Repeat(`a="b",`, 20000) + `a="b"`,
	} {
		_, err := Parse(query)
		require.ErrorContains(t, err, "nested deeper than 1000 levels")
	}
	// A chain is not nested.
	_, err := Parse("vector(1)" + strings.Repeat(" + vector(1)", 5000))
	require.NoError(t, err)
}

func TestSelectors(t *testing.T) {
	m, err := ParseSelector(`{a="b",c!="d"}`)
	require.NoError(t, err)
	require.Len(t, m, 2)
	_, err = ParseSelector(`{a=~".*"}`)
	require.ErrorContains(t, err, "empty-compatible")
	m, err = ParseMatchers(`{}`)
	require.NoError(t, err)
	require.Empty(t, m)
	_, err = ParseMatchers(`{a="b"} |= "x"`)
	require.ErrorContains(t, err, "only label matchers are supported")
	_, err = ParseLog(`vector(1)`)
	require.ErrorContains(t, err, "parse error at line 1, col 1: a log query is needed")
	_, err = ParseSample(`{a="b"}`)
	require.ErrorContains(t, err, "a metric query is needed")
}

func TestDurations(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		d, err := ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, d)
		again, err := ParseDuration(FormatDuration(d))
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	f("0", 0)
	f("5m", 5*time.Minute)
	f("1y2w3d4h5m6s7ms", (365+14+3)*24*time.Hour+4*time.Hour+5*time.Minute+6*time.Second+7*time.Millisecond)
	f("600s", 10*time.Minute)
	for _, bad := range []string{"", "5", "m", "5m5m", "5m1h", "1.5h", "-5m", " 5m", "5x", "300y", "99999999999999999999s"} {
		_, err := ParseDuration(bad)
		require.Error(t, err, bad)
	}
	require.Equal(t, "1d12h", FormatDuration(36*time.Hour))
	require.Equal(t, "1w", FormatDuration(7*24*time.Hour))
	require.Equal(t, "1us500ns", FormatDuration(1500))
}

// TestDurationsOfQueries wants every duration that a query is printed with to be read again, in its range and as its offset.
func TestDurationsOfQueries(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	list := []time.Duration{1, 999, 1500, time.Millisecond + 1, time.Minute + 500*time.Microsecond, 36*time.Hour + 1, 8*24*time.Hour + 7*time.Microsecond, 365 * 24 * time.Hour, math.MaxInt64}
	for range 1000 {
		list = append(list, 1+time.Duration(rnd.Int64N(1<<rnd.IntN(63))))
	}
	for _, d := range list {
		for _, offset := range []time.Duration{d, -d} {
			e, err := Parse(`sum(count_over_time({a="b"}[5m] offset 1s))`)
			require.NoError(t, err)
			Walk(e, func(e Expr) {
				if r, ok := e.(*RangeAggregation); ok {
					r.Range, r.Offset = d, offset
				}
			})
			for _, text := range []string{e.String(), Format(e)} {
				again, err := Parse(text)
				require.NoError(t, err, text)
				require.Empty(t, diffExpr(e, again), text)
			}
		}
	}
}

func TestBytes(t *testing.T) {
	f := func(text string, want uint64) {
		t.Helper()
		n, err := ParseBytes(text)
		require.NoError(t, err)
		require.Equal(t, want, n)
		again, err := ParseBytes(FormatBytes(n))
		require.NoError(t, err)
		require.Equal(t, want, again)
	}
	f("100b", 100)
	f("2kB", 2000)
	f("1.5KB", 1500)
	f("3MiB", 3<<20)
	f("1 GiB", 1<<30)
	f("5g", 5e9)
	f("2EiB", 2<<60)
	for _, bad := range []string{"", "KB", "1XB", "1KBx", "99EB", "1..5KB"} {
		_, err := ParseBytes(bad)
		require.Error(t, err, bad)
	}
}

func TestCalculate(t *testing.T) {
	v, keep := Calculate("%", -7, 3)
	require.Equal(t, -1.0, v)
	require.True(t, keep)
	v, _ = Calculate("/", 1, 0)
	require.True(t, math.IsNaN(v))
	v, keep = Calculate("<=", 3, 2)
	require.Equal(t, 3.0, v)
	require.False(t, keep)
}

func TestFormat(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		expr, err := Parse(query)
		require.NoError(t, err)
		require.Equal(t, want, Format(expr))
	}
	f(`vector(1)+vector(2)`, `vector(1) + vector(2)`)
	f(`{app="web", cluster="eu-west-1"} |= "a rather long text to look for" | logfmt | level="error" | line_format "{{.msg}}"`,
		`{app="web", cluster="eu-west-1"}
  |= "a rather long text to look for"
  | logfmt
  | level="error"
  | line_format "{{.msg}}"`)
	f(`100 * sum by (pod) (rate({app="web", cluster="eu-west-1"} |= "a rather long text to look for" | logfmt | level="error" [5m])) / sum by (pod) (rate({app="web"}[5m]))`,
		`(
  100
  *
  sum by (pod) (
    rate(
      {app="web", cluster="eu-west-1"}
        |= "a rather long text to look for"
        | logfmt
        | level="error"
        [5m]
    )
  )
)
/
sum by (pod) (rate({app="web"}[5m]))`)
}

func FuzzParse(f *testing.F) {
	for _, q := range corpus(f) {
		f.Add(q.text)
	}
	f.Fuzz(func(t *testing.T, query string) {
		expr, err := Parse(query)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "parse error at line "))
			return
		}
		for _, text := range []string{expr.String(), Format(expr)} {
			if len(text) > MaxQueryLength {
				return // quoting may lengthen a string
			}
			again, err := Parse(text)
			require.NoError(t, err, text)
			require.Empty(t, diffExpr(expr, again), text)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	const query = `sum by (pod) (rate({app="web", cluster=~"eu-.*"} |= "error" | logfmt | level="error" and took > 1s [5m]))`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(query); err != nil {
			b.Fatal(err)
		}
	}
}
