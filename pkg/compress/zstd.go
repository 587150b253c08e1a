package compress

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdEncoder is shared: EncodeAll keeps no state between calls and takes one of a fixed set of coders. The checksum of
// the frame is left out, since each block of a chunk has a CRC of its own.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("BUG: zstd encoder options: " + err.Error())
	}
	return e
})

// zstdDecoder writes only into the room that the destination has, so that no frame header makes it allocate.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("BUG: zstd decoder options: " + err.Error())
	}
	return d
})

// decompressZstd decodes into dst's room at once, which is the way of all data whose size the caller knew. What is larger
// is decoded as a stream, so that memory grows with what comes out.
func decompressZstd(dst, src []byte, maxSize int) ([]byte, error) {
	if len(src) == 0 {
		return dst, errors.New("empty stream")
	}
	room := cap(dst) - len(dst)
	out, err := zstdDecoder().DecodeAll(src, dst[:len(dst):len(dst)+min(room, maxSize)])
	if err == nil {
		return out, nil
	}
	if room >= maxSize && errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return dst, ErrTooLarge
	}
	// Whatever else it was may be a lack of room as well: the stream tells.
	return decompressReader(Zstd, dst, src, maxSize)
}

// maxWindow is the largest window of a zstd stream that is read: more than any level of the usual writers has.
const maxWindow = 64 << 20

var zstdReaders = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		panic("BUG: zstd reader options: " + err.Error())
	}
	return &reader{dec: z, reset: func(src *bytes.Reader) error { return z.Reset(streamOf{src}) }}
}}

// streamOf hides the length of a reader: with it the decoder would decode everything at once.
type streamOf struct{ io.Reader }
