package ingester

import (
	"context"
	"time"
)

// memoryLimit is the memory that entries may take now.
func (i *Ingester) memoryLimit() int64 {
	if c := i.cfg.ReplayMemory; c > 0 && i.State() == Starting {
		return min(c, i.cfg.MemoryLimit)
	}
	return i.cfg.MemoryLimit
}

// softLimit is the memory beyond which chunks are flushed early.
func (i *Ingester) softLimit() int64 { return i.memoryLimit() / 4 * 3 }

// runMemory relieves memory when it is told that there is too much of it in use.
func (i *Ingester) runMemory(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-i.kickMemory:
		case <-ctx.Done():
			return
		}
		i.sealHeads(ctx)
		i.closeForMemory()
		// What was decided takes effect when workers and store get to it; a moment later is early enough to look again.
		pause.Reset(2 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// waitHeads waits while there are so many uncompressed bytes that pushes have to leave time for relief.
func (i *Ingester) waitHeads(ctx context.Context) error {
	for i.heads.Load() > i.cfg.HeadLimit+i.cfg.HeadLimit/4 {
		if err := i.checkMemory(); err != nil {
			return err
		}
		kick(i.kickMemory)
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sealHeads cuts live blocks that are larger than the average until the uncompressed bytes are well below their limit.
func (i *Ingester) sealHeads(ctx context.Context) {
	over := i.heads.Load() - i.cfg.HeadLimit
	if over <= 0 {
		return
	}
	want := over + i.cfg.HeadLimit/3
	live, count := i.liveHeads()
	want -= i.heads.Load() - live // what is with the sealers already
	if want <= 0 || count == 0 {
		return
	}
	average := int(live / count)
	if err := i.spillPieces(ctx, func(p *piece) bool {
		if want <= 0 || len(p.small) < average {
			return false
		}
		want -= int64(len(p.small))
		return true
	}); err != nil || want <= 0 {
		return
	}
	from := int(i.hand.Load())
	for k := range shardCount {
		if want <= 0 || i.seals.waitRoom(ctx, sealBacklog) != nil {
			return
		}
		i.streams.each((from+k)%shardCount, func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			p := s.open
			if p == nil || p.b == nil || p.b.HeadSize() < average || want <= 0 {
				return
			}
			want -= int64(p.b.HeadSize())
			i.metrics.earlySeals.Inc()
			i.cutLocked(p)
			i.accountLocked(p)
		})
	}
}

// spillPieces moves the content of small pieces into pages, as far as wanted says so, and goes on next time where it stopped.
func (i *Ingester) spillPieces(ctx context.Context, wanted func(*piece) bool) error {
	i.spilling.Lock()
	defer i.spilling.Unlock()
	w := &i.spill
	from := int(i.hand.Load())
	for k := range shardCount {
		took := false
		shard := (from + k) % shardCount
		i.streams.each(shard, func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.piecesLocked(func(p *piece) {
				if p.canSpillLocked() && wanted(p) {
					w.takeLocked(p)
					took = true
				}
			})
		})
		if took {
			i.hand.Store(int64(shard) + 1)
		}
		// Pages hold streams of one shard, so that those who go over the streams by shards read each page once.
		if len(w.data) >= pageSize/4 || k == shardCount-1 || ctx.Err() != nil {
			if err := i.writeSpill(w); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// liveHeads returns the bytes and the number of live blocks and of small contents, those of closed pieces included: they may
// wait long for the store.
func (i *Ingester) liveHeads() (bytes, count int64) {
	i.eachPiece(func(p *piece) {
		n := len(p.small)
		if p.b != nil {
			n = p.b.HeadSize()
		}
		if n > 0 {
			bytes += int64(n)
			count++
		}
	})
	return bytes, count
}

// closeForMemory closes chunks that are larger than the average until what is left is well below the limit.
func (i *Ingester) closeForMemory() {
	used := i.memory.Load()
	if used <= i.softLimit() {
		return
	}
	var open, count, closed int64
	i.eachPiece(func(p *piece) {
		if p.state == pieceOpen {
			open += p.memory
			count++
		} else {
			closed += p.memory
		}
	})
	want := used - closed - i.memoryLimit()/2
	if want <= 0 || count == 0 {
		return
	}
	average, from := open/count, int(i.hand.Load())
	for k := range shardCount {
		shard := (from + k) % shardCount
		i.streams.each(shard, func(s *stream) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if p := s.open; p != nil && p.memory >= average && want > 0 {
				want -= p.memory
				i.closeLocked(s, reasonMemory)
			}
		})
		if want <= 0 {
			i.hand.Store(int64(shard) + 1)
			return
		}
	}
}
