package ingester

import (
	"context"
	"time"
)

// runSweeper looks at all streams now and then.
func (i *Ingester) runSweeper(ctx context.Context) {
	ticker := time.NewTicker(i.cfg.FlushCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			i.sweep(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// sweep closes pieces that are old or idle, lets go of those that were retained for long enough, and removes streams that
// hold nothing.
func (i *Ingester) sweep(now time.Time) {
	var empty []*stream
	for k := range shardCount {
		empty = empty[:0]
		i.streams.each(k, func(s *stream) {
			if i.sweepStream(s, now.UnixNano()) {
				empty = append(empty, s)
			}
		})
		if len(empty) == 0 {
			continue
		}
		sh := &i.streams.shards[k]
		sh.mu.Lock()
		for _, s := range empty {
			s.mu.Lock()
			if s.emptyLocked() {
				s.dead.Store(true)
				sh.removeLocked(s)
				i.metrics.streamsRemoved.WithLabelValues(s.tenant.name).Inc()
			}
			s.mu.Unlock()
		}
		sh.mu.Unlock()
	}
}

func (s *stream) emptyLocked() bool {
	return s.open == nil && len(s.closed) == 0 && s.pins == 0 && !s.dead.Load()
}

func (i *Ingester) sweepStream(s *stream, now int64) (empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open; p != nil {
		age := int64(i.cfg.MaxChunkAge)
		switch {
		case p.last-p.first > age || now-p.opened > age:
			// The next entry would end it as well, see endsBefore; here ends what gets few.
			i.closeLocked(s, reasonAge)
		case now-p.appended > int64(i.cfg.ChunkIdle):
			i.closeLocked(s, reasonIdle)
		}
	}
	for k := 0; k < len(s.closed); {
		if p := s.closed[k]; p.state == pieceIndexed && now-p.indexed >= int64(i.cfg.ChunkRetain) {
			i.unlinkLocked(s, p)
			continue
		}
		k++
	}
	return s.emptyLocked()
}
