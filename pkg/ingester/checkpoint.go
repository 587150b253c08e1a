package ingester

import (
	"context"
	"fmt"
	"sync"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/schema"
	"logstore/pkg/wal"
)

// trimmer keeps the logs short. Only one goroutine at a time trims.
type trimmer struct {
	mu sync.Mutex
	// limits has, for each segment of marks, the segments of the other logs that its marks may speak of.
	limits map[uint64]markLimit
	// hold is held while segments are removed.
	hold sync.Mutex
}

type markLimit struct{ data, parts uint64 }

func (t *trimmer) init(i *Ingester) {
	t.limits = map[uint64]markLimit{}
	for seg := i.marks.Oldest(); seg < i.marks.Segment(); seg++ {
		t.limits[seg] = markLimit{i.data.Segment() - 1, i.parts.Segment() - 1}
	}
}

// removable returns the segment of marks below which no mark is needed, if the other logs begin at these segments.
func (t *trimmer) removable(oldest, current, data, parts uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for seg := oldest; seg < current; seg++ {
		if l, ok := t.limits[seg]; ok && (l.data >= data || l.parts >= parts) {
			return seg
		}
		delete(t.limits, seg)
	}
	return current
}

// noteMarks takes note that marks were written into a segment.
func (i *Ingester) noteMarks(seg uint64) {
	i.trim.mu.Lock()
	defer i.trim.mu.Unlock()
	// A part that is being written now may land in the next segment.
	i.trim.limits[seg] = markLimit{i.data.Segment(), i.parts.Segment() + 1}
}

// runTrimmer removes segments that nobody needs and moves what old segments are needed for into parts.
func (i *Ingester) runTrimmer(ctx context.Context) {
	ticker := time.NewTicker(i.cfg.CheckpointPeriod)
	defer ticker.Stop()
	for {
		i.trimLogs()
		if size := i.data.Size(); size > i.cfg.WALSize {
			i.checkpoint(ctx, i.cutoff(size))
			i.trimLogs()
		}
		select {
		case <-ticker.C:
		case <-i.kickLog:
		case <-ctx.Done():
			return
		}
	}
}

// cutoff returns the segment below which three quarters of the log may not be.
func (i *Ingester) cutoff(size int64) uint64 {
	seg := i.data.Oldest()
	for seg < i.data.Segment() && size-i.data.SizeBefore(seg) > i.cfg.WALSize*3/4 {
		seg++
	}
	return seg
}

// trimLogs removes the segments that no piece and no running push needs.
func (i *Ingester) trimLogs() {
	if i.metrics.chunks.Load() == 0 && i.pins.idle() {
		// Nothing is unflushed, so that the current segments can go too.
		i.data.Cut()
		i.parts.Cut()
		i.marks.Cut()
	}
	// The order matters: a push that the pins do not show any more is in a piece, or began in this segment or later.
	data, parts := i.data.Segment(), i.parts.Segment()
	data = i.pins.lowest(data)
	i.eachPiece(func(p *piece) {
		if seg := p.oldestSegmentLocked(); seg != 0 {
			data = min(data, seg)
		}
		if p.parts != 0 {
			parts = min(parts, p.parts)
		}
	})
	i.trim.hold.Lock()
	defer i.trim.hold.Unlock()
	removed := 0
	for _, l := range []struct {
		log    *wal.Log
		before uint64
	}{{i.data, data}, {i.parts, parts}} {
		n, err := l.log.TruncateBefore(l.before)
		if err != nil {
			i.log.Error("cannot shorten the log", "err", err)
		}
		removed += n
	}
	marks := i.trim.removable(i.marks.Oldest(), i.marks.Segment(), i.data.Oldest(), i.parts.Oldest())
	if i.data.Size() == 0 && i.parts.Size() == 0 {
		marks = i.marks.Segment()
	}
	if _, err := i.marks.TruncateBefore(marks); err != nil {
		i.log.Error("cannot shorten the log of marks", "err", err)
	}
	i.metrics.segmentsRemoved.Add(float64(removed))
}

// eachPiece calls fn for all pieces under their streams' locks.
func (i *Ingester) eachPiece(fn func(*piece)) {
	for k := range shardCount {
		i.streams.each(k, func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.piecesLocked(fn)
		})
	}
}

// piecesLocked calls fn for the stream's pieces, oldest first.
func (s *stream) piecesLocked(fn func(*piece)) {
	for _, p := range s.closed {
		fn(p)
	}
	if s.open != nil {
		fn(s.open)
	}
}

// checkpoint writes pages and parts of all pieces that have entries in data segments below seg and nowhere else.
func (i *Ingester) checkpoint(ctx context.Context, seg uint64) {
	begin := time.Now()
	var pieces []*piece
	i.eachPiece(func(p *piece) {
		if p.state != pieceIndexed && p.segment != 0 && p.segment < seg {
			pieces = append(pieces, p)
		}
	})
	if len(pieces) == 0 {
		return
	}
	i.metrics.checkpoints.Inc()
	before := i.parts.Stats().Bytes
	if err := i.spillPieces(ctx, func(p *piece) bool { return p.segment != 0 && p.segment < seg }); err != nil {
		i.metrics.checkpointFailures.Inc()
		return
	}
	for _, p := range pieces {
		if ctx.Err() != nil {
			return
		}
		if err := i.writePart(p); err != nil {
			i.log.Error("cannot write a checkpoint; the log stays longer", "err", err)
			i.metrics.checkpointFailures.Inc()
			return
		}
	}
	bytes := i.parts.Stats().Bytes - before
	i.metrics.checkpointBytes.Add(float64(bytes))
	i.log.Info("wrote a checkpoint", "chunks", len(pieces), "bytes", bytes, "below_segment", seg, "duration", time.Since(begin))
	i.flushOldParts()
}

// writePart logs what of a piece is in no part yet, compressed.
func (i *Ingester) writePart(p *piece) error {
	s := p.stream
	s.mu.Lock()
	if p.state == pieceIndexed || p.fresh.empty() || p.b == nil || p.logging != 0 {
		s.mu.Unlock()
		return nil
	}
	index, raw, cut := p.b.Cut()
	if cut {
		p.sealing++
		p.rawBytes += raw.Bytes()
	}
	seqs, from, to := p.fresh, p.parted, p.b.Blocks()
	p.fresh, p.logging, p.segment = seqSet{}, p.segment, 0
	s.mu.Unlock()
	if cut {
		i.seal(sealJob{p: p, index: index, raw: raw})
	}
	seg, err := i.logPart(p, &seqs, from, to)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { p.logging = 0 }()
	switch {
	case p.state == pieceIndexed:
	case err != nil:
		p.fresh.union(&seqs)
		p.segment = lowest(p.segment, p.logging)
	default:
		p.parted = to
		if p.parts == 0 {
			p.parts = seg
		}
	}
	return err
}

func (i *Ingester) logPart(p *piece, seqs *seqSet, from, to int) (uint64, error) {
	s := p.stream
	s.mu.Lock()
	c := p.b.Chunk()
	s.mu.Unlock()
	c.Blocks = c.Blocks[from:to]
	c.Tenant, c.Labels, c.Fingerprint = s.tenant.name, s.labels, schema.Fingerprint(s.labels)
	object, _, err := chunk.Marshal(c, chunk.Options{Encoding: i.cfg.Encoding, BlockSize: i.cfg.BlockSize})
	if err != nil {
		return 0, fmt.Errorf("cannot write a part of %s: %w", s.labels, err)
	}
	record := appendPart(make([]byte, 0, len(object)+512), definition{id: p.id, tenant: s.tenant.name, labels: s.labels}, seqs)
	at, err := i.parts.Append(append(record, object...), wal.AnySegment)
	if err != nil {
		i.logFailed(err)
	}
	return at.Segment, err
}

// flushOldParts closes pieces that keep the log of parts from getting shorter when it is as long as the log itself may be.
func (i *Ingester) flushOldParts() {
	if i.parts.Size() <= i.cfg.WALSize {
		return
	}
	middle := i.parts.Oldest() + (i.parts.Segment()-i.parts.Oldest())/2
	i.eachPiece(func(p *piece) {
		if p.state == pieceOpen && p.parts != 0 && p.parts <= middle {
			i.closeLocked(p.stream, reasonWAL)
		}
	})
}
