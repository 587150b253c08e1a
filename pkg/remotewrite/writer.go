package remotewrite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"logstore/pkg/wal"
)

// segmentSize is how large the files of a log grow before they can be removed.
const segmentSize = 4 << 20

const positionsFile = "positions.json"

// writer keeps the records of one tenant.
type writer struct {
	cfg    *Config
	tenant string
	dir    string
	m      *metrics
	log    *slog.Logger

	mu      sync.Mutex
	wal     *wal.Log
	next    uint64   // the number of the next record
	tail    []record // the newest records, without a gap up to next
	memory  int      // bytes of tail
	ends    []segmentEnd
	grown   chan struct{} // closed when there is a new record
	acked   map[string]uint64
	unsaved bool // acked differs from the file
	targets map[string]*target
}

// segmentEnd is the last record of a file of the log.
type segmentEnd struct {
	segment, last uint64
	time          time.Time
}

func openWriter(cfg *Config, tenant string, m *metrics, log *slog.Logger) (*writer, error) {
	w := &writer{
		cfg: cfg, tenant: tenant, dir: filepath.Join(cfg.Dir, tenant), m: m, log: log, next: 1, grown: make(chan struct{}),
		acked: map[string]uint64{}, targets: map[string]*target{},
	}
	c := wal.DefaultConfig
	c.Dir, c.SegmentSize = filepath.Join(w.dir, "log"), segmentSize
	var err error
	if w.wal, err = wal.Open(c, wal.OS); err != nil {
		return nil, fmt.Errorf("cannot open the log of recorded samples: %w", err)
	}
	if err := w.replay(); err != nil {
		return nil, errors.Join(err, w.wal.Close())
	}
	return w, nil
}

// replay reads the records and positions of an earlier process.
func (w *writer) replay() error {
	text, err := os.ReadFile(filepath.Join(w.dir, positionsFile))
	if err == nil {
		err = json.Unmarshal(text, &w.acked)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("cannot read how far receivers are; all that is kept is sent again", "err", err)
		w.acked = map[string]uint64{}
	}
	for _, seq := range w.acked {
		w.next = max(w.next, seq+1)
	}
	r := w.wal.Reader()
	for r.Next() {
		rec, err := decodeRecord(r.Record())
		if err != nil {
			w.m.damaged.Inc()
			continue
		}
		segment, _ := r.Position()
		w.keepLocked(rec, segment)
		w.next = max(w.next, rec.seq+1)
	}
	for _, d := range r.Damages() {
		w.m.damaged.Inc()
		w.log.Error("damage in the log of recorded samples", "err", d.Error())
	}
	if r.Err() != nil {
		return fmt.Errorf("cannot read the log of recorded samples: %w", r.Err())
	}
	if !w.cfg.Replay(w.tenant) {
		for name := range w.acked {
			w.acked[name] = w.next - 1
		}
	}
	return nil
}

// keepLocked puts a record into memory, in place of the oldest ones if there are too many.
func (w *writer) keepLocked(rec record, segment uint64) {
	if n := len(w.tail); n > 0 && w.tail[n-1].seq+1 != rec.seq {
		w.tail, w.memory = nil, 0 // a gap: what is before it is read from the log
	}
	w.tail = append(w.tail, rec)
	w.memory += len(rec.body)
	for w.memory > w.cfg.Memory && len(w.tail) > 1 {
		w.memory -= len(w.tail[0].body)
		w.tail[0].body = nil
		w.tail = w.tail[1:]
	}
	if segment == 0 {
		return
	}
	if n := len(w.ends); n == 0 || w.ends[n-1].segment != segment {
		w.ends = append(w.ends, segmentEnd{segment: segment})
	}
	end := &w.ends[len(w.ends)-1]
	end.last, end.time = rec.seq, rec.time
}

// append keeps samples. What cannot be written to the log is kept in memory, and the error says so.
func (w *writer) append(samples []Sample) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var failed error
	for len(samples) > 0 {
		n := min(recordSamples, len(samples))
		rec := record{seq: w.next, time: time.Now(), n: n}
		for i := range samples[:n] {
			rec.body = appendSample(rec.body, &samples[i])
		}
		samples = samples[n:]
		at, err := w.wal.Append(rec.encode(), wal.AnySegment)
		if err != nil {
			failed, at = fmt.Errorf("samples are kept in memory only: %w", err), wal.Position{}
		}
		w.next++
		w.keepLocked(rec, at.Segment)
		w.m.appended.WithLabelValues(w.tenant).Add(float64(n))
	}
	close(w.grown)
	w.grown = make(chan struct{})
	return failed
}

// from returns records from the number seq on that are in memory, of at most limit samples but at least one record, and a
// channel that is closed when there are more. If older ones must be read from the log, old is a reader of them.
func (w *writer) from(seq uint64, limit int) (recs []record, old *wal.Reader, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq >= w.next {
		return nil, nil, w.grown
	}
	if len(w.tail) == 0 || seq < w.tail[0].seq {
		for _, end := range w.ends {
			if end.last >= seq {
				w.wal.Cut()
				return nil, w.wal.ReaderFrom(end.segment), w.grown
			}
		}
		if len(w.tail) == 0 {
			return nil, nil, w.grown
		}
		seq = w.tail[0].seq // what was before is no longer there
	}
	samples := 0
	for _, rec := range w.tail[seq-w.tail[0].seq:] {
		if samples += rec.n; samples > limit && len(recs) > 0 {
			break
		}
		recs = append(recs, rec)
	}
	return recs, nil, w.grown
}

// ack says that a target has taken, or will not take, what is up to a number.
func (w *writer) ack(target string, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq > w.acked[target] {
		w.acked[target], w.unsaved = seq, true
	}
}

// save writes the positions to disk.
func (w *writer) save() error {
	w.mu.Lock()
	if !w.unsaved {
		w.mu.Unlock()
		return nil
	}
	w.unsaved = false
	text, err := json.Marshal(w.acked)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, positionsFile)
	if err = os.WriteFile(path+".tmp", text, 0o640); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		w.mu.Lock()
		w.unsaved = true
		w.mu.Unlock()
		return fmt.Errorf("cannot save how far receivers are: %w", err)
	}
	return nil
}

// truncate removes files of the log that all targets have taken, that are too old or too many.
func (w *writer) truncate(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.next - 1
	for name := range w.targets {
		taken = min(taken, w.acked[name])
	}
	if taken == w.next-1 && len(w.ends) > 0 {
		w.wal.Cut() // so that the last file can go, too
	}
	size := w.wal.Size()
	current := w.wal.Segment()
	keep := 0
	for keep < len(w.ends) && w.ends[keep].segment < current {
		end := w.ends[keep]
		if end.last > taken && now.Sub(end.time) < w.cfg.MaxAge && size <= w.cfg.MaxSize {
			break
		}
		size -= w.wal.SizeBefore(end.segment+1) - w.wal.SizeBefore(end.segment)
		keep++
	}
	w.m.diskBytes.WithLabelValues(w.tenant).Set(float64(size))
	if keep == 0 {
		return nil
	}
	before := w.ends[keep-1].segment + 1
	w.ends = w.ends[keep:]
	_, err := w.wal.TruncateBefore(before)
	return err
}

// pending counts the samples behind a number that are in memory, and one for each record that is not.
func (w *writer) pending(taken uint64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	if len(w.tail) > 0 && taken+1 < w.tail[0].seq {
		n = int(w.tail[0].seq - taken - 1)
	}
	for i := len(w.tail) - 1; i >= 0 && w.tail[i].seq > taken; i-- {
		n += w.tail[i].n
	}
	return n
}

// skip moves a number on to the first record that is still there.
func (w *writer) skip(seq *uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.next
	if len(w.tail) > 0 {
		first = w.tail[0].seq
	}
	*seq = max(*seq, first)
}

// forget drops the position of a target that is no longer configured.
func (w *writer) forget(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.acked, target)
	w.unsaved = true
}
