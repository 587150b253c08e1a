package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"logstore/pkg/model"
)

// Fields of the push message, each with its wire type in the low three bits, as they stand in front of a field.
const (
	tagStream     = 1<<3 | typeBytes // PushRequest.streams
	tagLabels     = 1<<3 | typeBytes // Stream.labels
	tagEntry      = 2<<3 | typeBytes // Stream.entries
	tagTimestamp  = 1<<3 | typeBytes // Entry.timestamp
	tagLine       = 2<<3 | typeBytes // Entry.line
	tagMetadata   = 3<<3 | typeBytes // Entry.structuredMetadata
	tagMetaName   = 1<<3 | typeBytes
	tagMetaValue  = 2<<3 | typeBytes
	tagSeconds    = 1<<3 | typeVarint
	tagNanos      = 2<<3 | typeVarint
	maxSecondsAbs = math.MaxInt64/1_000_000_000 - 1
)

// ErrTimestamp is returned for an entry whose time does not fit into nanoseconds since 1970.
var ErrTimestamp = errors.New("timestamp out of range")

// DecodeProto decodes an uncompressed push message. The request's strings and lines alias b.
func (r *PushRequest) DecodeProto(b []byte) error {
	for i := 0; i < len(b); {
		tag, n, err := field(b, i)
		if err != nil {
			return err
		}
		if tag != tagStream {
			if tag>>3 == 1 {
				return wrongType(tag, "Streams")
			}
			if i, err = skipField(b, n, tag); err != nil {
				return err
			}
			continue
		}
		from, to, err := span(b, n)
		if err != nil {
			return err
		}
		if err := r.decodeStream(b[from:to]); err != nil {
			return err
		}
		i = to
	}
	return nil
}

func (r *PushRequest) decodeStream(b []byte) error {
	labels, first := "", len(r.entries)
	for i := 0; i < len(b); {
		if b[i] == tagEntry {
			if from, to := shortSpan(b, i+1); to > 0 {
				if err := r.decodeEntry(b[from:to]); err != nil {
					return err
				}
				i = to
				continue
			}
		}
		tag, n, err := field(b, i)
		if err != nil {
			return err
		}
		switch tag {
		case tagEntry:
			from, to, err := span(b, n)
			if err != nil {
				return err
			}
			if err := r.decodeEntry(b[from:to]); err != nil {
				return err
			}
			i = to
		case tagLabels:
			from, to, err := span(b, n)
			if err != nil {
				return err
			}
			labels, i = str(b[from:to]), to
		default:
			if f := tag >> 3; f == 1 || f == 2 {
				return wrongType(tag, "Labels or Entries")
			}
			if i, err = skipField(b, n, tag); err != nil {
				return err
			}
		}
	}
	r.Streams = append(r.Streams, PushStream{Labels: labels, Entries: r.cutEntries(first)})
	return nil
}

func (r *PushRequest) decodeEntry(b []byte) error {
	var e PushEntry
	firstMeta := len(r.meta)
	for i := r.usualEntry(b, &e); i < len(b); {
		tag, n, err := field(b, i)
		if err != nil {
			return err
		}
		if tag != tagTimestamp && tag != tagLine && tag != tagMetadata {
			if f := tag >> 3; 1 <= f && f <= 3 {
				return wrongType(tag, "Timestamp, Line or StructuredMetadata")
			}
			if i, err = skipField(b, n, tag); err != nil {
				return err
			}
			continue
		}
		from, to, err := span(b, n)
		if err != nil {
			return err
		}
		switch i = to; tag {
		case tagTimestamp:
			if e.Timestamp, err = decodeTimestamp(b[from:to]); err != nil {
				return err
			}
		case tagLine:
			e.Line = b[from:to:to]
		case tagMetadata:
			p, err := decodePair(b[from:to])
			if err != nil {
				return err
			}
			r.meta = append(r.meta, p)
		}
	}
	e.Metadata = r.cutMeta(firstMeta)
	r.entries = append(r.entries, e)
	return nil
}

// usualEntry reads the time and the line where they stand as encoders write them, and returns the index behind.
func (r *PushRequest) usualEntry(b []byte, e *PushEntry) int {
	if len(b) < 2 || b[0] != tagTimestamp {
		return 0
	}
	from, to := shortSpan(b, 1)
	if to == 0 || !usualTimestamp(b[from:to], e) {
		return 0
	}
	i := to
	if i < len(b) && b[i] == tagLine {
		if from, to = shortSpan(b, i+1); to > 0 {
			e.Line = b[from:to:to]
			return to
		}
	}
	return i
}

// usualTimestamp reads seconds of this century and, if there are any, nanoseconds. It reports false for anything else.
func usualTimestamp(b []byte, e *PushEntry) bool {
	if len(b) < 6 || b[0] != tagSeconds || b[1] < 0x80 || b[2] < 0x80 || b[3] < 0x80 || b[4] < 0x80 || b[5] >= 0x80 {
		return false
	}
	sec := int64(b[1]&0x7f) | int64(b[2]&0x7f)<<7 | int64(b[3]&0x7f)<<14 | int64(b[4]&0x7f)<<21 | int64(b[5])<<28
	e.Timestamp = sec * 1_000_000_000
	if len(b) == 6 {
		return true
	}
	if b[6] != tagNanos || len(b) > 12 {
		return false
	}
	nanos, shift := int64(0), 0
	for i, c := range b[7:] {
		nanos |= int64(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			e.Timestamp += int64(int32(nanos))
			return i+8 == len(b)
		}
	}
	return false
}

func decodeTimestamp(b []byte) (int64, error) {
	var sec, nanos int64
	for i := 0; i < len(b); {
		tag, n, err := field(b, i)
		if err != nil {
			return 0, err
		}
		if tag != tagSeconds && tag != tagNanos {
			if f := tag >> 3; f == 1 || f == 2 {
				return 0, wrongType(tag, "Seconds or Nanos")
			}
			if i, err = skipField(b, n, tag); err != nil {
				return 0, err
			}
			continue
		}
		v, next, err := varint(b, n)
		if err != nil {
			return 0, err
		}
		if i = next; tag == tagSeconds {
			sec = int64(v)
		} else {
			nanos = int64(int32(v))
		}
	}
	if sec > maxSecondsAbs || sec < -maxSecondsAbs {
		return 0, fmt.Errorf("%w: %d s", ErrTimestamp, sec)
	}
	return sec*1_000_000_000 + nanos, nil
}

func decodePair(b []byte) (p model.Pair, err error) {
	for i := 0; i < len(b); {
		tag, n, err := field(b, i)
		if err != nil {
			return p, err
		}
		if tag != tagMetaName && tag != tagMetaValue {
			if f := tag >> 3; f == 1 || f == 2 {
				return p, wrongType(tag, "Name or Value")
			}
			if i, err = skipField(b, n, tag); err != nil {
				return p, err
			}
			continue
		}
		from, to, err := span(b, n)
		if err != nil {
			return p, err
		}
		if i = to; tag == tagMetaName {
			p.Name = str(b[from:to])
		} else {
			p.Value = str(b[from:to])
		}
	}
	return p, nil
}

// AppendProto appends the streams as an uncompressed push message.
func AppendProto(dst []byte, streams []PushStream) []byte {
	for i := range streams {
		s := &streams[i]
		size := lenSize(len(s.Labels))
		for j := range s.Entries {
			size += lenSize(entryProtoSize(&s.Entries[j]))
		}
		dst = binary.AppendUvarint(append(dst, tagStream), uint64(size))
		dst = appendBytes(dst, tagLabels, s.Labels)
		for j := range s.Entries {
			dst = appendEntry(dst, &s.Entries[j])
		}
	}
	return dst
}

func appendEntry(dst []byte, e *PushEntry) []byte {
	sec, nanos := splitTimestamp(e.Timestamp)
	dst = binary.AppendUvarint(append(dst, tagEntry), uint64(entryProtoSize(e)))
	dst = append(dst, tagTimestamp, byte(timestampProtoSize(sec, nanos)))
	if sec != 0 {
		dst = binary.AppendUvarint(append(dst, tagSeconds), uint64(sec))
	}
	if nanos != 0 {
		dst = binary.AppendUvarint(append(dst, tagNanos), uint64(nanos))
	}
	dst = appendBytes(dst, tagLine, str(e.Line))
	for _, p := range e.Metadata {
		dst = binary.AppendUvarint(append(dst, tagMetadata), uint64(lenSize(len(p.Name))+lenSize(len(p.Value))))
		dst = appendBytes(dst, tagMetaName, p.Name)
		dst = appendBytes(dst, tagMetaValue, p.Value)
	}
	return dst
}

// splitTimestamp returns nanoseconds as protobuf's Timestamp has them: nanos is never negative.
func splitTimestamp(ts int64) (sec, nanos int64) {
	sec, nanos = ts/1_000_000_000, ts%1_000_000_000
	if nanos < 0 {
		sec, nanos = sec-1, nanos+1_000_000_000
	}
	return sec, nanos
}

func timestampProtoSize(sec, nanos int64) (n int) {
	if sec != 0 {
		n += 1 + varintSize(uint64(sec))
	}
	if nanos != 0 {
		n += 1 + varintSize(uint64(nanos))
	}
	return n
}

func entryProtoSize(e *PushEntry) int {
	n := lenSize(timestampProtoSize(splitTimestamp(e.Timestamp))) + lenSize(len(e.Line))
	for _, p := range e.Metadata {
		n += lenSize(lenSize(len(p.Name)) + lenSize(len(p.Value)))
	}
	return n
}

func wrongType(tag uint64, name string) error {
	return fmt.Errorf("proto: wrong wireType = %d for field %s", tag&7, name)
}

var errProtoOverflow = errors.New("proto: integer overflow")

// errShort is what a message that ends too early is answered with.
var errShort = io.ErrUnexpectedEOF
