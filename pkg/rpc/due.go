package rpc

import (
	"context"
	"sync"
	"time"
)

// dueContext is what context.WithTimeout returns, but for the timer: that is made only for who waits for the end, and pushes that are
// stored at once do not.
type dueContext struct {
	context.Context // the parent
	due             time.Time

	mu sync.Mutex
	// timed ends with this one; nil as long as nobody has waited.
	timed  context.Context
	cancel context.CancelFunc
	ended  bool
}

// newDueContext returns a context that ends after a time, with its parent, or when end is called, which must be.
func newDueContext(parent context.Context, timeout time.Duration) *dueContext {
	due := time.Now().Add(timeout)
	if first, ok := parent.Deadline(); ok && first.Before(due) {
		due = first
	}
	return &dueContext{Context: parent, due: due}
}

// end ends it.
func (c *dueContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline tells when it ends.
func (c *dueContext) Deadline() (time.Time, bool) { return c.due, true }

// Done returns a channel that is closed at the end.
func (c *dueContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.due)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed.Done()
}

// Err tells why it has ended.
func (c *dueContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil {
		return c.timed.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	switch {
	case c.ended:
		return context.Canceled
	case !time.Now().Before(c.due):
		return context.DeadlineExceeded
	}
	return nil
}

// Value returns the parent's values. Contexts that are made of this one find by it what ends them.
func (c *dueContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil {
		return c.timed.Value(key)
	}
	return c.Context.Value(key)
}
