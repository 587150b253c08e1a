package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
)

// Sizes of the format. FORMAT.md describes it; on disk: never change.
const (
	// HeaderSize is the length of a record's header. A buffer given to Append begins with that many free bytes.
	HeaderSize = 12
	// MaxRecord is the greatest length of a payload.
	MaxRecord = 1 << 30

	segmentHeaderSize = 28
	extension         = ".wal"
)

var (
	magic      = []byte("LSWAL\x00\x00\x01")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func segmentName(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", n, extension))
}

// segmentNumber is the inverse of segmentName for a name without its folder.
func segmentNumber(name string) (uint64, bool) {
	digits, found := strings.CutSuffix(name, extension)
	if !found || len(digits) < 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || filepath.Base(segmentName("", n)) != name {
		return 0, false
	}
	return n, true
}

func encodeSegmentHeader(n uint64, salt uint32) []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, n)
	b = binary.LittleEndian.AppendUint32(b, salt)
	b = binary.LittleEndian.AppendUint32(b, salt)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeSegmentHeader returns the salts that the records may have: one if the header is valid, else both copies together
// with the reason.
func decodeSegmentHeader(b []byte, n uint64) (salts [2]uint32, reason string) {
	if len(b) < segmentHeaderSize {
		return salts, "the file ends within its header"
	}
	salts[0] = binary.LittleEndian.Uint32(b[16:])
	salts[1] = binary.LittleEndian.Uint32(b[20:])
	switch {
	case !bytes.Equal(b[:len(magic)], magic):
		reason = "not a segment of this version: wrong magic bytes"
	case crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]):
		reason = "the checksum of the segment's header does not match"
	case binary.LittleEndian.Uint64(b[8:]) != n:
		reason = fmt.Sprintf("the header names segment %d", binary.LittleEndian.Uint64(b[8:]))
	}
	return salts, reason
}

// sealPayload writes what does not depend on the segment into the record's header.
func sealPayload(record []byte) {
	payload := record[HeaderSize:]
	binary.LittleEndian.PutUint32(record, uint32(len(payload)))
	binary.LittleEndian.PutUint32(record[4:], crc32.Checksum(payload, castagnoli))
}

// sealHeader completes the record's header for a segment with the salt.
func sealHeader(record []byte, salt uint32) {
	binary.LittleEndian.PutUint32(record[8:], crc32.Update(salt, castagnoli, record[:8]))
}

// validHeader reports whether b begins with a record header, and the payload's length.
func validHeader(b []byte, salt uint32) (length int, ok bool) {
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > MaxRecord {
		return 0, false
	}
	if crc32.Update(salt, castagnoli, b[:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return 0, false
	}
	return int(n), true
}

func validPayload(header, payload []byte) bool {
	return crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(header[4:])
}
