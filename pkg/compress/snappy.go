package compress

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// The framing format: chunks of one type byte, three bytes of length (little-endian) and a body.
const (
	snappyCompressed   = 0x00
	snappyUncompressed = 0x01
	snappyReservedFrom = 0x02
	snappySkipFrom     = 0x80
	snappyIdentifier   = 0xff

	snappyMagic = "\xff\x06\x00\x00sNaPpY"
	// snappyBlock is the largest number of uncompressed bytes in one frame.
	snappyBlock = 65536
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snappySum is the masked checksum of a frame.
func snappySum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendSnappy writes the frames itself rather than through a writer, which would copy everything twice.
// An empty stream has no bytes at all, as other writers leave it when nothing is written.
func appendSnappy(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	dst = grow(dst, len(snappyMagic)+len(src)+len(src)/snappyBlock*8+8)
	dst = append(dst, snappyMagic...)
	for len(src) > 0 {
		block := src[:min(len(src), snappyBlock)]
		src = src[len(block):]
		head := len(dst)
		dst = grow(dst, 8+s2.MaxEncodedLen(len(block)))
		body := s2.EncodeSnappy(dst[head+8:cap(dst)], block)
		kind := byte(snappyCompressed)
		// A frame that saves less than an eighth is not worth the reader's time.
		if len(body) >= len(block)-len(block)/8 {
			kind = snappyUncompressed
			body = dst[head+8 : head+8+copy(dst[head+8:cap(dst)], block)]
		}
		dst = dst[:head+8+len(body)]
		binary.LittleEndian.PutUint32(dst[head:], uint32(len(body)+4)<<8|uint32(kind))
		binary.LittleEndian.PutUint32(dst[head+4:], snappySum(block))
	}
	return dst
}

// decompressSnappy decodes frame by frame straight behind dst.
func decompressSnappy(dst, src []byte, maxSize int) ([]byte, error) {
	if len(src) > 0 && (len(src) < len(snappyMagic) || string(src[:len(snappyMagic)]) != snappyMagic) {
		return dst, errors.New("no stream identifier")
	}
	begin := len(dst)
	for len(src) > 0 {
		if len(src) < 4 {
			return dst, errors.New("truncated frame header")
		}
		h := binary.LittleEndian.Uint32(src)
		kind, n := byte(h), int(h>>8)
		if n > len(src)-4 {
			return dst, errors.New("truncated frame")
		}
		body := src[4 : 4+n]
		src = src[4+n:]
		switch {
		case kind == snappyCompressed || kind == snappyUncompressed:
			var err error
			if dst, err = appendFrame(dst, body, kind, maxSize-(len(dst)-begin)); err != nil {
				return dst, err
			}
		case kind == snappyIdentifier:
			if string(body) != snappyMagic[4:] {
				return dst, errors.New("bad stream identifier")
			}
		case kind >= snappyReservedFrom && kind < snappySkipFrom:
			return dst, errors.New("unknown frame type")
		}
	}
	return dst, nil
}

// appendFrame decodes one data frame; room is how much the output may still grow.
func appendFrame(dst, body []byte, kind byte, room int) ([]byte, error) {
	if len(body) < 4 {
		return dst, errors.New("frame without checksum")
	}
	sum, body := binary.LittleEndian.Uint32(body), body[4:]
	n := len(body)
	if kind == snappyCompressed {
		var err error
		if n, err = s2.DecodedLen(body); err != nil {
			return dst, err
		}
	}
	if n > snappyBlock {
		return dst, errors.New("frame of more than 65536 bytes")
	}
	if n > room {
		return dst, ErrTooLarge
	}
	if cap(dst)-len(dst) < n {
		dst = grow(dst, min(max(n, len(dst)), max(n, room)))
	}
	out := dst[len(dst) : len(dst)+n]
	if kind == snappyUncompressed {
		copy(out, body)
	} else if got, err := s2.Decode(out, body); err != nil {
		return dst, err
	} else if len(got) != n {
		return dst, errors.New("frame of a wrong length")
	}
	if snappySum(out) != sum {
		return dst, errors.New("frame checksum mismatch")
	}
	return dst[:len(dst)+n], nil
}
