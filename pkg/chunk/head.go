package chunk

import (
	"encoding/binary"
	"fmt"
	"math"

	"logstore/pkg/bufpool"
)

// head is the block that takes the next entries: its bytes are the block's own encoding, in the order of arrival.
type head struct {
	buf            []byte
	min, max, last int64
	entries        int
	size           int
	// pairs tells that entries carry symbol references (version 4).
	pairs bool
	// ascending tells that each entry was later than the one before it.
	ascending bool
	// shared tells that a reader may hold the buffer.
	shared bool
}

func newHead(pairs bool) head {
	return head{pairs: pairs, ascending: true, min: math.MaxInt64, max: math.MinInt64, last: math.MinInt64}
}

// note counts an entry whose bytes have been appended.
func (h *head) note(ts int64, size int) {
	if ts <= h.last && h.entries > 0 {
		h.ascending = false
	}
	h.min, h.max, h.last = min(h.min, ts), max(h.max, ts), ts
	h.entries++
	h.size += size
}

// append adds an entry. refs are the symbols of its metadata, name and value in turn.
func (h *head) append(ts int64, line []byte, refs []uint32) {
	need := EntryBound + len(line)
	if h.pairs {
		need += 2*binary.MaxVarintLen32 + len(refs)*binary.MaxVarintLen32
	}
	h.reserve(need)
	h.buf = AppendEntry(h.buf, ts, line)
	if h.pairs {
		h.buf = appendRefs(h.buf, refs)
	}
	h.note(ts, len(line)+4*len(refs))
}

func appendRefs(dst []byte, refs []uint32) []byte {
	if len(refs) == 0 {
		return append(dst, noPairs...)
	}
	n := uvarintLen(uint32(len(refs) / 2))
	for _, r := range refs {
		n += uvarintLen(r)
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(len(refs)/2))
	for _, r := range refs {
		dst = binary.AppendUvarint(dst, uint64(r))
	}
	return dst
}

func uvarintLen(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// appendEncoded adds what AppendEntry wrote, as it is if the layout allows. It adds nothing if one entry is bad.
func (h *head) appendEncoded(run []byte) error {
	after := *h
	for pos := 0; pos < len(run); {
		ts, start, end := entryAt(run, pos)
		if end < 0 {
			return fmt.Errorf("%w: bad entry at byte %d of a run", ErrCorrupt, pos)
		}
		after.note(ts, end-start)
		pos = end
	}
	if !h.pairs {
		h.reserve(len(run))
		after.buf, after.shared = append(h.buf, run...), h.shared
		*h = after
		return nil
	}
	h.reserve(len(run) + (after.entries-h.entries)*len(noPairs))
	after.buf, after.shared = h.buf, h.shared
	for pos := 0; pos < len(run); {
		_, _, end := entryAt(run, pos)
		after.buf = append(append(after.buf, run[pos:end]...), noPairs...)
		pos = end
	}
	*h = after
	return nil
}

// reserve makes room for n more bytes. The old buffer is used again unless a reader may hold it.
func (h *head) reserve(n int) {
	if cap(h.buf)-len(h.buf) >= n {
		return
	}
	bigger := append(buffers.Get(len(h.buf)+n), h.buf...)
	h.recycle()
	h.buf, h.shared = bigger, false
}

func (h *head) recycle() {
	if !h.shared {
		buffers.Put(h.buf)
	}
	h.buf = nil
}

// block returns the entries so far. It shares the buffer, whose bytes never change: later entries go behind them.
func (h *head) block(symbols *Symbols) Block {
	return Block{
		MinTime: h.min, MaxTime: h.max, Entries: h.entries, Size: h.size, Symbols: symbols,
		data: h.buf, raw: true, pairs: h.pairs, ascending: h.ascending,
	}
}

// buffers are those of live blocks, which start small and grow by halves and thirds, since a tenant may have very many streams of a few lines.
var buffers = bufpool.New(512, 22)
