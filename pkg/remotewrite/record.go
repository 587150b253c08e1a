package remotewrite

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"

	"logstore/pkg/wal"
)

// Sample is one value of a series; Time is in milliseconds.
type Sample struct {
	Labels labels.Labels
	Time   int64
	Value  float64
}

// record is some samples with their number.
type record struct {
	seq  uint64
	time time.Time // when it was appended
	n    int       // samples
	body []byte    // a WriteRequest; several behind each other are one as well
}

// recordSamples is how many samples a record has at most.
const recordSamples = 500

// recordHeader is the size of number, time and count before the body in the log: three big-endian integers of 8 bytes.
const recordHeader = 24

var errRecord = errors.New("not a record of samples")

// encode returns the record as the log wants it, with room for the log's own header.
func (r *record) encode() []byte {
	b := make([]byte, wal.HeaderSize, wal.HeaderSize+recordHeader+len(r.body))
	b = binary.BigEndian.AppendUint64(b, r.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.time.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.n))
	return append(b, r.body...)
}

// decodeRecord copies what it keeps of b.
func decodeRecord(b []byte) (record, error) {
	if len(b) <= recordHeader {
		return record{}, errRecord
	}
	n := binary.BigEndian.Uint64(b[16:])
	if n == 0 || n > uint64(len(b)) {
		return record{}, errRecord
	}
	return record{
		seq: binary.BigEndian.Uint64(b), time: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))), n: int(n),
		body: append([]byte(nil), b[recordHeader:]...),
	}, nil
}

// Field numbers of Prometheus' remote write messages.
const (
	requestSeries             = 1
	seriesLabels              = 1
	seriesSamples             = 2
	labelName, labelValue     = 1, 2
	sampleValue, sampleMillis = 1, 2
)

// appendSample appends a series with one sample to a WriteRequest.
func appendSample(b []byte, s *Sample) []byte {
	var series, part []byte
	s.Labels.Range(func(l labels.Label) {
		part = protowire.AppendString(protowire.AppendTag(part[:0], labelName, protowire.BytesType), l.Name)
		part = protowire.AppendString(protowire.AppendTag(part, labelValue, protowire.BytesType), l.Value)
		series = protowire.AppendBytes(protowire.AppendTag(series, seriesLabels, protowire.BytesType), part)
	})
	part = protowire.AppendFixed64(protowire.AppendTag(part[:0], sampleValue, protowire.Fixed64Type), math.Float64bits(s.Value))
	part = protowire.AppendVarint(protowire.AppendTag(part, sampleMillis, protowire.VarintType), uint64(s.Time))
	series = protowire.AppendBytes(protowire.AppendTag(series, seriesSamples, protowire.BytesType), part)
	return protowire.AppendBytes(protowire.AppendTag(b, requestSeries, protowire.BytesType), series)
}

// splitSeries returns the series of a WriteRequest, each as a WriteRequest of its own. They share its bytes.
func splitSeries(body []byte) ([][]byte, error) {
	var out [][]byte
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, errRecord
		}
		m := protowire.ConsumeFieldValue(number, kind, body[n:])
		if m < 0 || number != requestSeries || kind != protowire.BytesType {
			return nil, errRecord
		}
		out = append(out, body[:n+m])
		body = body[n+m:]
	}
	return out, nil
}

// decodeSample reads a WriteRequest of one series with one sample, as appendSample wrote it.
func decodeSample(request []byte) (Sample, error) {
	var s Sample
	_, _, n := protowire.ConsumeTag(request)
	if n < 0 {
		return s, errRecord
	}
	series, m := protowire.ConsumeBytes(request[n:])
	if m < 0 {
		return s, errRecord
	}
	b := labels.NewScratchBuilder(8)
	err := fields(series, func(number protowire.Number, value []byte, _ uint64) error {
		if number == seriesSamples {
			return fields(value, func(number protowire.Number, _ []byte, bits uint64) error {
				if number == sampleValue {
					s.Value = math.Float64frombits(bits)
				} else {
					s.Time = int64(bits)
				}
				return nil
			})
		}
		var name, text string
		err := fields(value, func(number protowire.Number, value []byte, _ uint64) error {
			if number == labelName {
				name = string(value)
			} else {
				text = string(value)
			}
			return nil
		})
		b.Add(name, text)
		return err
	})
	b.Sort()
	s.Labels = b.Labels()
	return s, err
}

// fields calls fn for each field of a message with its bytes or its number.
func fields(b []byte, fn func(number protowire.Number, value []byte, bits uint64) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errRecord
		}
		b = b[n:]
		var value []byte
		var bits uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(b)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(b)
		default:
			return errRecord
		}
		if n < 0 {
			return errRecord
		}
		if err := fn(number, value, bits); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
