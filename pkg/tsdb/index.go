package tsdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"logstore/pkg/decbuf"
)

// TenantLabel is the label of the tenant in a file of all tenants.
const TenantLabel = "__loki_tenant__"

// ErrCorrupt is wrapped by every error that says a file is not a sound index file.
var ErrCorrupt = errors.New("corrupt TSDB index file")

const (
	magic         = 0xBAAAD700
	headerSize    = 5
	tocSize       = 9*8 + checksumSize
	seriesAlign   = 16
	minVersion    = 2
	maxVersion    = 3
	markedVersion = 3 // from here on chunks have page markers
)

// Index is an index file. It is immutable.
type Index struct {
	b       []byte
	version byte
	toc     toc
	// symbols are the offsets of the symbols.
	symbols []uint32
	// names are the label names that have postings, ascending; all is the list of all series.
	names []labelName
	all   uint64
}

// labelName holds where the entries of a label stand in the postings table, ascending by value.
type labelName struct {
	name    string
	entries []uint32
}

// toc are the offsets at the end of a file.
type toc struct {
	symbols, series, labelIndices, labelIndexTable, postings, postingsTable, fingerprints uint64
	from, through                                                                         int64
	checksum                                                                              uint32
}

// Open reads the sections of a file. The bytes must not change as long as the index is used.
func Open(b []byte) (*Index, error) {
	if len(b) > math.MaxUint32 {
		return nil, fmt.Errorf("%w: it is larger than 4 GiB", ErrCorrupt)
	}
	if len(b) < headerSize+tocSize || binary.BigEndian.Uint32(b) != magic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrCorrupt)
	}
	x := &Index{b: b, version: b[4]}
	if x.version < minVersion || x.version > maxVersion {
		return nil, fmt.Errorf("%w: version %d is not one of 2, 3", ErrCorrupt, x.version)
	}
	if err := x.readTOC(); err != nil {
		return nil, err
	}
	if err := x.readSymbols(); err != nil {
		return nil, err
	}
	if err := x.readPostingsTable(); err != nil {
		return nil, err
	}
	_, err := section(b, x.toc.fingerprints, "fingerprint table")
	return x, err
}

func (x *Index) readTOC() error {
	at := len(x.b) - tocSize
	d := decbuf.Buf{B: x.b[at:]}
	content, err := checked(&d, tocSize-checksumSize, "table of contents", uint64(at))
	if err != nil {
		return err
	}
	t := &x.toc
	d = decbuf.Buf{B: content}
	for _, offset := range []*uint64{
		&t.symbols, &t.series, &t.labelIndices, &t.labelIndexTable, &t.postings, &t.postingsTable, &t.fingerprints,
	} {
		*offset = d.Be64()
		if *offset < headerSize || *offset > uint64(at) {
			return fmt.Errorf("%w: the table of contents names offset %d of %d", ErrCorrupt, *offset, at)
		}
	}
	t.from, t.through = int64(d.Be64()), int64(d.Be64())
	t.checksum = crc32.Checksum(content, castagnoli)
	if t.series > t.labelIndices {
		return fmt.Errorf("%w: series begin at %d and end at %d", ErrCorrupt, t.series, t.labelIndices)
	}
	return nil
}

func (x *Index) readSymbols() error {
	content, err := section(x.b, x.toc.symbols, "symbol table")
	if err != nil {
		return err
	}
	d := decbuf.Buf{B: content}
	n := d.Be32()
	if uint64(n) > uint64(len(content)) {
		return fmt.Errorf("%w: %d symbols in %d bytes", ErrCorrupt, n, len(content))
	}
	x.symbols = make([]uint32, n)
	end := x.toc.symbols + 4 + uint64(len(content))
	var last []byte
	for i := range x.symbols {
		x.symbols[i] = uint32(end - uint64(len(d.B)))
		s := d.Section()
		if d.Failed() || (i > 0 && bytes.Compare(last, s) >= 0) {
			return fmt.Errorf("%w: symbol %d is cut or out of order", ErrCorrupt, i)
		}
		last = s
	}
	return nil
}

func (x *Index) readPostingsTable() error {
	content, err := section(x.b, x.toc.postingsTable, "postings table")
	if err != nil {
		return err
	}
	d := decbuf.Buf{B: content}
	end := x.toc.postingsTable + 4 + uint64(len(content))
	var lastValue []byte
	for i := range d.Be32() {
		at := uint32(end - uint64(len(d.B)))
		two, name, value, offset := d.Uvarint(), d.Section(), d.Section(), d.Uvarint()
		if d.Failed() || two != 2 {
			return fmt.Errorf("%w: entry %d of the postings table is cut", ErrCorrupt, i)
		}
		if i == 0 {
			if len(name)+len(value) > 0 {
				return fmt.Errorf("%w: the postings table does not begin with the list of all series", ErrCorrupt)
			}
			x.all = offset
			continue
		}
		switch n := len(x.names); {
		case n == 0 || x.names[n-1].name < string(name):
			x.names = append(x.names, labelName{name: string(name)})
		case x.names[n-1].name != string(name) || bytes.Compare(lastValue, value) >= 0:
			return fmt.Errorf("%w: entry %d of the postings table is out of order", ErrCorrupt, i)
		}
		l := &x.names[len(x.names)-1]
		l.entries = append(l.entries, at)
		lastValue = value
	}
	return nil
}

// Version returns the version of the format.
func (x *Index) Version() int { return int(x.version) }

// Bounds returns the first and the last millisecond of any chunk.
func (x *Index) Bounds() (from, through int64) { return x.toc.from, x.toc.through }

// Checksum returns the checksum of the table of contents, which is the last part of a compacted file's name.
func (x *Index) Checksum() uint32 { return x.toc.checksum }

// symbol returns a symbol as part of the file.
func (x *Index) symbol(n uint64) ([]byte, error) {
	if n >= uint64(len(x.symbols)) {
		return nil, fmt.Errorf("%w: symbol %d of %d", ErrCorrupt, n, len(x.symbols))
	}
	d := decbuf.Buf{B: x.b[x.symbols[n]:]}
	return d.Section(), nil
}

// label returns the entries of a label name, nil if no series has it.
func (x *Index) label(name string) []uint32 {
	i, ok := slices.BinarySearchFunc(x.names, name, func(l labelName, name string) int { return strings.Compare(l.name, name) })
	if !ok {
		return nil
	}
	return x.names[i].entries
}

// entry returns value and offset of an entry of the postings table. It was read before, so that it cannot be cut.
func (x *Index) entry(at uint32) (value []byte, offset uint64) {
	d := decbuf.Buf{B: x.b[at:]}
	d.Uvarint()
	d.Section()
	return d.Section(), d.Uvarint()
}

// postingsAt returns the references of a postings list.
func (x *Index) postingsAt(offset uint64) ([]uint32, error) {
	content, err := section(x.b, offset, "postings list")
	if err != nil {
		return nil, err
	}
	d := decbuf.Buf{B: content}
	n := uint64(d.Be32())
	if n*4 != uint64(len(d.B)) {
		return nil, fmt.Errorf("%w: postings list at %d has %d references in %d bytes", ErrCorrupt, offset, n, len(d.B))
	}
	refs := make([]uint32, n)
	for i := range refs {
		refs[i] = d.Be32()
		if i > 0 && refs[i-1] >= refs[i] {
			return nil, fmt.Errorf("%w: postings list at %d is out of order", ErrCorrupt, offset)
		}
	}
	return refs, nil
}
