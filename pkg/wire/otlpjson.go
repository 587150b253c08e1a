package wire

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
)

// otlpJSON reads OTLP in JSON by the rules of protobuf's JSON mapping: members in lowerCamelCase or as in the schema,
// integers as numbers or strings, null for an absent member, unknown members skipped; and by OTLP's exception, ids in
// hexadecimal.
type otlpJSON struct {
	scanner
	d *otlpDecoder
}

func (d *otlpDecoder) decodeJSON(b []byte) error {
	s := otlpJSON{scanner: scanner{b: b}, d: d}
	if s.peek() == 0 && s.i == len(b) {
		return errors.New("EOF")
	}
	err := s.message(func(key []byte) error {
		switch string(key) {
		case "resourceLogs", "resource_logs":
			return s.list(func() error {
				d.begin()
				if err := s.resource(&d.resource); err != nil {
					return err
				}
				return d.emit()
			})
		}
		return s.skip()
	})
	if err != nil {
		return err
	}
	return s.end()
}

// message reads an object or null.
func (s *otlpJSON) message(f func(key []byte) error) error {
	if s.null() {
		return nil
	}
	return s.object(func(key []byte) error {
		if s.null() {
			return nil
		}
		return f(key)
	})
}

// list reads an array. message has dealt with null.
func (s *otlpJSON) list(f func() error) error { return s.array(f) }

func (s *otlpJSON) resource(res *otlpResource) error {
	return s.message(func(key []byte) error {
		switch string(key) {
		case "resource":
			return s.message(func(key []byte) error {
				if string(key) == "attributes" {
					return s.topAttrs(&res.attrs)
				}
				return s.skip()
			})
		case "scopeLogs", "scope_logs":
			return s.list(func() error {
				res.scopes = append(res.scopes, otlpScope{})
				return s.scopeLogs(&res.scopes[len(res.scopes)-1])
			})
		}
		return s.skip()
	})
}

func (s *otlpJSON) scopeLogs(scope *otlpScope) error {
	return s.message(func(key []byte) error {
		switch string(key) {
		case "scope":
			return s.scope(scope)
		case "logRecords", "log_records":
			d, from := s.d, len(s.d.records)
			err := s.list(func() error {
				d.records = append(d.records, otlpRecord{})
				return s.record(&d.records[len(d.records)-1])
			})
			scope.records = d.records[from:len(d.records):len(d.records)]
			return err
		}
		return s.skip()
	})
}

func (s *otlpJSON) scope(scope *otlpScope) error {
	return s.message(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			scope.name, err = s.str()
		case "version":
			scope.version, err = s.str()
		case "attributes":
			err = s.topAttrs(&scope.attrs)
		case "droppedAttributesCount", "dropped_attributes_count":
			scope.dropped, err = s.uint32()
		default:
			err = s.skip()
		}
		return err
	})
}

func (s *otlpJSON) record(rec *otlpRecord) error {
	return s.message(func(key []byte) (err error) {
		switch string(key) {
		case "timeUnixNano", "time_unix_nano":
			rec.time, err = s.uint64()
		case "observedTimeUnixNano", "observed_time_unix_nano":
			rec.observed, err = s.uint64()
		case "severityNumber", "severity_number":
			rec.severity, err = s.severity()
		case "severityText", "severity_text":
			rec.severityText, err = s.str()
		case "body":
			err = s.value(&rec.body)
		case "attributes":
			err = s.topAttrs(&rec.attrs)
		case "droppedAttributesCount", "dropped_attributes_count":
			rec.dropped, err = s.uint32()
		case "flags":
			rec.flags, err = s.uint32()
		case "traceId", "trace_id":
			rec.traceID, err = s.hexID()
		case "spanId", "span_id":
			rec.spanID, err = s.hexID()
		default:
			err = s.skip()
		}
		return err
	})
}

// topAttrs reads attributes into the arena.
func (s *otlpJSON) topAttrs(attrs *[]otlpAttr) error {
	d, from := s.d, len(s.d.attrs)
	err := s.attrs(&d.attrs)
	*attrs = d.attrs[from:len(d.attrs):len(d.attrs)]
	return err
}

func (s *otlpJSON) attrs(attrs *[]otlpAttr) error {
	return s.list(func() error {
		*attrs = append(*attrs, otlpAttr{})
		a := &(*attrs)[len(*attrs)-1]
		return s.message(func(key []byte) error {
			switch string(key) {
			case "key":
				text, err := s.str()
				a.key = str(text)
				return err
			case "value":
				return s.value(&a.value)
			}
			return s.skip()
		})
	})
}

// value reads an AnyValue.
func (s *otlpJSON) value(v *otlpValue) error {
	return s.message(func(key []byte) (err error) {
		switch string(key) {
		case "stringValue", "string_value":
			*v = otlpValue{kind: otlpString}
			v.text, err = s.str()
		case "boolValue", "bool_value":
			*v = otlpValue{kind: otlpBool}
			v.num, err = s.bool()
		case "intValue", "int_value":
			*v = otlpValue{kind: otlpInt}
			v.num, err = s.int64()
		case "doubleValue", "double_value":
			*v = otlpValue{kind: otlpDouble}
			v.num, err = s.double()
		case "bytesValue", "bytes_value":
			*v = otlpValue{kind: otlpBytes}
			v.text, err = s.base64()
		case "arrayValue", "array_value":
			*v = otlpValue{kind: otlpArray, kids: new(otlpKids)}
			return s.values(func() error {
				v.kids.array = append(v.kids.array, otlpValue{})
				return s.value(&v.kids.array[len(v.kids.array)-1])
			})
		case "kvlistValue", "kvlist_value":
			*v = otlpValue{kind: otlpMap, kids: new(otlpKids)}
			return s.message(func(key []byte) error {
				if string(key) == "values" {
					return s.attrs(&v.kids.attrs)
				}
				return s.skip()
			})
		default:
			err = s.skip()
		}
		return err
	})
}

// values reads the member values of a message, an array.
func (s *otlpJSON) values(f func() error) error {
	return s.message(func(key []byte) error {
		if string(key) == "values" {
			return s.list(f)
		}
		return s.skip()
	})
}

func (s *otlpJSON) number(wanted string, parse func(text []byte) bool) error {
	s.peek()
	at := s.i
	text, err := s.text()
	if err != nil {
		return err
	}
	if !parse(text) {
		s.i = at
		return s.fail("expected %s, found %q", wanted, truncate(text, 40))
	}
	return nil
}

func (s *otlpJSON) uint64() (v uint64, err error) {
	err = s.number("an unsigned integer", func(text []byte) bool {
		var bad error
		v, bad = strconv.ParseUint(str(text), 10, 64)
		return bad == nil
	})
	return v, err
}

func (s *otlpJSON) uint32() (uint32, error) {
	v, err := s.uint64()
	if err == nil && v > math.MaxUint32 {
		err = s.fail("number %d is out of range", v)
	}
	return uint32(v), err
}

func (s *otlpJSON) int64() (v uint64, err error) {
	err = s.number("an integer", func(text []byte) bool {
		n, ok := parseInt(text)
		v = uint64(n)
		return ok
	})
	return v, err
}

func (s *otlpJSON) double() (v uint64, err error) {
	err = s.number("a number", func(text []byte) bool {
		f, bad := strconv.ParseFloat(str(text), 64)
		v = math.Float64bits(f)
		return bad == nil
	})
	return v, err
}

func (s *otlpJSON) bool() (v uint64, err error) {
	err = s.number("true or false", func(text []byte) bool {
		if string(text) == "true" {
			v = 1
		}
		return v == 1 || string(text) == "false"
	})
	return v, err
}

// severity reads a SeverityNumber: a number, or the name of one.
func (s *otlpJSON) severity() (v int32, err error) {
	err = s.number("a severity number", func(text []byte) bool {
		if n, bad := strconv.ParseInt(str(text), 10, 32); bad == nil {
			v = int32(n)
			return true
		}
		var ok bool
		v, ok = severityByName(str(text))
		return ok
	})
	return v, err
}

// severityByName knows SEVERITY_NUMBER_INFO, which is 9, SEVERITY_NUMBER_INFO2, which is 10, and so on.
func severityByName(name string) (int32, bool) {
	const prefix = "SEVERITY_NUMBER_"
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return 0, false
	}
	name = name[len(prefix):]
	if name == "UNSPECIFIED" {
		return 0, true
	}
	step := int32(0)
	if last := name[len(name)-1]; '2' <= last && last <= '4' {
		name, step = name[:len(name)-1], int32(last-'1')
	}
	for i, level := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		if name == level {
			return int32(i)*4 + 1 + step, true
		}
	}
	return 0, false
}

// hexID reads a trace or span id and decodes it in place.
func (s *otlpJSON) hexID() ([]byte, error) {
	s.peek()
	at := s.i
	text, err := s.str()
	if err != nil {
		return nil, err
	}
	n, err := hex.Decode(text, text)
	if err != nil {
		s.i = at
		return nil, s.fail("expected an id in hexadecimal")
	}
	return text[:n:n], nil
}

// base64 reads bytes in either alphabet, with or without padding, and decodes them in place.
func (s *otlpJSON) base64() ([]byte, error) {
	s.peek()
	at := s.i
	text, err := s.str()
	if err != nil {
		return nil, err
	}
	for i, c := range text {
		switch c {
		case '-':
			text[i] = '+'
		case '_':
			text[i] = '/'
		}
	}
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	n, err := base64.RawStdEncoding.Decode(text, text)
	if err != nil {
		s.i = at
		return nil, s.fail("expected bytes in base64")
	}
	return text[:n:n], nil
}
