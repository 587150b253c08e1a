package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
)

// smallGroup is the size up to which the records of a group are copied together for one write; greater ones are written
// each by its own call, since the call costs less than the copy.
const smallGroup = 256 << 10

// waiter is a record on its way into the file.
type waiter struct {
	record []byte
	seg    uint64
	offset int64
	err    error
	// wake is sent false when the record's fate is known and true when its appender has to lead the next group.
	wake chan bool
}

func newWaiter() any { return &waiter{wake: make(chan bool, 1)} }

// Position is where a record stands.
type Position struct {
	Segment uint64
	Offset  int64
}

// Append writes one record, whose payload is record[HeaderSize:]; the bytes before are the log's to fill. It returns when
// the record is as durable as the configuration wants, with the place that it has. The slice is the caller's again.
//
// If seg is not AnySegment the record is written only into that segment: otherwise ErrRotated is returned together with
// the segment that is current now.
func (l *Log) Append(record []byte, seg uint64) (Position, error) {
	if len(record) > HeaderSize+MaxRecord {
		return Position{}, ErrTooLarge
	}
	if len(record) <= HeaderSize {
		panic("BUG: empty record for the write-ahead log")
	}
	sealPayload(record)
	for {
		at, err := l.append(record, seg)
		if seg != AnySegment || !errors.Is(err, ErrRotated) {
			return at, err
		}
	}
}

func (l *Log) append(record []byte, seg uint64) (Position, error) {
	w := l.waiters.Get().(*waiter)
	defer l.waiters.Put(w)
	w.record, w.err = record, nil
	lead, err := l.enqueue(w, seg)
	if err != nil {
		return Position{Segment: w.seg}, err
	}
	if !lead {
		lead = <-w.wake
	}
	if lead {
		// Appenders that can go on at once join the group; where there are none nothing is waited for. A write costs more than that.
		runtime.Gosched()
		l.lead(w)
	}
	w.record = nil
	if errors.Is(w.err, ErrRotated) {
		return Position{Segment: l.Segment()}, ErrRotated
	}
	return Position{w.seg, w.offset}, w.err
}

// enqueue gives the record its segment and its place, and reports whether its appender has to lead.
func (l *Log) enqueue(w *waiter, seg uint64) (lead bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, ErrClosed
	}
	if l.nextSize > segmentHeaderSize && l.nextSize+int64(len(w.record)) > l.cfg.SegmentSize {
		l.next, l.nextSize = l.next+1, 0
	}
	w.seg = l.next
	if seg != AnySegment && seg != l.next {
		return false, ErrRotated
	}
	l.nextSize = max(l.nextSize, segmentHeaderSize) + int64(len(w.record))
	l.queue = append(l.queue, w)
	lead = !l.busy
	l.busy = true
	return lead, nil
}

// lead writes what is queued, the leader's own record first, and hands the lead to the first that queued meanwhile.
func (l *Log) lead(own *waiter) {
	l.mu.Lock()
	batch := l.queue
	l.queue = l.spare[:0]
	l.mu.Unlock()

	var done Stats
	for rest := batch; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].seg == rest[0].seg {
			n++
		}
		err := l.writeGroup(rest[:n])
		done.Writes++
		for _, w := range rest[:n] {
			w.err = err
			if err == nil {
				done.Records++
				done.Bytes += int64(len(w.record))
			}
		}
		if errors.Is(err, ErrNoSpace) {
			done.NoSpace++
		}
		rest = rest[n:]
	}
	for _, w := range batch {
		if w != own {
			w.wake <- false
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	clear(batch)
	l.spare = batch
	l.stats.Records += done.Records
	l.stats.Bytes += done.Bytes
	l.stats.Writes += done.Writes
	l.stats.NoSpace += done.NoSpace
	if len(l.queue) > 0 {
		l.queue[0].wake <- true
		return
	}
	l.busy = false
	l.idle.Broadcast()
}

// writeGroup puts the records of one segment into its file, all of them or none. Only the leader calls it.
func (l *Log) writeGroup(group []*waiter) error {
	seg := group[0].seg
	if seg == l.abandoned {
		return ErrRotated
	}
	if l.file == nil || l.fileSeg != seg {
		if err := l.begin(seg); err != nil {
			return l.failure(seg, err)
		}
	}
	from := l.fileSize
	err := l.writeRecords(group)
	if err == nil && l.cfg.Sync {
		err = l.file.Sync()
	}
	if err == nil {
		l.setSize(seg, l.fileSize)
		return nil
	}
	l.fileSize = from
	if cut := l.file.Truncate(from); cut != nil {
		// Nobody knows what the rest of the file holds, so it is left behind and the next record begins a new one.
		err = errors.Join(err, fmt.Errorf("cannot cut back a failed write: %w", cut))
		l.abandon(seg)
	}
	return l.failure(seg, err)
}

func (l *Log) writeRecords(group []*waiter) error {
	if len(group) == 1 {
		return l.write(group[0])
	}
	l.group = l.group[:0]
	for _, w := range group {
		if len(l.group)+len(w.record) > smallGroup && len(l.group) > 0 {
			if err := l.writeRaw(l.group); err != nil {
				return err
			}
			l.group = l.group[:0]
		}
		if len(w.record) > smallGroup {
			if err := l.write(w); err != nil {
				return err
			}
			continue
		}
		w.offset = l.fileSize + int64(len(l.group))
		sealHeader(w.record, l.salt)
		l.group = append(l.group, w.record...)
	}
	if len(l.group) == 0 {
		return nil
	}
	return l.writeRaw(l.group)
}

func (l *Log) write(w *waiter) error {
	w.offset = l.fileSize
	sealHeader(w.record, l.salt)
	return l.writeRaw(w.record)
}

func (l *Log) writeRaw(p []byte) error {
	if _, err := l.file.WriteAt(p, l.fileSize); err != nil {
		return err
	}
	l.fileSize += int64(len(p))
	return nil
}

// begin closes the segment that was written so far and creates the next. A segment that failed to get its header is
// created anew by the next attempt.
func (l *Log) begin(seg uint64) error {
	if l.file != nil {
		file := l.file
		l.file = nil
		if err := file.Close(); err != nil {
			return err
		}
	}
	file, err := l.fs.Create(segmentName(l.cfg.Dir, seg))
	if err != nil {
		return err
	}
	salt := rand.Uint32N(1<<32-1) + 1
	header := encodeSegmentHeader(seg, salt)
	if _, err := file.WriteAt(header, 0); err != nil {
		return errors.Join(err, file.Close(), l.fs.Remove(segmentName(l.cfg.Dir, seg)))
	}
	l.mu.Lock()
	l.file, l.fileSeg, l.salt, l.fileSize = file, seg, salt, segmentHeaderSize
	l.segments = append(l.segments, segment{seg, segmentHeaderSize})
	l.mu.Unlock()
	return nil
}

// abandon closes a segment for good. Records that are queued for it get ErrRotated when their turn comes.
func (l *Log) abandon(seg uint64) {
	file := l.file
	l.file = nil
	l.abandoned = seg
	_ = file.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == seg {
		l.next, l.nextSize = seg+1, 0
	}
}

func (l *Log) setSize(seg uint64, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.segments) - 1; i >= 0; i-- {
		if l.segments[i].number == seg {
			l.segments[i].size = size
			return
		}
	}
}

// failure words an error and takes what was not written out of the logical size.
func (l *Log) failure(seg uint64, err error) error {
	l.mu.Lock()
	if l.next == seg {
		size := int64(0)
		if l.file != nil {
			size = l.fileSize
		}
		for _, w := range l.queue {
			if w.seg == seg {
				size += int64(len(w.record))
			}
		}
		l.nextSize = size
	}
	l.mu.Unlock()
	name := segmentName(l.cfg.Dir, seg)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("cannot write %s: %w: %w", name, ErrNoSpace, err)
	}
	return fmt.Errorf("cannot write %s: %w", name, err)
}
