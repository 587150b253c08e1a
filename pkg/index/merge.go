package index

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	"logstore/pkg/schema"
)

// Build writes rows to a new file, which is on disk when Build returns. It sorts the rows in place. Of rows with equal keys
// one is kept.
func Build(path string, buckets map[string][]schema.Row) error {
	return build(path, func(b *Builder) error {
		for _, name := range slices.Sorted(maps.Keys(buckets)) {
			if err := b.Bucket(name); err != nil {
				return err
			}
			rows := buckets[name]
			SortRows(rows)
			for i := range rows {
				if err := b.Add(rows[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Merge writes the rows of files, bucket by bucket, to a new file without free pages, which is on disk when Merge returns.
// Of rows with equal keys the one of the first file is kept. No file may be closed meanwhile.
func Merge(path string, files ...*File) error {
	return build(path, func(b *Builder) error {
		return viewAll(files, nil, func(txs []*bolt.Tx) error { return mergeBuckets(b, txs) })
	})
}

// build writes a file under a temporary name and puts it in its place when it is complete.
func build(path string, fill func(*Builder) error) error {
	temp := path + tempSuffix
	b, err := NewBuilder(temp)
	if err != nil {
		return err
	}
	if err := fill(b); err != nil {
		b.Abort()
		return err
	}
	if err := b.Close(); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(fmt.Errorf("cannot build index file %s: %w", path, err), os.Remove(temp))
	}
	if err := syncFolder(path); err != nil {
		return fmt.Errorf("cannot build index file %s: %w", path, err)
	}
	return nil
}

// tempSuffix marks a file that is not complete.
const tempSuffix = ".temp"

// viewAll opens a transaction on each file.
func viewAll(files []*File, txs []*bolt.Tx, fn func(txs []*bolt.Tx) error) error {
	if len(files) == 0 {
		return fn(txs)
	}
	return files[0].view(func(tx *bolt.Tx) error { return viewAll(files[1:], append(txs, tx), fn) })
}

func mergeBuckets(b *Builder, txs []*bolt.Tx) error {
	names := make(map[string]bool)
	for _, tx := range txs {
		err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names[string(name)] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := b.Bucket(name); err != nil {
			return err
		}
		if err := mergeBucket(b, name, txs); err != nil {
			return err
		}
	}
	return nil
}

func mergeBucket(b *Builder, name string, txs []*bolt.Tx) error {
	cursors := make([]*bolt.Cursor, 0, len(txs))
	for _, tx := range txs {
		if bucket := tx.Bucket([]byte(name)); bucket != nil {
			cursors = append(cursors, bucket.Cursor())
		}
	}
	// Of equal keys the builder keeps the first.
	return mergeCursors(cursors, b.Add)
}

// Source is one bucket of a file.
type Source struct {
	File   *File
	Bucket string
}

// MergeRows calls fn with the rows of all sources in ascending order of their keys, of equal keys the first source's alone.
// The row is part of the mapped file and valid during the call. No file may be closed meanwhile. Buckets that a file does
// not have are empty.
func MergeRows(sources []Source, fn func(schema.Row) error) error {
	var files []*File
	numbers := make(map[*File]int)
	for _, s := range sources {
		if _, ok := numbers[s.File]; !ok {
			numbers[s.File] = len(files)
			files = append(files, s.File)
		}
	}
	return viewAll(files, nil, func(txs []*bolt.Tx) error {
		cursors := make([]*bolt.Cursor, 0, len(sources))
		for _, s := range sources {
			if bucket := txs[numbers[s.File]].Bucket([]byte(s.Bucket)); bucket != nil {
				cursors = append(cursors, bucket.Cursor())
			}
		}
		var last []byte
		return mergeCursors(cursors, func(row schema.Row) error {
			if last != nil && bytes.Equal(last, row.Key) {
				return nil
			}
			last = append(last[:0], row.Key...)
			return fn(row)
		})
	})
}

// mergeCursors calls fn with the rows of all cursors in ascending order, equal keys in the order of the cursors.
func mergeCursors(cursors []*bolt.Cursor, fn func(schema.Row) error) error {
	h := make(mergeHeap, 0, len(cursors))
	for i, c := range cursors {
		s := &mergeSource{order: i, c: c}
		if s.row.Key, s.row.Value = c.First(); s.row.Key != nil {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		s := h[0]
		if err := fn(s.row); err != nil {
			return err
		}
		if s.row.Key, s.row.Value = s.c.Next(); s.row.Key != nil {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

type mergeSource struct {
	order int
	c     *bolt.Cursor
	row   schema.Row
}

type mergeHeap []*mergeSource

func (h mergeHeap) Len() int      { return len(h) }
func (h mergeHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)   { *h = append(*h, x.(*mergeSource)) }
func (h *mergeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (h mergeHeap) Less(i, j int) bool {
	if c := bytes.Compare(h[i].row.Key, h[j].row.Key); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}
