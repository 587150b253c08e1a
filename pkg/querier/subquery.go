package querier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

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
	b = appendString(b, p.Expr.String())
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
	d := decoder{b: b[2:]}
	p.Text = d.string()
	p.Instant, p.Categorize, p.Origins = flags&flagInstant != 0, flags&flagCategorize != 0, flags&flagOrigins != 0
	if p.Direction = model.Forward; flags&flagBackward != 0 {
		p.Direction = model.Backward
	}
	p.Start, p.End, p.Step, p.Interval = d.varint(), d.varint(), time.Duration(d.varint()), time.Duration(d.varint())
	p.Limit, p.ShardIndex, p.ShardCount = int(d.varint()), uint64(d.varint()), uint64(d.varint())
	lim.MaxSeries, lim.MaxBytesRead = int(d.varint()), d.varint()
	if d.bad || len(d.b) > 0 || p.Limit < 0 || p.Step < 0 || p.Interval < 0 || p.ShardCount > 0 && p.ShardIndex >= p.ShardCount {
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
		b = appendString(b, w)
	}
	if a.failed != nil {
		b = append(b, answerFailed)
		b = appendString(b, engine.ErrorName(a.failed))
		return appendString(b, a.failed.Error())
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
	d := decoder{b: b[2:]}
	d.stats(&a.result.Stats)
	for range d.count(1) {
		a.result.Warnings = append(a.result.Warnings, d.string())
	}
	switch d.byte() {
	case answerFailed:
		name := d.string()
		a.failed = engine.NamedError(name, d.string())
	case answerStreams:
		a.result.Value = d.streams()
	case answerMatrix:
		a.result.Value = engine.Matrix(d.series())
	case answerVector:
		a.result.Value = engine.Vector(d.series())
	case answerScalar:
		v := engine.Scalar{T: d.varint()}
		v.V = d.float()
		a.result.Value = v
	default:
		d.fail()
	}
	if d.bad || len(d.b) > 0 {
		return nil, errAnswer
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
	for i := range d.count(1) {
		if n := d.varint(); i < len(fields) {
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
			body = appendString(body, e.Line)
			for _, l := range []labels.Labels{e.Metadata, e.Parsed, e.Origin.Stream} {
				body = binary.AppendUvarint(body, table.number(l))
			}
			body = appendString(body, e.Origin.Tenant)
			body = binary.AppendUvarint(body, uint64(e.Origin.Rank))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(table.numbers)))
	b = append(b, table.b...)
	return append(b, body...)
}

// streams is the inverse of appendStreams.
func (d *decoder) streams() engine.Streams {
	table := make([]labels.Labels, d.count(1))
	for i := range table {
		table[i] = d.labels()
	}
	of := func() labels.Labels {
		n := d.uvarint()
		if n >= uint64(len(table)) {
			d.fail()
			return labels.EmptyLabels()
		}
		return table[n]
	}
	out := make(engine.Streams, d.count(2))
	for i := range out {
		out[i].Labels = of()
		out[i].Entries = make([]engine.LogEntry, d.count(7))
		last := int64(0)
		for j := range out[i].Entries {
			e := &out[i].Entries[j]
			last += d.varint()
			e.Timestamp, e.Line = last, d.string()
			e.Metadata, e.Parsed, e.Origin.Stream = of(), of(), of()
			e.Origin.Tenant = d.string()
			e.Origin.Rank = int(d.uvarint())
		}
	}
	return out
}
