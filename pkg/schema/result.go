package schema

import (
	"bytes"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/model"
)

// Series is what an index knows of a stream: its labels, and the chunks that a lookup wanted.
type Series struct {
	ID     SeriesID
	Labels labels.Labels
	Chunks []ChunkName
}

// IndexEntry asks an index to take up one chunk of a stream.
type IndexEntry struct {
	Ref    model.ChunkRef
	Labels labels.Labels
}

// SortChunks sorts chunks by time and drops equal ones. Several tables and files name the same chunk. A list that is so already is only
// read.
func SortChunks(chunks []ChunkName) []ChunkName {
	ordered := true
	for i := 1; i < len(chunks) && ordered; i++ {
		ordered = compareChunks(&chunks[i-1], &chunks[i]) < 0
	}
	if ordered {
		return chunks
	}
	slices.SortFunc(chunks, func(a, b ChunkName) int { return compareChunks(&a, &b) })
	return slices.CompactFunc(chunks, func(a, b ChunkName) bool { return a.ChunkRef == b.ChunkRef })
}

func compareChunks(a, b *ChunkName) int {
	switch {
	case a.From != b.From:
		return compare(a.From, b.From)
	case a.Through != b.Through:
		return compare(a.Through, b.Through)
	case a.Fingerprint != b.Fingerprint:
		return compare(a.Fingerprint, b.Fingerprint)
	}
	return compare(a.Checksum, b.Checksum)
}

func compare[T int64 | uint64 | uint32](a, b T) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// Compare orders ids as their rows are ordered.
func (id *SeriesID) Compare(other *SeriesID) int { return bytes.Compare(id[:], other[:]) }

// MergeSeries merges lists of series, each ascending by id without repeats, into one such list. Chunks of equal series are
// sorted and each kept once. The lists are used up.
func MergeSeries(lists ...[]Series) []Series {
	lists = slices.DeleteFunc(lists, func(l []Series) bool { return len(l) == 0 })
	for len(lists) > 1 {
		// Pairs are merged so that each series is moved as often as the number of lists has bits.
		half := lists[:0]
		for i := 0; i < len(lists); i += 2 {
			if i+1 < len(lists) {
				half = append(half, mergeTwo(lists[i], lists[i+1]))
			} else {
				half = append(half, lists[i])
			}
		}
		lists = half
	}
	if len(lists) == 0 {
		return nil
	}
	for i := range lists[0] {
		lists[0][i].Chunks = SortChunks(lists[0][i].Chunks)
	}
	return lists[0]
}

func mergeTwo(a, b []Series) []Series {
	out := make([]Series, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].ID.Compare(&b[0].ID); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			s := a[0]
			s.Chunks = append(s.Chunks[:len(s.Chunks):len(s.Chunks)], b[0].Chunks...)
			out, a, b = append(out, s), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}
