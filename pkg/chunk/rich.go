package chunk

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"logstore/pkg/model"
)

// A rich entry is one on its way to a block of version 4, whose symbols it does not know yet:
//
//	an entry as versions 1 to 3 have it, uv number of pairs, and per pair: uv length, name, uv length, value

// AppendRichEntry appends an entry with its metadata. The write-ahead log and the calls between members carry such.
func AppendRichEntry(dst []byte, ts int64, line []byte, pairs []model.Pair) []byte {
	dst = AppendEntry(dst, ts, line)
	dst = binary.AppendUvarint(dst, uint64(len(pairs)))
	for i := range pairs {
		dst = binary.AppendUvarint(dst, uint64(len(pairs[i].Name)))
		dst = append(dst, pairs[i].Name...)
		dst = binary.AppendUvarint(dst, uint64(len(pairs[i].Value)))
		dst = append(dst, pairs[i].Value...)
	}
	return dst
}

// ReadRichEntry reads the first entry of what AppendRichEntry wrote and appends its metadata to pairs. Line and pairs alias b.
func ReadRichEntry(b []byte, pairs []model.Pair) (ts int64, line []byte, all []model.Pair, rest []byte, err error) {
	ts, line, rest, err = ReadEntry(b)
	if err != nil {
		return 0, nil, pairs, b, err
	}
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)) {
		return 0, nil, pairs, b, fmt.Errorf("%w: bad number of pairs", ErrCorrupt)
	}
	rest = rest[size:]
	for ; n > 0; n-- {
		var p model.Pair
		for _, s := range [...]*string{&p.Name, &p.Value} {
			l, size := binary.Uvarint(rest)
			if size <= 0 || l > uint64(len(rest)-size) {
				return 0, nil, pairs, b, fmt.Errorf("%w: bad pair", ErrCorrupt)
			}
			*s = borrow(rest[size : size+int(l)])
			rest = rest[size+int(l):]
		}
		pairs = append(pairs, p)
	}
	return ts, line, pairs, rest, nil
}

// borrow returns b as a string that aliases it.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
