package shipper

import (
	"context"
	"errors"
	"sync"
)

// turn is work that one does and others wait for.
type turn struct {
	done chan struct{}
	err  error
}

// share runs work unless it is done or somebody else is at it, and then waits for that. state is called under the lock; it
// returns where the work in progress is noted and whether it is done already. If the other one gives up because its context
// ended, the work is taken over.
func share(ctx context.Context, mu *sync.Mutex, state func() (at **turn, done bool), work func(context.Context) error) error {
	for {
		mu.Lock()
		at, done := state()
		if done {
			mu.Unlock()
			return nil
		}
		mine := *at == nil
		if mine {
			*at = &turn{done: make(chan struct{})}
		}
		w := *at
		mu.Unlock()
		if mine {
			w.err = work(ctx)
			mu.Lock()
			*at = nil
			mu.Unlock()
			close(w.done)
			return w.err
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.err == nil || !isContextError(w.err) {
			return w.err
		}
	}
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
