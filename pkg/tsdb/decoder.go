package tsdb

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumSize = 4

// decoder reads values one after the other. After the first that is cut short all others are zero and short is set.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) fail() {
	d.b, d.short = nil, true
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) u32() uint32 {
	if len(d.b) < 4 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// bytes returns the next n bytes, which are part of the input.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// str returns a string with its length before it, as part of the input.
func (d *decoder) str() []byte { return d.bytes(d.uvarint()) }

// section returns the content of the section at an offset.
func section(file []byte, at uint64, what string) ([]byte, error) {
	if at > uint64(len(file)) {
		return nil, fmt.Errorf("%w: %s at %d is beyond the end", ErrCorrupt, what, at)
	}
	d := decoder{b: file[at:]}
	return checked(&d, uint64(d.u32()), what, at)
}

// checked returns the next n bytes, behind which their checksum stands.
func checked(d *decoder, n uint64, what string, at uint64) ([]byte, error) {
	content := d.bytes(n)
	sum := d.u32()
	if d.short {
		return nil, fmt.Errorf("%w: %s at %d is cut", ErrCorrupt, what, at)
	}
	if crc32.Checksum(content, castagnoli) != sum {
		return nil, fmt.Errorf("%w: %s at %d has a bad checksum", ErrCorrupt, what, at)
	}
	return content, nil
}
