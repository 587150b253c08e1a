package wal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Errors of a log.
var (
	// ErrNoSpace is returned while the disk is full. The record was not written; a later Append may succeed.
	ErrNoSpace = errors.New("no space left for the write-ahead log")
	// ErrRotated is returned by Append when the record would land in another segment than the caller built it for.
	ErrRotated = errors.New("the write-ahead log has begun a new segment")
	// ErrTooLarge is returned for a record of more than MaxRecord bytes.
	ErrTooLarge = errors.New("record is too large for the write-ahead log")
	// ErrClosed is returned by a closed log.
	ErrClosed = errors.New("the write-ahead log is closed")
)

// AnySegment lets Append put a record into whichever segment is current.
const AnySegment uint64 = 0

// Config says where and how a log is kept.
type Config struct {
	// Dir is the folder of the segments; it belongs to this log alone.
	Dir string
	// SegmentSize is the size beyond which a new segment begins. A greater record has a segment to itself.
	SegmentSize int64
	// Sync makes each Append wait for fsync.
	Sync bool
}

// DefaultConfig leaves the directory to be named.
var DefaultConfig = Config{SegmentSize: 64 << 20}

// Validate reports the first setting that cannot work.
func (c Config) Validate() error {
	if c.Dir == "" {
		return errors.New("the write-ahead log needs a directory")
	}
	if c.SegmentSize < 4096 {
		return fmt.Errorf("a segment size of %d bytes is too small for the write-ahead log, the least is 4096", c.SegmentSize)
	}
	return nil
}

// Damage is a stretch of a segment without a valid record.
type Damage struct {
	File string
	// Offset is where the stretch begins and Length how many bytes it has.
	Offset, Length int64
	Reason         string
}

// Error makes a Damage an error for logs and reports.
func (d Damage) Error() string {
	return fmt.Sprintf("%s: %d bytes at offset %d: %s", d.File, d.Length, d.Offset, d.Reason)
}

// Log is a write-ahead log. It is safe for concurrent use.
type Log struct {
	cfg     Config
	fs      FS
	repairs []Damage
	// old are the segments that existed when the log was opened; Reader reads these.
	old []segment
	// waiters are those of appenders that came back. They are not shared by all logs, since their channels belong to the bubble that a
	// test of time runs in.
	waiters sync.Pool

	// These belong to the leader (see commit.go).
	file     File
	fileSeg  uint64
	fileSize int64
	salt     uint32
	group    []byte
	// abandoned is the last segment that could not be cut back after a failed write.
	abandoned uint64

	mu     sync.Mutex
	closed bool
	// segments are all that exist on disk, ascending.
	segments []segment
	// next is the segment that the next record goes to, and nextSize its size with all that is queued.
	next     uint64
	nextSize int64
	queue    []*waiter
	spare    []*waiter
	busy     bool
	idle     *sync.Cond
	stats    Stats
}

type segment struct {
	number uint64
	size   int64
}

// Stats counts what a log did since it was opened.
type Stats struct {
	// Records and Bytes were appended; Writes are the groups they went in.
	Records, Bytes, Writes int64
	// NoSpace counts the groups that failed because the disk was full.
	NoSpace int64
}

// Open opens the log in cfg.Dir, which is created if need be, and cuts off a torn tail.
func Open(cfg Config, fs FS) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, fs: fs, waiters: sync.Pool{New: newWaiter}}
	l.idle = sync.NewCond(&l.mu)
	if err := fs.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("cannot create the folder of the write-ahead log: %w", err)
	}
	var err error
	if l.segments, err = listSegments(fs, cfg.Dir); err != nil {
		return nil, err
	}
	l.next = 1
	if len(l.segments) > 0 {
		l.next = l.segments[len(l.segments)-1].number + 1
		if err := l.repair(); err != nil {
			return nil, err
		}
	}
	l.old = slices.Clone(l.segments)
	return l, nil
}

// Inspect returns a reader of all records in a folder and changes nothing there: a torn tail is reported as damage. The folder
// may belong to a log that is being written; what is appended after the call may be seen in part.
func Inspect(dir string, fs FS) (*Reader, error) {
	segments, err := listSegments(fs, dir)
	if err != nil {
		return nil, err
	}
	return newReader(fs, dir, segments), nil
}

// listSegments returns the segments in a folder, ascending.
func listSegments(fs FS, dir string) ([]segment, error) {
	infos, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the write-ahead log: %w", err)
	}
	var segments []segment
	for _, info := range infos {
		if n, ok := segmentNumber(info.Name); ok {
			segments = append(segments, segment{n, info.Size})
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return segments, nil
}

// repair cuts a torn tail off the last segment, and removes it if no record is left.
func (l *Log) repair() error {
	last := &l.segments[len(l.segments)-1]
	r := newReader(l.fs, l.cfg.Dir, []segment{*last})
	records := 0
	for r.Next() {
		records++
	}
	if err := r.Err(); err != nil {
		return err
	}
	damages := r.Damages()
	if records == 0 && (len(damages) == 0 || last.size < segmentHeaderSize) {
		if err := l.fs.Remove(segmentName(l.cfg.Dir, last.number)); err != nil {
			return fmt.Errorf("cannot remove an empty segment: %w", err)
		}
		l.segments = l.segments[:len(l.segments)-1]
		return nil
	}
	if len(damages) == 0 {
		return nil
	}
	tail := damages[len(damages)-1]
	if tail.Offset+tail.Length != last.size || tail.Offset < segmentHeaderSize {
		return nil
	}
	if err := l.fs.Truncate(tail.File, tail.Offset); err != nil {
		return fmt.Errorf("cannot cut the torn tail of %s: %w", tail.File, err)
	}
	last.size = tail.Offset
	l.repairs = append(l.repairs, tail)
	return nil
}

// Repairs returns the torn tails that Open cut off.
func (l *Log) Repairs() []Damage { return l.repairs }

// Reader reads the records that were in the log when it was opened. It may be used beside Append, but not beside
// TruncateBefore of segments that it has yet to read.
func (l *Log) Reader() *Reader { return newReader(l.fs, l.cfg.Dir, l.old) }

// ReaderFrom reads the records of the segments from seg on that are complete, which are those below Segment, for callers that
// have no Append under way. After Cut that is all that was appended.
func (l *Log) ReaderFrom(seg uint64) *Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	complete := slices.DeleteFunc(slices.Clone(l.segments), func(s segment) bool { return s.number < seg || s.number >= l.next })
	return newReader(l.fs, l.cfg.Dir, complete)
}

// Segment returns the segment that a record would go to now.
func (l *Log) Segment() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Oldest returns the lowest segment on disk, or the next one if there is none.
func (l *Log) Oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return l.next
	}
	return l.segments[0].number
}

// Size returns the bytes of all segments.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sizeLocked(l.next + 1)
}

// SizeBefore returns the bytes of the segments below seg.
func (l *Log) SizeBefore(seg uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sizeLocked(seg)
}

func (l *Log) sizeLocked(before uint64) int64 {
	var n int64
	for _, s := range l.segments {
		if s.number < before {
			n += s.size
		}
	}
	return n
}

// Stats returns the log's counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Cut lets the next record begin a new segment, unless the current one is empty.
func (l *Log) Cut() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nextSize > 0 {
		l.next, l.nextSize = l.next+1, 0
	}
	return l.next
}

// TruncateBefore removes the segments below seg, oldest first, and returns how many. The current segment stays.
func (l *Log) TruncateBefore(seg uint64) (int, error) {
	removed := 0
	for {
		l.mu.Lock()
		if len(l.segments) == 0 || l.segments[0].number >= min(seg, l.next) {
			l.mu.Unlock()
			return removed, nil
		}
		oldest := l.segments[0]
		// While records for it are still being written the segment is needed, whatever the caller thinks.
		if l.busy && oldest.number == l.fileSeg {
			l.mu.Unlock()
			return removed, nil
		}
		l.segments = l.segments[1:]
		l.mu.Unlock()
		if err := l.fs.Remove(segmentName(l.cfg.Dir, oldest.number)); err != nil {
			l.mu.Lock()
			l.segments = slices.Insert(l.segments, 0, oldest)
			l.mu.Unlock()
			return removed, fmt.Errorf("cannot remove a segment: %w", err)
		}
		removed++
	}
}

// Close waits for running appends and closes the current segment. Later appends return ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	for l.busy {
		l.idle.Wait()
	}
	file := l.file
	l.file = nil
	l.mu.Unlock()
	if file == nil {
		return nil
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("cannot close a segment: %w", err)
	}
	return nil
}
