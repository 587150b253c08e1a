package querier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/decbuf"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// The messages by which a member has another one run a part of a query; FORMAT.md describes them.

const (
	subqueryVersion = 1
	answerVersion   = 1
)

// The flags of a subquery.
const (
	flagInstant = 1 << iota
	flagBackward
	flagCategorize
	flagOrigins
)

var errSubquery = errors.New("cannot read a part of a query")

// appendSubquery encodes what a member is to run and the bounds that are left to it.
func appendSubquery(b []byte, p *engine.Params, lim engine.Limits) []byte {
	flags := byte(0)
	for flag, on := range map[byte]bool{
		flagInstant: p.Instant, flagBackward: p.Direction == model.Backward, flagCategorize: p.Categorize, flagOrigins: p.Origins,
	} {
		if on {
			flags |= flag
		}
	}
	b = append(b, subqueryVersion, flags)
	b = decbuf.AppendString(b, p.Expr.String())
	for _, n := range []int64{
		p.Start, p.End, int64(p.Step), int64(p.Interval), int64(p.Limit), int64(p.ShardIndex), int64(p.ShardCount), int64(lim.MaxSeries), lim.MaxBytesRead,
	} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// decodeSubquery is its inverse. Only MaxSeries and MaxBytesRead of the limits are set.
func decodeSubquery(b []byte) (p engine.Params, lim engine.Limits, err error) {
	if len(b) < 2 || b[0] != subqueryVersion {
		return p, lim, fmt.Errorf("%w: unknown version", errSubquery)
	}
	flags := b[1]
	d := decoderOf(b[2:])
	p.Text = d.Text()
	p.Instant, p.Categorize, p.Origins = flags&flagInstant != 0, flags&flagCategorize != 0, flags&flagOrigins != 0
	if p.Direction = model.Forward; flags&flagBackward != 0 {
		p.Direction = model.Backward
	}
	p.Start, p.End, p.Step, p.Interval = d.Varint(), d.Varint(), time.Duration(d.Varint()), time.Duration(d.Varint())
	p.Limit, p.ShardIndex, p.ShardCount = int(d.Varint()), uint64(d.Varint()), uint64(d.Varint())
	lim.MaxSeries, lim.MaxBytesRead = int(d.Varint()), d.Varint()
	if !d.Whole() || p.Limit < 0 || p.Step < 0 || p.Interval < 0 || p.ShardCount > 0 && p.ShardIndex >= p.ShardCount {
		return p, lim, errSubquery
	}
	if p.Expr, err = syntax.Parse(p.Text); err != nil {
		// Not the query's fault: another member may read it, and this one's caller can.
		return p, lim, fmt.Errorf("%w: %s", errSubquery, err.Error())
	}
	return p, lim, nil
}

// answer is what a part of a query yielded.
type answer struct {
	result engine.Result
	// incomplete says that some member did not answer the one that ran it.
	incomplete bool
	// failed is why the query cannot be answered by anyone.
	failed error
}

// The kinds of answers.
const (
	answerFailed byte = iota
	answerStreams
	answerMatrix
	answerVector
	answerScalar
)

func appendAnswer(b []byte, a *answer) []byte {
	b = append(b, answerVersion)
	b = appendFlag(b, a.incomplete)
	b = appendStats(b, &a.result.Stats)
	b = binary.AppendUvarint(b, uint64(len(a.result.Warnings)))
	for _, w := range a.result.Warnings {
		b = decbuf.AppendString(b, w)
	}
	if a.failed != nil {
		b = append(b, answerFailed)
		b = decbuf.AppendString(b, engine.ErrorName(a.failed))
		return decbuf.AppendString(b, a.failed.Error())
	}
	switch v := a.result.Value.(type) {
	case engine.Streams:
		return appendStreams(append(b, answerStreams), v)
	case engine.Matrix:
		return appendSeries(append(b, answerMatrix), v)
	case engine.Vector:
		return appendSeries(append(b, answerVector), v)
	case engine.Scalar:
		b = binary.AppendVarint(append(b, answerScalar), v.T)
		return appendFloat(b, v.V)
	}
	panic(fmt.Sprintf("BUG: a result of type %T", a.result.Value))
}

func appendFlag(b []byte, on bool) []byte {
	if on {
		return append(b, 1)
	}
	return append(b, 0)
}

// decodeAnswer is the inverse of appendAnswer.
func decodeAnswer(b []byte) (*answer, error) {
	if len(b) < 2 || b[0] != answerVersion {
		return nil, fmt.Errorf("%w: unknown version", errAnswer)
	}
	a := &answer{incomplete: b[1] != 0}
	d := decoderOf(b[2:])
	d.stats(&a.result.Stats)
	for range d.Count(1) {
		a.result.Warnings = append(a.result.Warnings, d.Text())
	}
	switch d.Byte() {
	case answerFailed:
		name := d.Text()
		a.failed = engine.NamedError(name, d.Text())
	case answerStreams:
		a.result.Value = d.streams()
	case answerMatrix:
		a.result.Value = engine.Matrix(d.series())
	case answerVector:
		a.result.Value = engine.Vector(d.series())
	case answerScalar:
		v := engine.Scalar{T: d.Varint()}
		v.V = d.Float()
		a.result.Value = v
	default:
		d.Fail("unknown kind of answer")
	}
	if err := d.End(errAnswer); err != nil {
		return nil, err
	}
	return a, nil
}

// statsFields are the statistics of a run that travel, in order.
func statsFields(s *engine.Stats) []*int64 {
	return []*int64{
		&s.Streams, &s.ChunksOpened, &s.BlocksDecompressed, &s.BlocksSkipped, &s.BlocksDescribed, &s.BytesProcessed, &s.LinesProcessed,
		&s.PostFilterLines, &s.MetadataBytesProcessed, &s.EntriesReturned, &s.Subqueries, (*int64)(&s.QueueTime),
		&s.Chunks.FromCache, &s.Chunks.FromBucket, &s.Chunks.BytesFromCache, &s.Chunks.BytesFromBucket, (*int64)(&s.Chunks.Time),
	}
}

func appendStats(b []byte, s *engine.Stats) []byte {
	fields := statsFields(s)
	b = binary.AppendUvarint(b, uint64(len(fields)))
	for _, n := range fields {
		b = binary.AppendVarint(b, *n)
	}
	return b
}

// stats reads statistics; a member of a later version may send more of them.
func (d *decoder) stats(s *engine.Stats) {
	fields := statsFields(s)
	for i := range d.Count(1) {
		if n := d.Varint(); i < len(fields) {
			*fields[i] = n
		}
	}
}

// labelTable numbers label sets in the order in which they are first seen.
type labelTable struct {
	numbers map[string]uint64
	b       []byte
	scratch []byte
}

func (t *labelTable) number(l labels.Labels) uint64 {
	t.scratch = l.Bytes(t.scratch[:0])
	n, known := t.numbers[string(t.scratch)]
	if !known {
		n = uint64(len(t.numbers))
		t.numbers[string(t.scratch)] = n
		t.b = appendLabels(t.b, l)
	}
	return n
}

// appendStreams encodes the result of a log query. Label sets stand once, before the streams that name them by number.
func appendStreams(b []byte, streams engine.Streams) []byte {
	table := &labelTable{numbers: map[string]uint64{}}
	body := binary.AppendUvarint(nil, uint64(len(streams)))
	for i := range streams {
		body = binary.AppendUvarint(body, table.number(streams[i].Labels))
		body = binary.AppendUvarint(body, uint64(len(streams[i].Entries)))
		last := int64(0)
		for j := range streams[i].Entries {
			e := &streams[i].Entries[j]
			body = binary.AppendVarint(body, e.Timestamp-last)
			last = e.Timestamp
			body = decbuf.AppendString(body, e.Line)
			for _, l := range []labels.Labels{e.Metadata, e.Parsed, e.Origin.Stream} {
				body = binary.AppendUvarint(body, table.number(l))
			}
			body = decbuf.AppendString(body, e.Origin.Tenant)
			body = binary.AppendUvarint(body, uint64(e.Origin.Rank))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(table.numbers)))
	b = append(b, table.b...)
	return append(b, body...)
}

// streams is the inverse of appendStreams.
func (d *decoder) streams() engine.Streams {
	table := make([]labels.Labels, d.Count(1))
	for i := range table {
		table[i] = d.labels()
	}
	of := func() labels.Labels {
		n := d.Uvarint()
		if n >= uint64(len(table)) {
			d.Fail("labels that are not in the table")
			return labels.EmptyLabels()
		}
		return table[n]
	}
	out := make(engine.Streams, d.Count(2))
	for i := range out {
		out[i].Labels = of()
		out[i].Entries = make([]engine.LogEntry, d.Count(7))
		last := int64(0)
		for j := range out[i].Entries {
			e := &out[i].Entries[j]
			last += d.Varint()
			e.Timestamp, e.Line = last, d.Text()
			e.Metadata, e.Parsed, e.Origin.Stream = of(), of(), of()
			e.Origin.Tenant = d.Text()
			e.Origin.Rank = int(d.Uvarint())
		}
	}
	return out
}
