package objstore

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// Limited lets at most n requests be under way at once; the others wait for their turn or for the end of their context.
// A stream counts until it is closed.
func Limited(b Bucket, n int) Bucket {
	l := &limiter{places: make(chan struct{}, max(n, 1)), name: b.Name()}
	return &around{inner: pagerOf(b), call: l.call, reader: l.open}
}

type limiter struct {
	places chan struct{}
	name   string
}

func (l *limiter) acquire(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot start a request to %s while %d are under way: %w", l.name, cap(l.places), ctx.Err())
	}
}

func (l *limiter) release() { <-l.places }

func (l *limiter) call(ctx context.Context, _ operation, do request) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	_, err := do(ctx)
	return err
}

func (l *limiter) open(ctx context.Context, open openReader) (io.ReadCloser, error) {
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	r, err := open(ctx)
	if err != nil {
		l.release()
		return nil, err
	}
	return &limitedReader{ReadCloser: r, release: sync.OnceFunc(l.release)}, nil
}

type limitedReader struct {
	io.ReadCloser
	release func()
}

// Close implements io.Closer.
func (r *limitedReader) Close() error {
	defer r.release()
	return r.ReadCloser.Close()
}
