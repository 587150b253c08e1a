package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrNotFound is returned when the bucket has no object under the key.
var ErrNotFound = errors.New("object not found")

// ObjectInfo describes one listed object.
type ObjectInfo struct {
	Key     string
	Size    int64
	ModTime time.Time
}

// Bucket is a flat store of immutable objects. Keys are UTF-8 without a leading slash; a slash only separates names.
// Implementations are safe for concurrent use. Reads see a write once Put has returned; a listing may lag behind.
type Bucket interface {
	// Put stores body under key, whole or not at all, replacing what was there. It keeps no reference to body.
	Put(ctx context.Context, key string, body []byte) error
	// Get returns the object's bytes, which belong to the caller, or ErrNotFound. A body shorter than the store
	// announced is an error, never a short slice.
	Get(ctx context.Context, key string) ([]byte, error)
	// GetRange returns length bytes from offset; fewer only if the object ends before.
	GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// GetReader streams the object. The caller closes it; a truncated body surfaces as io.ErrUnexpectedEOF.
	GetReader(ctx context.Context, key string) (io.ReadCloser, error)
	// Stat describes the object, or returns ErrNotFound.
	Stat(ctx context.Context, key string) (ObjectInfo, error)
	// Delete removes the object; an absent one is no error.
	Delete(ctx context.Context, key string) error
	// List calls fn for each object whose key begins with prefix, in ascending order of keys. An error of fn ends the
	// listing and is returned.
	List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error
	// ListDirs calls fn for each distinct beginning of a key up to the next slash behind prefix, ascending. Both prefix
	// and that slash are part of dir: with an object "index/day_1/f.gz", ListDirs of "index/" gives "index/day_1/".
	ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error
	// Name says what the bucket is, for logs and errors. It holds no secret.
	Name() string
}

// unwrapper is what a decorator of one bucket offers, so that Sync and Close find the bucket inside.
type unwrapper interface{ Unwrap() Bucket }

// unwrappers is the same for a decorator of several buckets.
type unwrappers interface{ UnwrapAll() []Bucket }

// Sync returns when everything put into the bucket before is on stable storage. Buckets that store synchronously need
// nothing for it.
func Sync(ctx context.Context, b Bucket) error {
	return eachInner(b, func(inner Bucket) error {
		if s, ok := inner.(interface{ Sync(context.Context) error }); ok {
			return s.Sync(ctx)
		}
		return nil
	})
}

// Close lets go of the bucket's idle connections. A bucket that is used again afterwards opens new ones.
func Close(b Bucket) error {
	return eachInner(b, func(inner Bucket) error {
		if c, ok := inner.(io.Closer); ok {
			return c.Close()
		}
		return nil
	})
}

// eachInner calls fn for each undecorated bucket in b and joins the errors.
func eachInner(b Bucket, fn func(Bucket) error) error {
	switch d := b.(type) {
	case unwrapper:
		return eachInner(d.Unwrap(), fn)
	case unwrappers:
		var errs []error
		for _, inner := range d.UnwrapAll() {
			errs = append(errs, eachInner(inner, fn))
		}
		return errors.Join(errs...)
	}
	return fn(b)
}

// checkRange refuses offsets and lengths that no object can have.
func checkRange(offset, length int64) error {
	if offset < 0 || length < 0 {
		return fmt.Errorf("range of %d bytes from %d: must not be negative", length, offset)
	}
	return nil
}

// clip returns how many of length bytes from offset an object of size bytes has.
func clip(offset, length, size int64) int64 {
	if offset >= size {
		return 0
	}
	return min(length, size-offset)
}
