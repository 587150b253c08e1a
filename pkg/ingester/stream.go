package ingester

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
	"logstore/pkg/wire"
)

// stream is one label set of one tenant.
type stream struct {
	id     uint64
	tenant *tenantState
	labels labels.Labels
	// hash is labels.StableHash(labels).
	hash uint64
	// defined is the log segment that defines the stream.
	defined atomic.Uint64
	// dead streams were taken out of memory: whoever meets one looks the stream up again. It is set under mu and the
	// shard's lock.
	dead atomic.Bool

	mu sync.Mutex
	// next is another stream of the same tenant and hash; the shard's lock guards it.
	next *stream
	// pins counts pushes between encoding and appending.
	pins int32
	// lastSeq is the last order number given out.
	lastSeq uint64
	// newest is the greatest timestamp that was appended, the least possible one at first.
	newest int64
	rate   bucket
	// open takes the next entries; nil if there is none.
	open *piece
	// closed are pieces that take no more entries, oldest first.
	closed []*piece
}

// piece is a chunk of a stream on its way from the first entry to the bucket. The stream's lock guards it, but for the
// fields that are said to belong to the one goroutine that works on it.
type piece struct {
	stream *stream
	// version is that of the chunk's layout.
	version byte
	// b is nil as long as the piece is small; then small holds its runs, but those that were moved into pages: fragments, and
	// spilling while the page is being written. None of these bytes ever change.
	b               *chunk.Builder
	small, spilling []byte
	fragments       []fragment
	// These tell that a reader may hold the buffer.
	smallShared, spillingShared bool
	// These are those of small.
	smallEntries             int
	smallOldest, smallNewest int64
	// first and last bound the entries in nanoseconds, both inclusive; size is the encoded size of all runs.
	first, last int64
	size        int
	// edge is the newest timestamp when the last block was closed; at first that of the first entry.
	edge int64
	// id is the stream's number, but for entries that a replay found under an older number of the same labels.
	id uint64
	// seqs are the order numbers that it holds, fresh those that are in no part.
	seqs, fresh seqSet
	// segment is the lowest data segment of the fresh runs, and logging that of the runs that are just being written into
	// a part; 0: none.
	segment, logging uint64
	// stuck is the lowest data segment of runs in pages that the log did not take: they need it until they are flushed.
	stuck uint64
	// parts is the lowest segment of the parts log that has a part of it; blocks of the builder below parted are in a part.
	// replayed tells that all it has so far came from parts.
	parts    uint64
	parted   int
	replayed bool
	// sealing is the number of blocks that are with the workers, rawBytes their size.
	sealing, rawBytes int
	// asides describe the builder's closed blocks, by their numbers, as far as they are sealed; asideBytes is their size.
	asides     []sidecar.Block
	asideBytes int
	// rich tells that the live block has the layout with metadata.
	rich bool
	// memory and head are what the ingester's sums hold of the piece.
	memory, head int64
	// opened and appended are clock times in nanoseconds.
	opened, appended int64
	state            pieceState
	reason           flushReason

	// ref and key are set once the object's bytes are known.
	ref model.ChunkRef
	key string
	// attempts, retryAt, stored (the object is in the bucket) and empty (nothing was left to store) belong to the one flush that is
	// under way.
	attempts int
	retryAt  time.Time
	stored   bool
	empty    bool
	// indexed is when it was stored and indexed, in nanoseconds; unlinked tells that the stream let it go.
	indexed  int64
	unlinked bool
}

type pieceState uint8

// The life of a piece.
const (
	// pieceOpen takes entries.
	pieceOpen pieceState = iota
	// pieceClosed takes none; blocks may still be with the sealers.
	pieceClosed
	// pieceQueued waits for a flush or is being flushed.
	pieceQueued
	// pieceIndexed is in the bucket and in the index.
	pieceIndexed
)

// oldestSegmentLocked returns the lowest data segment that the piece needs, 0 if none.
func (p *piece) oldestSegmentLocked() uint64 {
	return lowest(lowest(p.segment, p.logging), p.stuck)
}

// lowest returns the lower of two segments, of which zero is none.
func lowest(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// encodeLocked encodes the entries of a pushed stream that are taken, and returns which are refused; of each kind the first
// are named, up to that number.
func (s *stream) encodeLocked(enc *runEncoder, in *wire.Stream, index int, lim *limits.Limits, window time.Duration, now int64, named int) []wire.Refusal {
	if r := s.checkRateLocked(in, index, lim, now, named); r != nil {
		return []wire.Refusal{*r}
	}
	if s.takesRunsLocked(in, lim, window) {
		for i := range in.Runs {
			enc.addRunLocked(s, &in.Runs[i])
		}
		return nil
	}
	var behind, disorder *wire.Refusal
	newest := s.newest
	for i := range in.Entries {
		e := &in.Entries[i]
		if e.Timestamp < newest {
			if oldest := newest - int64(window); e.Timestamp < oldest {
				behind = refuse(behind, wire.TooFarBehind, in, index, e, oldest, named)
				continue
			}
			if !lim.UnorderedWrites {
				disorder = refuse(disorder, wire.OutOfOrder, in, index, e, newest, named)
				continue
			}
		}
		newest = max(newest, e.Timestamp)
		enc.addLocked(s, e)
	}
	enc.end()
	if behind == nil && disorder == nil {
		return nil
	}
	var refusals []wire.Refusal
	for _, r := range []*wire.Refusal{behind, disorder} {
		if r != nil {
			refusals = append(refusals, *r)
		}
	}
	return refusals
}

// takesRunsLocked reports whether the stream came encoded and none of its entries is refused for its time.
func (s *stream) takesRunsLocked(in *wire.Stream, lim *limits.Limits, window time.Duration) bool {
	if !lim.UnorderedWrites || len(in.Runs) == 0 {
		return false
	}
	newest := s.newest
	for i := range in.Runs {
		newest = max(newest, in.Runs[i].Newest)
		if in.Runs[i].Oldest < newest-int64(window) {
			return false
		}
	}
	return true
}

func refuse(r *wire.Refusal, kind wire.RefusalKind, in *wire.Stream, index int, e *wire.PushEntry, oldest int64, named int) *wire.Refusal {
	if r == nil {
		r = &wire.Refusal{Stream: index, Kind: kind, Labels: in.Text, Total: len(in.Entries)}
	}
	r.Entries++
	r.Bytes += e.Size()
	if len(r.First) < named {
		r.First = append(r.First, wire.RefusedEntry{Timestamp: e.Timestamp, Oldest: oldest, Bytes: e.Size()})
	}
	return r
}

// checkRateLocked refuses the whole stream if it comes faster than its rate.
func (s *stream) checkRateLocked(in *wire.Stream, index int, lim *limits.Limits, now int64, named int) *wire.Refusal {
	if lim.PerStreamRateLimit <= 0 {
		return nil
	}
	if s.rate.take(sizeOf(in), lim.PerStreamRateLimit, lim.PerStreamRateLimitBurst, now) {
		return nil
	}
	var r *wire.Refusal
	for i := range in.Entries {
		r = refuse(r, wire.StreamRate, in, index, &in.Entries[i], 0, named)
	}
	if r != nil {
		r.Limit = lim.PerStreamRateLimit
	}
	return r
}

// sizeOf returns the sum of the entries' sizes.
func sizeOf(in *wire.Stream) int {
	size := 0
	if len(in.Runs) > 0 {
		for i := range in.Runs {
			size += in.Runs[i].Size
		}
		return size
	}
	for i := range in.Entries {
		size += in.Entries[i].Size()
	}
	return size
}

// bucket is a token bucket that is full at first.
type bucket struct {
	// used is what was taken and has not flowed back, at the time at.
	used float64
	at   int64
}

// take takes n tokens of a bucket of the rate and burst, all or none.
func (b *bucket) take(n, rate, burst int, now int64) bool {
	if now > b.at {
		b.used = max(0, b.used-float64(rate)*float64(now-b.at)/float64(time.Second))
		b.at = now
	}
	if b.used+float64(n) > float64(max(burst, rate)) {
		return false
	}
	b.used += float64(n)
	return true
}
