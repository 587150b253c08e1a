package ingester

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/wal"
)

const (
	// progressPeriod is how often a replay logs how far it is.
	progressPeriod = 3 * time.Second
	// maxOrphans bounds the bytes of runs that are kept because their stream's definition has not been seen.
	maxOrphans = 64 << 20
)

// Progress tells how far a replay is.
type Progress struct {
	// Done and Total are bytes of the logs.
	Done, Total int64
	Entries     int64
	Elapsed     time.Duration
}

// String shows the progress with an estimate of the time that is left.
func (p Progress) String() string {
	if p.Total == 0 {
		return "the log is about to be replayed"
	}
	text := fmt.Sprintf("replaying the log: %d %% of %d MB, %d entries", 100*p.Done/p.Total, p.Total>>20, p.Entries)
	if p.Done > 0 && p.Elapsed > time.Second {
		left := time.Duration(float64(p.Elapsed) * float64(p.Total-p.Done) / float64(p.Done))
		text += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	return text
}

type progress struct {
	done, total, entries, begin atomic.Int64
}

// Progress tells how far the replay is, or was when it ended.
func (i *Ingester) Progress() Progress {
	p := Progress{Done: i.progress.done.Load(), Total: i.progress.total.Load(), Entries: i.progress.entries.Load()}
	if b := i.progress.begin.Load(); b != 0 {
		p.Elapsed = time.Since(time.Unix(0, b))
	}
	return p
}

// replayer reads the logs in one goroutine, which decides what is taken, and appends in others: all of a stream in the same.
type replayer struct {
	i       *Ingester
	known   map[uint64]*replayStream
	marks   map[uint64]*seqSet
	highest uint64
	queues  []chan *replayRecord
	workers sync.WaitGroup

	orphans      []orphan
	orphanBytes  int
	lost         int
	base         int64
	damages      int
	left         int
	recovered    int
	lastProgress time.Time
}

// replayStream is a number of a stream and what was seen of it.
type replayStream struct {
	def  definition
	s    *stream
	seen seqSet
}

// replayRecord is a record on its way to the workers, which give it back when all have read it.
type replayRecord struct {
	data  []byte
	items []replayItem
	seg   uint64
	refs  atomic.Int32
}

// replayItem is a run, or a part if seqs is not nil.
type replayItem struct {
	rs   *replayStream
	run  run
	seqs *seqSet
}

// orphan is a run whose stream was not defined before it.
type orphan struct {
	id   uint64
	run  run
	data []byte
	seg  uint64
}

var replayRecords = sync.Pool{New: func() any { return new(replayRecord) }}

// replay brings back what was logged and not flushed.
func (i *Ingester) replay(ctx context.Context) error {
	if i.data == nil {
		return nil
	}
	i.metrics.replayActive.Set(1)
	defer i.metrics.replayActive.Set(0)
	begin := time.Now()
	i.progress.begin.Store(begin.UnixNano())
	i.progress.total.Store(i.data.Size() + i.parts.Size() + i.marks.Size())
	r := &replayer{i: i, known: map[uint64]*replayStream{}, marks: map[uint64]*seqSet{}, lastProgress: begin}
	r.start()
	err := r.read(ctx, i.marks, r.readMarks)
	if err == nil {
		err = r.read(ctx, i.parts, func(b []byte, at wal.Position) error { return r.readPart(ctx, b, at) })
	}
	if err == nil {
		err = r.read(ctx, i.data, func(b []byte, at wal.Position) error { return r.readPush(ctx, b, at.Segment) })
	}
	if err == nil {
		err = r.adoptOrphans(ctx)
	}
	r.stop()
	if err != nil {
		return fmt.Errorf("cannot replay the log: %w", err)
	}
	r.finish(begin)
	return nil
}

func (r *replayer) start() {
	for k := range runtime.GOMAXPROCS(0) {
		queue := make(chan *replayRecord, 8)
		r.queues = append(r.queues, queue)
		r.workers.Go(func() { r.append(k, queue) })
	}
}

func (r *replayer) stop() {
	for _, q := range r.queues {
		close(q)
	}
	r.workers.Wait()
}

// finish sets what new pushes go on from.
func (r *replayer) finish(begin time.Time) {
	i := r.i
	i.nextID.Store(r.highest)
	for id, rs := range r.known {
		if rs.s != nil && rs.s.id == id {
			rs.s.lastSeq = max(rs.s.lastSeq, rs.seen.last())
		}
	}
	took := time.Since(begin)
	i.progress.done.Store(i.progress.total.Load())
	i.metrics.replaySeconds.Set(took.Seconds())
	i.metrics.recoveredEntries.Add(float64(i.progress.entries.Load()))
	if r.lost > 0 {
		i.log.Error("runs of entries of the log belong to streams whose names were lost by its damage", "runs", r.lost)
		i.metrics.lostRuns.Add(float64(r.lost))
	}
	if i.progress.total.Load() > 0 {
		i.log.Info("replayed the log", "bytes", i.progress.total.Load(), "entries", i.progress.entries.Load(), "streams", r.recovered,
			"flushed_runs", r.left, "damages", r.damages, "duration", took)
	}
}

// read passes the payloads of all records of a log to fn, with their places. Damage is reported and does
// not end it.
func (r *replayer) read(ctx context.Context, log *wal.Log, fn func(b []byte, at wal.Position) error) error {
	reader := log.Reader()
	for reader.Next() {
		seg, offset := reader.Position()
		if err := fn(reader.Record(), wal.Position{Segment: seg, Offset: offset}); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r.damages++
			r.i.metrics.corruptions.Inc()
			r.i.log.Error("a record of the log was not understood and is left out", "segment", seg, "offset", offset, "err", err)
		}
		done, _ := reader.Progress()
		r.report(r.base + done)
	}
	done, _ := reader.Progress()
	r.base += done
	for _, d := range reader.Damages() {
		r.damages++
		r.i.metrics.corruptions.Inc()
		r.i.log.Error("the log is damaged; what is readable before and behind is used", "file", d.File, "offset", d.Offset, "bytes", d.Length, "reason", d.Reason)
	}
	return reader.Err()
}

func (r *replayer) report(done int64) {
	r.i.progress.done.Store(done)
	if now := time.Now(); now.Sub(r.lastProgress) >= progressPeriod {
		r.lastProgress = now
		r.i.log.Info(r.i.Progress().String())
	}
}

func (r *replayer) readMarks(b []byte, _ wal.Position) error {
	if b[0] != recordMark {
		return fmt.Errorf("%w: type %d", errRecord, b[0])
	}
	return readMarks(b[1:], func(id uint64, seqs seqSet) {
		r.highest = max(r.highest, id)
		if m := r.marks[id]; m != nil {
			m.union(&seqs)
			return
		}
		r.marks[id] = &seqs
	})
}

// define takes note of what a stream's number stands for.
func (r *replayer) define(def definition) *replayStream {
	rs := r.known[def.id]
	if rs == nil {
		rs = &replayStream{def: def}
		if m := r.marks[def.id]; m != nil {
			rs.seen = *m
		}
		r.known[def.id] = rs
		r.highest = max(r.highest, def.id)
	}
	return rs
}

// stream makes the stream when its first entries come.
func (r *replayer) stream(rs *replayStream) {
	if rs.s != nil {
		return
	}
	t := r.i.streams.tenantOrNew(rs.def.tenant)
	s := &stream{id: rs.def.id, tenant: t, labels: rs.def.labels, hash: stableHash(rs.def.labels), newest: minTime}
	rs.s, _ = r.i.streams.add(s, func() bool { return true })
	if rs.s == s {
		t.streams.Add(1)
		r.recovered++
		r.i.metrics.streamsCreated.WithLabelValues(t.name).Inc()
		r.i.metrics.recoveredStreams.Inc()
	}
}

func (r *replayer) readPart(ctx context.Context, b []byte, at wal.Position) error {
	if b[0] == recordPage {
		return r.readPage(b[1:], at)
	}
	if b[0] != recordPart {
		return fmt.Errorf("%w: type %d", errRecord, b[0])
	}
	def, seqs, object, err := readPart(b[1:])
	if err != nil {
		return err
	}
	rs := r.define(def)
	if rs.seen.containsAll(&seqs) {
		r.left++
		r.i.metrics.duplicates.Inc()
		return nil
	}
	rs.seen.union(&seqs)
	r.stream(rs)
	rec := replayRecords.Get().(*replayRecord)
	// A chunk keeps pointing into its object, so that this buffer is not used again.
	rec.data, rec.seg = append([]byte(nil), object...), at.Segment
	rec.items = append(rec.items[:0], replayItem{rs: rs, seqs: &seqs})
	return r.dispatch(ctx, rec)
}

// readPage lets pieces refer to a page that stays where it is.
func (r *replayer) readPage(b []byte, at wal.Position) error {
	r.i.spilling.Lock()
	file, err := r.i.segmentFile(at.Segment)
	r.i.spilling.Unlock()
	if err != nil {
		return err
	}
	pg := &page{file: file, offset: at.Offset}
	now := time.Now().UnixNano()
	pg.size, pg.skip, err = readPage(b, func(def definition, seqs seqSet, f fragment) {
		rs := r.define(def)
		if rs.seen.containsAll(&seqs) {
			r.left++
			r.i.metrics.duplicates.Inc()
			return
		}
		rs.seen.union(&seqs)
		r.stream(rs)
		f.page = pg
		r.i.progress.entries.Add(int64(f.entries))
		s := rs.s
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open != nil && s.open.id != def.id {
			r.i.closeLocked(s, reasonForced)
		}
		p := s.open
		if p == nil {
			p = r.i.newPieceLocked(s, def.id, f.oldest, now)
		}
		p.fragments = append(p.fragments, f)
		p.seqs.union(&seqs)
		p.first, p.last = min(p.first, f.oldest), max(p.last, f.newest)
		p.size += int(f.hi - f.lo)
		if p.parts == 0 || at.Segment < p.parts {
			p.parts = at.Segment
		}
		r.i.appendedLocked(p, now)
	})
	// The type stands before what was read.
	pg.skip++
	return err
}

func (r *replayer) readPush(ctx context.Context, b []byte, seg uint64) error {
	if b[0] != recordPush {
		return fmt.Errorf("%w: type %d", errRecord, b[0])
	}
	b = b[1:]
	rec := replayRecords.Get().(*replayRecord)
	rec.seg, rec.items = seg, rec.items[:0]
	err := readPush(b, func(d definition) { r.define(d) }, func(id uint64, run run) {
		rs := r.known[id]
		if rs == nil {
			r.orphan(id, run, b, seg)
			return
		}
		r.take(rec, rs, run)
	})
	rec.data = append(rec.data[:0], b...)
	// What stands before the bad place of a record was checked by its checksum: it is used.
	if derr := r.dispatch(ctx, rec); derr != nil {
		return derr
	}
	return err
}

// take adds a run to a record's items unless it was flushed or seen before.
func (r *replayer) take(rec *replayRecord, rs *replayStream, run run) {
	if rs.seen.contains(run.seq) {
		r.left++
		r.i.metrics.duplicates.Inc()
		return
	}
	rs.seen.add(run.seq)
	r.stream(rs)
	rec.items = append(rec.items, replayItem{rs: rs, run: run})
}

func (r *replayer) orphan(id uint64, run run, b []byte, seg uint64) {
	r.highest = max(r.highest, id)
	size := run.hi - run.lo
	if r.orphanBytes+size > maxOrphans {
		r.lost++
		return
	}
	r.orphanBytes += size
	data := append([]byte(nil), b[run.lo:run.hi]...)
	run.lo, run.hi = 0, size
	r.orphans = append(r.orphans, orphan{id: id, run: run, data: data, seg: seg})
}

// adoptOrphans takes the runs whose streams were defined by a later record, after damage to an earlier one.
func (r *replayer) adoptOrphans(ctx context.Context) error {
	for _, o := range r.orphans {
		rs := r.known[o.id]
		if rs == nil {
			if m := r.marks[o.id]; m == nil || !m.contains(o.run.seq) {
				r.lost++
			}
			continue
		}
		rec := replayRecords.Get().(*replayRecord)
		rec.data, rec.seg, rec.items = o.data, o.seg, rec.items[:0]
		r.take(rec, rs, o.run)
		if err := r.dispatch(ctx, rec); err != nil {
			return err
		}
	}
	r.orphans = nil
	return nil
}

// dispatch hands a record to the workers of its streams, when there is memory for it.
func (r *replayer) dispatch(ctx context.Context, rec *replayRecord) error {
	if err := r.waitMemory(ctx); err != nil {
		return err
	}
	var wanted uint64
	for k := range rec.items {
		wanted |= 1 << (rec.items[k].rs.def.id % uint64(len(r.queues)) % 64)
	}
	n := int32(0)
	for k := range r.queues {
		if wanted&(1<<(k%64)) != 0 {
			n++
		}
	}
	rec.refs.Store(n)
	if n == 0 {
		replayRecords.Put(rec)
		return nil
	}
	for k, q := range r.queues {
		if wanted&(1<<(k%64)) != 0 {
			q <- rec
		}
	}
	return nil
}

// waitMemory holds the replay to the same memory as pushes: what it read must be compressed, and flushed, first.
func (r *replayer) waitMemory(ctx context.Context) error {
	i := r.i
	if i.heads.Load() > i.cfg.HeadLimit || i.memory.Load() > i.softLimit() {
		kick(i.kickMemory)
	}
	if err := i.waitRoom(ctx); err != nil && !errors.Is(err, ErrMemory) {
		return err
	}
	for i.memory.Load() > i.memoryLimit() {
		kick(i.kickMemory)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		r.report(i.progress.done.Load())
	}
	return nil
}

// append is a worker: it appends what belongs to its streams.
func (r *replayer) append(k int, queue <-chan *replayRecord) {
	var pairs []model.Pair
	for rec := range queue {
		now := time.Now().UnixNano()
		entries, bytes := 0, 0
		for k2 := range rec.items {
			item := &rec.items[k2]
			if int(item.rs.def.id%uint64(len(r.queues))) != k {
				continue
			}
			if item.seqs != nil {
				entries += r.appendPart(item, rec, now, &pairs)
				continue
			}
			data := rec.data[item.run.lo:item.run.hi]
			if err := item.run.scan(data); err != nil {
				r.i.log.Error("cannot read a run of the log", "stream", item.rs.def.labels.String(), "segment", rec.seg, "err", err)
				r.i.metrics.lostRuns.Inc()
				continue
			}
			s := item.rs.s
			s.mu.Lock()
			r.i.appendRunLocked(s, item.rs.def.id, item.run, data, rec.seg, now, &pairs)
			s.mu.Unlock()
			entries += item.run.entries
			bytes += len(data)
		}
		r.i.progress.entries.Add(int64(entries))
		r.i.metrics.recoveredBytes.Add(float64(bytes))
		if rec.refs.Add(-1) == 0 {
			clear(rec.items)
			if cap(rec.data) > maxPooledRecord {
				rec.data = nil
			}
			replayRecords.Put(rec)
		}
	}
}

// appendPart adds the entries of a part to the open piece of its stream and returns their number.
func (r *replayer) appendPart(item *replayItem, rec *replayRecord, now int64, pairs *[]model.Pair) int {
	i, s, id := r.i, item.rs.s, item.rs.def.id
	c, err := chunk.Open(rec.data)
	rec.data = nil
	if err != nil {
		i.log.Error("cannot read a part of a checkpoint", "stream", s.labels.String(), "err", err)
		i.metrics.lostRuns.Inc()
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil && s.open.id != id {
		i.closeLocked(s, reasonForced)
	}
	first, last, _ := c.Bounds()
	p := s.open
	if p == nil {
		p = i.newPieceLocked(s, id, first, now)
	}
	if p.b == nil {
		i.promoteLocked(p, pairs)
	}
	p.replayed = true
	entries := i.appendChunkLocked(p, c)
	p.seqs.union(item.seqs)
	p.first, p.last = min(p.first, first), max(p.last, last)
	p.size += c.Bytes() + 1
	if p.parts == 0 || rec.seg < p.parts {
		p.parts = rec.seg
	}
	i.appendedLocked(p, now)
	return entries
}

// appendChunkLocked adds the entries of a chunk to a piece.
func (i *Ingester) appendChunkLocked(p *piece, c *chunk.Chunk) (entries int) {
	it := chunk.Iterate(c)
	defer it.Close()
	for it.Next() {
		meta := it.Metadata()
		if len(meta) > 0 {
			i.beforeRunLocked(p, runRich)
		}
		if err := p.b.Append(it.Timestamp(), it.Line(), meta); err != nil {
			i.log.Error("BUG: cannot append an entry of a checkpoint", "stream", p.stream.labels.String(), "err", err)
			i.metrics.lostRuns.Inc()
		}
		entries++
		if p.b.HeadSize() >= i.cfg.BlockSize {
			i.cutLocked(p)
		}
	}
	if err := it.Err(); err != nil {
		i.log.Error("cannot read a part of a checkpoint to its end", "stream", p.stream.labels.String(), "err", err)
		i.metrics.lostRuns.Inc()
	}
	return entries
}
