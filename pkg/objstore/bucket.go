package objstore

import (
	"context"
	"errors"
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
	// ListDirs calls fn for each distinct name up to the next slash behind prefix, with that slash, ascending.
	ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error
	// Name says what the bucket is, for logs and errors. It holds no secret.
	Name() string
}
