package chunk

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"

	"logstore/pkg/model"
)

// Iterator yields the entries of one or more chunks of a stream in the order of time, each once: what is equal in timestamp,
// line and metadata is left out, wherever it stands. Entries of one instant come in the order of the chunks given, then of
// their blocks, then of arrival. Blocks are decompressed when their time comes, so that few are in memory at once.
type Iterator struct {
	waiting []source
	open    sources
	now     []*source // sources whose batches the entries of the current instant may point into
	seen    []seenEntry
	// known has the content of the entries of the current instant, once there are more than a few.
	known   map[string]struct{}
	key     []byte
	cur     *source
	pairs   []model.Pair
	err     error
	ts      int64
	started bool
}

// source is a block of a chunk; batch is nil until it is opened.
type source struct {
	block *Block
	order int
	batch *Batch
	at    int
}

// seenEntry is an entry of the current instant. The batch stays open until the next instant.
type seenEntry struct {
	batch *Batch
	at    int
}

// Iterate returns an iterator before the first entry. Close it if it is not read to the end.
func Iterate(chunks ...*Chunk) *Iterator {
	it := &Iterator{}
	for _, c := range chunks {
		for i := range c.Blocks {
			it.waiting = append(it.waiting, source{block: &c.Blocks[i], order: len(it.waiting)})
		}
	}
	slices.SortStableFunc(it.waiting, func(a, b source) int { return cmp.Compare(a.block.MinTime, b.block.MinTime) })
	return it
}

// Next moves to the next entry and reports whether there is one. After an error, which Err returns, there is none.
func (it *Iterator) Next() bool {
	for it.err == nil {
		if it.cur != nil {
			it.step()
		}
		if !it.pull() {
			break
		}
		s := it.open[0]
		ts := s.batch.Ts[s.at]
		if !it.started || ts != it.ts {
			it.release()
			it.ts, it.started = ts, true
		}
		it.cur = s
		if !it.repeated() {
			return true
		}
	}
	it.Close()
	return false
}

// step moves the current source behind its entry.
func (it *Iterator) step() {
	s := it.cur
	it.cur = nil
	if s.at++; s.at < s.batch.Len() {
		heap.Fix(&it.open, 0)
		return
	}
	heap.Pop(&it.open)
	it.now = append(it.now, s)
}

// pull opens the blocks that may hold the next entry.
func (it *Iterator) pull() bool {
	for len(it.waiting) > 0 {
		if len(it.open) > 0 && it.open[0].batch.Ts[it.open[0].at] < it.waiting[0].block.MinTime {
			break
		}
		s := it.waiting[0]
		it.waiting = it.waiting[1:]
		s.batch = GetBatch()
		if it.err = s.batch.Load(s.block); it.err == nil {
			it.err = s.batch.Walk()
		}
		if it.err != nil {
			PutBatch(s.batch)
			return false
		}
		if s.batch.Len() == 0 {
			PutBatch(s.batch)
			continue
		}
		heap.Push(&it.open, &s)
	}
	return len(it.open) > 0
}

// repeated reports whether the current entry was there before, and remembers it if not.
func (it *Iterator) repeated() bool {
	s := it.cur
	if len(it.seen) < fewEqual {
		for _, e := range it.seen {
			if bytes.Equal(e.batch.Line(e.at), s.batch.Line(s.at)) && samePairs(e.batch, e.at, s.batch, s.at) {
				return true
			}
		}
		it.seen = append(it.seen, seenEntry{s.batch, s.at})
		return false
	}
	if len(it.known) == 0 {
		if it.known == nil {
			it.known = map[string]struct{}{}
		}
		for _, e := range it.seen {
			it.known[string(it.content(e.batch, e.at))] = struct{}{}
		}
	}
	key := it.content(s.batch, s.at)
	if _, ok := it.known[string(key)]; ok {
		return true
	}
	it.known[string(key)] = struct{}{}
	return false
}

// content writes line and metadata of an entry so that different ones differ. It is valid until the next call.
func (it *Iterator) content(b *Batch, i int) []byte {
	it.key = it.key[:0]
	it.pairs = b.Metadata(i, it.pairs[:0])
	for _, p := range it.pairs {
		it.key = append(binary.AppendUvarint(it.key, uint64(len(p.Name))+1), p.Name...)
		it.key = append(binary.AppendUvarint(it.key, uint64(len(p.Value))), p.Value...)
	}
	it.key = append(it.key, 0)
	it.key = append(it.key, b.Line(i)...)
	return it.key
}

func samePairs(a *Batch, i int, b *Batch, j int) bool {
	if (a.Meta == nil || a.Buf[a.Meta[i]] == 0) && (b.Meta == nil || b.Buf[b.Meta[j]] == 0) {
		return true
	}
	var x, y [8]model.Pair
	return slices.Equal(a.Metadata(i, x[:0]), b.Metadata(j, y[:0]))
}

// release gives back the batches of the instant that has passed.
func (it *Iterator) release() {
	it.seen = it.seen[:0]
	clear(it.known)
	for _, s := range it.now {
		PutBatch(s.batch)
	}
	it.now = it.now[:0]
}

// Timestamp returns the current entry's time.
func (it *Iterator) Timestamp() int64 { return it.ts }

// Line returns the current entry's line, valid until Next or Close.
func (it *Iterator) Line() []byte { return it.cur.batch.Line(it.cur.at) }

// Metadata returns the current entry's metadata like Batch.Metadata. The slice is valid until Next; its strings belong
// to the chunk.
func (it *Iterator) Metadata() []model.Pair {
	it.pairs = it.cur.batch.Metadata(it.cur.at, it.pairs[:0])
	return it.pairs
}

// stored is Metadata with the names as they were written.
func (it *Iterator) stored() []model.Pair {
	it.pairs = it.cur.batch.stored(it.cur.at, it.pairs[:0])
	return it.pairs
}

// Err returns what stopped the iterator before the end.
func (it *Iterator) Err() error { return it.err }

// Close gives back the iterator's memory. It may be called more than once.
func (it *Iterator) Close() {
	it.release()
	for _, s := range it.open {
		PutBatch(s.batch)
	}
	it.open, it.waiting, it.cur = nil, nil, nil
}

// sources is a heap by time of the next entry, then by order.
type sources []*source

func (s sources) Len() int      { return len(s) }
func (s sources) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s sources) Less(i, j int) bool {
	a, b := s[i].batch.Ts[s[i].at], s[j].batch.Ts[s[j].at]
	return a < b || a == b && s[i].order < s[j].order
}
func (s *sources) Push(x any) { *s = append(*s, x.(*source)) }
func (s *sources) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// MergeOptions say what Merge keeps and how it cuts.
type MergeOptions struct {
	// BlockSize is the uncompressed size at which a block is cut; 0 is DefaultBlockSize.
	BlockSize int
	// First and Last bound the entries that are kept, both inclusive; the zero value of both keeps all.
	First, Last int64
	// Keep, if set, decides about each entry. The line and the pairs are only valid during the call.
	Keep func(ts int64, line []byte, metadata []model.Pair) bool
}

// Merge copies the entries of chunks of one stream into a new builder, in order and each once.
func Merge(opts MergeOptions, chunks ...*Chunk) (*Builder, error) {
	if opts.BlockSize <= 0 {
		opts.BlockSize = DefaultBlockSize
	}
	if opts.First == 0 && opts.Last == 0 {
		opts.First, opts.Last = math.MinInt64, math.MaxInt64
	}
	b := NewBuilder(Version3)
	it := Iterate(chunks...)
	defer it.Close()
	for it.Next() {
		ts := it.Timestamp()
		if ts < opts.First || ts > opts.Last || opts.Keep != nil && !opts.Keep(ts, it.Line(), it.Metadata()) {
			continue
		}
		if b.HeadSize() >= opts.BlockSize {
			b.Cut()
		}
		if err := b.Append(ts, it.Line(), it.stored()); err != nil {
			return nil, err
		}
	}
	return b, it.Err()
}
