package pipeline

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestLabelFilters(t *testing.T) {
	f := func(filter, line, want string) {
		t.Helper()
		require.Equal(t, want, through(t, "| logfmt | keep n, d, b, ip, s | "+filter, line), filter+" on "+line)
	}
	const failed = "__error__=LabelFilterErr "
	f("s=`x`", "s=x", "s=x")
	f("s=`x`", "n=1", "dropped")
	f("s=``", "n=1", "n=1")
	f("s!=`x`", "n=1", "n=1")
	f("s=~`x|y`", "s=y", "s=y")
	f("s!~`x|y`", "s=yy", "s=yy")
	f("n > 5", "n=6", "n=6")
	f("n > 5", "n=5", "dropped")
	f("n >= 5", "n=5", "n=5")
	f("n < 5", "n=4.9", "n=4.9")
	f("n <= 5", "n=5.01", "dropped")
	f("n == 5", "n=5e0", "n=5e0")
	f("n = 5", "n=-5", "dropped")
	f("n != 5", "s=x", "dropped")
	f("n != 5", "n=abc", failed+"n=abc")
	f("n > 1", "n=0x1F", failed+"n=0x1F")
	f("n > 1", "n=NaN", "dropped")
	f("d > 1m", "d=1m3.5s", "d=1m3.5s")
	f("d <= 500us", "d=230ms", "dropped")
	f("d = 1h", "d=60m", "d=60m")
	f("d > 1m", "d=oops", failed+"d=oops")
	f("b > 1KB", "b=1.5KiB", "b=1.5KiB")
	f("b >= 1MB", `b="1 MB"`, "b=1 MB")
	f("b != 5B", "b=big", failed+"b=big")
	f("ip = ip(`10.0.0.0/8`)", "ip=10.1.1.1", "ip=10.1.1.1")
	f("ip != ip(`10.0.0.0/8`)", "ip=10.1.1.1", "dropped")
	f("ip != ip(`10.0.0.0/8`)", "s=x", "dropped")
	f("ip = ip(`fe80::1-fe80::9`)", "ip=fe80::5", "ip=fe80::5")
	f("n > 5 or s=`x`", "n=1 s=x", "n=1 s=x")
	f("n > 5 and s=`x`", "n=6 s=y", "dropped")
	f("n > 5, s=`x`", "n=6 s=x", "n=6 s=x")
	// What the left side decides is all that counts.
	f("s=`x` or n > 5", "n=abc s=x", "n=abc s=x")
	f("s=`y` and n > 5", "n=abc s=x", "dropped")
	f("n > 5 or s=`x`", "n=abc s=y", failed+"n=abc s=y")
	f("__error__=`` | n > 5", "n=6", "n=6")
	f("n > 5 | __error__=`LabelFilterErr`", "n=abc", failed+"n=abc")
	f("n > 5 | __error__=``", "n=abc", "dropped")
	f("n > 5 | ip = ip(`10.0.0.1`)", "n=abc ip=::1", failed+"ip=::1 n=abc")
	f("n > 5 | __error_details__=``", "n=abc", failed+"n=abc")
	f("n > 5 | __error_details__!=``", "n=abc", "dropped")
}

func TestSearchedRegexps(t *testing.T) {
	f := func(expr, value string, want bool) {
		t.Helper()
		m, err := labels.NewMatcher(labels.MatchRegexp, "a", expr)
		require.NoError(t, err)
		require.Equal(t, want, labelMatcher(m)(value), "%s on %q", expr, value)
		m, err = labels.NewMatcher(labels.MatchNotRegexp, "a", expr)
		require.NoError(t, err)
		require.Equal(t, !want, labelMatcher(m)(value), "not %s on %q", expr, value)
	}
	f("ann", "ann", true)
	f("ann", "anna", false)
	f("(nn|ben)", "ann", false)
	f("(?i)ANN", "ann", true)
	f("(?i)ANN", "anna", false)
	f("", "ann", true)
	f(".*", "", true)
	f(".+", "", false)
	f(".+", "x", true)
	// One literal and .* is searched for.
	f("nn.*", "ann", true)
	f(".*er-.*", "worker-1", true)
	f("api.*|web.*", "my-web", true)
	f("(?i)API.*", "my-api", true)
	f("worker-(0|12)", "my-worker-01", true)
	f("go(ld|ne)", "gold", true)
	// Everything else is matched as a whole.
	f("nn$", "ann", false)
	f("ol(d|x).*", "gold", false)
	f("[1-4]", "12", false)
	f("a.0", "xa.0", false)
	f(".*a.*b", "xaxb", true)
	f(".*a.*b", "xaxbx", false)
}

func TestParseShort(t *testing.T) {
	f := func(s string) {
		t.Helper()
		v, err := parseNumber(s)
		want, wantErr := strconv.ParseFloat(s, 64)
		require.Equal(t, wantErr == nil, err == nil, s)
		if err == nil && want == want {
			require.Equal(t, want, v, s)
		}
	}
	for _, s := range []string{"", "-", ".", "-.", "0", "-0", "1.", ".5", "-.5", "1.5.1", "007", "1e3", "+1", "1_000", "0x10", "NaN", "Inf",
		"123456789012345", "1234567890123456", "0.000000000000001", "999999999999999", "1.23456789012345", "9007199254740993"} {
		f(s)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		f(strconv.FormatFloat(rng.NormFloat64()*1000, 'f', rng.IntN(12), 64))
	}
}

func TestParseSize(t *testing.T) {
	f := func(s string, want uint64) {
		t.Helper()
		got, err := parseSize(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	f("42", 42)
	f("1.5KB", 1500)
	f("1.5kib", 1536)
	f("2Ki", 2048)
	f("3 MiB", 3<<20)
	f("2 GB", 2e9)
	f("1,024b", 1024)
	f("1E", 1e18)
	f("0.5", 0)
	for _, bad := range []string{"", "big", "-1", "1 x", "1 kilobyte", "1.2.3KB", "KB", "99999EB"} {
		_, err := parseSize(bad)
		require.Error(t, err, bad)
	}
}
