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
	// packRowSize is the least size of a row: time, fingerprint, span, checksum, length.
	packRowSize = 1 + 8 + 1 + 4 + 1
)

// PackWriter gathers sidecars of one tenant into a pack.
type PackWriter struct {
	// Tenant is that of all chunks.
	Tenant  string
	refs    []model.ChunkRef
	objects [][]byte
	size    int
}

// Add appends the bytes of the sidecar of a chunk, which are kept. Chunks come in the order of ComparePacked, each once.
func (w *PackWriter) Add(ref model.ChunkRef, object []byte) {
	if n := len(w.refs); ref.Tenant != w.Tenant || n > 0 && ComparePacked(w.refs[n-1], ref) >= 0 {
		panic("BUG: sidecars of a pack are out of order")
	}
	w.refs, w.objects, w.size = append(w.refs, ref), append(w.objects, object), w.size+len(object)
}

// Len is the number of sidecars, Size about their bytes.
func (w *PackWriter) Len() int { return len(w.refs) }

// Size is the bytes of the sidecars, without the directory.
func (w *PackWriter) Size() int { return w.size }

// First and Last are the times in ms at which the first and the last chunk begin. There must be one.
func (w *PackWriter) First() int64 { return w.refs[0].From }

// Last is when the last chunk begins.
func (w *PackWriter) Last() int64 { return w.refs[len(w.refs)-1].From }

// Bytes returns the pack, and how much of its beginning the directory takes.
func (w *PackWriter) Bytes() (data []byte, directory int) {
	const row = 32
	dst := make([]byte, 0, w.size+len(w.Tenant)+row*(len(w.refs)+1))
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
		dst = binary.AppendUvarint(dst, uint64(len(w.objects[i])))
	}
	binary.BigEndian.PutUint32(dst[len(packMagic)+1:], uint32(len(dst)-frontSize))
	dst = binary.BigEndian.AppendUint32(dst, sumOf(dst))
	directory = len(dst)
	for _, o := range w.objects {
		dst = append(dst, o...)
	}
	return dst, directory
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
	// begin is where the first sidecar begins.
	begin uint32
}

type packRow struct {
	from, through int64
	fingerprint   uint64
	checksum      uint32
	// end is where the sidecar ends in the pack.
	end uint32
}

// OpenPack decodes the directory of a tenant's pack from its beginning. data must reach behind the directory, else a *ShortError says how
// much there must be.
func OpenPack(data []byte, tenant string) (*Pack, error) {
	if len(data) < frontSize {
		return nil, &ShortError{Need: frontSize}
	}
	if string(data[:len(packMagic)]) != packMagic || data[len(packMagic)] != PackVersion {
		return nil, fmt.Errorf("%w: pack begins with %q", ErrCorrupt, data[:len(packMagic)+1])
	}
	length := binary.BigEndian.Uint32(data[len(packMagic)+1:])
	if length > math.MaxInt32-frontSize-4 {
		return nil, fmt.Errorf("%w: pack with a directory of %d bytes", ErrCorrupt, length)
	}
	end := frontSize + int(length)
	if len(data) < end+4 {
		return nil, &ShortError{Need: end + 4}
	}
	if sumOf(data[:end]) != binary.BigEndian.Uint32(data[end:]) {
		return nil, fmt.Errorf("%w: checksum of the directory of a pack", ErrCorrupt)
	}
	owner, rest, ok := cutSection(data[frontSize:end])
	if ok && string(owner) != tenant {
		return nil, fmt.Errorf("%w: pack of tenant %q", ErrForeign, owner)
	}
	p := &Pack{tenant: tenant, begin: uint32(end + 4)}
	if !ok || !p.readRows(rest) {
		return nil, fmt.Errorf("%w: bad directory of a pack", ErrCorrupt)
	}
	return p, nil
}

func (p *Pack) readRows(b []byte) bool {
	r := reader{decbuf.Buf{B: b}}
	p.rows = make([]packRow, r.Count(packRowSize))
	from, at := int64(0), uint64(p.begin)
	for i := range p.rows {
		from += r.Varint()
		row := packRow{from: from, fingerprint: r.Be64()}
		row.through = from + r.Varint()
		row.checksum = r.Be32()
		at += uint64(r.size(math.MaxInt32))
		if r.Failed() || at > math.MaxInt32 {
			return false
		}
		row.end = uint32(at)
		p.rows[i] = row
		if i > 0 && ComparePacked(p.ref(i-1), p.ref(i)) >= 0 {
			return false
		}
	}
	return r.Whole()
}

func (p *Pack) ref(i int) model.ChunkRef {
	r := &p.rows[i]
	return model.ChunkRef{Tenant: p.tenant, Fingerprint: r.fingerprint, From: r.from, Through: r.through, Checksum: r.checksum}
}

// Len is the number of sidecars.
func (p *Pack) Len() int { return len(p.rows) }

// Size is that of the whole pack.
func (p *Pack) Size() int { return p.offset(len(p.rows)) }

// offset returns where a sidecar begins.
func (p *Pack) offset(i int) int {
	if i == 0 {
		return int(p.begin)
	}
	return int(p.rows[i-1].end)
}

// Find returns where the sidecar of a chunk stands in the pack: its bytes are those from offset on and before end.
func (p *Pack) Find(ref model.ChunkRef) (offset, end int, ok bool) {
	i, ok := slices.BinarySearchFunc(p.rows, ref, func(r packRow, ref model.ChunkRef) int {
		return ComparePacked(model.ChunkRef{Fingerprint: r.fingerprint, From: r.from, Through: r.through, Checksum: r.checksum}, ref)
	})
	if !ok || ref.Tenant != p.tenant {
		return 0, 0, false
	}
	return p.offset(i), int(p.rows[i].end), true
}
