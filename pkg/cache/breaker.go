package cache

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How often a Redis that failed is asked again: at first soon, then less and less often.
const (
	firstProbe = 200 * time.Millisecond
	lastProbe  = 10 * time.Second
)

// breaker keeps everybody from a server that does not answer in time. It is closed as long as all is well. The first failure
// opens it; run closes it when the server answers again. Each change is one line in the log.
type breaker struct {
	name    string
	logger  *slog.Logger
	metrics *metrics
	// probe asks the server for a sign of life.
	probe func(ctx context.Context) error
	// opened wakes run.
	opened chan struct{}

	mu    sync.Mutex
	open  bool
	since time.Time
	lost  int // calls that were not made while it was open
}

func newBreaker(name string, logger *slog.Logger, m *metrics, probe func(context.Context) error) *breaker {
	return &breaker{name: name, logger: logger, metrics: m, probe: probe, opened: make(chan struct{}, 1)}
}

// allow reports whether the server may be asked.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.lost++
	}
	return !b.open
}

// failed is told that the server did not do what it was asked for, or not in time.
func (b *breaker) failed(err error) {
	b.mu.Lock()
	was := b.open
	if !was {
		b.open, b.since, b.lost = true, time.Now(), 0
	}
	b.mu.Unlock()
	if was {
		return
	}
	b.metrics.open.Inc()
	b.logger.Warn("the cache does not answer in time; going on without it", "cache", b.name, "err", err)
	select {
	case b.opened <- struct{}{}:
	default:
	}
}

// run probes an open breaker until ctx ends.
func (b *breaker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.opened:
		}
		for wait := firstProbe; !b.tryClose(ctx, wait); wait = min(2*wait, lastProbe) {
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// tryClose waits, asks the server, and closes the breaker if the answer came in time.
func (b *breaker) tryClose(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	if b.probe(ctx) != nil {
		return false
	}
	b.mu.Lock()
	down, lost := time.Since(b.since), b.lost
	b.open = false
	b.mu.Unlock()
	b.metrics.open.Dec()
	b.logger.Info("the cache answers again", "cache", b.name, "after", down.Round(time.Millisecond), "calls_without_it", lost)
	return true
}
