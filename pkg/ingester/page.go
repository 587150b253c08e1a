package ingester

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"logstore/pkg/compress"
	"logstore/pkg/wal"
)

// pageSize is the size at which a page is written, before compression.
const pageSize = 512 << 10

// pageEncoding compresses pages. They are read soon and once, so that speed counts.
const pageEncoding = compress.Snappy

// page is a run of fragments of many streams, compressed together: in a segment of the parts log, or in memory where there
// is no log.
type page struct {
	file   *segmentFile
	offset int64
	// skip is the length of what stands before the compressed bytes in the record.
	skip, size int
	// memory holds the compressed bytes of a page that is in no log.
	memory []byte
}

// fragment is a part of a page: runs of one piece, each as {kind, uv length, bytes}.
type fragment struct {
	page   *page
	lo, hi uint32
	// entries and the times are those of the runs.
	entries        uint32
	oldest, newest int64
}

// segmentFile is a segment that is open for reading pages. It is closed when the last page of it is forgotten, and can be read
// after the log removed it, for the sake of queries that found its pages before.
type segmentFile struct{ wal.Source }

// pageCache keeps pages that were decompressed lately: streams that are flushed or queried one after the other are in the
// same pages.
type pageCache struct {
	mu      sync.Mutex
	limit   int
	bytes   int
	order   list.List
	entries map[*page]*list.Element
}

// cachedPage is filled by the first that needs it while others wait for its lock.
type cachedPage struct {
	p    *page
	mu   sync.Mutex
	data []byte
}

// pageCacheSize bounds the bytes of cached pages.
const pageCacheSize = 24 << 20

func (c *pageCache) init() {
	c.limit, c.entries = pageCacheSize, map[*page]*list.Element{}
}

// get returns the decompressed page, which must not be changed.
func (c *pageCache) get(p *page) ([]byte, error) {
	c.mu.Lock()
	el := c.entries[p]
	if el == nil {
		el = c.order.PushFront(&cachedPage{p: p})
		c.entries[p] = el
		c.bytes += p.size
		for c.bytes > c.limit && c.order.Len() > 1 {
			oldest := c.order.Back()
			q := c.order.Remove(oldest).(*cachedPage)
			delete(c.entries, q.p)
			c.bytes -= q.p.size
		}
	} else {
		c.order.MoveToFront(el)
	}
	e := el.Value.(*cachedPage)
	c.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data != nil {
		return e.data, nil
	}
	data, err := p.load()
	if err != nil {
		return nil, err
	}
	e.data = data
	return data, nil
}

// fragment returns the runs of a fragment, which must not be changed.
func (c *pageCache) fragment(f fragment) ([]byte, error) {
	data, err := c.get(f.page)
	if err != nil {
		return nil, err
	}
	if int(f.hi) > len(data) || f.lo > f.hi {
		return nil, fmt.Errorf("cannot read a page: %w", errRecord)
	}
	return data[f.lo:f.hi], nil
}

// load reads and decompresses a page.
func (p *page) load() ([]byte, error) {
	record := p.memory
	if p.file != nil {
		var err error
		if record, err = wal.ReadRecord(p.file, p.offset, nil); err != nil {
			return nil, fmt.Errorf("cannot read a page: %w", err)
		}
		if len(record) < p.skip {
			return nil, fmt.Errorf("cannot read a page: %w", errRecord)
		}
		record = record[p.skip:]
	}
	data, err := pageEncoding.AppendDecompress(make([]byte, 0, p.size), record, p.size, p.size)
	if err == nil && len(data) != p.size {
		err = fmt.Errorf("%w: page of %d bytes, not %d", errRecord, len(data), p.size)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a page: %w", err)
	}
	return data, nil
}

// damagedAttempts is how often a piece with a damaged page is tried. Then what is left of it is stored without that page: it would
// hold its memory and the logs for ever.
const damagedAttempts = 4

// isDamage reports whether an error says that bytes are not those that were written, which no further attempt will change.
func isDamage(err error) bool {
	return errors.Is(err, wal.ErrDamaged) || errors.Is(err, errRecord) || errors.Is(err, compress.ErrCorrupt) || errors.Is(err, io.EOF)
}

// dropDamaged lets go of the fragments of a closed piece whose pages are damaged, and says what is lost. The error is one of a page
// that cannot be read for another reason.
func (i *Ingester) dropDamaged(p *piece) error {
	s := p.stream
	s.mu.Lock()
	fragments := p.fragments
	s.mu.Unlock()
	bad := map[fragment]bool{}
	var entries uint64
	var why error
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for _, f := range fragments {
		_, err := i.pages.fragment(f)
		if err == nil {
			continue
		}
		if !isDamage(err) {
			return err
		}
		bad[f], why = true, err
		entries += uint64(f.entries)
		oldest, newest = min(oldest, f.oldest), max(newest, f.newest)
	}
	if len(bad) == 0 {
		return nil
	}
	i.metrics.lostEntries.Add(float64(entries))
	i.log.Error("lines are lost: they are in a damaged page; another replica may have them", "stream", s.labels.String(), "tenant", s.tenant.name,
		"lines", entries, "from", time.Unix(0, oldest).UTC(), "through", time.Unix(0, newest).UTC(), "err", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Readers hold the slice as it was.
	p.fragments = slices.DeleteFunc(slices.Clone(p.fragments), func(f fragment) bool { return bad[f] })
	i.accountLocked(p)
	return nil
}
