package pipeline

import (
	"bytes"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// trailingBytes counts the bytes below the lowest mark in a mask of high bits.
func trailingBytes(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// appendUnescaped appends v with its JSON escapes resolved; ok is false if one is invalid.
func appendUnescaped(dst, v []byte) (out []byte, ok bool) {
	for {
		i := bytes.IndexByte(v, '\\')
		if i < 0 {
			return append(dst, v...), true
		}
		dst = append(dst, v[:i]...)
		v = v[i+1:]
		if len(v) == 0 {
			return dst, false
		}
		c := v[0]
		v = v[1:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, rest, ok := unicodeEscape(v)
			if !ok {
				return dst, false
			}
			v = rest
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, false
		}
	}
}

// unicodeEscape reads what follows \u, for a surrogate the second half as well.
func unicodeEscape(v []byte) (r rune, rest []byte, ok bool) {
	r, ok = hex4(v)
	if !ok {
		return 0, nil, false
	}
	v = v[4:]
	if !utf16.IsSurrogate(r) {
		return r, v, true
	}
	if len(v) < 6 || v[0] != '\\' || v[1] != 'u' {
		return 0, nil, false
	}
	low, ok := hex4(v[2:])
	if !ok {
		return 0, nil, false
	}
	r = utf16.DecodeRune(r, low)
	return r, v[6:], r != utf8.RuneError
}

func hex4(v []byte) (rune, bool) {
	if len(v) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range v[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
