package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	minPageSize = 1 << 10
	maxPageSize = 16 << 20
	// maxDepth is far above what a file of any size has.
	maxDepth = 24
	// maxOverflow bounds the memory for one page; bbolt's values are shorter than 2 GB, ours are a few kilobytes.
	maxOverflow = 64 << 20
)

// Check walks all pages of a table file and reports the first thing that bbolt would stumble over: meta pages, page numbers
// beyond the end, loops, elements outside of their page, keys out of order.
func Check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot check index file %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot check index file %s: %w", path, err)
	}
	if err := check(f, info.Size()); err != nil {
		return fmt.Errorf("cannot check index file %s: %w", path, err)
	}
	return nil
}

// check is Check over anything that can be read at an offset.
func check(r io.ReaderAt, size int64) error {
	m, err := findMeta(r, size)
	if err != nil {
		return err
	}
	if uint64(size) < m.pages*uint64(m.pageSize) {
		return fmt.Errorf("%w: %d bytes hold no %d pages of %d bytes", ErrCorrupt, size, m.pages, m.pageSize)
	}
	c := &checker{r: r, pageSize: uint64(m.pageSize), pages: m.pages, seen: make([]uint64, m.pages/64+1)}
	return c.tree(m.root, 0, keyRange{}, true)
}

// findMeta returns the meta page that counts.
func findMeta(r io.ReaderAt, size int64) (meta, error) {
	first, err := metaAt(r, 0)
	if err == nil {
		second, err := metaAt(r, int64(first.pageSize))
		switch {
		case err != nil || second.tx <= first.tx:
			return first, nil
		case second.pageSize != first.pageSize:
			return meta{}, fmt.Errorf("%w: meta pages name two page sizes, %d and %d", ErrCorrupt, first.pageSize, second.pageSize)
		}
		return second, nil
	}
	for at := int64(minPageSize); at <= maxPageSize && at < size; at *= 2 {
		if m, err := metaAt(r, at); err == nil && int64(m.pageSize) == at {
			return m, nil
		}
	}
	return meta{}, err
}

func metaAt(r io.ReaderAt, at int64) (meta, error) {
	var buf [pageHeaderSize + metaSize]byte
	n, err := r.ReadAt(buf[:], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return meta{}, err
	}
	m, err := readMeta(buf[:n])
	if err != nil {
		return meta{}, err
	}
	switch {
	case m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, fmt.Errorf("%w: page size %d", ErrCorrupt, m.pageSize)
	case m.pages < 3 || m.pages > 1<<40:
		return meta{}, fmt.Errorf("%w: %d pages", ErrCorrupt, m.pages)
	}
	return m, nil
}

// checker walks a file once.
type checker struct {
	r               io.ReaderAt
	pageSize, pages uint64
	seen            []uint64
	// free holds a buffer for each level of the walk.
	free [maxDepth][]byte
}

// keyRange bounds the keys of a subtree: from low, before high if there is one.
type keyRange struct{ low, high []byte }

// tree checks the pages below and with a root. buckets is set in the tree of the buckets' names.
func (c *checker) tree(id uint64, depth int, within keyRange, buckets bool) error {
	if depth >= maxDepth {
		return fmt.Errorf("%w: the tree is deeper than %d pages", ErrCorrupt, maxDepth)
	}
	page, h, err := c.page(id, depth)
	if err != nil {
		return err
	}
	leaf := h.flags == flagLeaf
	if !leaf && h.flags != flagBranch {
		return fmt.Errorf("%w: page %d has flags %#x, neither leaf nor branch", ErrCorrupt, id, h.flags)
	}
	if !leaf && h.count == 0 {
		return fmt.Errorf("%w: branch page %d is empty", ErrCorrupt, id)
	}
	if err := checkElements(page, leaf, int(h.count), within); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	switch {
	case !leaf:
		return c.children(page, int(h.count), depth, within, buckets)
	case buckets:
		return c.buckets(page, int(h.count), depth)
	}
	return nil
}

// page reads a page with its overflow.
func (c *checker) page(id uint64, depth int) ([]byte, pageHeader, error) {
	if id < 2 || id >= c.pages {
		return nil, pageHeader{}, fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, c.pages)
	}
	buf, err := c.read(id, c.pageSize, depth)
	if err != nil {
		return nil, pageHeader{}, err
	}
	h := readPageHeader(buf)
	span := (uint64(h.overflow) + 1) * c.pageSize
	switch {
	case h.id != id:
		return nil, pageHeader{}, fmt.Errorf("%w: page %d says it is page %d", ErrCorrupt, id, h.id)
	case id+uint64(h.overflow) >= c.pages || span > maxOverflow:
		return nil, pageHeader{}, fmt.Errorf("%w: page %d runs over by %d pages", ErrCorrupt, id, h.overflow)
	}
	for p := id; p <= id+uint64(h.overflow); p++ {
		if c.seen[p/64]&(1<<(p%64)) != 0 {
			return nil, pageHeader{}, fmt.Errorf("%w: page %d is used twice", ErrCorrupt, p)
		}
		c.seen[p/64] |= 1 << (p % 64)
	}
	if h.overflow > 0 {
		if buf, err = c.read(id, span, depth); err != nil {
			return nil, pageHeader{}, err
		}
	}
	return buf, h, nil
}

func (c *checker) read(id, length uint64, depth int) ([]byte, error) {
	if uint64(cap(c.free[depth])) < length {
		c.free[depth] = make([]byte, length)
	}
	buf := c.free[depth][:length]
	if _, err := c.r.ReadAt(buf, int64(id*c.pageSize)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf, nil
}

// checkElements checks the bounds and the order of a page's keys.
func checkElements(page []byte, leaf bool, count int, within keyRange) error {
	var last []byte
	for i := range count {
		e, err := readElement(page, leaf, i)
		if err != nil {
			return err
		}
		switch {
		case i > 0 && bytes.Compare(last, e.key) >= 0:
			return fmt.Errorf("%w: key %d is out of order", ErrCorrupt, i)
		case i == 0 && leaf && bytes.Compare(e.key, within.low) < 0:
			return fmt.Errorf("%w: the first key is before the page's range", ErrCorrupt)
		}
		last = e.key
	}
	if within.high != nil && bytes.Compare(last, within.high) >= 0 {
		return fmt.Errorf("%w: the last key is behind the page's range", ErrCorrupt)
	}
	return nil
}

func (c *checker) children(page []byte, count, depth int, within keyRange, buckets bool) error {
	for i := range count {
		e, err := readElement(page, false, i)
		if err != nil {
			return err
		}
		// The keys of this page stay where they are while the walk is below it: each level has a buffer of its own.
		below := keyRange{low: e.key, high: within.high}
		if i == 0 {
			below.low = within.low
		}
		if i+1 < count {
			next, err := readElement(page, false, i+1)
			if err != nil {
				return err
			}
			below.high = next.key
		}
		if err := c.tree(e.child, depth+1, below, buckets); err != nil {
			return err
		}
	}
	return nil
}

// buckets checks the trees of the buckets that a page names.
func (c *checker) buckets(page []byte, count, depth int) error {
	for i := range count {
		e, err := readElement(page, true, i)
		if err != nil {
			return err
		}
		if !e.bucket {
			return fmt.Errorf("%w: %q is no bucket", ErrCorrupt, e.key)
		}
		if len(e.value) < bucketSize {
			return fmt.Errorf("%w: the header of bucket %q is cut", ErrCorrupt, e.key)
		}
		if root := binary.LittleEndian.Uint64(e.value); root != 0 {
			err = c.tree(root, depth+1, keyRange{}, false)
		} else {
			err = checkInline(e.value[bucketSize:])
		}
		if err != nil {
			return fmt.Errorf("bucket %q: %w", e.key, err)
		}
	}
	return nil
}

// checkInline checks a small bucket, whose only page stands in the value.
func checkInline(page []byte) error {
	if len(page) < pageHeaderSize {
		return fmt.Errorf("%w: inline page is cut", ErrCorrupt)
	}
	h := readPageHeader(page)
	if h.flags != flagLeaf {
		return fmt.Errorf("%w: inline page has flags %#x", ErrCorrupt, h.flags)
	}
	return checkElements(page, true, int(h.count), keyRange{})
}
