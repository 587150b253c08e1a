package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The wire types of protobuf that are still in use.
const (
	typeVarint  = 0
	typeFixed64 = 1
	typeBytes   = 2
	typeGroup   = 3
	typeEnd     = 4
	typeFixed32 = 5
)

// maxGroups bounds the nesting of groups in fields that are skipped.
const maxGroups = 64

// varint reads a varint at b[i:] and returns the index behind it.
func varint(b []byte, i int) (uint64, int, error) {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		if i >= len(b) {
			return 0, 0, errShort
		}
		c := b[i]
		i++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break
			}
			return v, i, nil
		}
	}
	return 0, 0, errProtoOverflow
}

// shortSpan is span for lengths of up to two bytes, which most have: small enough to be inlined. to is 0 if it is not one
// of those, or too long.
func shortSpan(b []byte, i int) (from, to int) {
	if i+1 >= len(b) {
		return 0, 0
	}
	n := int(b[i])
	if n >= 0x80 {
		i++
		n += int(b[i])<<7 - 0x80
		if b[i] >= 0x80 {
			return 0, 0
		}
	}
	i++
	if to = i + n; to > len(b) {
		return 0, 0
	}
	return i, to
}

// field reads the number and type of the field at b[i:].
func field(b []byte, i int) (tag uint64, next int, err error) {
	tag, next, err = varint(b, i)
	if err == nil && (tag>>3 == 0 || tag>>3 > 1<<29-1) {
		err = fmt.Errorf("proto: illegal tag %d (wire type %d)", tag>>3, tag&7)
	}
	return tag, next, err
}

// span reads a length at b[i:] and returns the bounds of the bytes behind it, which are inside b.
func span(b []byte, i int) (from, to int, err error) {
	v, i, err := varint(b, i)
	if err != nil {
		return 0, 0, err
	}
	if v > uint64(len(b)-i) {
		return 0, 0, errShort
	}
	return i, i + int(v), nil
}

// skipField returns the index behind the value of a field that nobody wants.
func skipField(b []byte, i int, tag uint64) (int, error) {
	return skipNested(b, i, tag, 0)
}

func skipNested(b []byte, i int, tag uint64, depth int) (int, error) {
	switch tag & 7 {
	case typeVarint:
		_, next, err := varint(b, i)
		return next, err
	case typeBytes:
		_, to, err := span(b, i)
		return to, err
	case typeFixed64:
		return skipFixed(b, i, 8)
	case typeFixed32:
		return skipFixed(b, i, 4)
	case typeGroup:
		if depth == maxGroups {
			return 0, fmt.Errorf("proto: groups nested deeper than %d", maxGroups)
		}
		return skipGroup(b, i, tag, depth+1)
	}
	return 0, fmt.Errorf("proto: illegal wireType %d", tag&7)
}

func skipGroup(b []byte, i int, start uint64, depth int) (int, error) {
	for {
		tag, next, err := field(b, i)
		if err != nil {
			return 0, err
		}
		if tag&7 == typeEnd {
			if tag>>3 != start>>3 {
				return 0, fmt.Errorf("proto: end of group %d in group %d", tag>>3, start>>3)
			}
			return next, nil
		}
		if i, err = skipNested(b, next, tag, depth); err != nil {
			return 0, err
		}
	}
}

func skipFixed(b []byte, i, n int) (int, error) {
	if len(b)-i < n {
		return 0, errShort
	}
	return i + n, nil
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// lenSize is the size of a field of n bytes with its tag and length. All fields here have tags of one byte.
func lenSize(n int) int { return 1 + varintSize(uint64(n)) + n }

func appendBytes(dst []byte, tag byte, s string) []byte {
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(s)))
	return append(dst, s...)
}
