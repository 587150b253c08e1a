package querier

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/decbuf"
	"logstore/pkg/logql/engine"
)

// The encoding of results in caches and between members; FORMAT.md describes it.

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendLabels(b []byte, l labels.Labels) []byte {
	b = binary.AppendUvarint(b, uint64(l.Len()))
	l.Range(func(l labels.Label) {
		b = decbuf.AppendString(b, l.Name)
		b = decbuf.AppendString(b, l.Value)
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

// decoder reads results. Strings are copied, so that a small result does not hold a large buffer.
type decoder struct {
	decbuf.Buf
	builder labels.ScratchBuilder
}

func decoderOf(b []byte) *decoder { return &decoder{Buf: decbuf.Buf{B: b}} }

func (d *decoder) labels() labels.Labels {
	n := d.Count(2)
	if n == 0 {
		return labels.EmptyLabels()
	}
	d.builder.Reset()
	for range n {
		name := d.Text()
		d.builder.Add(name, d.Text())
	}
	return d.builder.Labels()
}

func (d *decoder) series() []engine.Series {
	n := d.Count(2)
	out := make([]engine.Series, 0, n)
	for range n {
		s := engine.Series{Labels: d.labels()}
		points := d.Count(9)
		s.Points = make([]engine.Point, 0, points)
		last := int64(0)
		for range points {
			last += d.Varint()
			s.Points = append(s.Points, engine.Point{T: last, V: d.Float()})
		}
		out = append(out, s)
	}
	return out
}
