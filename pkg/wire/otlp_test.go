package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"logstore/pkg/limits"
)

func rules(t testing.TB, c limits.OTLPConfig) *limits.OTLPRules {
	r, err := c.Compile()
	require.NoError(t, err)
	return r
}

func TestOTLPMapping(t *testing.T) {
	f := func(c limits.OTLPConfig, in, want string) {
		t.Helper()
		r, err := ReadOTLP(strings.NewReader(in), Header{ContentType: "application/json"}, Options{}, rules(t, c), 99)
		require.NoError(t, err)
		defer r.Release()
		require.Equal(t, want, show(r))
	}
	byDefault := limits.DefaultOTLPConfig()
	resource := func(attrs, records string) string {
		return `{"resourceLogs":[{"resource":{"attributes":[` + attrs + `]},"scopeLogs":[{"logRecords":[` + records + `]}]}]}`
	}
	service := `{"key":"service.name","value":{"stringValue":"s"}},{"key":"team","value":{"stringValue":"red"}}`
	f(byDefault, `{}`, "")
	f(byDefault, `null`, "")
	f(byDefault, `{"resourceLogs":null}`, "")
	f(byDefault, resource(service, ""), "")
	f(byDefault, resource(service, `{}`), "{service_name=\"s\"}\n  99 \"\" team=\"red\"\n")
	f(byDefault, resource(``, `{"timeUnixNano":"5","body":{"stringValue":"x"}}`), "{}\n  5 \"x\"\n")
	// Members in the schema's own names, numbers, a severity by name, ids in capitals, the resource behind the records.
	f(byDefault, `{"resource_logs":[{"scope_logs":[{"log_records":[{"time_unix_nano":5,"observed_time_unix_nano":"7","severity_number":"SEVERITY_NUMBER_WARN2","severity_text":"W","body":{"string_value":"x"},"trace_id":"ABCDEF00000000000000000000000001","span_id":"","flags":3,"dropped_attributes_count":2}],"scope":{"name":"n","version":"v","dropped_attributes_count":"1","attributes":[{"key":"k","value":{"int_value":-4}}]}}],"resource":{"attributes":[`+service+`]}}]}`,
		"{service_name=\"s\"}\n  5 \"x\" team=\"red\" k=\"-4\" scope_name=\"n\" scope_version=\"v\" scope_dropped_attributes_count=\"1\" observed_timestamp=\"7\" severity_number=\"14\" severity_text=\"W\" dropped_attributes_count=\"2\" flags=\"3\" trace_id=\"abcdef00000000000000000000000001\"\n")
	// Bodies and values.
	f(byDefault, resource(service, `{"timeUnixNano":"1","body":{"doubleValue":"NaN"}},{"timeUnixNano":"2","body":{"bytesValue":"_-8"}},{"timeUnixNano":"3","body":{"boolValue":false}},{"timeUnixNano":"4","body":{"doubleValue":1e-7}},{"timeUnixNano":"5","body":{"kvlistValue":{"values":[{"key":"z","value":{"stringValue":"\"<é\n\u0001"}},{"key":"a","value":{"arrayValue":{"values":[{},{"doubleValue":1e21},{"bytesValue":"AA=="},{"doubleValue":"Infinity"}]}}},{"key":"z","value":{"kvlistValue":{}}}]}}}`),
		"{service_name=\"s\"}\n  1 \"NaN\" team=\"red\"\n  2 \"/+8=\" team=\"red\"\n  3 \"false\" team=\"red\"\n  4 \"1e-7\" team=\"red\"\n  5 \"{\\\"a\\\":[null,1e+21,\\\"AA==\\\",\\\"+Inf\\\"],\\\"z\\\":{}}\" team=\"red\"\n")
	// Nested attributes, odd names, empty values.
	f(byDefault, resource(service, `{"timeUnixNano":"1","attributes":[{"key":"m","value":{"kvlistValue":{"values":[{"key":"a.b","value":{"kvlistValue":{"values":[{"key":"1","value":{"boolValue":true}}]}}},{"key":"e","value":{"stringValue":""}}]}}},{"key":"1x","value":{"arrayValue":{"values":[{"intValue":"1"}]}}},{"key":"none","value":null},{"key":"none"},{"key":"","value":{"stringValue":"v"}}]}`),
		"{service_name=\"s\"}\n  1 \"\" team=\"red\" m_a_b_1=\"true\" key_1x=\"[1]\"\n")
	// A tenant's rules.
	own := limits.DefaultOTLPConfig()
	own.ResourceAttributes.AttributesConfig = []limits.OTLPAttributes{{Action: limits.OTLPIndexLabel, Attributes: []string{"team"}}, {Action: limits.OTLPDrop, Attributes: []string{"service.name"}}}
	own.LogAttributes = []limits.OTLPAttributes{{Action: limits.OTLPIndexLabel, Attributes: []string{"kind", "team"}}, {Action: limits.OTLPDrop, Regex: `noise\..*`}}
	own.ScopeAttributes = []limits.OTLPAttributes{{Action: limits.OTLPDrop, Attributes: []string{"k"}}}
	own.SeverityTextAsLabel = true
	record := func(ts int, attrs ...string) string {
		var list []string
		for i := 0; i < len(attrs); i += 2 {
			list = append(list, fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, attrs[i], attrs[i+1]))
		}
		return fmt.Sprintf(`{"timeUnixNano":"%d","attributes":[%s]}`, ts, strings.Join(list, ","))
	}
	f(own, resource(service, record(1, "kind", "a", "noise.x", "1")+","+record(2)+","+record(3, "kind", "b", "keep", "2")+","+record(4, "kind", "a")+","+record(5, "team", "blue")+`,{"timeUnixNano":"6","severityText":"Warn"},`+record(7)),
		"{kind=\"a\", team=\"red\"}\n  1 \"\"\n  4 \"\"\n{team=\"red\"}\n  2 \"\"\n  7 \"\"\n{kind=\"b\", team=\"red\"}\n  3 \"\" keep=\"2\"\n{team=\"blue\"}\n  5 \"\"\n{severity_text=\"Warn\", team=\"red\"}\n  6 \"\" severity_text=\"Warn\"\n")
}

func TestOTLPRefusals(t *testing.T) {
	f := func(contentType, encoding, in, want string) {
		t.Helper()
		_, err := ReadOTLP(strings.NewReader(in), Header{ContentType: contentType, ContentEncoding: encoding}, Options{}, rules(t, limits.DefaultOTLPConfig()), 0)
		require.ErrorContains(t, err, want)
	}
	const json, pb = "application/json", "application/x-protobuf"
	record := func(r string) string { return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + r + `]}]}]}` }
	f("", "", "", "content type:  is not supported")
	f(json+"; charset=utf-8", "", "", "content type: application/json; charset=utf-8 is not supported")
	f(pb, "deflate", "", "unsupported content encoding deflate: only gzip, lz4 and zstd are supported")
	f(json, "", "", "EOF")
	f(json, "", `{"resourceLogs":[{`, "expected a string, found the end")
	f(json, "", `{"resourceLogs":{}}`, "expected '[', found '{'")
	f(json, "", record(`{"timeUnixNano":"yesterday"}`), `expected an unsigned integer, found "yesterday"`)
	f(json, "", record(`{"timeUnixNano":-1}`), `expected an unsigned integer`)
	f(json, "", record(`{"flags":4294967296}`), `out of range`)
	f(json, "", record(`{"traceId":"xyz"}`), `expected an id in hexadecimal`)
	f(json, "", record(`{"severityNumber":"LOUD"}`), `expected a severity number`)
	f(json, "", record(`{"severityText":7}`), `expected a string`)
	f(json, "", record(`{"body":"x"}`), `expected '{'`)
	f(json, "", record(`{"body":{"intValue":1.5}}`), `expected an integer`)
	f(json, "", record(`{"body":{"boolValue":1}}`), `expected true or false`)
	f(json, "", record(`{"body":{"doubleValue":"x"}}`), `expected a number`)
	f(json, "", record(`{"body":{"bytesValue":"!"}}`), `expected bytes in base64`)
	f(json, "", record(`{"attributes":{}}`), `expected '['`)
	f(json, "", record(`{"body":`+strings.Repeat(`{"arrayValue":{"values":[`, 100)), `nested deeper than 200`)
	f(pb, "", "\x0a\xff\xff", "unexpected EOF")
	deep := []byte(nil)
	for range maxOTLPDepth + 1 {
		deep = appendBytes(nil, otlpTag5Bytes, str(appendBytes(nil, otlpTag1Bytes, str(deep))))
	}
	f(pb, "", deepRecord(deep), "nested deeper than 100")
}

// deepRecord is a request whose only record has the body b.
func deepRecord(b []byte) string {
	record := appendBytes(nil, otlpTag5Bytes, str(b))
	scope := appendBytes(nil, otlpTag2Bytes, str(record))
	resource := appendBytes(nil, otlpTag2Bytes, str(scope))
	return string(appendBytes(nil, otlpTag1Bytes, str(resource)))
}

func TestStatus(t *testing.T) {
	require.Equal(t, "\x12\x0eunexpected EOF", string(AppendStatus(nil, "unexpected EOF")))
}

// randomLogs makes a request that uses every field.
func randomLogs(rng *rand.Rand) *logspb.LogsData {
	attrs := func(names ...string) (list []*commonpb.KeyValue) {
		for _, name := range names {
			if rng.IntN(2) == 0 {
				list = append(list, &commonpb.KeyValue{Key: name, Value: randomValue(rng, 2)})
			}
		}
		return list
	}
	logs := &logspb.LogsData{}
	for range rng.IntN(3) {
		res := &logspb.ResourceLogs{Resource: &resourcepb.Resource{Attributes: attrs("service.name", "host.name", "k8s.pod.name", "x")}, SchemaUrl: "u"}
		for range rng.IntN(3) {
			scope := &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: pick(rng, "", "lib"), Version: pick(rng, "", "1"), Attributes: attrs("s.a"), DroppedAttributesCount: rng.Uint32N(2)}}
			for range rng.IntN(4) {
				rec := &logspb.LogRecord{
					TimeUnixNano: rng.Uint64N(3) * 1768867200_000000000, ObservedTimeUnixNano: rng.Uint64N(2) * 1768867200_000000001,
					SeverityNumber: logspb.SeverityNumber(rng.IntN(25)), SeverityText: pick(rng, "", "Warn"), Attributes: attrs("a.b", "team", "1", "é"),
					DroppedAttributesCount: rng.Uint32N(2), Flags: rng.Uint32N(3),
				}
				if rng.IntN(4) > 0 {
					rec.Body = randomValue(rng, 3)
				}
				if rng.IntN(2) == 0 {
					rec.TraceId, rec.SpanId = bytes.Repeat([]byte{byte(rng.IntN(3))}, 16), []byte{0, 1, 2, 3, 4, 5, 6, 255}
				}
				scope.LogRecords = append(scope.LogRecords, rec)
			}
			res.ScopeLogs = append(res.ScopeLogs, scope)
		}
		logs.ResourceLogs = append(logs.ResourceLogs, res)
	}
	return logs
}

func pick(rng *rand.Rand, list ...string) string { return list[rng.IntN(len(list))] }

func randomValue(rng *rand.Rand, depth int) *commonpb.AnyValue {
	kinds := 8
	if depth == 0 {
		kinds = 6
	}
	switch rng.IntN(kinds) {
	case 0:
		return &commonpb.AnyValue{}
	case 1:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: pick(rng, "", "text", "日\n\"\\", "7")}}
	case 2:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: rng.IntN(2) == 0}}
	case 3:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(rng.Uint64())}}
	case 4:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: []float64{0, 1.5, -2, 1e21, 1e-9, 12345678901234, math.Pi}[rng.IntN(7)]}}
	case 5:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255, 62}[:rng.IntN(4)]}}
	case 6:
		a := &commonpb.ArrayValue{}
		for range rng.IntN(3) {
			a.Values = append(a.Values, randomValue(rng, depth-1))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: a}}
	}
	m := &commonpb.KeyValueList{}
	for _, key := range []string{"z", "b.c", "a"}[rng.IntN(3):] {
		m.Values = append(m.Values, &commonpb.KeyValue{Key: key, Value: randomValue(rng, depth-1)})
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: m}}
}

// plainValue is a value as encoding/json knows it.
func plainValue(v *commonpb.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return x.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return x.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return x.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, e := range x.ArrayValue.GetValues() {
			list = append(list, plainValue(e))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		m := map[string]any{}
		for _, kv := range x.KvlistValue.GetValues() {
			m[kv.GetKey()] = plainValue(kv.GetValue())
		}
		return m
	}
	return nil
}

func plainText(v *commonpb.AnyValue) string {
	switch x := plainValue(v).(type) {
	case nil:
		return ""
	case string:
		return x
	case []byte:
		return base64.StdEncoding.EncodeToString(x)
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(x); err != nil {
			panic(err)
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
}

// mapping does with the generated types what DecodeOTLP does, under the default rules.
func mapping(logs *logspb.LogsData, now int64) string {
	clean := func(name string) string { return string(AppendCleanName(nil, name)) }
	var flat func(prefix string, list []*commonpb.KeyValue, index func(string) bool) (set, meta [][2]string)
	flat = func(prefix string, list []*commonpb.KeyValue, index func(string) bool) (set, meta [][2]string) {
		for _, kv := range list {
			name := kv.GetKey()
			if prefix != "" {
				name = prefix + "_" + name
			}
			if m, ok := kv.GetValue().GetValue().(*commonpb.AnyValue_KvlistValue); ok {
				s, mt := flat(clean(name), m.KvlistValue.GetValues(), func(string) bool { return index(kv.GetKey()) })
				set, meta = append(set, s...), append(meta, mt...)
			} else if text := plainText(kv.GetValue()); text != "" && index(kv.GetKey()) {
				set = append(set, [2]string{clean(name), text})
			} else if text != "" {
				meta = append(meta, [2]string{clean(name), text})
			}
		}
		return set, meta
	}
	defaults := limits.DefaultOTLPConfig().DefaultIndexLabels
	var out strings.Builder
	for _, res := range logs.GetResourceLogs() {
		set, base := flat("", res.GetResource().GetAttributes(), func(name string) bool { return slices.Contains(defaults, name) })
		slices.SortFunc(set, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		var parts []string
		for _, l := range set {
			parts = append(parts, l[0]+"="+strconv.Quote(l[1]))
		}
		first := true
		for _, scope := range res.GetScopeLogs() {
			_, own := flat("", scope.GetScope().GetAttributes(), func(string) bool { return false })
			ofScope := append(slices.Clone(base), own...)
			add := func(meta *[][2]string, name, value string) {
				if value != "" && value != "0" {
					*meta = append(*meta, [2]string{name, value})
				}
			}
			add(&ofScope, "scope_name", scope.GetScope().GetName())
			add(&ofScope, "scope_version", scope.GetScope().GetVersion())
			add(&ofScope, "scope_dropped_attributes_count", fmt.Sprint(scope.GetScope().GetDroppedAttributesCount()))
			for _, rec := range scope.GetLogRecords() {
				if first {
					fmt.Fprintf(&out, "{%s}\n", strings.Join(parts, ", "))
					first = false
				}
				_, attrs := flat("", rec.GetAttributes(), func(string) bool { return false })
				meta := append(slices.Clone(ofScope), attrs...)
				ts := int64(rec.GetTimeUnixNano())
				if ts == 0 {
					ts = int64(rec.GetObservedTimeUnixNano())
				} else {
					add(&meta, "observed_timestamp", fmt.Sprint(rec.GetObservedTimeUnixNano()))
				}
				if ts == 0 {
					ts = now
				}
				add(&meta, "severity_number", fmt.Sprint(int(rec.GetSeverityNumber())))
				add(&meta, "severity_text", rec.GetSeverityText())
				add(&meta, "dropped_attributes_count", fmt.Sprint(rec.GetDroppedAttributesCount()))
				add(&meta, "flags", fmt.Sprint(rec.GetFlags()))
				for name, id := range map[string][]byte{"trace_id": rec.GetTraceId()} {
					if strings.Trim(string(id), "\x00") != "" {
						add(&meta, name, hex.EncodeToString(id))
					}
				}
				add(&meta, "span_id", hex.EncodeToString(rec.GetSpanId()))
				fmt.Fprintf(&out, "  %d %q", ts, plainText(rec.GetBody()))
				for _, p := range meta {
					fmt.Fprintf(&out, " %s=%q", p[0], p[1])
				}
				out.WriteByte('\n')
			}
		}
	}
	return out.String()
}

// hexIDs turns the base64 ids of protobuf's JSON into the hexadecimal ones of OTLP's.
func hexIDs(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, one := range v {
			if s, ok := one.(string); ok && (key == "traceId" || key == "spanId") {
				id, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					panic(err)
				}
				v[key] = hex.EncodeToString(id)
			}
			hexIDs(one)
		}
	case []any:
		for _, one := range v {
			hexIDs(one)
		}
	}
}

func TestOTLPAgainstGeneratedTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	byDefault := rules(t, limits.DefaultOTLPConfig())
	records := 0
	for range 150 {
		logs := randomLogs(rng)
		want := mapping(logs, 99)
		pb, err := proto.Marshal(logs)
		require.NoError(t, err)
		js, err := protojson.MarshalOptions{UseEnumNumbers: rng.IntN(2) == 0}.Marshal(logs)
		require.NoError(t, err)
		var tree any
		require.NoError(t, json.Unmarshal(js, &tree))
		hexIDs(tree)
		js, err = json.Marshal(tree)
		require.NoError(t, err)
		for contentType, body := range map[string][]byte{"application/x-protobuf": pb, "application/json": js} {
			for _, encoding := range []string{"", "gzip", "zstd", "lz4"} {
				r, err := ReadOTLP(bytes.NewReader(compressed(t, encoding, body)), Header{ContentType: contentType, ContentEncoding: encoding}, Options{}, byDefault, 99)
				require.NoError(t, err)
				require.Equal(t, want, show(r), "%s %s", contentType, js)
				records += r.Entries()
				r.Release()
			}
		}
	}
	require.Greater(t, records, 500)
}

// FuzzOTLPProto wants that what is taken is also taken by the generated types, and reads the same.
func FuzzOTLPProto(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		b, err := proto.Marshal(randomLogs(rng))
		require.NoError(f, err)
		f.Add(b)
	}
	byDefault := rules(f, limits.DefaultOTLPConfig())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := GetPushRequest()
		defer r.Release()
		err := r.DecodeOTLP(b, false, byDefault, 99)
		var logs logspb.LogsData
		if proto.Unmarshal(b, &logs) == nil && err != nil {
			require.ErrorContains(t, err, "deeper")
		}
	})
}

func FuzzOTLPJSON(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		b, err := protojson.Marshal(randomLogs(rng))
		require.NoError(f, err)
		f.Add(b)
	}
	byDefault := rules(f, limits.DefaultOTLPConfig())
	f.Fuzz(func(_ *testing.T, b []byte) {
		r := GetPushRequest()
		defer r.Release()
		if r.DecodeOTLP(b, true, byDefault, 99) == nil {
			_ = show(r)
		}
	})
}

func BenchmarkReadOTLP(b *testing.B) {
	byDefault := rules(b, limits.DefaultOTLPConfig())
	logs := &logspb.LogsData{}
	text := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	for _, s := range sampleStreams(20, 100) {
		res := &logspb.ResourceLogs{Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text("checkout")}, {Key: "host.name", Value: text(s.Labels)}}}, ScopeLogs: []*logspb.ScopeLogs{{}}}
		for _, e := range s.Entries {
			res.ScopeLogs[0].LogRecords = append(res.ScopeLogs[0].LogRecords, &logspb.LogRecord{
				TimeUnixNano: uint64(e.Timestamp), ObservedTimeUnixNano: uint64(e.Timestamp), SeverityNumber: 9, SeverityText: "INFO", Body: text(string(e.Line)), TraceId: bytes.Repeat([]byte{7}, 16),
				Attributes: []*commonpb.KeyValue{{Key: "http.method", Value: text("GET")}, {Key: "user.id", Value: text("u17")}},
			})
		}
		logs.ResourceLogs = append(logs.ResourceLogs, res)
	}
	pb, err := proto.Marshal(logs)
	require.NoError(b, err)
	js, err := protojson.Marshal(logs)
	require.NoError(b, err)
	js = bytes.ReplaceAll(js, []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 16))), bytes.Repeat([]byte("07"), 16))
	for contentType, body := range map[string][]byte{"application/x-protobuf": pb, "application/json": js} {
		b.Run(contentType[12:], func(b *testing.B) {
			reader := bytes.NewReader(nil)
			benchBodies(b, [][]byte{body}, func(body []byte) *PushRequest {
				reader.Reset(body)
				r, err := ReadOTLP(reader, Header{ContentType: contentType, ContentLength: int64(len(body))}, Options{}, byDefault, 0)
				require.NoError(b, err)
				return r
			})
		})
	}
}
