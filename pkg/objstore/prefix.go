package objstore

import (
	"context"
	"io"
	"strings"
)

// Prefixed shows of a bucket what lies behind the prefix, under keys without it. The prefix is put before each key as it
// is, so that a folder's has a slash at its end.
func Prefixed(b Bucket, prefix string) Bucket {
	if prefix == "" {
		return b
	}
	return &prefixed{inner: b, prefix: prefix}
}

type prefixed struct {
	inner  Bucket
	prefix string
}

// key checks before it joins: behind a prefix "a", the bad key "/b" would be a good one.
func (p *prefixed) key(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return p.prefix + key, nil
}

// Name implements Bucket.
func (p *prefixed) Name() string { return p.inner.Name() + " under " + p.prefix }

// Unwrap returns the bucket inside.
func (p *prefixed) Unwrap() Bucket { return p.inner }

// Put implements Bucket.
func (p *prefixed) Put(ctx context.Context, key string, body []byte) error {
	full, err := p.key(key)
	if err != nil {
		return err
	}
	return p.inner.Put(ctx, full, body)
}

// Create implements creator.
func (p *prefixed) Create(ctx context.Context, key string, body []byte) error {
	full, err := p.key(key)
	if err != nil {
		return err
	}
	return Create(ctx, p.inner, full, body)
}

// Get implements Bucket.
func (p *prefixed) Get(ctx context.Context, key string) ([]byte, error) {
	full, err := p.key(key)
	if err != nil {
		return nil, err
	}
	return p.inner.Get(ctx, full)
}

// GetRange implements Bucket.
func (p *prefixed) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	full, err := p.key(key)
	if err != nil {
		return nil, err
	}
	return p.inner.GetRange(ctx, full, offset, length)
}

// GetReader implements Bucket.
func (p *prefixed) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	full, err := p.key(key)
	if err != nil {
		return nil, err
	}
	return p.inner.GetReader(ctx, full)
}

// Stat implements Bucket.
func (p *prefixed) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	full, err := p.key(key)
	if err != nil {
		return ObjectInfo{}, err
	}
	info, err := p.inner.Stat(ctx, full)
	info.Key = strings.TrimPrefix(info.Key, p.prefix)
	return info, err
}

// Delete implements Bucket.
func (p *prefixed) Delete(ctx context.Context, key string) error {
	full, err := p.key(key)
	if err != nil {
		return err
	}
	return p.inner.Delete(ctx, full)
}

// List implements Bucket.
func (p *prefixed) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	return p.inner.List(ctx, p.prefix+prefix, func(info ObjectInfo) error {
		info.Key = info.Key[len(p.prefix):]
		return fn(info)
	})
}

// ListDirs implements Bucket.
func (p *prefixed) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	return p.inner.ListDirs(ctx, p.prefix+prefix, func(dir string) error {
		return fn(dir[len(p.prefix):])
	})
}
