package chunk

import (
	"fmt"
	"math"
	"slices"

	"logstore/pkg/model"
)

// Builder is the growing chunk of one stream: closed blocks, and a live one that takes the next entries.
//
// It is not safe for concurrent use: the stream's lock guards it. What Chunk and Cut return may be read at any time
// without that lock, because bytes that have been appended never change: a growing block writes only behind
// what was handed out, and a buffer that was handed out is never used for anything else.
//
// The life of a block: Append fills the live one; Cut closes it and returns it as it is; Seal compresses it, which may be
// done by another goroutine without the lock; Replace puts the result in its place.
type Builder struct {
	head   head
	blocks []Block
	table  *table
	// min, max, entries, size and bytes are sums over the closed blocks.
	min, max             int64
	entries, size, bytes int
}

// What is appended at once is bounded so that a block, which takes more only while it is below a half of MaxBlockBytes, never exceeds it.
const (
	maxRun   = MaxBlockBytes / 8
	maxPairs = MaxBlockBytes / 128
)

// NewBuilder returns an empty builder. Version4 gives every block the layout with metadata; with Version3 that layout
// begins with the first entry that has some. Marshal then chooses the version that holds the whole chunk.
func NewBuilder(version byte) *Builder {
	return &Builder{head: newHead(version >= Version4), min: math.MaxInt64, max: math.MinInt64}
}

// Append adds an entry, in whatever order of time. Line and metadata are copied. The metadata is stored sorted by name.
func (b *Builder) Append(ts int64, line []byte, metadata []model.Pair) error {
	if len(line) > maxRun || len(metadata) > maxPairs {
		return fmt.Errorf("%w: line of %d bytes with %d pairs of metadata", ErrTooLarge, len(line), len(metadata))
	}
	if len(b.head.buf) > MaxBlockBytes/2 {
		b.Cut()
	}
	if len(metadata) == 0 {
		b.head.append(ts, line, nil)
		return nil
	}
	if b.table == nil {
		b.table = new(table)
	}
	if !b.head.pairs {
		b.Cut()
		b.head.recycle()
		b.head = newHead(true)
	}
	var few [32]uint32
	refs := few[:0]
	if sortedPairs(metadata) {
		refs = b.intern(refs, metadata)
	} else {
		sorted := slices.Clone(metadata)
		slices.SortStableFunc(sorted, func(x, y model.Pair) int {
			switch {
			case x.Name < y.Name:
				return -1
			case x.Name > y.Name:
				return 1
			}
			return 0
		})
		refs = b.intern(refs, sorted)
	}
	b.head.append(ts, line, refs)
	return nil
}

func (b *Builder) intern(refs []uint32, metadata []model.Pair) []uint32 {
	for _, p := range metadata {
		refs = append(refs, b.table.intern(p.Name), b.table.intern(p.Value))
	}
	return refs
}

func sortedPairs(p []model.Pair) bool {
	for i := 1; i < len(p); i++ {
		if p[i].Name < p[i-1].Name {
			return false
		}
	}
	return true
}

// AppendEncoded adds a run of entries that AppendEntry wrote; the bytes are copied. If one of them is bad, none is added.
func (b *Builder) AppendEncoded(run []byte) error {
	if len(run) > maxRun {
		return fmt.Errorf("%w: run of %d bytes", ErrTooLarge, len(run))
	}
	if len(b.head.buf) > MaxBlockBytes/2 {
		b.Cut()
	}
	return b.head.appendEncoded(run)
}

// HeadEntries and HeadSize tell what the live block holds, the size as Block.Size counts it.
func (b *Builder) HeadEntries() int { return b.head.entries }

// HeadSize is the number of uncompressed bytes in the live block: the caller cuts it when it reaches its block size.
func (b *Builder) HeadSize() int { return b.head.size }

// Entries is the number of entries in the chunk.
func (b *Builder) Entries() int { return b.entries + b.head.entries }

// Size is the number of uncompressed bytes in the chunk.
func (b *Builder) Size() int { return b.size + b.head.size }

// Stored is about how many bytes the chunk would have if it were finished now with the live block as it is: compressed blocks count as
// they are, others in full. The caller compares it with its target size.
func (b *Builder) Stored() int { return b.bytes + len(b.head.buf) }

// Memory is the number of bytes that the builder holds.
func (b *Builder) Memory() int {
	const block, self = 160, 256
	return self + cap(b.head.buf) + b.bytes + block*cap(b.blocks) + b.table.memory()
}

// Blocks is the number of closed blocks.
func (b *Builder) Blocks() int { return len(b.blocks) }

// Sealed returns what the blocks before the n-th have stored and what they are uncompressed, of those that are compressed.
func (b *Builder) Sealed(n int) (stored, plain int) {
	for i := range b.blocks[:min(max(n, 0), len(b.blocks))] {
		if k := &b.blocks[i]; !k.raw {
			stored, plain = stored+len(k.data), plain+k.Size
		}
	}
	return stored, plain
}

// Bounds returns the span of the entries in nanoseconds, both ends inclusive. ok is false if there is none.
func (b *Builder) Bounds() (first, last int64, ok bool) {
	return min(b.min, b.head.min), max(b.max, b.head.max), b.Entries() > 0
}

// Cut closes the live block. It returns the block's number among the closed ones, and the block, for Seal. ok is false
// if there was nothing to close.
func (b *Builder) Cut() (index int, raw Block, ok bool) {
	if b.head.entries == 0 {
		return 0, Block{}, false
	}
	raw = b.head.block(b.symbolsOf(b.head.pairs))
	raw.shared = b.head.shared
	b.blocks = append(b.blocks, raw)
	b.min, b.max = min(b.min, raw.MinTime), max(b.max, raw.MaxTime)
	b.entries, b.size, b.bytes = b.entries+raw.Entries, b.size+raw.Size, b.bytes+len(raw.data)
	b.head = newHead(b.head.pairs)
	return len(b.blocks) - 1, raw, true
}

// Reserve makes room for n bytes in the live block, so that it need not grow bit by bit.
func (b *Builder) Reserve(n int) { b.head.reserve(n) }

func (b *Builder) symbolsOf(pairs bool) *Symbols {
	if !pairs {
		return nil
	}
	return b.table.symbols()
}

// Replace puts a sealed block in the place of the one that it was made of. It uses that one's memory again unless a reader
// may hold it, so the caller must not touch the block that Cut returned any more.
func (b *Builder) Replace(index int, sealed Block) {
	old := b.blocks[index]
	b.blocks[index] = sealed
	b.bytes += len(sealed.data) - len(old.data)
	b.size += sealed.Size - old.Size
	b.entries += sealed.Entries - old.Entries
	if old.raw && !old.shared {
		buffers.Put(old.data)
	}
}

// Chunk returns the chunk as it is now, with the live block. It may be read while the builder goes on.
// Tenant and Fingerprint are the caller's to set before it hands the chunk on.
func (b *Builder) Chunk() *Chunk {
	c := &Chunk{Blocks: make([]Block, 0, len(b.blocks)+1)}
	for i := range b.blocks {
		b.blocks[i].shared = true
		// One view for all, so that the shorter tables of earlier blocks can be freed.
		b.blocks[i].Symbols = b.symbolsOf(b.blocks[i].pairs)
	}
	c.Blocks = append(c.Blocks, b.blocks...)
	if b.head.entries > 0 {
		b.head.shared = true
		c.Blocks = append(c.Blocks, b.head.block(b.symbolsOf(b.head.pairs)))
	}
	if first, last, ok := b.Bounds(); ok {
		c.From, c.Through = roundBounds(first, last)
	}
	return c
}

// roundBounds turns nanoseconds into milliseconds, the first rounded down, the last up.
func roundBounds(first, last int64) (from, through int64) {
	const ms = 1_000_000
	from, through = first/ms, last/ms
	if first%ms < 0 {
		from--
	}
	if last%ms > 0 {
		through++
	}
	return from, through
}
