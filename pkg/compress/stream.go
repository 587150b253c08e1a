package compress

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
)

// appender is an io.Writer into a slice.
type appender struct{ buf []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}

// writer is a pooled coder of one encoding with the slice it writes to.
type writer struct {
	out appender
	enc interface {
		io.WriteCloser
		Reset(io.Writer)
	}
}

func (w *writer) append(dst, src []byte) ([]byte, error) {
	w.out.buf = dst
	w.enc.Reset(&w.out)
	_, err := w.enc.Write(src)
	if err == nil {
		err = w.enc.Close()
	}
	out := w.out.buf
	w.out.buf = nil
	if err != nil {
		return dst, err
	}
	return out, nil
}

var gzipWriters = sync.Pool{New: func() any {
	return &writer{enc: gzip.NewWriter(nil)}
}}

var flateWriters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		panic("BUG: flate level: " + err.Error())
	}
	return &writer{enc: w}
}}

func appendGzip(dst, src []byte) ([]byte, error) { return appendPooled(&gzipWriters, dst, src) }

func appendFlate(dst, src []byte) ([]byte, error) { return appendPooled(&flateWriters, dst, src) }

func appendPooled(pool *sync.Pool, dst, src []byte) ([]byte, error) {
	w := pool.Get().(*writer)
	out, err := w.append(dst, src)
	if err == nil {
		pool.Put(w)
	}
	return out, err
}

// lz4Writers has a pool per encoding, since the block size is a property of the writer.
var lz4Writers = [...]sync.Pool{
	LZ4With64K:  {New: func() any { return newLZ4Writer(lz4.Block64Kb) }},
	LZ4With256K: {New: func() any { return newLZ4Writer(lz4.Block256Kb) }},
	LZ4With1M:   {New: func() any { return newLZ4Writer(lz4.Block1Mb) }},
	LZ4:         {New: func() any { return newLZ4Writer(lz4.Block4Mb) }},
}

func newLZ4Writer(size lz4.BlockSize) *writer {
	w := lz4.NewWriter(nil)
	if err := w.Apply(lz4.BlockSizeOption(size), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
		panic("BUG: lz4 options: " + err.Error())
	}
	return &writer{enc: w}
}

func appendLZ4(dst, src []byte, e Encoding) ([]byte, error) {
	return appendPooled(&lz4Writers[e], dst, src)
}

// reader is a pooled decoder with the slice it reads from.
type reader struct {
	in    bytes.Reader
	dec   io.Reader
	reset func(src *bytes.Reader) error
}

var gzipReaders = sync.Pool{New: func() any {
	z := new(gzip.Reader)
	return &reader{dec: z, reset: func(src *bytes.Reader) error { return z.Reset(src) }}
}}

var flateReaders = sync.Pool{New: func() any {
	z := flate.NewReader(nil)
	return &reader{dec: z, reset: func(src *bytes.Reader) error { return z.(flate.Resetter).Reset(src, nil) }}
}}

var lz4Readers = sync.Pool{New: func() any {
	z := lz4.NewReader(nil)
	if err := z.Apply(lz4.ConcurrencyOption(1)); err != nil {
		panic("BUG: lz4 options: " + err.Error())
	}
	return &reader{dec: z, reset: func(src *bytes.Reader) error { z.Reset(src); return nil }}
}}

func decompressReader(e Encoding, dst, src []byte, maxSize int) ([]byte, error) {
	pool := &lz4Readers
	switch e {
	case Gzip:
		pool = &gzipReaders
	case Flate:
		pool = &flateReaders
	case Zstd:
		pool = &zstdReaders
	}
	r := pool.Get().(*reader)
	r.in.Reset(src)
	out, err := r.append(dst, maxSize)
	if err == nil && r.in.Len() > 0 {
		err = errors.New("bytes behind the end of the stream")
	}
	r.in.Reset(nil)
	pool.Put(r)
	return out, err
}

func (r *reader) append(dst []byte, maxSize int) ([]byte, error) {
	if r.in.Len() == 0 {
		return dst, io.ErrUnexpectedEOF
	}
	if err := r.reset(&r.in); err != nil {
		return dst, unexpected(err)
	}
	begin := len(dst)
	for {
		// One byte more than allowed tells a bomb from data that just fits.
		if len(dst) == cap(dst) {
			dst = grow(dst, min(max(len(dst)-begin, 1024), maxSize-(len(dst)-begin)+1))
		}
		n, err := r.dec.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst)-begin > maxSize {
			return dst, ErrTooLarge
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, unexpected(err)
		}
	}
}

// unexpected makes an early end of the input an error that nobody takes for success.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
