package chunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"logstore/pkg/compress"
	"logstore/pkg/decbuf"
)

const (
	payloadMagic = 0x012ee56a
	// metasFooter is the crc over the metas and what finds them, in versions 1 to 3.
	metasFooter = 4 + 8
	// sectionsFooter is the same in version 4: the crc, and length and offset of the symbols and the metas.
	sectionsFooter = 4 + 4*8
)

// layout is what the beginning and the end of a payload say about the rest.
type layout struct {
	version byte
	enc     compress.Encoding
	// metas and symbols are sections without their checksums.
	metas    []byte
	metasSum uint32
	symbols  *Symbols
	// symbolsAt is where the symbols stand, with their checksum; empty if there are none.
	symbolsAt Extent
}

// readPayload decodes a payload of any version. The blocks point into p.
func readPayload(p []byte) (layout, []Block, error) {
	l, err := readLayout(p)
	if err != nil {
		return l, nil, err
	}
	if crc32.Checksum(l.metas, castagnoli) != l.metasSum {
		return l, nil, fmt.Errorf("cannot read the table of blocks: %w", ErrChecksum)
	}
	blocks, err := readMetas(p, &l)
	return l, blocks, err
}

func readLayout(p []byte) (layout, error) {
	l := layout{enc: compress.Gzip}
	if len(p) < 5 || binary.BigEndian.Uint32(p) != payloadMagic {
		return l, fmt.Errorf("%w: no payload magic", ErrCorrupt)
	}
	l.version = p[4]
	if l.version < Version1 || l.version > Version4 {
		return l, fmt.Errorf("%w: unknown version %d", ErrCorrupt, l.version)
	}
	if l.version > Version1 {
		if len(p) < 6 {
			return l, fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, len(p))
		}
		if l.enc = compress.Encoding(p[5]); !l.enc.Valid() {
			return l, fmt.Errorf("%w: %w: %d", ErrCorrupt, compress.ErrUnknown, p[5])
		}
	}
	if l.version < Version4 {
		return l, l.readFooter(p)
	}
	return l, l.readSections(p)
}

// readFooter finds the metas of versions 1 to 3, which reach to the footer.
func (l *layout) readFooter(p []byte) error {
	if len(p) < 5+metasFooter {
		return fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, len(p))
	}
	end := len(p) - metasFooter
	offset := binary.BigEndian.Uint64(p[len(p)-8:])
	if offset < 5 || offset > uint64(end) {
		return fmt.Errorf("%w: table of blocks at %d of %d bytes", ErrCorrupt, offset, len(p))
	}
	l.metas, l.metasSum = p[offset:end], binary.BigEndian.Uint32(p[end:])
	return nil
}

// readSections finds the metas and symbols of version 4.
func (l *layout) readSections(p []byte) error {
	if len(p) < 6+sectionsFooter {
		return fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, len(p))
	}
	foot := p[len(p)-32:]
	section := func(at int) ([]byte, uint32, error) {
		length, offset := binary.BigEndian.Uint64(foot[at:]), binary.BigEndian.Uint64(foot[at+8:])
		end := uint64(len(p) - 32 - 4)
		if offset < 6 || offset > end || length > end-offset {
			return nil, 0, fmt.Errorf("%w: section of %d bytes at %d of %d", ErrCorrupt, length, offset, len(p))
		}
		return p[offset : offset+length], binary.BigEndian.Uint32(p[offset+length:]), nil
	}
	symbols, sum, err := section(0)
	if err != nil {
		return err
	}
	if l.metas, l.metasSum, err = section(16); err != nil {
		return err
	}
	count, n := binary.Uvarint(symbols)
	if n <= 0 {
		return fmt.Errorf("%w: bad number of symbols", ErrCorrupt)
	}
	// The section's own checksum is only tested when it is decoded, unless it says that there is nothing to decode.
	if count > 0 {
		l.symbols = &Symbols{section: symbols, sum: sum, enc: l.enc}
		l.symbolsAt = Extent{int(binary.BigEndian.Uint64(foot[8:])), len(symbols) + 4}
		return nil
	}
	if crc32.Checksum(symbols, castagnoli) != sum {
		return fmt.Errorf("cannot read symbols: %w", ErrChecksum)
	}
	return nil
}

// readMetas decodes the table of blocks.
func readMetas(p []byte, l *layout) ([]Block, error) {
	r := decbuf.Buf{B: l.metas}
	// The smallest row takes five bytes, six from version 3 on.
	count := r.Uvarint()
	if r.Failed() || count > uint64(len(r.B)/5) {
		return nil, fmt.Errorf("%w: table of %d blocks in %d bytes", ErrCorrupt, count, len(l.metas))
	}
	blocks := make([]Block, count)
	body := uint64(len(p))
	before := 0
	for i := range blocks {
		b := &blocks[i]
		entries := r.Uvarint()
		b.MinTime, b.MaxTime = r.Varint(), r.Varint()
		offset := r.Uvarint()
		size := uint64(0)
		if l.version >= Version3 {
			size = r.Uvarint()
		}
		length := r.Uvarint()
		if r.Failed() {
			return nil, fmt.Errorf("%w: bad row of block %d", ErrCorrupt, i)
		}
		if offset > body || length > body || offset+length+4 > body || entries > MaxBlockBytes || size > MaxBlockBytes {
			return nil, fmt.Errorf("%w: block %d has %d bytes (%d uncompressed, %d entries) at %d of %d", ErrCorrupt, i, length, size, entries, offset, body)
		}
		end := offset + length
		b.Entries, b.Size, b.offset = int(entries), int(size), int(offset)
		b.data, b.sum = p[offset:end:end], binary.BigEndian.Uint32(p[end:])
		b.enc, b.pairs, b.Symbols = l.enc, l.version >= Version4, l.symbols
		if i > 0 && before != int(offset) && uint64(before)+length+4 <= body {
			b.retry = p[before : before+int(length)+4]
		}
		before = int(end) + 4
	}
	if len(r.B) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the table of blocks", ErrCorrupt, len(r.B))
	}
	return blocks, nil
}

// appendPayload writes sealed blocks, which are in order and of one encoding and layout, as version 3 or 4.
func appendPayload(dst []byte, version byte, enc compress.Encoding, blocks []Block, symbols []string) ([]byte, error) {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, payloadMagic)
	dst = append(dst, version, byte(enc))
	symbolsAt := len(dst) - start
	symbolsLen := 0
	if version >= Version4 {
		var err error
		if dst, err = appendSymbols(dst, symbols, enc); err != nil {
			return dst, fmt.Errorf("cannot write symbols: %w", err)
		}
		symbolsLen = len(dst) - start - symbolsAt
		dst = appendSum(dst, dst[start+symbolsAt:])
	}
	metas := binary.AppendUvarint(nil, uint64(len(blocks)))
	for i := range blocks {
		b := &blocks[i]
		metas = binary.AppendUvarint(metas, uint64(b.Entries))
		metas = binary.AppendVarint(metas, b.MinTime)
		metas = binary.AppendVarint(metas, b.MaxTime)
		metas = binary.AppendUvarint(metas, uint64(len(dst)-start))
		metas = binary.AppendUvarint(metas, uint64(b.Size))
		metas = binary.AppendUvarint(metas, uint64(len(b.data)))
		dst = append(dst, b.data...)
		dst = binary.BigEndian.AppendUint32(dst, b.sum)
	}
	metasAt := len(dst) - start
	dst = append(dst, metas...)
	dst = appendSum(dst, metas)
	if version >= Version4 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(symbolsLen))
		dst = binary.BigEndian.AppendUint64(dst, uint64(symbolsAt))
		dst = binary.BigEndian.AppendUint64(dst, uint64(len(metas)))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(metasAt)), nil
}

func appendSum(dst, b []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(b, castagnoli))
}
