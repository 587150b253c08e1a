package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"logstore/pkg/schema"
)

// buildPageSize is the page size of the files that a Builder writes, as on the machines that Loki runs on.
const buildPageSize = 4096

// writeBuffer is how much a Builder gathers before it writes.
const writeBuffer = 1 << 20

// Builder writes a table file from rows that come in ascending order, bucket after bucket. Leaf pages are filled to the
// end and written as they fill; branches follow them, and the meta pages are written last, so that a file that was cut
// short has no valid meta page.
type Builder struct {
	out  io.WriterAt
	path string
	file *os.File

	// buf holds pages that are not yet written; it belongs at the offset of page bufPage.
	buf     []byte
	bufPage uint64
	next    uint64

	leaf    pageBuilder
	last    []byte
	entries []branchEntry
	// names and roots are the finished buckets.
	names []string
	roots []uint64
	name  string
	open  bool
	rows  int
	err   error
}

// branchEntry is a finished page and its first key.
type branchEntry struct {
	key  []byte
	page uint64
}

// NewBuilder begins a file. Nobody should look at it before Close.
func NewBuilder(path string) (*Builder, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot create index file %s: %w", path, err)
	}
	b := newBuilder(f)
	b.file, b.path = f, path
	return b, nil
}

// firstPage is the first page behind the two meta pages and the empty free list.
const firstPage = 3

func newBuilder(out io.WriterAt) *Builder {
	return &Builder{out: out, next: firstPage, bufPage: firstPage, leaf: pageBuilder{leaf: true}}
}

// Bucket begins a bucket. Names ascend.
func (b *Builder) Bucket(name string) error {
	if n := len(b.names); name == "" || (n > 0 && b.names[n-1] >= name) || (b.open && b.name >= name) {
		return fmt.Errorf("cannot build index file %s: bucket %q is out of order", b.path, name)
	}
	if err := b.endBucket(); err != nil {
		return err
	}
	b.name, b.open, b.last = name, true, b.last[:0]
	return nil
}

// Rows returns how many rows were added.
func (b *Builder) Rows() int { return b.rows }

// Add appends a row. A row equal in its key to the one before is dropped: it comes from a second file.
func (b *Builder) Add(row schema.Row) error {
	switch c := bytes.Compare(row.Key, b.last); {
	case !b.open:
		return fmt.Errorf("cannot build index file %s: a row without a bucket", b.path)
	case len(row.Key) == 0 || c < 0:
		return fmt.Errorf("cannot build index file %s: row %q is out of order", b.path, row.Key)
	case c == 0 && len(b.last) > 0:
		return nil
	}
	b.last = append(b.last[:0], row.Key...)
	b.rows++
	if b.leaf.count > 0 && !b.leaf.fits(len(row.Key)+len(row.Value)) {
		b.entries = append(b.entries, b.flush(&b.leaf))
	}
	b.leaf.addLeaf(row.Key, row.Value, false)
	return b.err
}

// endBucket writes the last leaf and the branches of the bucket that is open.
func (b *Builder) endBucket() error {
	if !b.open {
		return b.err
	}
	b.open = false
	b.names = append(b.names, b.name)
	b.roots = append(b.roots, b.finishTree())
	return b.err
}

// finishTree writes the leaf that is open and the levels above it, and returns the root.
func (b *Builder) finishTree() uint64 {
	level := append(b.entries, b.flush(&b.leaf))
	b.entries = nil
	for len(level) > 1 {
		var above []branchEntry
		branch := pageBuilder{}
		for _, e := range level {
			if branch.count >= 2 && !branch.fits(len(e.key)) {
				above = append(above, b.flush(&branch))
			}
			branch.addBranch(e.key, e.page)
		}
		level = append(above, b.flush(&branch))
	}
	return level[0].page
}

// flush writes a page and returns its entry in the branch above.
func (b *Builder) flush(p *pageBuilder) branchEntry {
	e := branchEntry{key: bytes.Clone(p.firstKey()), page: b.next}
	start := len(b.buf)
	b.buf = p.appendTo(b.buf, b.next)
	b.next += uint64(len(b.buf)-start) / buildPageSize
	p.reset()
	if len(b.buf) >= writeBuffer {
		b.write()
	}
	return e
}

func (b *Builder) write() {
	if b.err == nil && len(b.buf) > 0 {
		if _, err := b.out.WriteAt(b.buf, int64(b.bufPage)*buildPageSize); err != nil {
			b.err = fmt.Errorf("cannot build index file %s: %w", b.path, err)
		}
	}
	b.buf, b.bufPage = b.buf[:0], b.next
}

// finish writes everything but leaves the file open.
func (b *Builder) finish() error {
	if err := b.endBucket(); err != nil {
		return err
	}
	for i, name := range b.names {
		var header [bucketSize]byte
		binary.LittleEndian.PutUint64(header[:], b.roots[i])
		if b.leaf.count > 0 && !b.leaf.fits(len(name)+bucketSize) {
			b.entries = append(b.entries, b.flush(&b.leaf))
		}
		b.leaf.addLeaf([]byte(name), header[:], true)
	}
	root := b.finishTree()
	b.write()
	if b.err != nil {
		return b.err
	}
	head := make([]byte, firstPage*buildPageSize)
	for i := range uint64(2) {
		page := head[i*buildPageSize:]
		pageHeader{id: i, flags: flagMeta}.put(page)
		meta{pageSize: buildPageSize, root: root, freelist: 2, pages: b.next, tx: i}.put(page[pageHeaderSize:])
	}
	pageHeader{id: 2, flags: flagFreelist}.put(head[2*buildPageSize:])
	if _, err := b.out.WriteAt(head, 0); err != nil {
		return fmt.Errorf("cannot build index file %s: %w", b.path, err)
	}
	return nil
}

// Close writes what is left and closes the file. It is on disk when Close returns.
func (b *Builder) Close() error {
	err := b.finish()
	if err == nil {
		err = b.file.Sync()
	}
	return errors.Join(err, b.file.Close())
}

// Abort removes an unfinished file.
func (b *Builder) Abort() {
	_ = b.file.Close()
	_ = os.Remove(b.path)
}

// pageBuilder collects the elements of one page.
type pageBuilder struct {
	leaf  bool
	count int
	// size is the length of the page as it stands.
	size  int
	elems []pageElement
	data  []byte
}

type pageElement struct {
	flags          uint32
	keyLen, valLen uint32
	child          uint64
}

// maxElements is what the count of a page header holds.
const maxElements = 0xffff

func (p *pageBuilder) fits(n int) bool {
	return p.count < maxElements && pageHeaderSize+p.size+elementSize+n <= buildPageSize
}

func (p *pageBuilder) addLeaf(key, value []byte, bucket bool) {
	e := pageElement{keyLen: uint32(len(key)), valLen: uint32(len(value))}
	if bucket {
		e.flags = elementBucket
	}
	p.add(e, key, value)
}

func (p *pageBuilder) addBranch(key []byte, child uint64) {
	p.add(pageElement{keyLen: uint32(len(key)), child: child}, key, nil)
}

func (p *pageBuilder) add(e pageElement, key, value []byte) {
	p.elems = append(p.elems, e)
	p.data = append(append(p.data, key...), value...)
	p.size += elementSize + len(key) + len(value)
	p.count++
}

func (p *pageBuilder) firstKey() []byte {
	if p.count == 0 {
		return nil
	}
	return p.data[:p.elems[0].keyLen]
}

func (p *pageBuilder) reset() {
	p.count, p.size, p.elems, p.data = 0, 0, p.elems[:0], p.data[:0]
}

// appendTo appends the page, filled with zeros up to whole pages.
func (p *pageBuilder) appendTo(dst []byte, id uint64) []byte {
	start := len(dst)
	length := pageHeaderSize + p.size
	pages := (length + buildPageSize - 1) / buildPageSize
	dst = append(dst, make([]byte, pages*buildPageSize)...)
	page := dst[start:]
	h := pageHeader{id: id, flags: flagBranch, count: uint16(p.count), overflow: uint32(pages - 1)}
	if p.leaf {
		h.flags = flagLeaf
	}
	h.put(page)
	at, data := pageHeaderSize, pageHeaderSize+p.count*elementSize
	copy(page[data:], p.data)
	for _, e := range p.elems {
		pos := uint32(data - at)
		if p.leaf {
			binary.LittleEndian.PutUint32(page[at:], e.flags)
			binary.LittleEndian.PutUint32(page[at+4:], pos)
			binary.LittleEndian.PutUint32(page[at+8:], e.keyLen)
			binary.LittleEndian.PutUint32(page[at+12:], e.valLen)
		} else {
			binary.LittleEndian.PutUint32(page[at:], pos)
			binary.LittleEndian.PutUint32(page[at+4:], e.keyLen)
			binary.LittleEndian.PutUint64(page[at+8:], e.child)
		}
		at += elementSize
		data += int(e.keyLen + e.valLen)
	}
	return dst
}
