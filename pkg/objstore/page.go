package objstore

import (
	"context"
	"errors"
	"fmt"
)

// page is a part of a listing: objects or folders, and the token that asks for what follows. It is the last page if
// next is empty.
type page struct {
	objects []ObjectInfo
	dirs    []string
	next    string
}

// listing says what to list.
type listing struct {
	prefix string
	dirs   bool // folders as ListDirs shows them, instead of objects
	token  string
}

// pager is a bucket that lists by pages. Decorators that repeat, count or limit requests work on pages, since they
// must neither repeat nor hold up the callback of a whole List.
type pager interface {
	Bucket
	listPage(ctx context.Context, l listing) (page, error)
}

// pagerOf returns the bucket itself if it can list by pages.
func pagerOf(b Bucket) pager {
	if p, ok := b.(pager); ok {
		return p
	}
	return pagedBucket{b}
}

// eachPage calls fn for every page of a listing.
func eachPage(ctx context.Context, p pager, l listing, fn func(page) error) error {
	for {
		found, err := p.listPage(ctx, l)
		if err != nil {
			return err
		}
		if err := fn(found); err != nil {
			return err
		}
		if found.next == "" {
			return nil
		}
		if found.next == l.token {
			return fmt.Errorf("cannot list objects under %q: the store gives the same page again and again", l.prefix)
		}
		l.token = found.next
	}
}

// listByPages implements List for a pager.
func listByPages(ctx context.Context, p pager, prefix string, fn func(ObjectInfo) error) error {
	return eachPage(ctx, p, listing{prefix: prefix}, func(found page) error {
		for _, object := range found.objects {
			if err := fn(object); err != nil {
				return err
			}
		}
		return nil
	})
}

// listDirsByPages implements ListDirs for a pager.
func listDirsByPages(ctx context.Context, p pager, prefix string, fn func(string) error) error {
	return eachPage(ctx, p, listing{prefix: prefix, dirs: true}, func(found page) error {
		for _, dir := range found.dirs {
			if err := fn(dir); err != nil {
				return err
			}
		}
		return nil
	})
}

// pagedBucket gives pages of a bucket that has none: one page with everything. Its user trades memory for that.
type pagedBucket struct{ Bucket }

// Create implements creator.
func (b pagedBucket) Create(ctx context.Context, key string, body []byte) error {
	return Create(ctx, b.Bucket, key, body)
}

func (b pagedBucket) listPage(ctx context.Context, l listing) (page, error) {
	var p page
	if l.token != "" {
		return p, errors.New("BUG: a token for a listing of one page")
	}
	var err error
	if l.dirs {
		err = b.ListDirs(ctx, l.prefix, func(dir string) error {
			p.dirs = append(p.dirs, dir)
			return nil
		})
	} else {
		err = b.List(ctx, l.prefix, func(o ObjectInfo) error {
			p.objects = append(p.objects, o)
			return nil
		})
	}
	return p, err
}

// Unwrap returns the bucket inside.
func (b pagedBucket) Unwrap() Bucket { return b.Bucket }
