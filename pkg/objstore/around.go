package objstore

import (
	"context"
	"io"
)

// operation names one request to a store, as S3 does.
type operation string

const (
	opPut    operation = "PutObject"
	opGet    operation = "GetObject"
	opStat   operation = "HeadObject"
	opDelete operation = "DeleteObject"
	opList   operation = "List"
)

// request sends one request and returns how many bytes of objects went over the wire.
type request func(ctx context.Context) (int64, error)

// around is a bucket whose every request passes through call. The decorators that treat all requests alike are a call
// function each, and nothing else.
type around struct {
	inner pager
	call  func(ctx context.Context, op operation, do request) error
	// reader opens a stream, where a decorator cares how long it stays open or what it carries; call does if it is nil.
	reader func(ctx context.Context, open openReader) (io.ReadCloser, error)
}

type openReader func(ctx context.Context) (io.ReadCloser, error)

// Name implements Bucket.
func (a *around) Name() string { return a.inner.Name() }

// Unwrap returns the bucket inside.
func (a *around) Unwrap() Bucket { return a.inner }

// Put implements Bucket.
func (a *around) Put(ctx context.Context, key string, body []byte) error {
	return a.call(ctx, opPut, func(ctx context.Context) (int64, error) {
		return int64(len(body)), a.inner.Put(ctx, key, body)
	})
}

// Create implements creator.
func (a *around) Create(ctx context.Context, key string, body []byte) error {
	return a.call(ctx, opPut, func(ctx context.Context) (int64, error) {
		return int64(len(body)), Create(ctx, a.inner, key, body)
	})
}

// Get implements Bucket.
func (a *around) Get(ctx context.Context, key string) (body []byte, err error) {
	err = a.call(ctx, opGet, func(ctx context.Context) (int64, error) {
		var err error
		body, err = a.inner.Get(ctx, key)
		return int64(len(body)), err
	})
	return body, err
}

// GetRange implements Bucket.
func (a *around) GetRange(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	err = a.call(ctx, opGet, func(ctx context.Context) (int64, error) {
		var err error
		body, err = a.inner.GetRange(ctx, key, offset, length)
		return int64(len(body)), err
	})
	return body, err
}

// GetReader implements Bucket.
func (a *around) GetReader(ctx context.Context, key string) (r io.ReadCloser, err error) {
	open := func(ctx context.Context) (io.ReadCloser, error) { return a.inner.GetReader(ctx, key) }
	if a.reader != nil {
		return a.reader(ctx, open)
	}
	err = a.call(ctx, opGet, func(context.Context) (int64, error) {
		var err error
		r, err = open(ctx) // The stream outlives the call, so it must not end with a context of the call's own.
		return 0, err
	})
	return r, err
}

// Stat implements Bucket.
func (a *around) Stat(ctx context.Context, key string) (info ObjectInfo, err error) {
	err = a.call(ctx, opStat, func(ctx context.Context) (int64, error) {
		var err error
		info, err = a.inner.Stat(ctx, key)
		return 0, err
	})
	return info, err
}

// Delete implements Bucket.
func (a *around) Delete(ctx context.Context, key string) error {
	return a.call(ctx, opDelete, func(ctx context.Context) (int64, error) {
		return 0, a.inner.Delete(ctx, key)
	})
}

// List implements Bucket.
func (a *around) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	return listByPages(ctx, a, prefix, fn)
}

// ListDirs implements Bucket.
func (a *around) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	return listDirsByPages(ctx, a, prefix, fn)
}

func (a *around) listPage(ctx context.Context, l listing) (found page, err error) {
	err = a.call(ctx, opList, func(ctx context.Context) (int64, error) {
		var err error
		found, err = a.inner.listPage(ctx, l)
		return 0, err
	})
	return found, err
}
