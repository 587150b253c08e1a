package ingester

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"encoding/binary"

	"logstore/pkg/chunk"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/trace"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

const (
	// sealBacklog is how many bytes may wait for compression before pushes wait.
	sealBacklog = 48 << 20
	// maxPooledRecord bounds the buffers that are kept for the next push.
	maxPooledRecord = 8 << 20
)

// pushState is the memory of one push.
type pushState struct {
	enc      runEncoder
	items    []pushItem
	refusals []wire.Refusal
	pairs    []model.Pair
}

// pushItem is a stream of a push that has entries to append.
type pushItem struct {
	s *stream
	// index is that of the pushed stream; runs lo to hi of the encoder are its entries.
	index, lo, hi int
}

var pushStates = sync.Pool{New: func() any { return new(pushState) }}

func (ps *pushState) release() {
	clear(ps.items)
	clear(ps.refusals)
	clear(ps.pairs[:cap(ps.pairs)])
	ps.items, ps.refusals, ps.enc.runs = ps.items[:0], ps.refusals[:0], ps.enc.runs[:0]
	if cap(ps.enc.buf) > maxPooledRecord {
		ps.enc.buf = nil
	}
	pushStates.Put(ps)
}

// Push stores the entries of checked streams. When it returns nil they are in the log and in the next query's answer. A
// *wire.RefusedError names entries that were not taken; all others are then stored as well. After any other error nothing
// is known to be stored.
func (i *Ingester) Push(ctx context.Context, tenant string, streams []wire.Stream) error {
	ctx, span := trace.Start(ctx, "ingester push")
	err := i.push(ctx, tenant, streams, i.limits.For(tenant), i.cfg.MaxChunkAge/2)
	span.End(err)
	return err
}

// push is Push under some limits; entries may be older than their stream's newest by the window.
func (i *Ingester) push(ctx context.Context, tenant string, streams []wire.Stream, lim *limits.Limits, window time.Duration) error {
	if i.State() != Running {
		return fmt.Errorf("%w: %s", ErrNotReady, i.State())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.checkMemory(); err != nil {
		return err
	}
	if err := i.checkDisk(); err != nil {
		return err
	}
	if err := i.waitRoom(ctx); err != nil {
		return err
	}
	ps := pushStates.Get().(*pushState)
	defer ps.release()
	t := i.streams.tenant(tenant)
	if t == nil {
		t = i.streams.tenantOrNew(strings.Clone(tenant))
	}
	i.encode(ps, t, streams, lim, window)
	_, span := trace.Start(ctx, "write-ahead log")
	seg, err := i.logPush(ps)
	span.Int("logstore.bytes", int64(len(ps.enc.buf)))
	span.End(err)
	if err != nil {
		i.unpin(ps)
		return err
	}
	i.appendPush(ps, seg)
	i.touch(tenant, ps)
	i.pins.release(seg)
	i.tails.notify(tenant, streams)
	if len(ps.refusals) > 0 {
		return &wire.RefusedError{Refusals: append([]wire.Refusal(nil), ps.refusals...)}
	}
	return nil
}

// waitRoom holds a push back while compression cannot keep up.
func (i *Ingester) waitRoom(ctx context.Context) error {
	if err := i.seals.waitRoom(ctx, sealBacklog); err != nil {
		return err
	}
	return i.waitHeads(ctx)
}

func (i *Ingester) checkMemory() error {
	if used := i.memory.Load(); used > i.memoryLimit() {
		kick(i.kickMemory)
		i.metrics.memoryRefused.Inc()
		return fmt.Errorf("%w: %d bytes of entries wait to be flushed, memory_limit is %d", ErrMemory, used, i.cfg.MemoryLimit)
	}
	return nil
}

// encode checks the entries of all streams and writes those that are taken into the record. Streams of items are pinned.
func (i *Ingester) encode(ps *pushState, t *tenantState, streams []wire.Stream, lim *limits.Limits, window time.Duration) {
	ps.enc.buf = append(ps.enc.buf[:0], make([]byte, wal.HeaderSize)...)
	ps.enc.buf = append(ps.enc.buf, recordPush)
	now := time.Now().UnixNano()
	for k := range streams {
		in := &streams[k]
		if len(in.Entries) == 0 {
			continue
		}
		s := i.pinStream(t, in, lim)
		if s == nil {
			size := 0
			for e := range in.Entries {
				size += in.Entries[e].Size()
			}
			ps.refusals = append(ps.refusals, wire.Refusal{Stream: k, Kind: wire.StreamLimit, Labels: in.Text,
				Entries: len(in.Entries), Bytes: size, Total: len(in.Entries)})
			continue
		}
		// pinStream returned with the stream locked.
		lo := len(ps.enc.runs)
		refused := s.encodeLocked(&ps.enc, in, k, lim, window, now, i.cfg.NamedErrors)
		if lo == len(ps.enc.runs) {
			s.pins--
		}
		s.mu.Unlock()
		ps.refusals = append(ps.refusals, refused...)
		if lo < len(ps.enc.runs) {
			ps.items = append(ps.items, pushItem{s: s, index: k, lo: lo, hi: len(ps.enc.runs)})
		}
	}
}

// pinStream finds or makes the stream and returns it locked and pinned; nil if the tenant may have no more streams.
func (i *Ingester) pinStream(t *tenantState, in *wire.Stream, lim *limits.Limits) *stream {
	for {
		s := i.streams.find(t, in.Hash, in.Labels)
		if s == nil {
			var ok bool
			s, ok = i.streams.add(i.newStream(t, in.Labels, in.Hash), func() bool {
				if n := t.streams.Add(1); i.tooMany(n, lim) {
					t.streams.Add(-1)
					return false
				}
				i.metrics.streamsCreated.WithLabelValues(t.name).Inc()
				return true
			})
			if !ok {
				return nil
			}
		}
		s.mu.Lock()
		if !s.dead.Load() {
			s.pins++
			return s
		}
		s.mu.Unlock()
	}
}

// tooMany reports whether n streams are more than the tenant may have here.
func (i *Ingester) tooMany(n int64, lim *limits.Limits) bool {
	if l := lim.MaxLocalStreamsPerUser; l > 0 && n > int64(l) {
		return true
	}
	l := lim.MaxGlobalStreamsPerUser
	return l > 0 && n > int64(i.local(l))
}

// logPush writes the record and returns its segment, which is pinned.
func (i *Ingester) logPush(ps *pushState) (uint64, error) {
	if len(ps.items) == 0 {
		// Nothing was taken; zero is never a segment that anybody waits for.
		return 0, i.pins.pin(0)
	}
	if i.data == nil {
		return 0, i.pins.pin(0)
	}
	body := len(ps.enc.buf)
	seg := i.data.Segment()
	for {
		if err := i.pins.pin(seg); err != nil {
			return 0, err
		}
		ps.enc.buf = ps.enc.buf[:body]
		for k := range ps.items {
			if s := ps.items[k].s; s.defined.Load() != seg {
				d := definition{id: s.id, tenant: s.tenant.name, labels: s.labels}
				ps.enc.buf = d.appendTo(ps.enc.buf)
			}
		}
		ps.enc.buf = binary.LittleEndian.AppendUint32(ps.enc.buf, uint32(len(ps.enc.buf)-body))
		at, err := i.data.Append(ps.enc.buf, seg)
		if err == nil {
			i.logWorks()
			break
		}
		i.pins.release(seg)
		if !errors.Is(err, wal.ErrRotated) {
			i.logFailed(err)
			return 0, fmt.Errorf("%w: %w", ErrLog, err)
		}
		seg = at.Segment
		kick(i.kickLog)
	}
	for k := range ps.items {
		// A push that defines the stream in a later segment at the same time may have come first.
		for s := ps.items[k].s; ; {
			was := s.defined.Load()
			if was >= seg || s.defined.CompareAndSwap(was, seg) {
				break
			}
		}
	}
	return seg, nil
}

// unpin gives up a push that was not logged.
func (i *Ingester) unpin(ps *pushState) {
	for k := range ps.items {
		s := ps.items[k].s
		s.mu.Lock()
		s.pins--
		s.mu.Unlock()
	}
}

// appendPush appends what was logged to the streams.
func (i *Ingester) appendPush(ps *pushState, seg uint64) {
	now := time.Now().UnixNano()
	entries, bytes := 0, 0
	for k := range ps.items {
		item := &ps.items[k]
		s := item.s
		s.mu.Lock()
		for _, r := range ps.enc.runs[item.lo:item.hi] {
			i.appendRunLocked(s, s.id, r, ps.enc.buf[r.lo:r.hi], seg, now, &ps.pairs)
			entries += r.entries
			bytes += r.hi - r.lo
		}
		s.pins--
		s.mu.Unlock()
	}
	i.metrics.appended(entries, bytes)
	if i.heads.Load() > i.cfg.HeadLimit || i.memory.Load() > i.softLimit() {
		kick(i.kickMemory)
	}
}

// touch tells whoever keeps results of queries where entries were written. They can be read by now, and are not acknowledged
// yet: see package changes.
func (i *Ingester) touch(tenant string, ps *pushState) {
	if i.changes == nil {
		return
	}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for k := range ps.items {
		for _, r := range ps.enc.runs[ps.items[k].lo:ps.items[k].hi] {
			if r.oldest >= first && r.newest <= last {
				continue
			}
			// Runs that are close together are told as one; a run that is far away stands alone.
			if first <= last && max(last, r.newest)-min(first, r.oldest) > int64(time.Hour) {
				i.changes.Touch(tenant, first, last)
				first, last = r.oldest, r.newest
				continue
			}
			first, last = min(first, r.oldest), max(last, r.newest)
		}
	}
	if first <= last {
		i.changes.Touch(tenant, first, last)
	}
}

// appendRunLocked adds a run to the open piece of a stream.
func (i *Ingester) appendRunLocked(s *stream, id uint64, r run, data []byte, seg uint64, now int64, pairs *[]model.Pair) {
	p := s.open
	if p != nil && p.id != id {
		i.closeLocked(s, reasonForced)
		p = nil
	}
	if p != nil {
		reason, ends := i.endsBefore(p, r.oldest, r.newest)
		if !ends && i.cutsBeforeLocked(p, r.newest) {
			reason, ends = reasonFull, i.endBlockLocked(p, r.newest)
		}
		if ends {
			i.closeLocked(s, reason)
			p = nil
		}
	}
	if p == nil {
		p = i.newPieceLocked(s, id, r.oldest, now)
	}
	if p.b == nil && len(p.small)+len(data) <= i.smallPiece() {
		p.appendSmall(r.kind, data, r.entries, r.oldest, r.newest)
	} else {
		if p.b == nil {
			i.promoteLocked(p, pairs)
		}
		if p.replayed {
			// Blocks with fresh entries are kept apart from those that are in a part already.
			i.cutLocked(p)
			p.parted, p.replayed = p.b.Blocks(), false
		}
		i.beforeRunLocked(p, r.kind)
		if err := appendRun(p.b, r.kind, data, pairs); err != nil {
			// The push was encoded by this process, or its checksum was right.
			i.log.Error("BUG: cannot append a logged run", "stream", s.labels.String(), "err", err)
			i.metrics.lostRuns.Inc()
			return
		}
	}
	p.seqs.add(r.seq)
	if i.data != nil {
		p.fresh.add(r.seq)
		if p.segment == 0 || seg < p.segment {
			p.segment = seg
		}
	}
	p.first, p.last = min(p.first, r.oldest), max(p.last, r.newest)
	p.size += len(data)
	i.appendedLocked(p, now)
}

// beforeRunLocked cuts where the builder would begin a new block by itself, which the sealers would not get.
func (i *Ingester) beforeRunLocked(p *piece, kind byte) {
	if kind == runRich && !p.rich {
		i.cutLocked(p)
		p.rich = true
	}
}

// appendedLocked does what follows from more entries in a piece: it is cut or closed when it is large enough.
func (i *Ingester) appendedLocked(p *piece, now int64) {
	s := p.stream
	p.appended = now
	s.newest = max(s.newest, p.last)
	switch {
	case p.b == nil:
		if p.size >= 4*i.cfg.TargetSize {
			i.closeLocked(s, reasonFull)
		}
	case p.b.HeadSize() >= i.cfg.BlockSize:
		if i.endBlockLocked(p, p.last) {
			i.closeLocked(s, reasonFull)
		}
	}
	i.accountLocked(p)
}

// newPieceLocked begins a chunk in the version of the period of its first entry.
func (i *Ingester) newPieceLocked(s *stream, id uint64, ts, now int64) *piece {
	version := byte(chunk.Version3)
	if i.metadataAt(ts) {
		version = chunk.Version4
	}
	i.metrics.chunksCreated.Inc()
	i.metrics.chunks.Add(1)
	s.open = &piece{stream: s, version: version, id: id, opened: now, appended: now, first: math.MaxInt64, last: math.MinInt64, edge: ts}
	return s.open
}

// metadataAt reports whether chunks of that time have the layout with metadata.
func (i *Ingester) metadataAt(ts int64) bool {
	return i.periods[i.periods.At(ts/int64(time.Millisecond))].Schema >= 13
}
