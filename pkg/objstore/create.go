package objstore

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrExists is returned by Create when the key is taken.
	ErrExists = errors.New("object exists already")
	// ErrNoCreate is returned by Create when the bucket cannot tell whether a key is taken.
	ErrNoCreate = errors.New("the bucket has no conditional put")
)

// creator is what a bucket offers that can refuse to replace an object.
type creator interface {
	Create(ctx context.Context, key string, body []byte) error
}

// Create stores body under a key that is free, or returns ErrExists: of several who try at once, one succeeds. After a
// failure on the way an attempt may have succeeded unseen, so that a repeated one finds the key taken: the body should tell
// whose it is. Some S3 servers do not know conditional puts and replace the object; who relies on it must try that out.
func Create(ctx context.Context, b Bucket, key string, body []byte) error {
	if c, ok := b.(creator); ok {
		return c.Create(ctx, key, body)
	}
	return fmt.Errorf("cannot create object %s in %s: %w", key, b.Name(), ErrNoCreate)
}
