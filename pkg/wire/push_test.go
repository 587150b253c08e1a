package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"logstore/pkg/model"
)

func sampleStreams(streams, entries int) []PushStream {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []PushStream
	for i := range streams {
		s := PushStream{Labels: fmt.Sprintf(`{app="a%d", cluster="eu", namespace="default", pod="app-%x"}`, i, rng.Uint64())}
		for j := range entries {
			e := PushEntry{
				Timestamp: 1768867200_000000000 + int64(j)*7_000_123 + int64(i),
				Line:      fmt.Appendf(nil, `{"level":"info","ts":%d,"msg":"request \"%x\" done","path":"/api/%d","duration":"%dms"}`, j, rng.Uint64(), rng.IntN(40), rng.IntN(4000)),
			}
			if j%3 == 0 {
				e.Metadata = []model.Pair{{Name: "trace_id", Value: fmt.Sprintf("%x", rng.Uint64())}, {Name: "user.id", Value: "u"}}
			}
			s.Entries = append(s.Entries, e)
		}
		out = append(out, s)
	}
	return out
}

// walkPush decodes a push message with protowire, the slow and obvious way.
func walkPush(b []byte) (streams []PushStream, err error) {
	err = walk(b, func(num protowire.Number, v []byte, _ uint64) error {
		if num != 1 {
			return nil
		}
		var s PushStream
		err := walk(v, func(num protowire.Number, v []byte, _ uint64) error {
			switch num {
			case 1:
				s.Labels = string(v)
			case 2:
				e, err := walkEntry(v)
				s.Entries = append(s.Entries, e)
				return err
			}
			return nil
		})
		streams = append(streams, s)
		return err
	})
	return streams, err
}

func walkEntry(b []byte) (e PushEntry, err error) {
	err = walk(b, func(num protowire.Number, v []byte, _ uint64) error {
		switch num {
		case 1:
			var sec, nanos int64
			if err := walk(v, func(num protowire.Number, _ []byte, n uint64) error {
				switch num {
				case 1:
					sec = int64(n)
				case 2:
					nanos = int64(int32(n))
				}
				return nil
			}); err != nil {
				return err
			}
			if sec > maxSecondsAbs || sec < -maxSecondsAbs {
				return errors.New("time")
			}
			e.Timestamp = sec*1e9 + nanos
		case 2:
			e.Line = v
		case 3:
			var p model.Pair
			err := walk(v, func(num protowire.Number, v []byte, _ uint64) error {
				switch num {
				case 1:
					p.Name = string(v)
				case 2:
					p.Value = string(v)
				}
				return nil
			})
			e.Metadata = append(e.Metadata, p)
			return err
		}
		return nil
	})
	return e, err
}

// walk calls f with the fields of a message that have the types of a push message. A known number with another type is an
// error of its own, which f cannot see: the callers' fields are all of length type but for seconds and nanos.
func walk(b []byte, f func(num protowire.Number, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		var v []byte
		var u uint64
		switch typ {
		case protowire.BytesType:
			v, _ = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			u, _ = protowire.ConsumeVarint(b)
		}
		if err := f(num, v, u); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// same compares without regard to nil and empty.
func same(t *testing.T, want, got []PushStream) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.Equal(t, want[i].Labels, got[i].Labels)
		require.Equal(t, len(want[i].Entries), len(got[i].Entries))
		for j := range want[i].Entries {
			w, g := want[i].Entries[j], got[i].Entries[j]
			require.Equal(t, w.Timestamp, g.Timestamp)
			require.Equal(t, string(w.Line), string(g.Line))
			require.Equal(t, len(w.Metadata), len(g.Metadata))
			for k := range w.Metadata {
				require.Equal(t, w.Metadata[k], g.Metadata[k])
			}
		}
	}
}

func TestProtoRoundTrip(t *testing.T) {
	streams := sampleStreams(7, 50)
	streams[0].Entries[0].Timestamp = -1
	streams[0].Entries[1].Timestamp = 0
	streams[1].Entries = nil
	streams[2].Entries[0].Line = nil
	b := AppendProto(nil, streams)
	walked, err := walkPush(b)
	require.NoError(t, err)
	same(t, streams, walked)

	r := GetPushRequest()
	require.NoError(t, r.DecodeProto(b))
	same(t, streams, r.Streams)
	require.Equal(t, 300, r.Entries())
	r.Release()
	require.Equal(t, b, AppendProto(nil, streams))
}

func TestReleaseLeavesNothing(t *testing.T) {
	body := s2.EncodeSnappy(nil, AppendProto(nil, sampleStreams(3, 10)))
	small := s2.EncodeSnappy(nil, AppendProto(nil, []PushStream{{Labels: `{a="b"}`, Entries: []PushEntry{{Timestamp: 1, Line: []byte("x")}}}}))
	for range 3 {
		for _, b := range [][]byte{body, small} {
			want, err := s2.Decode(nil, b)
			require.NoError(t, err)
			streams, err := walkPush(want)
			require.NoError(t, err)
			r, err := ReadPush(bytes.NewReader(b), Header{ContentType: "application/x-protobuf", ContentLength: -1}, Options{})
			require.NoError(t, err)
			same(t, streams, r.Streams)
			require.Equal(t, len(b), r.WireBytes)
			require.Equal(t, len(want), r.BodyBytes)
			r.Release()
		}
	}
}

func TestProtoRefusals(t *testing.T) {
	entry := func(fields ...byte) []byte {
		return append([]byte{0x0a, byte(2 + len(fields)), 0x12, byte(len(fields))}, fields...)
	}
	f := func(b []byte, want string) {
		t.Helper()
		r := GetPushRequest()
		defer r.Release()
		require.ErrorContains(t, r.DecodeProto(b), want)
	}
	f([]byte{0x0a}, "unexpected EOF")
	f([]byte{0x0a, 5, 1}, "unexpected EOF")
	f([]byte{0x0a, 2, 0x0a}, "unexpected EOF")
	f([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, "integer overflow")
	f([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "unexpected EOF")
	f([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "integer overflow")
	f([]byte{0x00, 0x01}, "illegal tag 0")
	f([]byte{0x7f}, "illegal wireType 7")
	f([]byte{0x7c}, "illegal wireType 4")
	f([]byte{0x08, 0x01}, "wrong wireType = 0 for field Streams")
	f([]byte{0x0a, 2, 0x08, 1}, "wrong wireType = 0 for field Labels")
	f(entry(0x08, 1), "wrong wireType = 0 for field Timestamp")
	f(entry(0x0a, 2, 0x0a, 0), "wrong wireType = 2 for field Seconds")
	f(entry(0x1a, 2, 0x08, 0), "wrong wireType = 0 for field Name")
	f(entry(0x0a, 10, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "timestamp out of range")
	f(bytes.Repeat([]byte{0x7b}, 100), "nested deeper than 64")
	f([]byte{0x7b, 0x84, 1}, "end of group 16 in group 15")
	f([]byte{0x7b}, "unexpected EOF")
}

// TestOddTimestamps has times that encoders hardly write: fields in another order, unknown ones, numbers too large.
func TestOddTimestamps(t *testing.T) {
	f := func(want int64, ts ...byte) {
		t.Helper()
		entry := append([]byte{0x0a, byte(len(ts))}, ts...)
		stream := append([]byte{0x12, byte(len(entry))}, entry...)
		r := GetPushRequest()
		defer r.Release()
		require.NoError(t, r.DecodeProto(append([]byte{0x0a, byte(len(stream))}, stream...)))
		require.Equal(t, want, r.Streams[0].Entries[0].Timestamp)
	}
	const second = 1_000_000_000
	usual := []byte{0x08, 0x80, 0x8b, 0xbb, 0xcb, 0x06} // 1768867200
	f(1768867200*second, usual...)
	f(1768867200*second+7, append(usual, 0x10, 7)...)
	f(1768867200*second, append(usual, 0x18, 9)...)
	f(1768867200*second+7, append([]byte{0x10, 7}, usual...)...)
	f(1768867200*second+9, append(usual, 0x10, 7, 0x10, 9)...)
	f(1768867200*second+5, append(usual, 0x10, 0x85, 0x80, 0x80, 0x80, 0x10)...) // 2^32+5 is 5 to an int32.
	f(5, 0x10, 0x85, 0x80, 0x80, 0x80, 0x10)
	f(-1, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	f(-second, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	f(0)
}

func TestProtoSkipsUnknownFields(t *testing.T) {
	unknown := []byte{0x7b, 0x08, 1, 0x7c, 0x48, 5, 0x4d, 1, 2, 3, 4, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x52, 1, 'x'}
	field := func(tag byte, content ...[]byte) []byte {
		c := bytes.Join(content, nil)
		return append(binary.AppendUvarint([]byte{tag}, uint64(len(c))), c...)
	}
	ts := field(0x0a, unknown, []byte{0x08, 5, 0x10, 7}, unknown)
	pair := field(0x1a, unknown, field(0x0a, []byte("k")), unknown, field(0x12, []byte("v")), unknown)
	e := field(0x12, unknown, ts, pair, unknown, field(0x12, []byte("line")), unknown)
	b := append(field(0x0a, unknown, e, unknown, field(0x0a, []byte("{}"))), unknown...)
	r := GetPushRequest()
	defer r.Release()
	require.NoError(t, r.DecodeProto(b))
	same(t, []PushStream{{Labels: "{}", Entries: []PushEntry{{Timestamp: 5_000_000_007, Line: []byte("line"), Metadata: []model.Pair{{Name: "k", Value: "v"}}}}}}, r.Streams)
}

// FuzzProto holds the decoder to a generic walk: it takes nothing that the walk refuses, and reads the same.
func FuzzProto(f *testing.F) {
	f.Add(AppendProto(nil, sampleStreams(2, 3)))
	f.Add([]byte{0x0a, 4, 0x12, 2, 0x12, 0})
	f.Add([]byte{0x7b, 0x08, 1, 0x7c})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := GetPushRequest()
		defer r.Release()
		if r.DecodeProto(b) != nil {
			return
		}
		want, err := walkPush(b)
		require.NoError(t, err)
		same(t, want, r.Streams)
		again := GetPushRequest()
		defer again.Release()
		require.NoError(t, again.DecodeProto(AppendProto(nil, want)))
		same(t, want, again.Streams)
	})
}

func BenchmarkReadProto(b *testing.B) {
	h := Header{ContentType: "application/x-protobuf"}
	reader := bytes.NewReader(nil)
	benchBodies(b, corpus(b, 200), func(body []byte) *PushRequest {
		reader.Reset(body)
		h.ContentLength = int64(len(body))
		r, err := ReadPush(reader, h, Options{MaxBody: 100 << 20, MaxDecompressed: 1 << 30})
		require.NoError(b, err)
		return r
	})
}

func BenchmarkDecodeProto(b *testing.B) {
	var plain [][]byte
	for _, body := range corpus(b, 50) {
		p, err := s2.Decode(nil, body)
		require.NoError(b, err)
		plain = append(plain, p)
	}
	benchBodies(b, plain, func(body []byte) *PushRequest {
		r := GetPushRequest()
		require.NoError(b, r.DecodeProto(body))
		return r
	})
}
