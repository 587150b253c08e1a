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
		d.begin()
		if err := d.protoResource(data); err != nil {
			return err
		}
		return d.emit()
	})
}

func (d *otlpDecoder) protoResource(b []byte) error {
	return eachField(b, func(tag, _ uint64, data []byte) (err error) {
		switch tag {
		case otlpTag1Bytes:
			d.resource.attrs, err = d.protoAttrs(data, otlpTag1Bytes)
		case otlpTag2Bytes:
			d.resource.scopes = append(d.resource.scopes, otlpScope{})
			err = d.protoScopeLogs(&d.resource.scopes[len(d.resource.scopes)-1], data)
		}
		return err
	})
}

// protoAttrs decodes the attributes of a message, which have the tag wanted there.
func (d *otlpDecoder) protoAttrs(b []byte, wanted uint64) ([]otlpAttr, error) {
	from := len(d.attrs)
	err := eachField(b, func(tag, _ uint64, data []byte) (err error) {
		if tag == wanted {
			d.attrs, err = protoAttr(d.attrs, data, 0)
		}
		return err
	})
	return d.attrs[from:len(d.attrs):len(d.attrs)], err
}

func (d *otlpDecoder) protoScopeLogs(s *otlpScope, b []byte) error {
	from := len(d.records)
	err := eachField(b, func(tag, _ uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			return d.protoScope(s, data)
		case otlpTag2Bytes:
			d.records = append(d.records, otlpRecord{})
			return d.protoRecord(&d.records[len(d.records)-1], data)
		}
		return nil
	})
	s.records = d.records[from:len(d.records):len(d.records)]
	return err
}

func (d *otlpDecoder) protoScope(s *otlpScope, b []byte) (err error) {
	if s.attrs, err = d.protoAttrs(b, otlpTag3Bytes); err != nil {
		return err
	}
	return eachField(b, func(tag, num uint64, data []byte) error {
		switch tag {
		case otlpTag1Bytes:
			s.name = data
		case otlpTag2Bytes:
			s.version = data
		case otlpTag4Varint:
			s.dropped = uint32(num)
		}
		return nil
	})
}

func (d *otlpDecoder) protoRecord(rec *otlpRecord, b []byte) error {
	from := len(d.attrs)
	err := eachField(b, func(tag, num uint64, data []byte) (err error) {
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
			d.attrs, err = protoAttr(d.attrs, data, 0)
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
	rec.attrs = d.attrs[from:len(d.attrs):len(d.attrs)]
	return err
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
			*v = otlpValue{kind: otlpArray, kids: new(otlpKids)}
			return v.kids.protoArray(data, depth+1)
		case otlpTag6Bytes:
			*v = otlpValue{kind: otlpMap, kids: new(otlpKids)}
			return v.kids.protoMap(data, depth+1)
		case otlpTag7Bytes:
			*v = otlpValue{kind: otlpBytes, text: data}
		}
		return nil
	})
}

func (k *otlpKids) protoArray(b []byte, depth int) error {
	return eachField(b, func(tag, _ uint64, data []byte) error {
		if tag != otlpTag1Bytes {
			return nil
		}
		k.array = append(k.array, otlpValue{})
		return k.array[len(k.array)-1].proto(data, depth)
	})
}

func (k *otlpKids) protoMap(b []byte, depth int) error {
	return eachField(b, func(tag, _ uint64, data []byte) (err error) {
		if tag == otlpTag1Bytes {
			k.attrs, err = protoAttr(k.attrs, data, depth)
		}
		return err
	})
}
