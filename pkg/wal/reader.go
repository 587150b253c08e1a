package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const readAhead = 1 << 20

// Reader reads records in the order in which they were written. It is used by one goroutine.
type Reader struct {
	fs       FS
	dir      string
	segments []segment
	at       int

	file    Source
	name    string
	salts   [2]uint32
	fixed   bool // salts[0] is known to be the salt
	buf     []byte
	lo, hi  int   // buf[lo:hi] is read and not consumed
	offset  int64 // of buf[lo] in the file
	ended   bool
	record  []byte
	begin   int64
	done    int64
	err     error
	damages []Damage
}

func newReader(fs FS, dir string, segments []segment) *Reader {
	return &Reader{fs: fs, dir: dir, segments: segments, at: -1}
}

// Next moves to the next record. It returns false at the end and when a file can't be read.
func (r *Reader) Next() bool {
	r.record = nil
	for r.err == nil {
		if r.file == nil && !r.open() {
			return false
		}
		if r.next() {
			return true
		}
		if r.ended && r.lo == r.hi {
			r.close()
		}
	}
	r.close()
	return false
}

// Record returns the payload. It is valid until the next call of Next.
func (r *Reader) Record() []byte { return r.record }

// Position returns the segment of the record and its offset in the file.
func (r *Reader) Position() (seg uint64, offset int64) { return r.segments[r.at].number, r.begin }

// Progress returns how many bytes of how many have been read.
func (r *Reader) Progress() (done, total int64) {
	for _, s := range r.segments {
		total += s.size
	}
	return r.done + r.offset, total
}

// Damages returns what was found without a valid record so far, in order.
func (r *Reader) Damages() []Damage { return r.damages }

// Err returns the error of the file system that ended the reading. Damage is none.
func (r *Reader) Err() error { return r.err }

// open begins the next segment.
func (r *Reader) open() bool {
	r.at++
	if r.at >= len(r.segments) {
		return false
	}
	s := r.segments[r.at]
	r.name = segmentName(r.dir, s.number)
	file, err := r.fs.Open(r.name)
	if err != nil {
		r.err = fmt.Errorf("cannot open a segment: %w", err)
		return false
	}
	r.file, r.lo, r.hi, r.offset, r.ended = file, 0, 0, 0, false
	if !r.fill(segmentHeaderSize) && r.err != nil {
		return false
	}
	salts, reason := decodeSegmentHeader(r.buf[r.lo:r.hi], s.number)
	r.salts, r.fixed = salts, reason == ""
	if reason != "" {
		r.damage(r.offset, min(segmentHeaderSize, int64(r.hi-r.lo)), reason)
	}
	r.consume(min(segmentHeaderSize, r.hi-r.lo))
	return true
}

func (r *Reader) close() {
	if r.file == nil {
		return
	}
	// The file was only read: closing it can lose nothing.
	_ = r.file.Close()
	r.file = nil
	r.done += r.offset
	r.offset = 0
}

// next reads one record of the open segment, or consumes some bytes that are none.
func (r *Reader) next() bool {
	if !r.fill(HeaderSize) {
		if r.err == nil && r.hi > r.lo {
			r.damage(r.offset, int64(r.hi-r.lo), "the file ends within the header of a record")
			r.consume(r.hi - r.lo)
		}
		return false
	}
	n, ok := r.header()
	if !ok {
		r.resync()
		return false
	}
	if r.offset+HeaderSize+int64(n) > r.segments[r.at].size || !r.fill(HeaderSize+n) {
		if r.err == nil {
			r.damage(r.offset, r.segments[r.at].size-r.offset, "the file ends within a record")
			r.skipAll()
		}
		return false
	}
	b := r.buf[r.lo : r.lo+HeaderSize+n]
	if !validPayload(b, b[HeaderSize:]) {
		r.damage(r.offset, int64(len(b)), "the checksum of a record does not match")
		r.consume(len(b))
		return false
	}
	r.begin = r.offset
	r.record = b[HeaderSize:]
	r.consume(len(b))
	return true
}

// header reads a record's header at the present position. With a damaged segment header the first record decides which
// copy of the salt was right.
func (r *Reader) header() (int, bool) {
	b := r.buf[r.lo : r.lo+HeaderSize]
	if n, ok := validHeader(b, r.salts[0]); ok {
		return n, true
	}
	if r.fixed {
		return 0, false
	}
	n, ok := validHeader(b, r.salts[1])
	if ok {
		r.salts[0], r.fixed = r.salts[1], true
	}
	return n, ok
}

// resync looks for the next whole record behind bytes that are none.
func (r *Reader) resync() {
	from := r.offset
	for r.consume(1); r.fill(HeaderSize); r.consume(1) {
		n, ok := r.header()
		if !ok || r.offset+HeaderSize+int64(n) > r.segments[r.at].size || !r.fill(HeaderSize+n) {
			continue
		}
		b := r.buf[r.lo : r.lo+HeaderSize+n]
		if validPayload(b, b[HeaderSize:]) {
			r.damage(from, r.offset-from, "not a record")
			return
		}
	}
	if r.err == nil {
		r.consume(r.hi - r.lo)
		r.damage(from, r.offset-from, "not a record")
	}
}

// skipAll consumes the rest of the segment.
func (r *Reader) skipAll() {
	for {
		r.consume(r.hi - r.lo)
		if !r.fill(1) {
			return
		}
	}
}

func (r *Reader) consume(n int) {
	r.lo += n
	r.offset += int64(n)
}

// fill makes n bytes available, or returns false at the end of the file and on an error. A call may move the buffer.
func (r *Reader) fill(n int) bool {
	if r.hi-r.lo >= n {
		return true
	}
	if r.lo > 0 && (r.lo == r.hi || len(r.buf)-r.lo < n) {
		r.hi = copy(r.buf, r.buf[r.lo:r.hi])
		r.lo = 0
	}
	if len(r.buf)-r.lo < n {
		grown := make([]byte, max(min(readAhead, int(r.segments[r.at].size)+1), n+n/4))
		r.hi = copy(grown, r.buf[r.lo:r.hi])
		r.buf, r.lo = grown, 0
	}
	for r.hi-r.lo < n && !r.ended && r.err == nil {
		m, err := r.file.Read(r.buf[r.hi:])
		r.hi += m
		if errors.Is(err, io.EOF) {
			r.ended = true
		} else if err != nil {
			r.err = fmt.Errorf("cannot read %s at offset %d: %w", r.name, r.offset+int64(r.hi-r.lo), err)
		}
	}
	return r.hi-r.lo >= n
}

// damage notes a stretch; one that touches the stretch before makes it longer.
func (r *Reader) damage(offset, length int64, reason string) {
	if k := len(r.damages); k > 0 && r.damages[k-1].File == r.name && r.damages[k-1].Offset+r.damages[k-1].Length == offset {
		r.damages[k-1].Length += length
		return
	}
	r.damages = append(r.damages, Damage{File: r.name, Offset: offset, Length: length, Reason: reason})
}

// ErrDamaged is returned by ReadRecord for bytes that are not the record that was written there.
var ErrDamaged = errors.New("the checksum of a record does not match")

// OpenSegment opens a segment for ReadRecord.
func (l *Log) OpenSegment(seg uint64) (Source, error) {
	f, err := l.fs.Open(segmentName(l.cfg.Dir, seg))
	if err != nil {
		return nil, fmt.Errorf("cannot open a segment: %w", err)
	}
	return f, nil
}

// ReadRecord reads the payload of the record at an offset of a segment. It may be used at any time once the record was written,
// and reuses buf if that is large enough.
func ReadRecord(f io.ReaderAt, offset int64, buf []byte) ([]byte, error) {
	var header [HeaderSize]byte
	if _, err := f.ReadAt(header[:], offset); err != nil {
		return nil, fmt.Errorf("cannot read a record at offset %d: %w", offset, err)
	}
	n := int64(binary.LittleEndian.Uint32(header[:]))
	if n == 0 || n > MaxRecord {
		return nil, fmt.Errorf("cannot read a record at offset %d: %w", offset, ErrDamaged)
	}
	if int64(cap(buf)) < n {
		// The length is not to be trusted before its checksum: the end of the file bounds what is asked for.
		var last [1]byte
		if _, err := f.ReadAt(last[:], offset+HeaderSize+n-1); err != nil {
			return nil, fmt.Errorf("cannot read a record at offset %d: %w", offset, err)
		}
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := f.ReadAt(buf, offset+HeaderSize); err != nil {
		return nil, fmt.Errorf("cannot read a record at offset %d: %w", offset, err)
	}
	if !validPayload(header[:], buf) {
		return nil, fmt.Errorf("cannot read a record at offset %d: %w", offset, ErrDamaged)
	}
	return buf, nil
}
