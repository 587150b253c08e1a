package distributor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/model"
)

func testFields(change ...func(l *limits.Limits)) *levelFields {
	lim := limits.DefaultLimits()
	for _, c := range change {
		c(&lim)
	}
	return newLevelFields(&lim)
}

func TestLevelOfLine(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		require.Equal(t, want, levelNames[testFields().ofLine([]byte(line))], line)
	}
	f("", "unknown")
	f("plain", "unknown")
	f("plain info text", "info")
	f("INFO:", "info")
	f("[WARN] x", "warn")
	f("Warning! error follows", "warn")
	f("it is an ERR", "error")
	f("critical", "critical")
	f("FATAL", "fatal")
	f("trace debug", "trace")
	// Not the words themselves.
	f("information errors tracer info_x xinfo info1 warned éinfo", "unknown")
	f("crit wrn dbg trc inf", "unknown")
	// logfmt.
	f("level=ERROR boom", "error")
	f(`ts=1 lvl="warn" msg="an error"`, "warn")
	f("msg=info level=dbg", "debug")
	f("level=loud but an error", "error")
	f("LEVEL=crit", "critical")
	f("log.level=information", "info")
	f("mylevel=error x", "error")
	f("=info", "info")
	f("a=b level=", "unknown")
	f("level==info", "info")
	// JSON.
	f(`{"level":"warn"}`, "warn")
	f(`  { "msg" : "an error", "severity" : "Information" }`, "info")
	f(`{"level":"loud","msg":"an error"}`, "error")
	f(`{"level":7,"msg":"x"}`, "unknown")
	f(`{"a":{"level":"error"},"level":"info"}`, "info")
	f(`{"a":{"level":"error"},"b":{"level":"info"}}`, "error")
	f(`{"a":{"b":{"level":"wrn"}}}`, "unknown") // Deeper than the limit.
	f(`{"a":{"b":{"level":"fatal"}}}`, "fatal") // A word of the line all the same.
	f(`{"a":["level","fatal"]}`, "fatal")
	f(`{"a":[{"level":"info"}],"b":"error"}`, "info")
	f(`{"q":"\"level\":\"error\"","level":"info"}`, "info")
	f(`{"q":"x\\","level":"wrn"}`, "warn")
	f(`{"level":"info"`, "info")
	f(`{"level":"info`, "info")
	f(`{"x":"level","y":"info"} "level":"error"`, "info")
	f(strings.Repeat(`{"a":`, 100)+`{"level":"wrn"}`, "unknown")
	f(`{"`, "unknown")
}

func TestLevelDepth(t *testing.T) {
	deep := testFields(func(l *limits.Limits) { l.LogLevelFromJSONMaxDepth = 0 })
	require.Equal(t, levelFatal, deep.ofJSON([]byte(`{"a":{"b":{"level":"fatal"}}}`)))
	flat := testFields(func(l *limits.Limits) { l.LogLevelFromJSONMaxDepth = 1 })
	require.Equal(t, levelNone, flat.ofJSON([]byte(`{"a":{"level":"fatal"}}`)))
	own := testFields(func(l *limits.Limits) { l.LogLevelFields = []string{"prio"} })
	require.Equal(t, levelFatal, own.ofLine([]byte("level=info prio=fatal")))
}

func TestLevelOfMetadata(t *testing.T) {
	f := func(want string, pairs ...string) {
		t.Helper()
		var meta []model.Pair
		for i := 0; i < len(pairs); i += 2 {
			meta = append(meta, model.Pair{Name: pairs[i], Value: pairs[i+1]})
		}
		require.Equal(t, want, levelNames[testFields().ofMetadata(meta)])
	}
	f("")
	f("", "a", "info")
	f("info", "level", "Information")
	f("warn", "level", "loud", "severity_text", "WARNING")
	f("error", "level", "info", "severity_number", "17")
	f("info", "level", "info", "severity_number", "0")
	for number, want := range map[string]string{"1": "trace", "4": "trace", "5": "debug", "9": "info", "12": "info", "13": "warn", "20": "error", "21": "fatal", "24": "fatal", "25": "", "-1": "", "x": "", "999999999999999999999": ""} {
		f(want, "severity_number", number)
	}
}

func TestLevelsDoNotAllocate(t *testing.T) {
	fields := testFields()
	lines := [][]byte{[]byte(`{"msg":"x","level":"info"}`), []byte("a=b level=warn"), []byte("plain text with an error"), []byte("nothing")}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			fields.ofLine(line)
		}
	}))
}

func FuzzLevel(f *testing.F) {
	f.Add([]byte(`{"a":{"level":"error"},"b":["x",{"level":"info"}]}`))
	f.Add([]byte(`ts=1 level="warn" x`))
	f.Add([]byte(`plain INFO text`))
	fields := testFields()
	f.Fuzz(func(t *testing.T, line []byte) {
		got := fields.ofLine(line)
		require.Positive(t, got)
		require.Less(t, got, levels)
	})
}
