package wire

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// compressed returns b in the named encoding.
func compressed(t testing.TB, encoding string, b []byte) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w, err = flate.NewWriter(&out, 5)
	case "zlib":
		w = zlib.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "lz4":
		w = lz4.NewWriter(&out)
	case "snappy":
		return s2.EncodeSnappy(nil, b)
	case "snappy frames":
		w = s2.NewWriter(&out, s2.WriterSnappyCompat())
	default:
		return b
	}
	require.NoError(t, err)
	_, err = w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestEncodings(t *testing.T) {
	streams := sampleStreams(3, 200)
	jsonBody, protoBody := encodeJSON(streams), s2.EncodeSnappy(nil, AppendProto(nil, streams))
	f := func(contentType, header, encoding string, lenient bool, want string) {
		t.Helper()
		plain := protoBody
		if strings.Contains(strings.ToLower(contentType), "json") {
			plain = jsonBody
		}
		body := compressed(t, encoding, plain)
		for range 2 { // The second time with what the first left in the pools.
			r, err := ReadPush(iotest.OneByteReader(bytes.NewReader(body)), Header{ContentType: contentType, ContentEncoding: header, ContentLength: int64(len(body))}, Options{ZlibDeflate: lenient})
			if want != "" {
				require.ErrorContains(t, err, want)
				require.Nil(t, r)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, 600, r.Entries())
			require.Equal(t, streams[1].Entries[7].Line, r.Streams[1].Entries[7].Line)
			require.Equal(t, len(body), r.WireBytes)
			r.Release()
		}
	}
	const proto, json = "application/x-protobuf", "application/json"
	f(proto, "", "", false, "")
	f(proto, "snappy", "", false, "")
	f(proto, "identity", "", false, "")
	f(proto, "gzip", "gzip", false, "")
	f(proto, "deflate", "deflate", false, "")
	f(proto, "zstd", "zstd", false, `Content-Encoding "zstd" not supported`)
	f("text/plain", "", "", false, "")
	f(json, "", "", false, "")
	f("Application/JSON; charset=utf-8", "", "", false, "")
	f(json, "gzip", "gzip", false, "")
	f(json, "deflate", "deflate", false, "")
	f(json, "zstd", "zstd", false, "")
	f(json, "snappy", "", false, "")
	f(json, "snappy", "snappy", false, "")
	f(json, "snappy", "snappy frames", false, "")
	f(json, "deflate", "zlib", false, "flate: corrupt input")
	f(json, "deflate", "zlib", true, "")
	f(json, "deflate", "deflate", true, "")
	f(json, "br", "", false, `Content-Encoding "br" not supported`)
	f(json, "GZIP", "gzip", false, `Content-Encoding "GZIP" not supported`)
	f(json, "gzip", "", false, "gzip: invalid header")
	f(json, "zstd", "", false, "magic number mismatch")
	f("", "", "", false, "mime: no media type")
	f("a/b/c; =", "", "", false, "mime: ")
}

func TestSizeLimits(t *testing.T) {
	zeros := append([]byte(`{"streams":[]`), bytes.Repeat([]byte(" "), 10<<20)...)
	zeros = append(zeros, '}')
	f := func(encoding string, contentLength int64, o Options, limit string) {
		t.Helper()
		body := compressed(t, encoding, zeros)
		if contentLength == 0 {
			contentLength = int64(len(body))
		}
		r, err := ReadPush(bytes.NewReader(body), Header{ContentType: "application/json", ContentEncoding: encoding, ContentLength: contentLength}, o)
		if limit == "" {
			require.NoError(t, err)
			r.Release()
			return
		}
		var tooLarge *SizeError
		require.ErrorAs(t, err, &tooLarge)
		require.Equal(t, limit, tooLarge.Limit)
		require.ErrorContains(t, err, limit)
	}
	for _, encoding := range []string{"gzip", "deflate", "zstd", "snappy"} {
		f(encoding, 0, Options{MaxDecompressed: 1 << 20}, LimitDecompressed)
		f(encoding, -1, Options{MaxDecompressed: len(zeros) - 1}, LimitDecompressed)
		f(encoding, 0, Options{MaxDecompressed: len(zeros), MaxBody: 1 << 20}, "")
		f(encoding, 0, Options{}, "")
		f(encoding, -1, Options{MaxBody: 10}, LimitBody)
		f(encoding, 1<<40, Options{MaxBody: 10}, LimitBody)
	}
	f("", -1, Options{MaxBody: 1 << 20}, LimitBody)
	f("", -1, Options{MaxBody: len(zeros)}, "")
}

// TestBombs bounds the memory that a small body can make us take.
func TestBombs(t *testing.T) {
	// A snappy block that announces 4 GiB, without and with a limit.
	bomb := append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, bytes.Repeat([]byte{0xfe, 1, 0}, 100)...)
	allocated := testing.AllocsPerRun(1, func() {
		for range 10 {
			out, err := unsnappy(nil, bomb, Options{})
			require.ErrorIs(t, err, errSnappy)
			require.Empty(t, out)
		}
	})
	require.Less(t, allocated, 10.0)
	_, err := unsnappy(nil, bomb, Options{MaxDecompressed: 1 << 20})
	var tooLarge *SizeError
	require.ErrorAs(t, err, &tooLarge)
	// The ratio that is trusted is one that snappy reaches.
	zeros := make([]byte, 1<<20)
	out, err := unsnappy(nil, s2.EncodeSnappyBest(nil, zeros), Options{})
	require.NoError(t, err)
	require.Equal(t, zeros, out)
	// A gzip bomb stops at the limit.
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 64 {
		_, _ = w.Write(zeros)
	}
	require.NoError(t, w.Close())
	r := GetPushRequest()
	r.body, r.plain = b.Bytes(), nil // its memory may be that of an earlier test
	_, err = r.inflate("gzip", Options{MaxDecompressed: 2 << 20})
	require.ErrorAs(t, err, &tooLarge)
	require.Less(t, cap(r.plain), 8<<20)
}

func TestReadError(t *testing.T) {
	broken := errors.New("connection reset")
	_, err := ReadPush(iotest.ErrReader(broken), Header{ContentType: "application/json"}, Options{})
	require.ErrorIs(t, err, broken)
	_, err = ReadOTLP(iotest.ErrReader(broken), Header{ContentType: "application/json"}, Options{}, nil, 0)
	require.ErrorIs(t, err, broken)
}

// FuzzRead feeds bodies of every encoding: no panic, and never more memory than the limit and a little.
func FuzzRead(f *testing.F) {
	encodings := []string{"", "gzip", "deflate", "zstd", "snappy", "lz4"}
	for i, encoding := range encodings {
		f.Add(compressed(f, encoding, encodeJSON(sampleStreams(1, 2))), uint8(i))
		f.Add(compressed(f, encoding, s2.EncodeSnappy(nil, AppendProto(nil, sampleStreams(1, 2)))), uint8(i|8))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		h := Header{ContentType: "application/json", ContentEncoding: encodings[int(kind&7)%len(encodings)], ContentLength: -1}
		if kind&8 != 0 {
			h.ContentType = "application/x-protobuf"
		}
		r, err := ReadPush(bytes.NewReader(b), h, Options{MaxBody: 1 << 20, MaxDecompressed: 1 << 20, NumericTimes: kind&16 != 0, ZlibDeflate: kind&16 != 0})
		if err == nil {
			require.LessOrEqual(t, r.BodyBytes, 1<<20)
			r.Release()
		}
	})
}
