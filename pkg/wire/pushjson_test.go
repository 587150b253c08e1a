package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
)

// show writes a request in a form that is easy to compare.
func show(r *PushRequest) string {
	var b strings.Builder
	for _, s := range r.Streams {
		fmt.Fprintf(&b, "%s\n", s.Labels)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "  %d %q", e.Timestamp, e.Line)
			for _, p := range e.Metadata {
				fmt.Fprintf(&b, " %s=%q", p.Name, p.Value)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestJSON(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		r := GetPushRequest()
		defer r.Release()
		require.NoError(t, r.DecodeJSON([]byte(in), Options{}), in)
		require.Equal(t, want, show(r), in)
	}
	f(`{}`, "")
	f(`null`, "")
	f(`{"streams":null}`, "")
	f(`{"streams":[]}`, "")
	f(`{"streams":[{}]}`, "{}\n")
	f(`{"streams":[null]}`, "{}\n")
	f(`{"streams":[{"stream":null,"values":null}]}`, "{}\n")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["5","x"]]}]}`, "{a=\"b\"}\n  5 \"x\"\n")
	f(" {\t\"streams\"\r\n: [ {\"stream\" : { \"a\" : \"b\" } , \"values\" : [ [ \"5\" , \"x\" ] , [\"-6\",\"\"] ] } ] } ", "{a=\"b\"}\n  5 \"x\"\n  -6 \"\"\n")
	// Values may come first; of equal labels the last one counts; labels are sorted, empty ones gone.
	f(`{"streams":[{"values":[["5","x"]],"stream":{"c":"1","b":"","a":"2","c":"3"}}]}`, "{a=\"2\", c=\"3\"}\n  5 \"x\"\n")
	f(`{"streams":[{"stream":{"n":7,"t":true,"null":null},"values":[]}]}`, "{n=\"7\", t=\"true\"}\n")
	// Metadata, its absence, and what stands behind it.
	f(`{"streams":[{"stream":{"a":"b"},"values":[["5","x",{"k":"v","l":""}],["6","y",{}],["7","z",null],["8","z",{"m":"n"},[{"q":1}],1]]}]}`,
		"{a=\"b\"}\n  5 \"x\" k=\"v\" l=\"\"\n  6 \"y\"\n  7 \"z\"\n  8 \"z\" m=\"n\"\n")
	// Unknown members of every kind.
	f(`{"x":[1,-2.5e+3,true,false,null,"s",{"y":{}}],"streams":[{"stream":{"a":"b"},"values":[["5","x"]],"extra":{"a":[1]}}],"z":0}`, "{a=\"b\"}\n  5 \"x\"\n")
	// Escapes.
	f(`{"streams":[{"stream":{"q":"a\"b\\c\td\u00e9"},"values":[["5","\b\f\n\r\t\/\\\"\u65e5\ud83d\ude80\u0000 \ud83d x\ud83d\u0041 \ude80"]]}]}`,
		"{q=\"a\\\"b\\\\c\\tdé\"}\n  5 \"\\b\\f\\n\\r\\t/\\\\\\\"日🚀\\x00 � x�A �\"\n")
	f(`{"\u0073treams":[{"stream":{"\u0061":"b"},"values":[["\u0035","x"]]}]}`, "{a=\"b\"}\n  5 \"x\"\n")
	f("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"5\",\"raw\nnew line, \xff\"]]}]}", "{a=\"b\"}\n  5 \"raw\\nnew line, \\xff\"\n")
	// The old form.
	f(`{"streams":[{"labels":"{ b=\"2\",a=\"1\"}","entries":[{"ts":"2026-01-20T01:00:02.5+01:00","line":"x"},{"line":"","ts":"1970-01-01T00:00:00Z","z":[]},{"ts":1000,"line":"n","structuredMetadata":{"k":"v"}},{"ts":"1001","line":"n"}]}]}`,
		"{ b=\"2\",a=\"1\"}\n  1768867202500000000 \"x\"\n  0 \"\"\n  1000 \"n\" k=\"v\"\n  1001 \"n\"\n")
	f(`{"streams":[{"stream":{"a":"b"},"values":[["9223372036854775807","x"],["-9223372036854775808","y"]]}]}`, "{a=\"b\"}\n  9223372036854775807 \"x\"\n  -9223372036854775808 \"y\"\n")
}

func TestNumericTimes(t *testing.T) {
	f := func(ts, want string) {
		t.Helper()
		r := GetPushRequest()
		defer r.Release()
		in := `{"streams":[{"stream":{"a":"b"},"values":[[` + ts + `,"x"]]}]}`
		require.Error(t, r.DecodeJSON([]byte(in), Options{}))
		r.reset()
		err := r.DecodeJSON([]byte(in), Options{NumericTimes: true})
		if want == "" {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, "{a=\"b\"}\n  "+want+" \"x\"\n", show(r))
	}
	f(`1768867201000000000`, "1768867201000000000")
	f(`1.7e18`, "1700000000000000000")
	f(`"1.7e18"`, "1700000000000000000")
	f(`1768867201.5`, "")
	f(`1e30`, "")
	f(`null`, "")
	f(`"NaN"`, "")
}

func TestJSONRefusals(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		r := GetPushRequest()
		defer r.Release()
		require.ErrorContains(t, r.DecodeJSON([]byte(in), Options{}), want, in)
	}
	value := func(v string) string { return `{"streams":[{"stream":{"a":"b"},"values":[` + v + `]}]}` }
	f(``, "EOF")
	f("  \n", "EOF")
	f(`hello`, `cannot read JSON: expected '{', found 'h' at byte 0, near "hello"`)
	f(`[]`, "expected '{', found '['")
	f(`nul`, "expected '{', found 'n'")
	f(`{`, "expected a string, found the end")
	f(`{"a"`, "expected ':', found the end")
	f(`{"a":`, "expected a value, found the end")
	f(`{"a":1`, "expected ',' or '}', found the end")
	f(`{"a":1,}`, "expected a string, found '}'")
	f(`{"a":01}`, "expected a value, found '0'")
	f(`{"a":1.}`, "expected a value")
	f(`{"a":-}`, "expected a value")
	f(`{"a":1e}`, "expected a value")
	f(`{"a":tru}`, "expected a value")
	f(`{"a":"x}`, "string without end")
	f(`{"a":"x\`, "string without end")
	f(`{"a":"x\"`, "string without end")
	f(`{"a":[1 2]}`, "expected ',' or ']', found '2'")
	f(`{}{}`, "expected the end, found '{'")
	f(`{} x`, "expected the end, found 'x'")
	f(`{"streams":{}}`, "expected '[', found '{'")
	f(`{"streams":["x"]}`, "expected '{', found '\"'")
	f(`{"streams":[{"stream":["a"]}]}`, "expected '{', found '['")
	f(`{"streams":[{"stream":{"a":{}}}]}`, "expected a label value, a string, found '{'")
	f(`{"streams":[{"stream":{"a":[]}}]}`, "expected a label value")
	f(`{"streams":[{"stream":{"a":"b"},"values":["a"]}]}`, "expected '[', found '\"'")
	f(`{"streams":[{"stream":{"a":"b"},"values":{}}]}`, "expected '[', found '{'")
	f(value(`[]`), "a value of 0 items")
	f(value(`["5"]`), "a value of 1 items")
	f(value(`[5,"x"]`), "expected a string, found '5'")
	f(value(`["","x"]`), "no integer of nanoseconds in a string: \"\"")
	f(value(`["-","x"]`), "no integer")
	f(value(`["5.5","x"]`), "no integer")
	f(value(`["0x5","x"]`), "no integer")
	f(value(`["2026-01-20T00:00:00Z","x"]`), "no integer")
	f(value(`["9223372036854775808","x"]`), "no integer")
	f(value(`["-9223372036854775809","x"]`), "no integer")
	f(value(`["99999999999999999999","x"]`), "no integer")
	f(value(`["5",12]`), "expected a string, found '1'")
	f(value(`["5",null]`), "expected a string, found 'n'")
	f(value(`["5","x","meta"]`), "expected '{', found '\"'")
	f(value(`["5","x",{"k":1}]`), "expected a string, found '1'")
	f(value(`["5","x",{"k":null}]`), "expected a string, found 'n'")
	f(value(`["5","\x"]`), "bad escape in string")
	f(value(`["5","\u00g0"]`), "bad escape in string")
	f(value(`["5","\u00`), "string without end")
	f(`{"streams":[{"labels":7}]}`, "expected a string")
	f(`{"streams":[{"labels":"{}","entries":[{"line":"x"}]}]}`, "an entry without ts")
	f(`{"streams":[{"labels":"{}","entries":[{"ts":"yesterday","line":"x"}]}]}`, "ts that is no time in RFC 3339: \"yesterday\"")
	f(`{"streams":[{"labels":"{}","entries":[{"ts":"9999-01-01T00:00:00Z","line":"x"}]}]}`, "ts that is no time")
	f(`{"x":`+strings.Repeat("[", 300), "nested deeper than 200")
	f(`{"x":`+strings.Repeat(`{"a":`, 300), "nested deeper than 200")
	f(`{"streams":[{"stream":{"a-b":"x"}}]}`, "couldn't parse labels: 1:3: parse error: unexpected character inside braces: '-'")
	f(`{"streams":[{"stream":{"":"x"}}]}`, `couldn't parse labels: 1:2: parse error: unexpected "=" in label set, expected identifier or "}"`)
	// A name that would read as two labels.
	f(`{"streams":[{"stream":{"a=\"b\",c":"x"}}]}`, `bad label name "a=\"b\",c"`)
}

// FuzzJSON wants no panic, and of what encoding/json takes too the same entries.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"streams":[{"stream":{"a":"b"},"values":[["5","x\n\u00e9",{"k":"v"}],["6",""]],"x":[1,{}]}]}`))
	f.Add([]byte(`{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2026-01-20T00:00:00Z","line":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := GetPushRequest()
		defer r.Release()
		if r.DecodeJSON(bytes.Clone(b), Options{}) != nil {
			return
		}
		var want struct {
			Streams []struct {
				Values [][]any
				Old    []json.RawMessage `json:"entries"`
			}
		}
		if !json.Valid(b) || json.Unmarshal(b, &want) != nil || len(want.Streams) != len(r.Streams) {
			return // A member named twice, or in another case.
		}
		for i, s := range want.Streams {
			if len(s.Old) > 0 || len(s.Values) != len(r.Streams[i].Entries) {
				continue
			}
			for j, v := range s.Values {
				line, ok := v[1].(string)
				require.True(t, ok)
				require.Equal(t, line, strings.ToValidUTF8(string(r.Streams[i].Entries[j].Line), "\ufffd"))
			}
		}
	})
}

func TestJSONAllocations(t *testing.T) {
	allocations := func(entries int) float64 {
		body := encodeJSON(sampleStreams(1, entries))
		work := make([]byte, len(body))
		return testing.AllocsPerRun(20, func() {
			copy(work, body)
			r := GetPushRequest()
			require.NoError(t, r.DecodeJSON(work, Options{}))
			r.Release()
		})
	}
	few, many := allocations(10), allocations(1000)
	require.InDelta(t, few, many, 8)
}

// encodeJSON writes streams as clients do.
func encodeJSON(streams []PushStream) []byte {
	type object = map[string]any
	var list []any
	for _, s := range streams {
		set, err := ParseLabels(s.Labels)
		if err != nil {
			panic(err)
		}
		names, values := object{}, []any{}
		for _, l := range set {
			names[l.Name] = l.Value
		}
		for _, e := range s.Entries {
			v := []any{fmt.Sprint(e.Timestamp), string(e.Line)}
			if len(e.Metadata) > 0 {
				meta := object{}
				for _, p := range e.Metadata {
					meta[p.Name] = p.Value
				}
				v = append(v, meta)
			}
			values = append(values, v)
		}
		list = append(list, object{"stream": names, "values": values})
	}
	b, err := json.Marshal(object{"streams": list})
	if err != nil {
		panic(err)
	}
	return b
}

func TestJSONRoundTrip(t *testing.T) {
	streams := sampleStreams(5, 40)
	for i := range streams {
		set, err := ParseLabels(streams[i].Labels)
		require.NoError(t, err)
		streams[i].Labels = string(AppendLabels(nil, set))
		streams[i].Entries[1].Metadata = []model.Pair{{Name: "k", Value: "quoted \" back \\ tab \t"}}
	}
	r := GetPushRequest()
	defer r.Release()
	require.NoError(t, r.DecodeJSON(encodeJSON(streams), Options{}))
	same(t, streams, r.Streams)
}

func BenchmarkReadJSON(b *testing.B) {
	var bodies [][]byte
	for _, body := range corpus(b, 30) {
		r, err := ReadPush(bytes.NewReader(body), Header{ContentType: "application/x-protobuf"}, Options{})
		require.NoError(b, err)
		bodies = append(bodies, encodeJSON(r.Streams))
		r.Release()
	}
	reader := bytes.NewReader(nil)
	benchBodies(b, bodies, func(body []byte) *PushRequest {
		reader.Reset(body)
		r, err := ReadPush(reader, Header{ContentType: "application/json", ContentLength: int64(len(body))}, Options{})
		require.NoError(b, err)
		return r
	})
}
