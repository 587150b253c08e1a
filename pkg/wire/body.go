package wire

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Header is what a request's header says about its body.
type Header struct {
	ContentType, ContentEncoding string
	// ContentLength is the body's announced size, negative if unknown.
	ContentLength int64
}

// Options bound what a push may cost and say how strictly it is read.
type Options struct {
	// MaxBody is the greatest size of a body as it comes, MaxDecompressed that of what it decompresses to. 0: no limit.
	MaxBody, MaxDecompressed int
	// NumericTimes takes timestamps that are JSON numbers, and ZlibDeflate takes zlib's format under the name of deflate. Loki
	// refuses both, but some clients send them.
	NumericTimes, ZlibDeflate bool
}

// Names of the limits in errors: the keys of Loki's configuration.
const (
	LimitBody         = "distributor.max_recv_msg_size"
	LimitDecompressed = "distributor.max_decompressed_size"
)

// SizeError is the error of a body that exceeds a limit: status 413.
type SizeError struct {
	// Limit is the name of the limit, Max its value in bytes.
	Limit string
	Max   int
}

// Error names the limit.
func (e *SizeError) Error() string {
	what := "request body"
	if e.Limit == LimitDecompressed {
		what = "decompressed request body"
	}
	return fmt.Sprintf("%s is larger than %d bytes, the limit %s", what, e.Max, e.Limit)
}

// errSnappy is Loki's text for a body that isn't in snappy's block format.
var errSnappy = errors.New("snappy: corrupt input")

const (
	// firstRead is the least buffer for a body, maxTrusted how far an announced length is believed before bytes come.
	firstRead  = 32 << 10
	maxTrusted = 4 << 20
	// maxZstdWindow bounds the memory of a zstd stream. Clients use at most 8 MiB.
	maxZstdWindow = 32 << 20
)

// snappyRatio is more than what a snappy block can expand to: 64 bytes for each copy of 3 bytes.
const snappyRatio = 22

// read reads the whole body within the limit.
func (r *PushRequest) read(src io.Reader, h Header, o Options) error {
	if o.MaxBody > 0 && h.ContentLength > int64(o.MaxBody) {
		return &SizeError{Limit: LimitBody, Max: o.MaxBody}
	}
	hint := int(min(max(h.ContentLength+1, firstRead), maxTrusted))
	var err error
	r.body, err = readAll(r.body[:0], src, hint, o.MaxBody, LimitBody)
	r.WireBytes = len(r.body)
	return err
}

// readAll reads src to its end into dst, which grows as bytes come.
func readAll(dst []byte, src io.Reader, hint, limit int, name string) ([]byte, error) {
	if cap(dst) < hint {
		dst = make([]byte, 0, hint)
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if limit > 0 && len(dst) > limit {
			return dst, &SizeError{Limit: name, Max: limit}
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// inflate undoes the Content-Encoding. The result is in r.body or r.plain.
func (r *PushRequest) inflate(encoding string, o Options) ([]byte, error) {
	switch encoding {
	case "gzip":
		return r.expand(&gzipPool, o)
	case "zstd":
		return r.expand(&zstdPool, o)
	case "lz4":
		return r.expand(&lz4Pool, o)
	case "deflate":
		if o.ZlibDeflate && looksLikeZlib(r.body) {
			return r.expandZlib(o)
		}
		return r.expand(&flatePool, o)
	}
	return r.body, nil
}

// expander is a reader that is used again and again.
type expander struct {
	io.Reader
	reset func(io.Reader) error
}

var (
	gzipPool = sync.Pool{New: func() any {
		z := new(gzip.Reader)
		return &expander{z, z.Reset}
	}}
	flatePool = sync.Pool{New: func() any {
		z := flate.NewReader(nil)
		return &expander{z, func(src io.Reader) error { return z.(flate.Resetter).Reset(src, nil) }}
	}}
	lz4Pool = sync.Pool{New: func() any {
		z := lz4.NewReader(nil)
		return &expander{z, func(src io.Reader) error { z.Reset(src); return nil }}
	}}
	zstdPool = sync.Pool{New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return &expander{z, z.Reset}
	}}
)

func (r *PushRequest) expand(pool *sync.Pool, o Options) ([]byte, error) {
	z := pool.Get().(*expander)
	if err := z.reset(bytes.NewReader(r.body)); err != nil {
		return nil, err
	}
	var err error
	r.plain, err = readAll(r.plain[:0], z, firstRead, o.MaxDecompressed, LimitDecompressed)
	if err != nil {
		return nil, err // A reader that failed does not go back: it may be in any state.
	}
	pool.Put(z)
	return r.plain, nil
}

func (r *PushRequest) expandZlib(o Options) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	r.plain, err = readAll(r.plain[:0], z, firstRead, o.MaxDecompressed, LimitDecompressed)
	return r.plain, err
}

// looksLikeZlib tells zlib's two-byte header from raw deflate: method 8, a window of at most 32 KiB, and a check sum.
func looksLikeZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&0x0f == 8 && b[0]>>4 <= 7 && (int(b[0])<<8|int(b[1]))%31 == 0
}

// unsnappy decodes a snappy block. Its announced length is checked before memory is taken for it.
func unsnappy(dst, src []byte, o Options) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, errSnappy
	}
	if o.MaxDecompressed > 0 && n > o.MaxDecompressed {
		return dst, &SizeError{Limit: LimitDecompressed, Max: o.MaxDecompressed}
	}
	if n > snappyRatio*len(src) {
		return dst, errSnappy
	}
	if cap(dst) < n {
		dst = make([]byte, n+n/8)
	}
	out, err := s2.Decode(dst[:cap(dst)], src)
	if err != nil {
		return dst, errSnappy
	}
	return out, nil
}

// unsnappyLoosely is for JSON under Content-Encoding snappy, which some clients set without compressing.
func unsnappyLoosely(dst, src []byte, o Options) ([]byte, error) {
	if bytes.HasPrefix(src, []byte("\xff\x06\x00\x00sNaPpY")) {
		return readAll(dst[:0], s2.NewReader(bytes.NewReader(src)), firstRead, o.MaxDecompressed, LimitDecompressed)
	}
	out, err := unsnappy(dst, src, o)
	if errors.Is(err, errSnappy) {
		return src, nil
	}
	return out, err
}
