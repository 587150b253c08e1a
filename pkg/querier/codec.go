package querier

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
)

// The encoding of results in caches and between members; FORMAT.md describes it.

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendLabels(b []byte, l labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(l.Len()))
	l.Range(func(l labels.Label) {
		b = appendString(b, l.Name)
		b = appendString(b, l.Value)
	})
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
			b = appendFloat(b, p.V)
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

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) float() float64 { return math.Float64frombits(d.fixed()) }

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
			s.Points = append(s.Points, engine.Point{T: last, V: d.float()})
		}
		out = append(out, s)
	}
	return out
}
