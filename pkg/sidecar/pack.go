package sidecar

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"logstore/pkg/decbuf"
	"logstore/pkg/model"
)

// PackVersion is that of the packs that PackWriter makes. OpenPack reads no others.
const PackVersion = 1

const (
	packMagic = "LSSP"
	// packRowSize is the least size of a row: time, fingerprint, span, checksum, three lengths.
	packRowSize = 1 + 8 + 1 + 4 + 3
)

// Extent is where something stands in an object: at From and before To.
type Extent struct{ From, To int }

// Len is the number of its bytes.
func (e Extent) Len() int { return e.To - e.From }

// Packed says where the parts of a sidecar stand in a pack.
type Packed struct {
	// Head is the beginning of the sidecar as far as its directory reaches; its columns and its filters follow in one that lies alone.
	Head, Columns, Filters Extent
}

// PackWriter gathers sidecars of one tenant into a pack.
type PackWriter struct {
	// Tenant is that of all chunks.
	Tenant  string
	refs    []model.ChunkRef
	objects [][]byte
	// heads and columns are where these parts end in each object.
	heads, columns []int
	size           int
}

// Add appends the bytes of the sidecar of a chunk, which are kept. Chunks come in the order of ComparePacked, each once. Bytes that are no
// sidecar of the chunk come out of the pack as they are too.
func (w *PackWriter) Add(ref model.ChunkRef, object []byte) {
	if n := len(w.refs); ref.Tenant != w.Tenant || n > 0 && ComparePacked(w.refs[n-1], ref) >= 0 {
		panic("BUG: sidecars of a pack are out of order")
	}
	head, columns := len(object), len(object)
	if _, l, err := Open(object, ref); err == nil && l.Filters == len(object) {
		head, columns = l.Directory, l.Columns
	}
	w.refs, w.objects, w.size = append(w.refs, ref), append(w.objects, object), w.size+len(object)
	w.heads, w.columns = append(w.heads, head), append(w.columns, columns)
}

// Len is the number of sidecars, Size about their bytes.
func (w *PackWriter) Len() int { return len(w.refs) }

// Size is the bytes of the sidecars, without the directory.
func (w *PackWriter) Size() int { return w.size }

// First and Last are the times in ms at which the first and the last chunk begin. There must be one.
func (w *PackWriter) First() int64 { return w.refs[0].From }

// Last is when the last chunk begins.
func (w *PackWriter) Last() int64 { return w.refs[len(w.refs)-1].From }

// Bytes returns the pack, and where in it the directory and the heads of the sidecars stand: between columns and filters.
func (w *PackWriter) Bytes() (data []byte, middle Extent) {
	const row = 40
	dst := make([]byte, 0, w.size+len(w.Tenant)+row*(len(w.refs)+1))
	for i, o := range w.objects {
		dst = append(dst, o[w.heads[i]:w.columns[i]]...)
	}
	middle.From = len(dst)
	dst = w.appendDirectory(dst)
	for i, o := range w.objects {
		dst = append(dst, o[:w.heads[i]]...)
	}
	middle.To = len(dst)
	for i, o := range w.objects {
		dst = append(dst, o[w.columns[i]:]...)
	}
	return dst, middle
}

func (w *PackWriter) appendDirectory(dst []byte) []byte {
	begin := len(dst)
	dst = append(append(dst, packMagic...), PackVersion, 0, 0, 0, 0)
	dst = appendSection(dst, []byte(w.Tenant))
	dst = binary.AppendUvarint(dst, uint64(len(w.refs)))
	before := int64(0)
	for i, ref := range w.refs {
		dst = binary.AppendVarint(dst, ref.From-before)
		before = ref.From
		dst = binary.BigEndian.AppendUint64(dst, ref.Fingerprint)
		dst = binary.AppendVarint(dst, ref.Through-ref.From)
		dst = binary.BigEndian.AppendUint32(dst, ref.Checksum)
		for _, n := range []int{w.heads[i], w.columns[i] - w.heads[i], len(w.objects[i]) - w.columns[i]} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	binary.BigEndian.PutUint32(dst[begin+len(packMagic)+1:], uint32(len(dst)-begin-frontSize))
	return binary.BigEndian.AppendUint32(dst, sumOf(dst[begin:]))
}

// ComparePacked is the order of chunks in a pack: by the time at which they begin, so that a query of a part of the day finds what it
// wants in one place.
func ComparePacked(a, b model.ChunkRef) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Fingerprint, b.Fingerprint), cmp.Compare(a.Through, b.Through), cmp.Compare(a.Checksum, b.Checksum))
}

// Pack is the directory of a pack. It is immutable and keeps no bytes of what it was read from.
type Pack struct {
	tenant string
	rows   []packRow
	// ends are the offsets at which the columns of all sidecars, the directory, the heads and the filters end.
	columns, directory, heads, filters uint32
}

type packRow struct {
	from, through int64
	fingerprint   uint64
	checksum      uint32
	// head, columns and filters are where these parts of the sidecar end in the pack.
	head, columns, filters uint32
}

// OpenPack decodes the directory of a tenant's pack. middle are the pack's bytes from its directory on, which they must reach behind, else a
// *ShortError says how much there must be.
func OpenPack(middle []byte, tenant string) (*Pack, error) {
	if len(middle) < frontSize {
		return nil, &ShortError{Need: frontSize}
	}
	if string(middle[:len(packMagic)]) != packMagic || middle[len(packMagic)] != PackVersion {
		return nil, fmt.Errorf("%w: directory of a pack begins with %q", ErrCorrupt, middle[:len(packMagic)+1])
	}
	length := binary.BigEndian.Uint32(middle[len(packMagic)+1:])
	if length > math.MaxInt32-frontSize-4 {
		return nil, fmt.Errorf("%w: pack with a directory of %d bytes", ErrCorrupt, length)
	}
	end := frontSize + int(length)
	if len(middle) < end+4 {
		return nil, &ShortError{Need: end + 4}
	}
	if sumOf(middle[:end]) != binary.BigEndian.Uint32(middle[end:]) {
		return nil, fmt.Errorf("%w: checksum of the directory of a pack", ErrCorrupt)
	}
	owner, rest, ok := cutSection(middle[frontSize:end])
	if ok && string(owner) != tenant {
		return nil, fmt.Errorf("%w: pack of tenant %q", ErrForeign, owner)
	}
	p := &Pack{tenant: tenant}
	if !ok || !p.readRows(rest) || !p.place(uint64(end+4)) {
		return nil, fmt.Errorf("%w: bad directory of a pack", ErrCorrupt)
	}
	return p, nil
}

// readRows reads the rows with the lengths of the parts in the place of their ends.
func (p *Pack) readRows(b []byte) bool {
	r := reader{decbuf.Buf{B: b}}
	p.rows = make([]packRow, r.Count(packRowSize))
	from := int64(0)
	for i := range p.rows {
		from += r.Varint()
		row := packRow{from: from, fingerprint: r.Be64()}
		row.through = from + r.Varint()
		row.checksum = r.Be32()
		row.head, row.columns, row.filters = uint32(r.size(math.MaxInt32)), uint32(r.size(math.MaxInt32)), uint32(r.size(math.MaxInt32))
		p.rows[i] = row
		if i > 0 && ComparePacked(p.ref(i-1), p.ref(i)) >= 0 {
			return false
		}
	}
	return r.Whole()
}

// place makes ends of the lengths of parts. directory is the size of the directory.
func (p *Pack) place(directory uint64) bool {
	at := uint64(0)
	lay := func(part func(*packRow) *uint32) uint32 {
		for i := range p.rows {
			n := part(&p.rows[i])
			at = min(at+uint64(*n), math.MaxUint32)
			*n = uint32(at)
		}
		return uint32(at)
	}
	p.columns = lay(func(r *packRow) *uint32 { return &r.columns })
	at = min(at+directory, math.MaxUint32)
	p.directory = uint32(at)
	p.heads = lay(func(r *packRow) *uint32 { return &r.head })
	p.filters = lay(func(r *packRow) *uint32 { return &r.filters })
	return at <= math.MaxInt32
}

func (p *Pack) ref(i int) model.ChunkRef {
	r := &p.rows[i]
	return model.ChunkRef{Tenant: p.tenant, Fingerprint: r.fingerprint, From: r.from, Through: r.through, Checksum: r.checksum}
}

// Len is the number of sidecars.
func (p *Pack) Len() int { return len(p.rows) }

// Size is that of the whole pack.
func (p *Pack) Size() int { return int(p.filters) }

// Middle is where the directory and the heads of the sidecars stand.
func (p *Pack) Middle() Extent { return Extent{int(p.columns), int(p.heads)} }

// Refs returns the chunks whose sidecars are in the pack, in the order of ComparePacked.
func (p *Pack) Refs() []model.ChunkRef {
	out := make([]model.ChunkRef, len(p.rows))
	for i := range out {
		out[i] = p.ref(i)
	}
	return out
}

// Find returns where the parts of the sidecar of a chunk stand in the pack.
func (p *Pack) Find(ref model.ChunkRef) (at Packed, ok bool) {
	i, ok := slices.BinarySearchFunc(p.rows, ref, func(r packRow, ref model.ChunkRef) int {
		return ComparePacked(model.ChunkRef{Fingerprint: r.fingerprint, From: r.from, Through: r.through, Checksum: r.checksum}, ref)
	})
	if !ok || ref.Tenant != p.tenant {
		return at, false
	}
	before := packRow{head: p.directory, filters: p.heads}
	if i > 0 {
		before = p.rows[i-1]
	}
	row := &p.rows[i]
	extent := func(from, to uint32) Extent { return Extent{int(from), int(to)} }
	return Packed{extent(before.head, row.head), extent(before.columns, row.columns), extent(before.filters, row.filters)}, true
}

// Object returns a copy of the sidecar of a chunk as it lies alone, nil if the pack does not have it. pack is the whole pack. What Add took is
// returned unchanged, sound or not.
func (p *Pack) Object(pack []byte, ref model.ChunkRef) []byte {
	at, ok := p.Find(ref)
	if !ok || len(pack) < p.Size() {
		return nil
	}
	cut := func(e Extent) []byte { return pack[e.From:e.To] }
	return slices.Concat(cut(at.Head), cut(at.Columns), cut(at.Filters))
}
