package sidecar

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"logstore/pkg/model"
)

// Block is what is known of one block of a chunk. Its zero value knows nothing. It is immutable and safe for concurrent use.
type Block struct {
	// MinTime and MaxTime are the first and the last timestamp in nanoseconds.
	MinTime, MaxTime int64
	// Entries is the number of entries.
	Entries int
	// Unique says that they are different from each other. Only then are there columns.
	Unique bool
	// LineBytes and MetaBytes are the lengths of all lines, and of all names and values of metadata.
	LineBytes, MetaBytes int64

	columns []byte
	filter  filter
}

// Options say how much a block may say.
type Options struct {
	// BitsPerKey is the size of filters.
	BitsPerKey float64
	// MaxBytes bounds columns and filter together: the filter becomes coarser, then columns are left out.
	MaxBytes int
}

// Input is a block of a chunk in the order of time. Build keeps nothing of it.
type Input struct {
	// Repeats says that some entries are equal.
	Repeats bool
	// Buf holds the lines, which are Buf[Start[i]:End[i]].
	Buf        []byte
	Ts         []int64
	Start, End []uint32
	// Metadata appends entry i's metadata to dst; nil if there is none.
	Metadata func(i int, dst []model.Pair) []model.Pair
}

// builder is the memory of Build.
type builder struct {
	keys    keyer
	numbers []uint64
	names   nameTable
	pairs   []model.Pair
	out     []byte
}

var builders = sync.Pool{New: func() any { return new(builder) }}

// Build describes a block. What does not fit into opts.MaxBytes is left out, so that a block may come out with its numbers only.
func Build(in Input, opts Options) Block {
	if len(in.Ts) == 0 {
		return Block{}
	}
	bd := builders.Get().(*builder)
	defer builders.Put(bd)
	b := Block{MinTime: in.Ts[0], MaxTime: in.Ts[len(in.Ts)-1], Entries: len(in.Ts), Unique: !in.Repeats}
	for i := range in.Start {
		b.LineBytes += int64(in.End[i] - in.Start[i])
	}
	bd.keys.reset()
	bd.names.reset()
	if in.Metadata != nil {
		b.MetaBytes = bd.metadata(in)
	}
	if b.Unique {
		b.columns = bd.columns(in, opts.MaxBytes)
	}
	if opts.BitsPerKey <= 0 {
		return b
	}
	bd.keys.text(in.Buf, in.Start, in.End)
	bd.out = appendFilter(bd.out[:0], &bd.keys, opts.BitsPerKey, opts.MaxBytes-len(b.columns), foldsBeyondASCII(in.Buf))
	if len(bd.out) > 0 {
		b.filter = bytes.Clone(bd.out)
	}
	return b
}

// foldsBeyondASCII reports whether the text holds the long s or the Kelvin sign, which are s and k in another case.
func foldsBeyondASCII(text []byte) bool {
	return bytes.Contains(text, []byte("\u017f")) || bytes.Contains(text, []byte("\u212a"))
}

// metadata fills the table of names and adds the keys of pairs. It returns the bytes of all names and values.
func (bd *builder) metadata(in Input) (size int64) {
	for i := range in.Ts {
		bd.pairs = in.Metadata(i, bd.pairs[:0])
		for _, p := range bd.pairs {
			size += int64(len(p.Name) + len(p.Value))
			if bd.names.add(i, len(in.Ts), p) {
				bd.keys.keys = append(bd.keys.keys, pairKey(p.Name, p.Value))
			}
		}
	}
	clear(bd.pairs[:cap(bd.pairs)])
	return size
}

// columns returns the columns of a block, fewer of them if the room is less than they need. A third of it is the filter's.
func (bd *builder) columns(in Input, room int) []byte {
	room -= room / 3
	bd.out = bd.out[:0]
	flags := unitOf(in.Ts)
	bd.out = append(bd.out, flags)
	bd.out = appendSection(bd.out, bd.times(in.Ts, unit(flags)))
	if len(bd.out)+2 > room {
		return nil
	}
	bd.numbers = bd.numbers[:0]
	for i := range in.Start {
		bd.numbers = append(bd.numbers, uint64(in.End[i]-in.Start[i]))
	}
	before := len(bd.out)
	lengths := appendPacked(nil, bd.numbers)
	bd.out = appendSection(bd.out, lengths)
	names := bd.names.appendTo(nil, len(in.Ts), true)
	if len(bd.out)+len(names) > room {
		bd.out = appendSection(bd.out[:before], nil)
		if len(bd.out)+len(names) > room {
			names = bd.names.appendTo(nil, len(in.Ts), false)
		}
	}
	bd.out = append(bd.out, names...)
	if len(bd.out) > room {
		return nil
	}
	return bytes.Clone(bd.out)
}

// The first byte of columns: the unit of times as a power of ten of nanoseconds, and whether they are whole numbers of it.
const (
	flagExact = 1 << 7
	expMask   = 0x0f
)

// unit returns the nanoseconds of a unit, 0 if it is none.
func unit(flags byte) int64 {
	switch flags & expMask {
	case 6:
		return 1e6
	case 9:
		return 1e9
	}
	return 0
}

// unitOf chooses the unit: seconds if all timestamps are whole ones, else milliseconds.
func unitOf(ts []int64) byte {
	flags := byte(9 | flagExact)
	for _, t := range ts {
		if t%unit(flags) != 0 {
			flags = 6 | flagExact
			if t%1e6 != 0 {
				return 6
			}
		}
	}
	return flags
}

// times writes timestamps in units, rounded up: the first one and the differences.
func (bd *builder) times(ts []int64, unit int64) []byte {
	bd.numbers = bd.numbers[:0]
	first := ceilDiv(ts[0], unit)
	last := first
	for _, t := range ts {
		now := ceilDiv(t, unit)
		bd.numbers = append(bd.numbers, uint64(now-last))
		last = now
	}
	return appendPacked(binary.AppendVarint(nil, first), bd.numbers)
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

func appendSection(dst, section []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(section)))
	return append(dst, section...)
}

// cutSection returns the section at the beginning of b and what is behind it.
func cutSection(b []byte) (section, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return b[k:end:end], b[end:], true
}

// Bytes returns how many bytes columns and filter take.
func (b *Block) Bytes() int { return len(b.columns) + len(b.filter) }

// MayMeet reports whether the block may hold what all the demands ask for.
func (b *Block) MayMeet(demands []Demand) bool {
	if len(b.filter) == 0 {
		return true
	}
	for _, d := range demands {
		if !slices.ContainsFunc(d, func(n Needle) bool { return b.filter.has(&n) }) {
			return false
		}
	}
	return true
}

// Times is a block's timestamps, rounded up.
type Times struct {
	// Ticks are the timestamps in units, ascending.
	Ticks []int64
	// Unit is in nanoseconds.
	Unit int64
	// Exact says that nothing was rounded.
	Exact bool
}

// HasTimes reports whether the block has its timestamps as a column.
func (b *Block) HasTimes() bool { return len(b.columns) > 0 }

// Clean reports whether an instant stands between the same entries as the rounded timestamps show it: those of at most
// that instant come before.
func (b *Block) Clean(instant int64) bool {
	if len(b.columns) == 0 {
		return false
	}
	flags := b.columns[0]
	return flags&flagExact != 0 || unit(flags) > 0 && instant%unit(flags) == 0
}

// Times decodes the timestamps. The slice of t is used again. It reports false for a block without them, or with bad ones.
func (b *Block) Times(t *Times) bool {
	if len(b.columns) == 0 {
		return false
	}
	t.Unit, t.Exact = unit(b.columns[0]), b.columns[0]&flagExact != 0
	section, _, ok := cutSection(b.columns[1:])
	first, n := binary.Varint(section)
	if !ok || n <= 0 || t.Unit == 0 {
		return false
	}
	numbers := scratchNumbers.Get().(*[]uint64)
	defer scratchNumbers.Put(numbers)
	*numbers, ok = readPacked((*numbers)[:0], section[n:], b.Entries)
	if !ok {
		return false
	}
	t.Ticks = slices.Grow(t.Ticks[:0], b.Entries)[:b.Entries]
	now := first
	limit := math.MaxInt64 / t.Unit
	for i, d := range *numbers {
		now += int64(d)
		t.Ticks[i] = now
	}
	// Sums of foreign numbers may have wrapped; the bounds of a sound block tell.
	return int64(len(*numbers)) == int64(b.Entries) && now <= limit && first >= -limit && slices.IsSorted(t.Ticks)
}

var scratchNumbers = sync.Pool{New: func() any { return new([]uint64) }}

// HasLengths reports whether the block has the lengths of its lines as a column.
func (b *Block) HasLengths() bool {
	if len(b.columns) == 0 {
		return false
	}
	_, rest, ok := cutSection(b.columns[1:])
	if !ok {
		return false
	}
	section, _, ok := cutSection(rest)
	return ok && len(section) > 0
}

// Lengths appends the lengths of the lines to dst. It reports false for a block without them, or with bad ones.
func (b *Block) Lengths(dst []uint64) ([]uint64, bool) {
	if len(b.columns) == 0 {
		return dst, false
	}
	_, rest, ok := cutSection(b.columns[1:])
	if !ok {
		return dst, false
	}
	section, _, ok := cutSection(rest)
	if !ok || len(section) == 0 {
		return dst, false
	}
	return readPacked(dst, section, b.Entries)
}
