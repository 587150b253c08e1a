package compress

import (
	"errors"
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

// decompressZstd decodes into dst's room and doubles it as long as it is too small. Data that is worth storing fits at
// once; what is decoded again is a foreign frame of extreme density, or a bomb.
func decompressZstd(dst, src []byte, maxSize int) ([]byte, error) {
	if len(src) == 0 {
		return dst, errors.New("empty stream")
	}
	for {
		room := cap(dst) - len(dst)
		out, err := zstdDecoder().DecodeAll(src, dst[:len(dst):len(dst)+min(room, maxSize)])
		if err == nil {
			if len(out)-len(dst) > maxSize {
				return dst, ErrTooLarge
			}
			return out, nil
		}
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return dst, err
		}
		if room >= maxSize {
			return dst, ErrTooLarge
		}
		dst = grow(dst, min(max(2*room, 1024), maxSize))
	}
}
