package wire

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// otlpKind is the kind of an attribute's value or a body.
type otlpKind uint8

const (
	otlpNone otlpKind = iota
	otlpString
	otlpBool
	otlpInt
	otlpDouble
	otlpBytes
	otlpArray
	otlpMap
)

// otlpValue is an AnyValue. Its bytes alias the request's body.
type otlpValue struct {
	kind otlpKind
	// num is the bits of a bool, an integer or a double.
	num uint64
	// text is a string, or the content of bytes.
	text []byte
	// kids are the elements of an array or a map; nil if there are none.
	kids *otlpKids
}

// otlpKids is apart from otlpValue to keep that small: few values have any.
type otlpKids struct {
	array []otlpValue
	attrs []otlpAttr
}

func (v *otlpValue) array() []otlpValue {
	if v.kids == nil {
		return nil
	}
	return v.kids.array
}

func (v *otlpValue) attrs() []otlpAttr {
	if v.kids == nil {
		return nil
	}
	return v.kids.attrs
}

// otlpAttr is a KeyValue.
type otlpAttr struct {
	key   string
	value otlpValue
}

// valueText is a value as a line or as the value of a label.
func (r *PushRequest) valueText(v *otlpValue) []byte {
	if v.kind == otlpString {
		return v.text
	}
	from := len(r.text)
	switch v.kind {
	case otlpBool, otlpInt, otlpDouble:
		r.text = appendScalar(r.text, v)
	case otlpBytes:
		r.text = base64.StdEncoding.AppendEncode(r.text, v.text)
	case otlpArray, otlpMap:
		r.text = appendJSON(r.text, v)
	}
	return r.text[from:len(r.text):len(r.text)]
}

func appendScalar(dst []byte, v *otlpValue) []byte {
	switch v.kind {
	case otlpBool:
		return strconv.AppendBool(dst, v.num != 0)
	case otlpInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	}
	return appendFloat(dst, math.Float64frombits(v.num))
}

// appendFloat writes a float as JSON encoders do: plainly, but for very large and very small ones.
func appendFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'e' {
		// 1e-07 is written 1e-7.
		if i := len(dst); i-n >= 4 && dst[i-4] == 'e' && dst[i-3] == '-' && dst[i-2] == '0' {
			dst[i-2] = dst[i-1]
			dst = dst[:i-1]
		}
	}
	return dst
}

// appendJSON writes a value as compact JSON with sorted keys; of equal keys the last one counts.
func appendJSON(dst []byte, v *otlpValue) []byte {
	switch v.kind {
	case otlpNone:
		return append(dst, "null"...)
	case otlpString:
		return appendJSONString(dst, v.text)
	case otlpBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.text)
		return append(dst, '"')
	case otlpArray:
		dst = append(dst, '[')
		for i := range v.array() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, &v.kids.array[i])
		}
		return append(dst, ']')
	case otlpMap:
		return appendJSONMap(dst, v.attrs())
	case otlpDouble:
		if f := math.Float64frombits(v.num); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(appendFloat(append(dst, '"'), f), '"')
		}
	}
	return appendScalar(dst, v)
}

func appendJSONMap(dst []byte, attrs []otlpAttr) []byte {
	slices.SortStableFunc(attrs, func(a, b otlpAttr) int { return strings.Compare(a.key, b.key) })
	dst = append(dst, '{')
	n := len(dst)
	for i := range attrs {
		if i+1 < len(attrs) && attrs[i+1].key == attrs[i].key {
			continue
		}
		if len(dst) > n {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, []byte(attrs[i].key)), ':')
		dst = appendJSON(dst, &attrs[i].value)
	}
	return append(dst, '}')
}

// appendJSONString writes a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		switch c := s[0]; {
		case c == '"' || c == '\\':
			dst, s = append(dst, '\\', c), s[1:]
		case c == '\n':
			dst, s = append(dst, `\n`...), s[1:]
		case c == '\t':
			dst, s = append(dst, `\t`...), s[1:]
		case c == '\r':
			dst, s = append(dst, `\r`...), s[1:]
		case c < 0x20:
			const hex = "0123456789abcdef"
			dst, s = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15]), s[1:]
		case c < utf8.RuneSelf:
			dst, s = append(dst, c), s[1:]
		default:
			r, n := utf8.DecodeRune(s)
			dst, s = utf8.AppendRune(dst, r), s[n:]
		}
	}
	return append(dst, '"')
}
