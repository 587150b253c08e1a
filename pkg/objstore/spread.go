package objstore

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"strings"
)

// Spread deals the objects out to several buckets as Loki does: an object lives in the bucket with the number
// FNV-1a-32(key) mod len(buckets). The order and number of the buckets are part of the data's place and must not change.
func Spread(buckets []Bucket) (Bucket, error) {
	switch len(buckets) {
	case 0:
		return nil, errors.New("cannot spread objects over no bucket at all")
	case 1:
		return buckets[0], nil
	}
	return &spread{buckets: buckets}, nil
}

type spread struct {
	buckets []Bucket
}

func (s *spread) home(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(len(s.buckets)))
}

func (s *spread) bucket(key string) Bucket { return s.buckets[s.home(key)] }

// Name implements Bucket.
func (s *spread) Name() string {
	names := make([]string, len(s.buckets))
	for i, b := range s.buckets {
		names[i] = b.Name()
	}
	return strings.Join(names, ", ")
}

// UnwrapAll returns the buckets inside.
func (s *spread) UnwrapAll() []Bucket { return s.buckets }

// Put implements Bucket.
func (s *spread) Put(ctx context.Context, key string, body []byte) error {
	return s.bucket(key).Put(ctx, key, body)
}

// Create implements creator.
func (s *spread) Create(ctx context.Context, key string, body []byte) error {
	return Create(ctx, s.bucket(key), key, body)
}

// Get implements Bucket.
func (s *spread) Get(ctx context.Context, key string) ([]byte, error) {
	return s.bucket(key).Get(ctx, key)
}

// GetRange implements Bucket.
func (s *spread) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return s.bucket(key).GetRange(ctx, key, offset, length)
}

// GetReader implements Bucket.
func (s *spread) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	return s.bucket(key).GetReader(ctx, key)
}

// Stat implements Bucket.
func (s *spread) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	return s.bucket(key).Stat(ctx, key)
}

// Delete implements Bucket.
func (s *spread) Delete(ctx context.Context, key string) error {
	return s.bucket(key).Delete(ctx, key)
}

// List implements Bucket. An object that lies in another bucket than its own cannot be got, so it is not shown.
func (s *spread) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	cursors := s.cursors(listing{prefix: prefix})
	return merge(ctx, cursors, func(c *cursor) string { return c.page.objects[c.at].Key }, func(c *cursor) error {
		object := c.page.objects[c.at]
		if s.home(object.Key) != c.number {
			return nil
		}
		return fn(object)
	})
}

// ListDirs implements Bucket.
func (s *spread) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	last := ""
	cursors := s.cursors(listing{prefix: prefix, dirs: true})
	return merge(ctx, cursors, func(c *cursor) string { return c.page.dirs[c.at] }, func(c *cursor) error {
		dir := c.page.dirs[c.at]
		if dir == last {
			return nil
		}
		last = dir
		return fn(dir)
	})
}

// cursor stands at one object or folder of a bucket's listing.
type cursor struct {
	pager   pager
	number  int
	listing listing
	page    page
	at      int
	last    bool // there is no page behind this one
}

func (s *spread) cursors(l listing) []*cursor {
	cursors := make([]*cursor, len(s.buckets))
	for i, b := range s.buckets {
		cursors[i] = &cursor{pager: pagerOf(b), number: i, listing: l}
	}
	return cursors
}

// ready makes sure that the cursor stands at something, and returns false at the listing's end.
func (c *cursor) ready(ctx context.Context) (bool, error) {
	for c.at == len(c.page.objects)+len(c.page.dirs) {
		if c.last {
			return false, nil
		}
		found, err := c.pager.listPage(ctx, c.listing)
		if err != nil {
			return false, err
		}
		c.page, c.at, c.listing.token, c.last = found, 0, found.next, found.next == ""
	}
	return true, nil
}

// merge visits what the cursors show, the smallest key first.
func merge(ctx context.Context, cursors []*cursor, key func(*cursor) string, visit func(*cursor) error) error {
	for {
		var least *cursor
		for _, c := range cursors {
			ok, err := c.ready(ctx)
			if err != nil {
				return err
			}
			if ok && (least == nil || key(c) < key(least)) {
				least = c
			}
		}
		if least == nil {
			return nil
		}
		if err := visit(least); err != nil {
			return err
		}
		least.at++
	}
}
