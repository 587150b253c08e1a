package pipeline

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"regexp"
)

func TestSearcher(t *testing.T) {
	f := func(lit, text string, want int) {
		t.Helper()
		require.Equal(t, want, newSearcher(lit).index([]byte(text)), "%q in %q", lit, text)
	}
	f("a", "bca", 2)
	f("ab", "aab", 1)
	f("", "x", 0)
	f("abc", "ab", -1)
	f("error", strings.Repeat("erro ", 100)+"error", 500)
	f("error", strings.Repeat("x", 64)+"erro", -1)
	f("\xff\xfe", "a\xff\xfe", 1)
	f("aaaa", strings.Repeat("aaab", 40)+"aaaa", 160)
}

func TestFoldSearcher(t *testing.T) {
	f := func(lit, text string, start, end int) {
		t.Helper()
		s, e := newFoldSearcher(lit).find([]byte(text), 0)
		require.Equal(t, []int{start, end}, []int{s, e}, "%q in %q", lit, text)
	}
	f("timeout", "a TimeOut", 2, 9)
	f("TIMEOUT", "no time out", -1, -1)
	f("k", "at 300\u212a", 6, 9)
	f("task", "TA\u017f\u212a!", 0, 7)
	f("sk", "x\u017fK", 1, 4)
	f("300k now", "temp 300\u212a NOW", 5, 15)
	f("gr\u00fc\u00dfe", "GR\u00dc\u1e9eE", 0, 8)
	f("\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3", 0, 14)
	f("@[`{", "@[`{", 0, 4)
	f("@[`{", "`{@[", -1, -1)
	f("a_1", "A\x7f1", -1, -1)
}

// TestPairIndex compares the ways to look for two bytes with the plain one.
func TestPairIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		b := make([]byte, rng.IntN(200))
		for i := range b {
			b[i] = "abAB \x80\xff"[rng.IntN(7)]
		}
		p := bytePair{c0: uint64("ab "[rng.IntN(3)]) * lowBits, c1: uint64("ab\xff"[rng.IntN(3)]) * lowBits, dist: rng.IntN(9)}
		if rng.IntN(2) == 0 {
			p.m0, p.m1 = 0x20*lowBits, 0x20*lowBits
		}
		from := rng.IntN(len(b) + 2)
		want := -1
		for i := from; i+p.dist < len(b); i++ {
			if b[i]|byte(p.m0) == byte(p.c0) && b[i+p.dist]|byte(p.m1) == byte(p.c1) {
				want = i
				break
			}
		}
		require.Equal(t, want, p.index(b, from), "%q %+v from %d", b, p, from)
		require.Equal(t, want, p.indexWords(b, from), "%q %+v from %d", b, p, from)
	}
}

func TestScanFindsTheFirst(t *testing.T) {
	s := newScan([]literal{{text: "bb"}, {text: "C", fold: true}, {text: "ddd"}})
	text := []byte("a ddd c bb ddd C")
	run := scanRun{s: s}
	var got []int
	for from := 0; ; {
		at, end := run.find(text, from)
		if at < 0 {
			break
		}
		got = append(got, at)
		from = end
	}
	require.Equal(t, []int{2, 6, 8, 11, 15}, got)
	require.Nil(t, newScan(nil))
	require.Nil(t, newScan([]literal{{}}))
	require.Nil(t, newScan(make([]literal, maxLiterals+1)))
}

func FuzzSearcher(f *testing.F) {
	f.Add("error", "an error", 0)
	f.Add("kS", "\u212a\u017f", 1)
	f.Add("\xff", "a\xff", 0)
	f.Fuzz(func(t *testing.T, lit, text string, from int) {
		if lit == "" || len(text) > 1<<12 {
			return
		}
		from = max(0, min(from, len(text)))
		want := strings.Index(text[from:], lit)
		if want >= 0 {
			want += from
		}
		at, _ := newSearcher(lit).find([]byte(text), from)
		require.Equal(t, want, at)
		if !utf8.ValidString(lit) || !utf8.ValidString(text) || strings.ContainsRune(lit, utf8.RuneError) {
			return
		}
		for from > 0 && from < len(text) && !utf8.RuneStart(text[from]) {
			from--
		}
		loc := regexp.MustCompile("(?i)" + regexp.QuoteMeta(lit)).FindStringIndex(text[from:])
		at, end := newFoldSearcher(lit).find([]byte(text), from)
		if loc == nil {
			require.Equal(t, -1, at)
			return
		}
		require.Equal(t, []int{loc[0] + from, loc[1] + from}, []int{at, end})
	})
}

func BenchmarkSearch(b *testing.B) {
	line := `2026-01-15T10:00:00.123Z level=info caller=order.go:117 msg="order processed" order_id=8231934 upstream=10.2.3.4:8080 duration=231ms `
	text := bytes.Repeat([]byte(line), 2000)
	run := func(name string, find func() int) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if find() >= 0 {
					b.Fatal("found")
				}
			}
		})
	}
	lit, fold := newSearcher("deadline"), newFoldSearcher("timeout")
	run("literal", func() int { return lit.index(text) })
	run("fold", func() int { return fold.index(text) })
	run("words", func() int { return lit.pair.indexWords(text, 0) })
	s := newScan([]literal{{text: "refused"}, {text: "reset by peer"}, {text: "broken pipe"}})
	run("alternation", func() int { r := scanRun{s: s}; at, _ := r.find(text, 0); return at })
	run("bytes.Index", func() int { return bytes.Index(text, []byte("deadline")) })
}
