package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"

	"logstore/pkg/schema"
)

// SharedBucket is the bucket in which the rows of all tenants are.
const SharedBucket = "index"

// ErrCorrupt is wrapped by every error that says a file is not a sound table file.
var ErrCorrupt = errors.New("corrupt index file")

// lockTimeout bounds the wait for a file that another process holds open.
const lockTimeout = 5 * time.Second

// fillPercent is how full a page is left when a transaction splits it. Batches arrive sorted but spread over the whole
// file, so that some room is left for the next one.
const fillPercent = 0.7

// File is an open table file.
type File struct {
	path string
	db   *bolt.DB
}

// Open opens an existing file for reading. The file is checked before it is mapped.
func Open(path string) (*File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	return openDB(path, &bolt.Options{ReadOnly: true, Timeout: lockTimeout, NoStatistics: true})
}

// Create makes a new file for rows. The file must not exist: what an earlier process wrote is only read.
func Create(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("cannot create index file %s: %w", path, os.ErrExist)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("cannot create index file %s: %w", path, err)
	}
	f, err := openDB(path, writing)
	if err != nil {
		return nil, err
	}
	if err := syncFolder(path); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot create index file %s: %w", path, err), f.Close(), os.Remove(path))
	}
	return f, nil
}

// writing are the options of a file that takes rows. The free list is kept in memory alone: nobody opens the file for writing
// after this process.
var writing = &bolt.Options{
	Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoStatistics: true,
}

func openDB(path string, opts *bolt.Options) (f *File, err error) {
	defer guard(path, &err)()
	db, err := bolt.Open(path, 0o666, opts)
	if err != nil {
		return nil, fmt.Errorf("cannot open index file %s: %w", path, err)
	}
	return &File{path: path, db: db}, nil
}

// syncFolder makes the name of a new file durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	return err
}

// guard turns panics and memory faults until the returned function runs into an error.
func guard(path string, err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("cannot read index file %s: %w: %v", path, ErrCorrupt, p)
		}
	}
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Close waits for views and closes the file.
func (f *File) Close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("cannot close index file %s: %w", f.path, err)
	}
	return nil
}

// Put adds rows to buckets, SharedBucket or tenants', in one transaction that is on disk when Put returns. It sorts the rows
// in place. A row whose key is there already replaces it. For more than some thousand rows a file of their own, which Build
// makes, costs a tenth: the ids of streams are hashes, so that such a transaction touches most pages of the file.
func (f *File) Put(buckets map[string][]schema.Row) (err error) {
	for _, rows := range buckets {
		SortRows(rows)
	}
	defer guard(f.path, &err)()
	err = f.db.Update(func(tx *bolt.Tx) error {
		for name, rows := range buckets {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			b.FillPercent = fillPercent
			for i := range rows {
				if err := b.Put(rows[i].Key, rows[i].Value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot write index file %s: %w", f.path, err)
	}
	return nil
}

// View calls fn with a cursor over the rows that concern a tenant: its own bucket's if the file has one, else the shared
// one's. It does not call fn if the file has neither.
func (f *File) View(tenant string, fn func(*Cursor) error) error {
	return f.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(tenant))
		if b == nil {
			b = tx.Bucket([]byte(SharedBucket))
		}
		if b == nil {
			return nil
		}
		return fn(&Cursor{c: b.Cursor()})
	})
}

// ViewBuckets calls fn with a cursor over each bucket of the file, ascending by name.
func (f *File) ViewBuckets(fn func(bucket string, c *Cursor) error) error {
	return f.view(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if b == nil {
				return fmt.Errorf("%w: %s has a value outside of buckets", ErrCorrupt, f.path)
			}
			return fn(string(name), &Cursor{c: b.Cursor()})
		})
	})
}

// Buckets returns the names of the file's buckets, ascending.
func (f *File) Buckets() ([]string, error) {
	var names []string
	err := f.ViewBuckets(func(bucket string, _ *Cursor) error {
		names = append(names, bucket)
		return nil
	})
	return names, err
}

func (f *File) view(fn func(tx *bolt.Tx) error) (err error) {
	defer guard(f.path, &err)()
	return f.db.View(fn)
}

// Cursor is a position in the rows of a bucket. What it returns is valid until the View ends.
type Cursor struct{ c *bolt.Cursor }

// First goes to the first row. A nil key means that there is none.
func (c *Cursor) First() (key, value []byte) { return c.c.First() }

// Seek goes to the first row whose key is at or after seek.
func (c *Cursor) Seek(seek []byte) (key, value []byte) { return c.c.Seek(seek) }

// Next goes to the row behind.
func (c *Cursor) Next() (key, value []byte) { return c.c.Next() }

// Scan calls fn with each row whose key begins with prefix.
func (c *Cursor) Scan(prefix []byte, fn func(key, value []byte) error) error {
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}
