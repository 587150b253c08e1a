package pipeline

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"regexp"
	"slices"

	"logstore/pkg/chunk"
	"logstore/pkg/logql/syntax"
)

func TestLineFilters(t *testing.T) {
	f := func(filters, line string, want bool) {
		t.Helper()
		require.Equal(t, want, build(t, filters).MatchLine([]byte(line)), "%s on %q", filters, line)
	}
	f("|= `b`", "abc", true)
	f("|= `d`", "abc", false)
	f("!= `b`", "abc", false)
	f("|= ``", "", true)
	f("!= ``", "abc", false)
	f("|= `a` != `d` |~ `b.`", "abc", true)
	f("|= `x` or `b`", "abc", true)
	f("!= `x` or `b`", "abc", false)
	f("!= `x` or `y`", "abc", true)
	f("|= `x` or ``", "abc", false)
	f("|~ `` or `x`", "abc", false)
	f("|= `` or ``", "abc", true)
	f("|~ ``", "", true)
	f("!~ `.*`", "abc", false)
	f("|~ `.+`", "\n", true)
	f("|~ `.+`", "", false)
	f("|~ `^$`", "", true)
	f("|~ `^$`", "a", false)
	f("|~ `^a`", "ab", true)
	f("|~ `^a`", "ba", false)
	f("|~ `a$`", "ba", true)
	f("|~ `^(ab|cd)$`", "cd", true)
	f("|~ `^(ab|cd)$`", "cde", false)
	f("|~ `(?m)^b`", "a\nb", true)
	f("|~ `^b`", "a\nb", false)
	f("|~ `.*foo.*baz`", "a foo bar baz", true)
	f("|~ `.*foo.*baz`", "a baz bar foo", false)
	f("|~ `foo.*baz`", "foo\nbaz", false)
	f("|~ `f(oo|ee) b(ar|az)`", "a fee bar", true)
	f("|~ `f(oo|ee) b(ar|az)`", "a fo bar", false)
	f("|~ `sda[12]`", "sda2", true)
	f("|~ `sda[12]`", "sda3", false)
	f("|~ `(?i)error|warn`", "a WARNing", true)
	f("|~ `(?i:warn)ing`", "WARNING", false)
	f("|~ `(?i:warn)ing`", "WARNing", true)
	f("|~ `x{2,}|o{2}`", "foo", true)
	f("|~ `took [0-9]{5} ms`", "took 12345 ms", true)
	f("|~ `took [0-9]{5} ms`", "took 1234 ms", false)
	f("|~ `\\bser\\b`", "user", false)
	f("|~ `a?b?`", "zzz", true)
	f("|~ `\ufffd`", "\xff", true) // as the regexp package has it
	f("|> `<_>b<_>`", "abc", true)
	f("|> `<_>b<_>`", "bc", false)
	f("|> `<_>b<_>`", "ab", false)
	f("|> `b`", "ab", true)
	f("|> `b`", "abc", false)
	f("|> ``", "", true)
	f("|> ``", "a", false)
	f("|> `<_>`", "", false)
	f("!> `<_>b`", "ab", false)
	f("|> `x` or `<_>c`", "abc", true)
	f("|= ip(`10.0.0.0/8`)", "from 10.1.2.3 on", true)
	f("!= ip(`10.0.0.0/8`)", "from 10.1.2.3 on", false)
	f("|= `x` or ip(`10.0.0.0/8`)", "from 10.1.2.3 on", false)
	f("|= `x` or ip(`10.0.0.0/8`)", "net 10.0.0.0/8", true)
}

func TestIPMatcher(t *testing.T) {
	f := func(pattern, line string, want bool) {
		t.Helper()
		m, err := newIPMatcher(pattern)
		require.NoError(t, err)
		require.Equal(t, want, m.matchLine([]byte(line)), "%s in %q", pattern, line)
		if lit := m.literal(); want && lit != "" {
			require.Contains(t, line, lit)
		}
	}
	f("10.0.0.7", "10.0.0.7", true)
	f("10.0.0.7", "ip:10.0.0.7,", true)
	f("10.0.0.7", "10.0.0.77", false)
	f("10.0.0.7", "10.0.0.7.1", false)
	f("10.0.0.1-10.0.0.9", "range 10.0.0.1-10.0.0.9", true)
	f("10.0.0.1-10.0.0.9", "10.0.0.10", false)
	f("10.0.1.0-10.1.0.0", "10.0.255.1", true)
	f("203.0.113.9/24", "203.0.113.200:80", true)
	f("172.16.0.0/12", "172.31.255.255", true)
	f("172.16.0.0/12", "172.32.0.0", false)
	f("0.0.0.0/0", "version 300.1.2.3 at 12:34:56", false)
	f("::1", "[::1]:443", true)
	f("2001:db8::/32", "src=2001:db8:0:23::5 ok", true)
	f("2001:db8:0:1::-2001:db8:0:ff::", "2001:db8:0:c7::5", true)
	f("10.0.0.0/8", "::ffff:10.0.0.1", false)
	f("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", true)
	f("::ffff:10.0.0.0/104", "10.0.0.1", false)
	for _, bad := range []string{"", "x", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0"} {
		_, err := newIPMatcher(bad)
		require.Error(t, err, bad)
	}
}

// block makes a batch of lines, with bytes between them as in a block.
func block(rng *rand.Rand, lines []string) *chunk.Batch {
	b := &chunk.Batch{}
	for i, l := range lines {
		for range 1 + rng.IntN(3) {
			b.Buf = append(b.Buf, "ae\xff1"[rng.IntN(4)])
		}
		b.Start = append(b.Start, uint32(len(b.Buf)))
		b.Buf = append(b.Buf, l...)
		b.End = append(b.End, uint32(len(b.Buf)))
		b.Ts = append(b.Ts, int64(i))
	}
	b.Buf = append(b.Buf, "error"...)
	return b
}

// TestSelectAgreesWithEachLine compares the search through a block with a plain test of each line.
func TestSelectAgreesWithEachLine(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	words := []string{"a", "e", "error", "Error", "erro", "ea", "1", "warn", "ae1", "x=1", "", "10.1.2.3", "\n", "kſK", "grüße", "GRÜSSE"}
	text := func(n int) string {
		var sb strings.Builder
		for range rng.IntN(n) {
			sb.WriteString(words[rng.IntN(len(words))])
			sb.WriteString([]string{" ", ""}[rng.IntN(2)])
		}
		return sb.String()
	}
	filters := []string{
		"|= `error`", "!= `error`", "|= `a`", "!= `e`", "|= `ae1` or `warn`", "!= `ae1` or `warn`", "|~ `(?i)error`", "!~ `(?i)error|warn`",
		"|~ `err.r`", "|~ `e+r`", "!~ `[0-9]+`", "|~ `^error`", "|~ `error $`", "|~ `x=\\d`", "|> `<_>error<_>`", "!> `<_>a`", "|= ip(`10.0.0.0/8`)",
		"|~ `(?i)ksk`", "|~ `(?i)grüße`", "|= ``", "|~ `.+`", "!~ `^$`", "|~ `a|e|1|w|x|y|z|q|p|o|n|m|l|k|j|i|h`", "|~ `(a|error) ?1`",
	}
	for round := range 400 {
		lines := make([]string, rng.IntN(40))
		for i := range lines {
			lines[i] = text(6)
		}
		b := block(rng, lines)
		query := ""
		for range 1 + rng.IntN(3) {
			query += filters[rng.IntN(len(filters))] + " "
		}
		q, err := syntax.ParseLog("{a=`b`} " + query)
		require.NoError(t, err)
		p, err := Build(q.Stages)
		require.NoError(t, err)
		from := rng.IntN(len(lines) + 1)
		to := from + rng.IntN(len(lines)-from+1)
		var want []int32
		for i := from; i < to; i++ {
			if plainly(t, q.Stages, lines[i]) {
				want = append(want, int32(i))
				require.True(t, p.MatchLine([]byte(lines[i])), "%s on %q", query, lines[i])
			}
		}
		require.Equal(t, append([]int32{-1}, want...), p.Select(b, from, to, []int32{-1}), "round %d of seed %d: %s on %q", round, seed, query, lines)
		if len(want) > 0 {
			require.True(t, p.MayMatch(b), query)
		}
		// Entries that came out of order lie elsewhere in the buffer.
		slices.Reverse(b.Start)
		slices.Reverse(b.End)
		slices.Reverse(lines)
		want = []int32{-1}
		for i := range lines {
			if plainly(t, q.Stages, lines[i]) {
				want = append(want, int32(i))
			}
		}
		require.Equal(t, want, p.Select(b, 0, len(lines), []int32{-1}), query)
	}
}

// plainly tests a line with strings and regexp only.
func plainly(t *testing.T, stages []syntax.Stage, line string) bool {
	for _, st := range stages {
		f := st.(*syntax.LineFilter)
		hit := false
		for _, alt := range f.Alternatives {
			switch f.Op {
			case syntax.LineContains, syntax.LineNotContains:
				if alt.IP {
					m, err := newIPMatcher(alt.Text)
					require.NoError(t, err)
					hit = hit || m.matchLine([]byte(line))
					continue
				}
				hit = hit || strings.Contains(line, alt.Text)
			case syntax.LineMatches, syntax.LineNotMatches:
				hit = hit || regexp.MustCompile(alt.Text).MatchString(line) || alt.Text == ".+" && line != ""
			default:
				p, err := newLinePattern(alt.Text)
				require.NoError(t, err)
				hit = hit || p.match([]byte(line))
			}
		}
		negated := f.Op == syntax.LineNotContains || f.Op == syntax.LineNotMatches || f.Op == syntax.LineNotPattern
		if hit == negated {
			return false
		}
	}
	return true
}

func FuzzLineRegexp(f *testing.F) {
	for _, re := range []string{"a|b", "(?i)error", "^a.*b$", "x+y?", "(?s).*a", "ab(c|d)*", "[a-c]d", "(?m)^x$", "k.*s", "(?i)k|ſ"} {
		f.Add(re, "an error ab\nxy")
	}
	f.Fuzz(func(t *testing.T, expr, line string) {
		re, err := regexp.Compile(expr)
		if err != nil || len(line) > 1<<10 {
			return
		}
		plan, err := planLineRegexp(expr)
		require.NoError(t, err)
		if p, _ := planRegexp(expr); p.nonEmpty {
			return
		}
		want := re.MatchString(line)
		require.Equal(t, want, plan.matcher.match([]byte(line)), "%q on %q", expr, line)
		if s := newScan(plan.lits); s != nil && (want || plan.exact) {
			require.Equal(t, want, s.in([]byte(line)), "literals of %q on %q", expr, line)
		}
	})
}

func BenchmarkSelect(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	lines := make([]string, 2000)
	for i := range lines {
		lines[i] = `{"time":"2026-01-15T10:00:00.123Z","level":"info","msg":"request completed","method":"GET","path":"/api/v1/orders/17/items","duration_ms":12.7}`
		if i%50 == 0 {
			lines[i] = `{"time":"2026-01-15T10:00:00.123Z","level":"error","msg":"Connection timeout","upstream":"10.1.2.3","error":"connection reset by peer","id":` + strings.Repeat("7", 1+i%7) + `}`
		}
	}
	blk := block(rng, lines)
	for name, q := range map[string]string{
		"contains": "|= `timeout`", "dense": "|= `level`", "negated": "!= `completed`", "fold": "|~ `(?i)TIMEOUT`", "absent": "|= `quetzalcoatlus`",
		"alternation": "|~ `refused|reset by peer|broken pipe`", "regexp": "|~ `id\":7{5}`", "chain": "|= `error` |= `reset` != `retry`",
		"pattern": "|> `<_>timeout<_>`", "ip": "|= ip(`10.0.0.0/8`)",
	} {
		p := build(b, q)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(blk.Buf)))
			b.ReportAllocs()
			var dst []int32
			for b.Loop() {
				if p.MayMatch(blk) {
					dst = p.Select(blk, 0, len(lines), dst[:0])
				}
			}
		})
	}
}
