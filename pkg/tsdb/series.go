package tsdb

import (
	"fmt"
	"math"

	"logstore/pkg/decbuf"

	"github.com/prometheus/prometheus/model/labels"
)

// Chunk is what the index says of a chunk.
type Chunk struct {
	// From and Through bound its entries in milliseconds, both inclusive.
	From, Through int64
	// KB is the size of its entries in units of 1024 bytes, rounded to the nearest.
	KB       uint64
	Entries  uint64
	Checksum uint32
}

// Reader reads the series of an index. It keeps the texts that it met, for labels repeat.
type Reader struct {
	x     *Index
	texts map[uint64]string
	build labels.ScratchBuilder
}

// NewReader returns a reader.
func (x *Index) NewReader() *Reader {
	return &Reader{x: x, texts: make(map[uint64]string), build: labels.NewScratchBuilder(16)}
}

// Series is one series. Its bytes belong to the index.
type Series struct {
	Fingerprint uint64
	// labels are pairs of symbols, chunks what stands behind them.
	labels, chunks []byte
	pairs          uint64
	r              *Reader
	ref            uint32
}

// Series reads the series of a reference into s.
func (r *Reader) Series(ref uint32, s *Series) error {
	at := uint64(ref) * seriesAlign
	if at < r.x.toc.series || at >= r.x.toc.labelIndices {
		return fmt.Errorf("%w: reference %d is outside of the series", ErrCorrupt, ref)
	}
	d := decbuf.Buf{B: r.x.b[at:r.x.toc.labelIndices]}
	body, err := checked(&d, d.Uvarint(), "series", at)
	if err != nil {
		return err
	}
	d = decbuf.Buf{B: body}
	*s = Series{Fingerprint: d.Be64(), pairs: d.Uvarint(), r: r, ref: ref}
	s.labels = d.B
	if s.pairs > uint64(len(d.B)) {
		d.Fail("too many labels")
	}
	for range s.pairs {
		if d.Failed() {
			break
		}
		d.Uvarint()
		d.Uvarint()
	}
	if d.Failed() {
		return s.corrupt()
	}
	s.chunks = d.B
	return nil
}

func (s *Series) corrupt() error {
	return fmt.Errorf("%w: series %d is cut", ErrCorrupt, s.ref)
}

// text returns a symbol as a string that outlives the file.
func (r *Reader) text(n uint64) (string, error) {
	if t, ok := r.texts[n]; ok {
		return t, nil
	}
	b, err := r.x.symbol(n)
	if err != nil {
		return "", err
	}
	t := string(b)
	r.texts[n] = t
	return t, nil
}

// Labels returns the labels and the tenant, which is empty in a file of one tenant.
func (s *Series) Labels() (lbls labels.Labels, tenant string, err error) {
	b := &s.r.build
	b.Reset()
	d := decbuf.Buf{B: s.labels}
	for range s.pairs {
		name, err := s.r.text(d.Uvarint())
		if err != nil {
			return labels.EmptyLabels(), "", err
		}
		value, err := s.r.text(d.Uvarint())
		if err != nil {
			return labels.EmptyLabels(), "", err
		}
		if name == TenantLabel {
			tenant = value
			continue
		}
		b.Add(name, value)
	}
	// Sorted already, except in a file that lies; labels that are not would break whoever compares them.
	b.Sort()
	return b.Labels(), tenant, nil
}

// Chunks calls fn for the chunks of the series that touch the milliseconds [from, through], ascending by start. It ends at
// the first error.
func (s *Series) Chunks(from, through int64, fn func(Chunk) error) error {
	d := decbuf.Buf{B: s.chunks}
	n := d.Uvarint()
	if s.r.x.version >= markedVersion && n > 0 {
		d.Take(uint64(d.Be32())) // the markers
	}
	end := int64(0)
	for range n {
		c := Chunk{From: end + d.Varint()}
		length := d.Uvarint()
		c.KB, c.Entries, c.Checksum = d.Uvarint(), d.Uvarint(), d.Be32()
		if d.Failed() || length > math.MaxInt64 || c.From > math.MaxInt64-int64(length) {
			return s.corrupt()
		}
		c.Through = c.From + int64(length)
		end = c.Through
		if c.From > through {
			return nil
		}
		if c.Through < from {
			continue
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}
