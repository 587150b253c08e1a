package tsdb

import (
	"fmt"
	"hash/crc32"

	"logstore/pkg/decbuf"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumSize = 4

// section returns the content of the section at an offset.
func section(file []byte, at uint64, what string) ([]byte, error) {
	if at > uint64(len(file)) {
		return nil, fmt.Errorf("%w: %s at %d is beyond the end", ErrCorrupt, what, at)
	}
	d := decbuf.Buf{B: file[at:]}
	return checked(&d, uint64(d.Be32()), what, at)
}

// checked returns the next n bytes, behind which their checksum stands.
func checked(d *decbuf.Buf, n uint64, what string, at uint64) ([]byte, error) {
	content := d.Take(n)
	sum := d.Be32()
	if d.Failed() {
		return nil, fmt.Errorf("%w: %s at %d is cut", ErrCorrupt, what, at)
	}
	if crc32.Checksum(content, castagnoli) != sum {
		return nil, fmt.Errorf("%w: %s at %d has a bad checksum", ErrCorrupt, what, at)
	}
	return content, nil
}
