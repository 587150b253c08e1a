package index

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// The numbers of bbolt's file, version 2. On disk: never renumber.
const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2

	pageHeaderSize = 16
	elementSize    = 16
	metaSize       = 64
	bucketSize     = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	// elementBucket marks a leaf element whose value is a bucket.
	elementBucket = 0x01
)

// pageHeader stands at the begin of each page.
type pageHeader struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32
}

func (h pageHeader) put(dst []byte) {
	binary.LittleEndian.PutUint64(dst, h.id)
	binary.LittleEndian.PutUint16(dst[8:], h.flags)
	binary.LittleEndian.PutUint16(dst[10:], h.count)
	binary.LittleEndian.PutUint32(dst[12:], h.overflow)
}

func readPageHeader(src []byte) pageHeader {
	return pageHeader{
		id:       binary.LittleEndian.Uint64(src),
		flags:    binary.LittleEndian.Uint16(src[8:]),
		count:    binary.LittleEndian.Uint16(src[10:]),
		overflow: binary.LittleEndian.Uint32(src[12:]),
	}
}

// meta is the content of the first two pages; the one with the greater transaction counts.
type meta struct {
	pageSize uint32
	root     uint64
	sequence uint64
	freelist uint64
	// pages is the number of pages in use, the file's high water mark.
	pages uint64
	tx    uint64
}

func (m meta) put(dst []byte) {
	binary.LittleEndian.PutUint32(dst, metaMagic)
	binary.LittleEndian.PutUint32(dst[4:], metaVersion)
	binary.LittleEndian.PutUint32(dst[8:], m.pageSize)
	binary.LittleEndian.PutUint32(dst[12:], 0)
	binary.LittleEndian.PutUint64(dst[16:], m.root)
	binary.LittleEndian.PutUint64(dst[24:], m.sequence)
	binary.LittleEndian.PutUint64(dst[32:], m.freelist)
	binary.LittleEndian.PutUint64(dst[40:], m.pages)
	binary.LittleEndian.PutUint64(dst[48:], m.tx)
	binary.LittleEndian.PutUint64(dst[56:], metaSum(dst))
}

func metaSum(src []byte) uint64 {
	h := fnv.New64a()
	h.Write(src[:56])
	return h.Sum64()
}

// readMeta reads a meta page, header included.
func readMeta(page []byte) (meta, error) {
	if len(page) < pageHeaderSize+metaSize {
		return meta{}, fmt.Errorf("%w: meta page is cut", ErrCorrupt)
	}
	src := page[pageHeaderSize:]
	switch {
	case binary.LittleEndian.Uint32(src) != metaMagic:
		return meta{}, fmt.Errorf("%w: meta page has no bbolt magic", ErrCorrupt)
	case binary.LittleEndian.Uint32(src[4:]) != metaVersion:
		return meta{}, fmt.Errorf("%w: bbolt version %d is not 2", ErrCorrupt, binary.LittleEndian.Uint32(src[4:]))
	case binary.LittleEndian.Uint64(src[56:]) != metaSum(src):
		return meta{}, fmt.Errorf("%w: meta page has a bad checksum", ErrCorrupt)
	}
	return meta{
		pageSize: binary.LittleEndian.Uint32(src[8:]),
		root:     binary.LittleEndian.Uint64(src[16:]),
		sequence: binary.LittleEndian.Uint64(src[24:]),
		freelist: binary.LittleEndian.Uint64(src[32:]),
		pages:    binary.LittleEndian.Uint64(src[40:]),
		tx:       binary.LittleEndian.Uint64(src[48:]),
	}, nil
}

// element is one entry of a leaf or branch page.
type element struct {
	key, value []byte
	// bucket is set for a leaf's value that is a bucket.
	bucket bool
	// child is a branch's page.
	child uint64
}

// readElement reads entry i of a page and checks that it lies within.
func readElement(page []byte, leaf bool, i int) (element, error) {
	at := pageHeaderSize + i*elementSize
	if at+elementSize > len(page) {
		return element{}, fmt.Errorf("%w: element %d is outside of its page", ErrCorrupt, i)
	}
	var e element
	var pos, keyLen, valueLen uint64
	if leaf {
		e.bucket = binary.LittleEndian.Uint32(page[at:])&elementBucket != 0
		pos = uint64(binary.LittleEndian.Uint32(page[at+4:]))
		keyLen = uint64(binary.LittleEndian.Uint32(page[at+8:]))
		valueLen = uint64(binary.LittleEndian.Uint32(page[at+12:]))
	} else {
		pos = uint64(binary.LittleEndian.Uint32(page[at:]))
		keyLen = uint64(binary.LittleEndian.Uint32(page[at+4:]))
		e.child = binary.LittleEndian.Uint64(page[at+8:])
	}
	begin := uint64(at) + pos
	if keyLen == 0 || begin+keyLen+valueLen > uint64(len(page)) {
		return element{}, fmt.Errorf("%w: the key of element %d is outside of its page", ErrCorrupt, i)
	}
	e.key = page[begin : begin+keyLen]
	e.value = page[begin+keyLen : begin+keyLen+valueLen]
	return e, nil
}
