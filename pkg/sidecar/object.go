package sidecar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"logstore/pkg/decbuf"
	"logstore/pkg/model"
)

// ErrCorrupt is returned for bytes that are not what FORMAT.md says; the text tells where.
var ErrCorrupt = errors.New("corrupt sidecar")

// ErrForeign is returned for a sound sidecar of another chunk.
var ErrForeign = errors.New("sidecar belongs to another chunk")

// Version is that of the objects that Append writes. Open reads no others.
const Version = 2

const (
	magic = "LSSC"
	// frontSize is what stands before the directory: magic, version, length of the directory.
	frontSize = 4 + 1 + 4
	// rowSize is the least size of a block's row.
	rowSize = 11 + 3*4
	// maxEntries is the most entries of a block that are believed; it is that of package chunk.
	maxEntries = 256 << 20
	// flagUnique is that of a row.
	flagUnique = 1 << 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Place says where a block stands in the chunk object, and what the chunk's table of blocks says about it.
type Place struct {
	// Offset and Length are those of the compressed block in the object.
	Offset, Length int
	// Sum is the block's CRC-32C.
	Sum uint32
	// Size is the uncompressed size as the chunk counts it.
	Size int
}

// Object is a sidecar: what is known of a chunk and its blocks. It is immutable and safe for concurrent use.
type Object struct {
	// Ref is the chunk's.
	Ref model.ChunkRef
	// Size is that of the chunk object.
	Size int
	// Version and Encoding are those of the chunk's payload.
	Version, Encoding byte
	// SymbolsOffset and SymbolsLength say where the chunk's symbols stand, with their checksum; a length of 0 is none.
	SymbolsOffset, SymbolsLength int
	// Places and Blocks have an element for each block of the chunk, in its order.
	Places []Place
	Blocks []Block
}

// Append writes the object: front, directory and their checksum, the columns of all blocks, the filters of all blocks.
func (o *Object) Append(dst []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, o.size())
	dst = append(append(dst, magic...), Version, 0, 0, 0, 0)
	dst = appendSection(dst, []byte(o.Ref.Tenant))
	dst = binary.BigEndian.AppendUint64(dst, o.Ref.Fingerprint)
	dst = binary.AppendVarint(dst, o.Ref.From)
	dst = binary.AppendVarint(dst, o.Ref.Through)
	dst = binary.BigEndian.AppendUint32(dst, o.Ref.Checksum)
	dst = binary.AppendUvarint(dst, uint64(o.Size))
	dst = append(dst, o.Version, o.Encoding)
	dst = binary.AppendUvarint(dst, uint64(o.SymbolsOffset))
	dst = binary.AppendUvarint(dst, uint64(o.SymbolsLength))
	dst = binary.AppendUvarint(dst, uint64(len(o.Blocks)))
	for i := range o.Blocks {
		dst = appendRow(dst, &o.Places[i], &o.Blocks[i])
	}
	binary.BigEndian.PutUint32(dst[start+5:], uint32(len(dst)-start-frontSize))
	dst = binary.BigEndian.AppendUint32(dst, sumOf(dst[start:]))
	for i := range o.Blocks {
		dst = append(dst, o.Blocks[i].columns...)
	}
	for i := range o.Blocks {
		dst = append(dst, o.Blocks[i].filter...)
	}
	return dst
}

// size is about how many bytes Append writes, or somewhat more.
func (o *Object) size() int {
	const front, row = 128, 64
	n := front + len(o.Ref.Tenant) + row*len(o.Blocks)
	for i := range o.Blocks {
		n += o.Blocks[i].Bytes()
	}
	return n
}

func appendRow(dst []byte, p *Place, b *Block) []byte {
	flags := byte(0)
	if b.Unique {
		flags |= flagUnique
	}
	dst = binary.AppendVarint(append(dst, flags), b.MinTime)
	dst = binary.AppendUvarint(dst, uint64(b.MaxTime-b.MinTime))
	for _, n := range []int{b.Entries, int(b.LineBytes), int(b.MetaBytes), p.Offset, p.Length, p.Size} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.BigEndian.AppendUint32(dst, p.Sum)
	dst = binary.AppendUvarint(dst, uint64(len(b.columns)))
	dst = binary.BigEndian.AppendUint32(dst, sumOf(b.columns))
	dst = binary.AppendUvarint(dst, uint64(len(b.filter)))
	return binary.BigEndian.AppendUint32(dst, sumOf(b.filter))
}

// Parts says which of the parts of a sidecar are meant beside its directory.
type Parts uint8

// The parts that a reader may do without: one that counts wants the columns, one that looks for needles the filters.
const (
	Columns Parts = 1 << iota
	Filters
	// Whole is all there is.
	Whole = Columns | Filters
)

// Has reports whether all of want are among the parts.
func (p Parts) Has(want Parts) bool { return p&want == want }

// Layout says where the parts of a sidecar end. A reader that has the beginning of one learns from it how much more it wants.
type Layout struct {
	// Directory is the end of the directory, Columns that of the columns behind it, Filters that of all.
	Directory, Columns, Filters int
}

// rowSums are the lengths and checksums of a block's parts.
type rowSums struct {
	columns, filter       int
	columnsSum, filterSum uint32
}

// Open decodes the sidecar of a chunk from its beginning. data must reach behind the directory, else a *ShortError says how much
// there must be. Blocks have the columns and the filters that lie within data. The object points into data, which must not change.
func Open(data []byte, ref model.ChunkRef) (*Object, Layout, error) {
	o, sums, l, err := openHead(data, ref)
	if err != nil {
		return nil, l, err
	}
	rest := data[l.Directory:]
	columns := rest[:min(len(rest), l.Columns-l.Directory)]
	if err := o.attachColumns(columns, sums); err != nil {
		return o, l, err
	}
	return o, l, o.attachFilters(rest[len(columns):], sums)
}

// OpenParts decodes the sidecar of a chunk from its beginning, which ends with the directory, and its columns and filters as far as they are
// among the parts. These must be whole. The object points into columns and filters, which must not change, and not into head.
func OpenParts(head, columns, filters []byte, parts Parts, ref model.ChunkRef) (*Object, error) {
	o, sums, l, err := openHead(head, ref)
	if err != nil {
		return nil, err
	}
	if len(head) != l.Directory {
		return nil, fmt.Errorf("%w: head of %d bytes instead of %d", ErrCorrupt, len(head), l.Directory)
	}
	if parts.Has(Columns) {
		if want := l.Columns - l.Directory; len(columns) != want {
			return nil, fmt.Errorf("%w: columns of %d bytes instead of %d", ErrCorrupt, len(columns), want)
		}
		if err := o.attachColumns(columns, sums); err != nil {
			return nil, err
		}
	}
	if parts.Has(Filters) {
		if want := l.Filters - l.Columns; len(filters) != want {
			return nil, fmt.Errorf("%w: filters of %d bytes instead of %d", ErrCorrupt, len(filters), want)
		}
		if err := o.attachFilters(filters, sums); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// openHead decodes what stands before the columns.
func openHead(data []byte, ref model.ChunkRef) (*Object, []rowSums, Layout, error) {
	var l Layout
	if len(data) < frontSize {
		return nil, nil, l, &ShortError{Need: frontSize}
	}
	if !Current(data) {
		return nil, nil, l, fmt.Errorf("%w: it begins with %q", ErrCorrupt, data[:5])
	}
	length := binary.BigEndian.Uint32(data[5:])
	if length > math.MaxInt32 {
		return nil, nil, l, fmt.Errorf("%w: directory of %d bytes", ErrCorrupt, length)
	}
	l.Directory = frontSize + int(length) + 4
	if len(data) < l.Directory {
		return nil, nil, l, &ShortError{Need: l.Directory}
	}
	front := data[:l.Directory-4]
	if sumOf(front) != binary.BigEndian.Uint32(data[l.Directory-4:]) {
		return nil, nil, l, fmt.Errorf("%w: checksum of the directory", ErrCorrupt)
	}
	r := reader{decbuf.Buf{B: front[frontSize:]}}
	o := &Object{}
	r.head(o)
	if !r.Failed() && o.Ref != ref {
		return nil, nil, l, fmt.Errorf("%w: %s/%x/%x:%x:%x", ErrForeign, o.Ref.Tenant, o.Ref.Fingerprint, o.Ref.From, o.Ref.Through, o.Ref.Checksum)
	}
	sums := r.rows(o)
	if !r.Whole() {
		return nil, nil, l, fmt.Errorf("%w: bad directory", ErrCorrupt)
	}
	if !l.place(sums) {
		return nil, nil, l, fmt.Errorf("%w: parts of more than %d bytes", ErrCorrupt, math.MaxInt32)
	}
	return o, sums, l, nil
}

// place finds out where the columns and the filters end, and reports false for sizes that nobody has.
func (l *Layout) place(sums []rowSums) bool {
	at := uint64(l.Directory)
	for i := range sums {
		at += uint64(sums[i].columns)
	}
	l.Columns = int(at)
	for i := range sums {
		at += uint64(sums[i].filter)
	}
	l.Filters = int(at)
	return at <= math.MaxInt32
}

// Clone returns an object that points into no bytes of others.
func (o *Object) Clone() *Object {
	size := 0
	for i := range o.Blocks {
		size += o.Blocks[i].Bytes()
	}
	out, data := *o, make([]byte, 0, size)
	own := func(part []byte) []byte {
		if len(part) == 0 {
			return nil
		}
		from := len(data)
		data = append(data, part...)
		return data[from:len(data):len(data)]
	}
	out.Blocks = slices.Clone(o.Blocks)
	for i := range out.Blocks {
		b := &out.Blocks[i]
		b.columns, b.filter = own(b.columns), own(b.filter)
	}
	return &out
}

// With returns an object that has also copies of the parts of another one of the same chunk, or nil if they do not say the same of its
// blocks.
func (o *Object) With(other *Object) *Object {
	same := func(a, b Block) bool {
		return a.MinTime == b.MinTime && a.MaxTime == b.MaxTime && a.Entries == b.Entries && a.Unique == b.Unique && a.LineBytes == b.LineBytes && a.MetaBytes == b.MetaBytes
	}
	if o.Ref != other.Ref || o.Size != other.Size || !slices.Equal(o.Places, other.Places) || !slices.EqualFunc(o.Blocks, other.Blocks, same) {
		return nil
	}
	both := *o
	both.Blocks = slices.Clone(o.Blocks)
	for i := range both.Blocks {
		b := &both.Blocks[i]
		if len(b.columns) == 0 {
			b.columns = slices.Clone(other.Blocks[i].columns)
		}
		if len(b.filter) == 0 {
			b.filter = slices.Clone(other.Blocks[i].filter)
		}
	}
	return &both
}

// PeekSize is how much of an object's beginning Current wants.
const PeekSize = len(magic) + 1

// Current reports whether bytes begin as objects of the version that Append writes. Open reads no others.
func Current(beginning []byte) bool {
	return len(beginning) >= PeekSize && string(beginning[:len(magic)]) == magic && beginning[len(magic)] == Version
}

// ShortError is returned by Open if the directory does not end within the data.
type ShortError struct {
	// Need is how many bytes there must be at least.
	Need int
}

// Error implements error.
func (e *ShortError) Error() string {
	return fmt.Sprintf("sidecar is cut off: %d bytes are needed", e.Need)
}

// attachColumns gives the blocks their columns, as far as data has them.
func (o *Object) attachColumns(data []byte, sums []rowSums) error {
	for i := range sums {
		part, rest, err := cutPart(data, sums[i].columns, sums[i].columnsSum)
		if err != nil {
			return fmt.Errorf("%w of the columns of block %d", err, i)
		}
		o.Blocks[i].columns, data = part, rest
	}
	return nil
}

// attachFilters gives the blocks their filters, as far as data has them.
func (o *Object) attachFilters(data []byte, sums []rowSums) error {
	for i := range sums {
		part, rest, err := cutPart(data, sums[i].filter, sums[i].filterSum)
		if err != nil {
			return fmt.Errorf("%w of the filter of block %d", err, i)
		}
		if len(part) > 0 && !filter(part).valid() {
			return fmt.Errorf("%w: bad filter of block %d", ErrCorrupt, i)
		}
		o.Blocks[i].filter, data = part, rest
	}
	return nil
}

// cutPart takes n bytes with a checksum off the front of data, nil if there are none or they do not end in it.
func cutPart(data []byte, n int, sum uint32) (part, rest []byte, err error) {
	if n == 0 {
		return nil, data, nil
	}
	if n > len(data) {
		return nil, nil, nil
	}
	if part = data[:n:n]; sumOf(part) != sum {
		return nil, nil, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	return part, data[n:], nil
}

// reader reads a directory.
type reader struct{ decbuf.Buf }

// size reads a number of at most the given size.
func (r *reader) size(most uint64) int { return int(r.Upto(most)) }

func (r *reader) head(o *Object) {
	o.Ref.Tenant = r.Text()
	o.Ref.Fingerprint = r.Be64()
	o.Ref.From, o.Ref.Through = r.Varint(), r.Varint()
	o.Ref.Checksum = r.Be32()
	o.Size = r.size(math.MaxUint32)
	o.Version, o.Encoding = r.Byte(), r.Byte()
	o.SymbolsOffset, o.SymbolsLength = r.size(math.MaxUint32), r.size(math.MaxUint32)
	if o.SymbolsOffset+o.SymbolsLength > o.Size {
		r.Fail("symbols beyond the end")
	}
}

func (r *reader) rows(o *Object) []rowSums {
	count := r.Count(rowSize)
	o.Places, o.Blocks = make([]Place, count), make([]Block, count)
	sums := make([]rowSums, count)
	for i := range sums {
		p, b := &o.Places[i], &o.Blocks[i]
		flags := r.Byte()
		b.Unique = flags&flagUnique != 0
		b.MinTime = r.Varint()
		span := r.Uvarint()
		b.MaxTime = b.MinTime + int64(span)
		b.Entries = r.size(maxEntries)
		b.LineBytes, b.MetaBytes = int64(r.size(math.MaxInt64)), int64(r.size(math.MaxInt64))
		p.Offset, p.Length, p.Size = r.size(math.MaxUint32), r.size(math.MaxUint32), r.size(math.MaxUint32)
		p.Sum = r.Be32()
		sums[i].columns = r.size(math.MaxInt32)
		sums[i].columnsSum = r.Be32()
		sums[i].filter = r.size(math.MaxInt32)
		sums[i].filterSum = r.Be32()
		if flags > flagUnique || b.MaxTime < b.MinTime || p.Offset+p.Length > o.Size {
			r.Fail("bad row")
		}
	}
	return sums
}

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
