package ingester

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/decbuf"
	"logstore/pkg/model"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

// Types of records and kinds of runs; on disk: never renumber.
const (
	recordPush byte = 1
	recordPart byte = 2
	recordMark byte = 3
	recordPage byte = 4

	runPlain byte = 0
	runRich  byte = 1
)

// runSize is the size at which a run is ended: a block may exceed its size by about that much.
const runSize = wire.RunSize

// errRecord is wrapped by every error of reading a record.
var errRecord = errors.New("corrupt record")

// definition says which stream a number stands for.
type definition struct {
	id     uint64
	tenant string
	labels labels.Labels
}

func (d *definition) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, d.id)
	dst = decbuf.AppendString(dst, d.tenant)
	dst = binary.AppendUvarint(dst, uint64(d.labels.Len()))
	d.labels.Range(func(l labels.Label) {
		dst = decbuf.AppendString(dst, l.Name)
		dst = decbuf.AppendString(dst, l.Value)
	})
	return dst
}

func readDefinition(d *decbuf.Buf) definition {
	def := definition{id: d.Uvarint(), tenant: string(d.Section())}
	n := d.Uvarint()
	if n > uint64(len(d.B)) {
		d.Fail("too many labels")
		return def
	}
	b := labels.NewScratchBuilder(int(n))
	last := ""
	for i := range n {
		name, value := string(d.Section()), string(d.Section())
		if i > 0 && name <= last {
			d.Fail("labels do not ascend")
		}
		if d.Failed() {
			return def
		}
		b.Add(name, value)
		last = name
	}
	def.labels = b.Labels()
	return def
}

// run is a stretch of entries of one stream within a push record.
type run struct {
	seq  uint64
	kind byte
	// lo and hi bound the entries' bytes in the record.
	lo, hi int
	// These are known where the run was encoded or scanned.
	entries        int
	oldest, newest int64
}

// scan finds entries, oldest and newest of a run that was read.
func (r *run) scan(data []byte) error {
	r.entries, r.oldest, r.newest = 0, 1<<63-1, -1<<63
	var pairs []model.Pair
	for len(data) > 0 {
		var ts int64
		var rest []byte
		var err error
		if r.kind == runRich {
			ts, _, pairs, rest, err = chunk.ReadRichEntry(data, pairs[:0])
		} else {
			ts, _, rest, err = chunk.ReadEntry(data)
		}
		if err != nil {
			return err
		}
		r.entries++
		r.oldest, r.newest = min(r.oldest, ts), max(r.newest, ts)
		data = rest
	}
	if r.entries == 0 {
		return fmt.Errorf("%w: run without entries", errRecord)
	}
	return nil
}

// runEncoder appends runs of one stream to a push record.
type runEncoder struct {
	buf  []byte
	runs []run
	open bool
}

// add appends an entry, to the run that is open if it fits there. A new run takes the next number of the stream, which is
// locked.
func (e *runEncoder) addLocked(s *stream, entry *wire.PushEntry) {
	kind := runPlain
	if len(entry.Metadata) > 0 {
		kind = runRich
	}
	if e.open {
		if r := &e.runs[len(e.runs)-1]; r.kind != kind || len(e.buf)-r.lo >= runSize {
			e.end()
		}
	}
	if !e.open {
		e.beginLocked(s, kind, entry.Timestamp, entry.Timestamp)
	}
	if kind == runRich {
		e.buf = chunk.AppendRichEntry(e.buf, entry.Timestamp, entry.Line, entry.Metadata)
	} else {
		e.buf = chunk.AppendEntry(e.buf, entry.Timestamp, entry.Line)
	}
	r := &e.runs[len(e.runs)-1]
	r.entries++
	r.oldest, r.newest = min(r.oldest, entry.Timestamp), max(r.newest, entry.Timestamp)
}

// beginLocked opens a run under the next number of the stream.
func (e *runEncoder) beginLocked(s *stream, kind byte, oldest, newest int64) {
	s.lastSeq++
	e.buf = append(e.buf, kind)
	e.buf = binary.AppendUvarint(e.buf, s.id)
	e.buf = binary.AppendUvarint(e.buf, s.lastSeq)
	e.buf = append(e.buf, 0, 0, 0, 0)
	e.runs = append(e.runs, run{seq: s.lastSeq, kind: kind, lo: len(e.buf), oldest: oldest, newest: newest})
	e.open = true
}

// addRunLocked appends a run that came encoded.
func (e *runEncoder) addRunLocked(s *stream, in *wire.Run) {
	kind := runPlain
	if in.Rich {
		kind = runRich
	}
	e.beginLocked(s, kind, in.Oldest, in.Newest)
	e.runs[len(e.runs)-1].entries = in.Entries
	e.buf = append(e.buf, in.Data...)
	e.end()
}

// end closes the run that is open.
func (e *runEncoder) end() {
	if !e.open {
		return
	}
	e.open = false
	r := &e.runs[len(e.runs)-1]
	r.hi = len(e.buf)
	binary.LittleEndian.PutUint32(e.buf[r.lo-4:], uint32(r.hi-r.lo))
}

// appendRun adds the entries of a run to a builder.
func appendRun(b *chunk.Builder, kind byte, data []byte, pairs *[]model.Pair) error {
	if kind == runPlain {
		return b.AppendEncoded(data)
	}
	for len(data) > 0 {
		ts, line, all, rest, err := chunk.ReadRichEntry(data, (*pairs)[:0])
		*pairs = all
		if err != nil {
			return err
		}
		if err := b.Append(ts, line, all); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// readPush calls define for each definition and then take for each run of a push record (without its type).
// The bytes are those of the record.
func readPush(b []byte, define func(definition), take func(id uint64, r run)) error {
	if len(b) < 4 {
		return fmt.Errorf("%w: push of %d bytes", errRecord, len(b))
	}
	size := binary.LittleEndian.Uint32(b[len(b)-4:])
	if uint64(size) > uint64(len(b)-4) {
		return fmt.Errorf("%w: definitions of %d bytes", errRecord, size)
	}
	at := len(b) - 4 - int(size)
	for d := (decbuf.Buf{B: b[at : len(b)-4]}); len(d.B) > 0; {
		def := readDefinition(&d)
		if d.Failed() {
			return d.Err(errRecord)
		}
		define(def)
	}
	d := decbuf.Buf{B: b[:at]}
	for len(d.B) > 0 {
		kind := d.Byte()
		id, seq := d.Uvarint(), d.Uvarint()
		length := d.Le32()
		lo := at - len(d.B)
		d.Take(uint64(length))
		if !d.Failed() && (kind > runRich || seq == 0) {
			d.Fail("unknown kind of run")
		}
		if d.Failed() {
			return d.Err(errRecord)
		}
		take(id, run{seq: seq, kind: kind, lo: lo, hi: lo + int(length)})
	}
	return nil
}

// appendPart makes the beginning of a part record; the chunk object follows.
func appendPart(dst []byte, def definition, seqs *seqSet) []byte {
	dst = append(dst, make([]byte, wal.HeaderSize)...)
	dst = append(dst, recordPart)
	dst = def.appendTo(dst)
	return seqs.appendTo(dst)
}

// readPart is its inverse.
func readPart(b []byte) (def definition, seqs seqSet, object []byte, err error) {
	d := decbuf.Buf{B: b}
	def = readDefinition(&d)
	seqs = readSeqSet(&d)
	return def, seqs, d.B, d.Err(errRecord)
}

// appendSmallRun adds a run as small pieces and pages have it.
func appendSmallRun(dst []byte, kind byte, data []byte) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

// readSmallRun is its inverse.
func readSmallRun(b []byte) (kind byte, data, rest []byte, err error) {
	d := decbuf.Buf{B: b}
	kind = d.Byte()
	data = d.Section()
	if !d.Failed() && kind > runRich {
		d.Fail("unknown kind of run")
	}
	return kind, data, d.B, d.Err(errRecord)
}

// appendPage makes the beginning of a page record; the compressed page follows.
func appendPage(dst []byte, w *spill) []byte {
	dst = append(dst, make([]byte, wal.HeaderSize)...)
	dst = append(dst, recordPage)
	dst = binary.AppendUvarint(dst, uint64(len(w.data)))
	dst = binary.AppendUvarint(dst, uint64(len(w.items)))
	for k := range w.items {
		item := &w.items[k]
		s := item.p.stream
		d := definition{id: item.p.id, tenant: s.tenant.name, labels: s.labels}
		dst = d.appendTo(dst)
		dst = item.seqs.appendTo(dst)
		f := &item.fragment
		dst = binary.AppendUvarint(dst, uint64(f.hi-f.lo))
		dst = binary.AppendUvarint(dst, uint64(f.entries))
		dst = binary.AppendVarint(dst, f.oldest)
		dst = binary.AppendUvarint(dst, uint64(f.newest-f.oldest))
	}
	return dst
}

// readPage calls fn for each fragment of a page record (without its type), and returns the page's size and what stands
// before the compressed bytes.
func readPage(b []byte, fn func(definition, seqSet, fragment)) (size, skip int, err error) {
	d := decbuf.Buf{B: b}
	total, count := d.Uvarint(), d.Uvarint()
	if total > 1<<30 {
		d.Fail("page is too large")
	}
	at := uint64(0)
	for ; count > 0 && !d.Failed(); count-- {
		def := readDefinition(&d)
		seqs := readSeqSet(&d)
		length, entries := d.Uvarint(), d.Uvarint()
		oldest := d.Varint()
		newest := oldest + int64(d.Uvarint())
		if !d.Failed() && (length > total-at || newest < oldest || entries > length) {
			d.Fail("bad fragment")
		}
		if d.Failed() {
			break
		}
		fn(def, seqs, fragment{lo: uint32(at), hi: uint32(at + length), entries: uint32(entries), oldest: oldest, newest: newest})
		at += length
	}
	return int(total), len(b) - len(d.B), d.Err(errRecord)
}

// readMarks calls fn for each mark of a record.
func readMarks(b []byte, fn func(id uint64, seqs seqSet)) error {
	for d := (decbuf.Buf{B: b}); len(d.B) > 0; {
		id := d.Uvarint()
		seqs := readSeqSet(&d)
		if d.Failed() {
			return d.Err(errRecord)
		}
		fn(id, seqs)
	}
	return nil
}
