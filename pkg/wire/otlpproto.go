package wire

import (
	"encoding/binary"
	"fmt"
)

// maxOTLPDepth bounds the nesting of values.
const maxOTLPDepth = 100

// eachField calls f with each field of a message: num is the value of a varint or of a fixed number, data the content of
// a field with a length.
func eachField(b []byte, f func(tag, num uint64, data []byte) error) error {
	for i := 0; i < len(b); {
		tag, n, err := field(b, i)
		if err != nil {
			return err
		}
		if i, err = skipField(b, n, tag); err != nil {
			return err
		}
		var num uint64
		var data []byte
		switch tag & 7 {
		case typeVarint:
			num, _, _ = varint(b, n)
		case typeFixed64:
			num = binary.LittleEndian.Uint64(b[n:])
		case typeFixed32:
			num = uint64(binary.LittleEndian.Uint32(b[n:]))
		case typeBytes:
			from, to, _ := span(b, n)
			data = b[from:to:to]
		}
		if err := f(tag, num, data); err != nil {
			return err
		}
	}
	return nil
}

// A field of another type than its own is skipped like an unknown one, as protobuf does.
const (
	otlpTag1Bytes   = 1<<3 | typeBytes
	otlpTag2Bytes   = 2<<3 | typeBytes
	otlpTag3Bytes   = 3<<3 | typeBytes
	otlpTag5Bytes   = 5<<3 | typeBytes
	otlpTag6Bytes   = 6<<3 | typeBytes
	otlpTag7Bytes   = 7<<3 | typeBytes
	otlpTag9Bytes   = 9<<3 | typeBytes
	otlpTag10Bytes  = 10<<3 | typeBytes
	otlpTag2Varint  = 2<<3 | typeVarint
	otlpTag3Varint  = 3<<3 | typeVarint
	otlpTag4Varint  = 4<<3 | typeVarint
	otlpTag7Varint  = 7<<3 | typeVarint
	otlpTag1Fixed   = 1<<3 | typeFixed64
	otlpTag4Fixed   = 4<<3 | typeFixed64
	otlpTag11Fixed  = 11<<3 | typeFixed64
	otlpTag8Fixed32 = 8<<3 | typeFixed32
)

// decodeProto decodes an ExportLogsServiceRequest, which has the same bytes as LogsData.
func (d *otlpDecoder) decodeProto(b []byte) error {
	return eachField(b, func(tag, _ uint64, data []byte) error {
		if tag != otlpTag1Bytes {
			return nil
		}
		d.resource = otlpResource{}
		if err := d.protoResource(data); err != nil {
			return err
		}
		return d.emit()
	})
}

func (d *otlpDecoder) protoResource(b []byte) error {
	return eachField(b, func(tag, _ uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			return eachField(data, func(tag, _ uint64, data []byte) (err error) {
				if tag == otlpTag1Bytes {
					d.resource.attrs, err = protoAttr(d.resource.attrs, data, 0)
				}
				return err
			})
		case otlpTag2Bytes:
			scope, err := protoScopeLogs(data)
			d.resource.scopes = append(d.resource.scopes, scope)
			return err
		}
		return nil
	})
}

func protoScopeLogs(b []byte) (s otlpScope, err error) {
	err = eachField(b, func(tag, _ uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			return s.proto(data)
		case otlpTag2Bytes:
			s.records = append(s.records, otlpRecord{})
			return s.records[len(s.records)-1].proto(data)
		}
		return nil
	})
	return s, err
}

func (s *otlpScope) proto(b []byte) error {
	return eachField(b, func(tag, num uint64, data []byte) (err error) {
		switch tag {
		case otlpTag1Bytes:
			s.name = data
		case otlpTag2Bytes:
			s.version = data
		case otlpTag3Bytes:
			s.attrs, err = protoAttr(s.attrs, data, 0)
		case otlpTag4Varint:
			s.dropped = uint32(num)
		}
		return err
	})
}

func (rec *otlpRecord) proto(b []byte) error {
	return eachField(b, func(tag, num uint64, data []byte) (err error) {
		switch tag {
		case otlpTag1Fixed:
			rec.time = num
		case otlpTag2Varint:
			rec.severity = int32(num)
		case otlpTag3Bytes:
			rec.severityText = data
		case otlpTag5Bytes:
			err = rec.body.proto(data, 0)
		case otlpTag6Bytes:
			rec.attrs, err = protoAttr(rec.attrs, data, 0)
		case otlpTag7Varint:
			rec.dropped = uint32(num)
		case otlpTag8Fixed32:
			rec.flags = uint32(num)
		case otlpTag9Bytes:
			rec.traceID = data
		case otlpTag10Bytes:
			rec.spanID = data
		case otlpTag11Fixed:
			rec.observed = num
		}
		return err
	})
}

// protoAttr appends a KeyValue to attributes.
func protoAttr(attrs []otlpAttr, b []byte, depth int) ([]otlpAttr, error) {
	attrs = append(attrs, otlpAttr{})
	a := &attrs[len(attrs)-1]
	err := eachField(b, func(tag, _ uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			a.key = str(data)
		case otlpTag2Bytes:
			return a.value.proto(data, depth+1)
		}
		return nil
	})
	return attrs, err
}

// proto decodes an AnyValue, of whose fields the last one counts.
func (v *otlpValue) proto(b []byte, depth int) error {
	if depth > maxOTLPDepth {
		return fmt.Errorf("proto: values nested deeper than %d", maxOTLPDepth)
	}
	return eachField(b, func(tag, num uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			*v = otlpValue{kind: otlpString, text: data}
		case otlpTag2Varint:
			*v = otlpValue{kind: otlpBool, num: num}
		case otlpTag3Varint:
			*v = otlpValue{kind: otlpInt, num: num}
		case otlpTag4Fixed:
			*v = otlpValue{kind: otlpDouble, num: num}
		case otlpTag5Bytes:
			*v = otlpValue{kind: otlpArray}
			return v.protoArray(data, depth+1)
		case otlpTag6Bytes:
			*v = otlpValue{kind: otlpMap}
			return v.protoMap(data, depth+1)
		case otlpTag7Bytes:
			*v = otlpValue{kind: otlpBytes, text: data}
		}
		return nil
	})
}

func (v *otlpValue) protoArray(b []byte, depth int) error {
	return eachField(b, func(tag, _ uint64, data []byte) error {
		if tag != otlpTag1Bytes {
			return nil
		}
		v.array = append(v.array, otlpValue{})
		return v.array[len(v.array)-1].proto(data, depth)
	})
}

func (v *otlpValue) protoMap(b []byte, depth int) error {
	return eachField(b, func(tag, _ uint64, data []byte) (err error) {
		if tag == otlpTag1Bytes {
			v.attrs, err = protoAttr(v.attrs, data, depth)
		}
		return err
	})
}
