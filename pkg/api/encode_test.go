package api

import (
	"encoding/json"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/engine"
)

// FuzzAppendString wants every string to come back from a JSON decoder, with U+FFFD for what is not UTF-8.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "tab\t\"quote\" \\ \x00\x1f", "日本 🚀 \u2028", "\xff\xfeabc\xc3", "é\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		require.NoError(t, json.Unmarshal(appendString(nil, s), &got))
		want := s
		if !utf8.ValidString(s) {
			want = string([]rune(s))
		}
		require.Equal(t, want, got)
	})
}

func encoded(t *testing.T, v engine.Value, flags []string) map[string]any {
	t.Helper()
	w := httptest.NewRecorder()
	require.NoError(t, writeResult(w, engine.Result{Value: v, Warnings: []string{"w"}}, flags, len(flags) > 0))
	require.Equal(t, "application/json; charset=UTF-8", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "\n")
	var out map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	require.Equal(t, "success", out["status"])
	require.Equal(t, []any{"w"}, out["warnings"])
	data, ok := out["data"].(map[string]any)
	require.True(t, ok)
	require.Contains(t, data["stats"], "summary")
	return data
}

func TestWriteResult(t *testing.T) {
	lbs := labels.FromStrings("a", "b")
	data := encoded(t, engine.Streams{{Labels: lbs, Entries: []engine.LogEntry{{Timestamp: 1, Line: "x\n", Metadata: labels.FromStrings("m", "1")}, {Timestamp: 2}}}}, []string{"categorize-labels"})
	require.Equal(t, "streams", data["resultType"])
	require.Equal(t, []any{"categorize-labels"}, data["encodingFlags"])
	require.JSONEq(t, `[{"stream":{"a":"b"},"values":[["1","x\n",{"structuredMetadata":{"m":"1"}}],["2","",{}]]}]`, toJSON(t, data["result"]))

	data = encoded(t, engine.Matrix{{Labels: lbs, Points: []engine.Point{{T: 1500, V: 0.1}, {T: 2000, V: 1e21}}}}, nil)
	require.JSONEq(t, `[{"metric":{"a":"b"},"values":[[1.5,"0.1"],[2,"1000000000000000000000"]]}]`, toJSON(t, data["result"]))
	require.NotContains(t, data, "encodingFlags")

	require.JSONEq(t, `[]`, toJSON(t, encoded(t, engine.Vector{}, nil)["result"]))
	require.JSONEq(t, `[3,"2"]`, toJSON(t, encoded(t, engine.Scalar{T: 3000, V: 2}, nil)["result"]))
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

type countingWriter struct {
	*httptest.ResponseRecorder
	bytes, writes, largest int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	w.bytes += len(p)
	w.largest = max(w.largest, len(p))
	return len(p), nil
}

// TestLargeAnswersStream encodes an answer of tens of megabytes and wants it written in pieces: what the encoder allocates
// has nothing to do with the size of the answer.
// TestSmallAnswersAreCheap writes answers of one number: the room to gather large ones is not made for each.
func TestSmallAnswersAreCheap(t *testing.T) {
	const answers = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range answers {
		require.NoError(t, writeResult(httptest.NewRecorder(), engine.Result{Value: engine.Scalar{}}, nil, false))
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(answers*flushAt/2)) // a pool may forget some
}

func TestLargeAnswersStream(t *testing.T) {
	line := strings.Repeat("a line of a log, \"quoted\"\t", 40)
	var streams engine.Streams
	for range 20 {
		s := engine.LogStream{Labels: labels.FromStrings("app", "x")}
		for j := range 2000 {
			s.Entries = append(s.Entries, engine.LogEntry{Timestamp: int64(j), Line: line})
		}
		streams = append(streams, s)
	}
	var matrix engine.Matrix
	for range 100 {
		s := engine.Series{Labels: labels.FromStrings("app", "x")}
		for j := range 11_000 {
			s.Points = append(s.Points, engine.Point{T: int64(j) * 1000, V: float64(j)})
		}
		matrix = append(matrix, s)
	}
	for _, value := range []engine.Value{streams, matrix} {
		w := &countingWriter{ResponseRecorder: httptest.NewRecorder()}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, writeResult(w, engine.Result{Value: value}, nil, false))
		runtime.ReadMemStats(&after)
		require.Greater(t, w.bytes, 10<<20)
		require.Greater(t, w.writes, 100)
		require.Less(t, w.largest, 2*flushAt)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "%s of %d bytes", value.Type(), w.bytes)
	}
}
