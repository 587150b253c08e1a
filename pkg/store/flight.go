package store

import (
	"context"
	"sync"
)

// flight runs a load once for all who want it at the same time. It keeps no result.
type flight[T any] struct {
	mu   sync.Mutex
	call *call[T]
}

// call is a load under way. What it found may be read once done is closed.
type call[T any] struct {
	done     chan struct{}
	value    T
	err      error
	canceled bool
}

// do returns what load returns, or what the load of somebody else does that is under way. A load that ended because its own caller went
// away is nobody else's answer.
func (f *flight[T]) do(ctx context.Context, load func() (T, error)) (T, error) {
	for {
		if err := ctx.Err(); err != nil {
			var none T
			return none, err
		}
		f.mu.Lock()
		c := f.call
		if c == nil {
			c = &call[T]{done: make(chan struct{}), canceled: true}
			f.call = c
			f.mu.Unlock()
			return f.run(ctx, c, load)
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-c.done:
		}
		if ctx.Err() == nil && !c.canceled {
			return c.value, c.err
		}
	}
}

func (f *flight[T]) run(ctx context.Context, c *call[T], load func() (T, error)) (T, error) {
	defer func() {
		f.mu.Lock()
		f.call = nil
		f.mu.Unlock()
		close(c.done)
	}()
	c.value, c.err = load()
	c.canceled = ctx.Err() != nil
	return c.value, c.err
}
