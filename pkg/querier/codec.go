package querier

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
)

// The encoding of values of queries, for caches and for other members; FORMAT.md describes it.

const (
	kindStreams = 's'
	kindMatrix  = 'm'
	kindVector  = 'v'
	kindScalar  = 'c'
)

var errCodec = errors.New("not an encoded result")

// appendValue appends the encoding of a value to b.
func appendValue(b []byte, v engine.Value) []byte {
	switch v := v.(type) {
	case engine.Streams:
		b = append(b, kindStreams)
		b = binary.AppendUvarint(b, uint64(len(v)))
		for i := range v {
			b = appendStream(b, &v[i])
		}
	case engine.Matrix:
		b = appendSeries(append(b, kindMatrix), v)
	case engine.Vector:
		b = appendSeries(append(b, kindVector), v)
	case engine.Scalar:
		b = binary.AppendVarint(append(b, kindScalar), v.T)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.V))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendLabels(b []byte, l labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(l.Len()))
	l.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
	return b
}

func appendStream(b []byte, s *engine.LogStream) []byte {
	b = appendLabels(b, s.Labels)
	b = binary.AppendUvarint(b, uint64(len(s.Entries)))
	last := int64(0)
	for i := range s.Entries {
		e := &s.Entries[i]
		b = binary.AppendVarint(b, e.Timestamp-last)
		last = e.Timestamp
		b = appendString(b, e.Line)
		b = appendLabels(b, e.Metadata)
		b = appendLabels(b, e.Parsed)
	}
	return b
}

func appendSeries(b []byte, series []engine.Series) []byte {
	b = binary.AppendUvarint(b, uint64(len(series)))
	for i := range series {
		b = appendLabels(b, series[i].Labels)
		b = binary.AppendUvarint(b, uint64(len(series[i].Points)))
		last := int64(0)
		for _, p := range series[i].Points {
			b = binary.AppendVarint(b, p.T-last)
			last = p.T
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.V))
		}
	}
	return b
}

// decoder takes values off the front of bytes. After the first thing that is not as it should be all is zero and bad is set.
// Strings are copied, so that a small result does not hold a large buffer.
type decoder struct {
	b       []byte
	bad     bool
	builder labels.ScratchBuilder
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// count reads a number of things of which each takes at least size bytes, so that a bad number allocates nothing.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) labels() labels.Labels {
	n := d.count(2)
	if n == 0 {
		return labels.EmptyLabels()
	}
	d.builder.Reset()
	for range n {
		name := d.string()
		d.builder.Add(name, d.string())
	}
	return d.builder.Labels()
}

func (d *decoder) value() engine.Value {
	if len(d.b) == 0 {
		d.fail()
		return nil
	}
	kind := d.b[0]
	d.b = d.b[1:]
	switch kind {
	case kindStreams:
		out := make(engine.Streams, 0, d.count(2))
		for range cap(out) {
			out = append(out, d.stream())
		}
		return out
	case kindMatrix:
		return engine.Matrix(d.series())
	case kindVector:
		return engine.Vector(d.series())
	case kindScalar:
		t := d.varint()
		return engine.Scalar{T: t, V: math.Float64frombits(d.fixed())}
	}
	d.fail()
	return nil
}

func (d *decoder) stream() engine.LogStream {
	s := engine.LogStream{Labels: d.labels()}
	n := d.count(4)
	s.Entries = make([]engine.LogEntry, 0, n)
	last := int64(0)
	for range n {
		last += d.varint()
		s.Entries = append(s.Entries, engine.LogEntry{Timestamp: last, Line: d.string(), Metadata: d.labels(), Parsed: d.labels()})
	}
	return s
}

func (d *decoder) series() []engine.Series {
	n := d.count(2)
	out := make([]engine.Series, 0, n)
	for range n {
		s := engine.Series{Labels: d.labels()}
		points := d.count(9)
		s.Points = make([]engine.Point, 0, points)
		last := int64(0)
		for range points {
			last += d.varint()
			s.Points = append(s.Points, engine.Point{T: last, V: math.Float64frombits(d.fixed())})
		}
		out = append(out, s)
	}
	return out
}

// appendStats appends the statistics that parts of a query add up.
func appendStats(b []byte, s *engine.Stats) []byte {
	for _, n := range statsFields(s) {
		b = binary.AppendVarint(b, *n)
	}
	return b
}

func (d *decoder) stats() engine.Stats {
	var s engine.Stats
	for _, n := range statsFields(&s) {
		*n = d.varint()
	}
	return s
}

// statsFields are the numbers that travel, in their order.
func statsFields(s *engine.Stats) []*int64 {
	return []*int64{
		&s.Streams, &s.ChunksOpened, &s.BlocksDecompressed, &s.BytesProcessed, &s.LinesProcessed, &s.PostFilterLines,
		&s.MetadataBytesProcessed, &s.EntriesReturned, &s.Chunks.FromCache, &s.Chunks.FromBucket, &s.Chunks.BytesFromCache,
		&s.Chunks.BytesFromBucket, (*int64)(&s.Chunks.Time),
	}
}
