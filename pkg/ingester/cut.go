package ingester

import (
	"math/bits"
	"time"
)

// Where a chunk ends decides whether the members that hold a stream write one object or two: a chunk's key has its checksum. So all
// that ends blocks and chunks while nothing is wrong follows from the entries alone, their timestamps, their bytes and their order,
// and not from clocks, from the progress of the compression, or from when somebody looked. Members that took the same pushes in the
// same order make the same chunks, byte for byte.
//
// Members do not always: one was away, or a push was late on one of them, so that its entries came behind the next ones. If sizes alone
// said where a block ends, all blocks from there on would differ. So a block that is three quarters full ends where the time of the
// entries passes a multiple of a power of two, as a chunk does among its blocks: members whose blocks began at different entries end
// them at the same one soon. At the latest they agree from the next multiple of sync_period on.

// endsBefore reports whether the open piece takes no run with these timestamps, and why.
func (i *Ingester) endsBefore(p *piece, oldest, newest int64) (flushReason, bool) {
	if p.size == 0 {
		return "", false
	}
	if max(p.last, newest)-min(p.first, oldest) > int64(i.cfg.MaxChunkAge) {
		return reasonAge, true
	}
	period := int64(i.cfg.SyncPeriod)
	if period <= 0 || newest <= p.last || float64(p.size) < i.cfg.SyncMinUtilization*float64(i.cfg.TargetSize) {
		return "", false
	}
	// Streams are cut one after the other, not all at the same instant.
	offset := int64(p.stream.hash % uint64(period))
	return reasonSynced, floor(newest-offset, period) > floor(p.last-offset, period)
}

// floor divides and rounds down.
func floor(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

// passes reports whether the time goes past a mark of the grid of a stretch that is as long as span: it has eight to sixteen of them.
func passes(from, to, span int64) bool {
	if span < 8 || to <= from {
		return false
	}
	k := bits.Len64(uint64(span)/8) - 1
	return from>>k < to>>k
}

// cutsBeforeLocked reports whether the live block of a piece ends before a run whose newest entry is that.
func (i *Ingester) cutsBeforeLocked(p *piece, newest int64) bool {
	return p.b != nil && p.b.HeadSize() >= i.cfg.BlockSize*3/4 && passes(p.last, newest, p.last-p.edge)
}

// endBlockLocked closes the live block of a piece, before entries of the time next, and reports whether the chunk has its size.
func (i *Ingester) endBlockLocked(p *piece, next int64) bool {
	size := p.b.HeadSize()
	i.cutLocked(p)
	from := p.edge
	p.edge = p.last
	if i.hasSizeLocked(p, from, next) {
		return true
	}
	if p.appended-p.opened < int64(p.b.Blocks())*busyBlock && p.b.HeadSize() == 0 {
		p.b.Reserve(size)
	}
	return false
}

// busyBlock is how fast a stream must fill its blocks, in nanoseconds, to get room for a whole one at once: the others' blocks grow bit
// by bit, for there may be very many of them.
const busyBlock = int64(5 * time.Second)

// hasSizeLocked reports whether the piece has its size, or nearly, and the last block began and the next one begins on two sides of a
// mark of the grid.
func (i *Ingester) hasSizeLocked(p *piece, from, next int64) bool {
	if p.b.Size() < i.cfg.TargetSize*3/4 {
		return false
	}
	// The first half of the blocks tells how well they compress: the others may be with the workers still, on one member and not on
	// the other.
	stored, plain := p.b.Sealed(p.b.Blocks() / 2)
	if plain == 0 {
		return p.b.Size() >= 8*i.cfg.TargetSize
	}
	size := int(float64(stored) / float64(plain) * float64(p.b.Size()))
	return size >= i.cfg.TargetSize || size >= i.cfg.TargetSize*3/4 && passes(from, next, p.last-p.first)
}

// secondPause is how much later than the first replica the others store a chunk: then they find the first one's object, and need not
// write it again.
const secondPause = 5 * time.Second

// waitsForFirst reports whether the chunk is one that another member is to store first.
func (i *Ingester) waitsForFirst(p *piece) bool {
	switch p.reason {
	case reasonFull, reasonIdle, reasonAge, reasonSynced:
		return i.holdsSecond(p.stream)
	}
	return false
}

// holdsSecond reports whether another member, as far as this one knows, does for the stream what needs to be done once.
func (i *Ingester) holdsSecond(s *stream) bool {
	return i.second != nil && i.State() == Running && i.second(s.tenant.name, s.hash)
}
