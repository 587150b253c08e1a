package engine

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
)

// deduper finds entries of one stream that were there before. It is asked for entries in the order of time, in either
// direction, and remembers those of one instant.
type deduper struct {
	ts    int64
	valid bool
	seen  []entryRef
	// hashes replaces comparing once an instant has many entries.
	hashes       map[uint64]struct{}
	metaA, metaB []model.Pair
	digest       xxhash.Digest
}

// entryRef is entry i of a loaded batch.
type entryRef struct {
	batch *chunk.Batch
	i     int
}

// maxCompared is the most entries of one instant that are compared one by one.
const maxCompared = 8

// reset forgets everything; the batches that were asked about may be gone.
func (d *deduper) reset() {
	d.valid = false
	d.seen = d.seen[:0]
	d.hashes = nil
}

// repeated reports whether an equal entry was asked about before, and remembers this one.
func (d *deduper) repeated(b *chunk.Batch, i int) bool {
	ref := entryRef{b, i}
	if ts := b.Ts[i]; !d.valid || ts != d.ts {
		d.ts, d.valid, d.hashes = ts, true, nil
		d.seen = append(d.seen[:0], ref)
		return false
	}
	if d.hashes == nil && len(d.seen) < maxCompared {
		for _, s := range d.seen {
			if d.equal(s, ref) {
				return true
			}
		}
		d.seen = append(d.seen, ref)
		return false
	}
	if d.hashes == nil {
		d.hashes = make(map[uint64]struct{}, 4*maxCompared)
		for _, s := range d.seen {
			d.hashes[d.hash(s)] = struct{}{}
		}
	}
	h := d.hash(ref)
	_, repeated := d.hashes[h]
	d.hashes[h] = struct{}{}
	return repeated
}

func (d *deduper) equal(a, b entryRef) bool {
	if !bytes.Equal(a.batch.Line(a.i), b.batch.Line(b.i)) {
		return false
	}
	if a.batch.Meta == nil && b.batch.Meta == nil {
		return true
	}
	d.metaA = a.batch.Metadata(a.i, d.metaA[:0])
	d.metaB = b.batch.Metadata(b.i, d.metaB[:0])
	return slices.Equal(d.metaA, d.metaB)
}

// hash is that of the entry's line and metadata.
func (d *deduper) hash(e entryRef) uint64 {
	line := e.batch.Line(e.i)
	if e.batch.Meta == nil {
		return xxhash.Sum64(line)
	}
	d.metaA = e.batch.Metadata(e.i, d.metaA[:0])
	if len(d.metaA) == 0 {
		return xxhash.Sum64(line)
	}
	d.digest.Reset()
	_, _ = d.digest.Write(line) // never fails
	for _, p := range d.metaA {
		for _, s := range [...]string{p.Name, p.Value} {
			_, _ = d.digest.Write([]byte{0xff})
			_, _ = d.digest.WriteString(s)
		}
	}
	return d.digest.Sum64()
}
