package objstore

import (
	"context"
	"sync"
	"time"
)

const (
	minGap      = 2 * time.Millisecond
	maxGap      = 500 * time.Millisecond
	gapInterval = 100 * time.Millisecond
)

// pacer spreads the requests to a store that asks to slow down. It has no effect until then: the gap between two
// requests is doubled when the store throttles and shrinks with each success until it is gone.
type pacer struct {
	mu     sync.Mutex
	gap    time.Duration
	next   time.Time // when the next request may start
	raised time.Time // when the gap was doubled last
}

// wait returns when the next request may start.
func (p *pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	if p.gap == 0 {
		p.mu.Unlock()
		return nil
	}
	now := time.Now()
	start := p.next
	if start.Before(now) {
		start = now
	}
	p.next = start.Add(p.gap)
	p.mu.Unlock()
	return sleep(ctx, start.Sub(now))
}

// slowDown makes the gap longer and reports whether there was none before. The requests that were under way together are
// refused together, which counts once.
func (p *pacer) slowDown() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.gap > 0 && now.Sub(p.raised) < gapInterval {
		return false
	}
	first = p.gap == 0
	p.raised = now
	p.gap = min(max(2*p.gap, minGap), maxGap)
	return first
}

// speedUp makes the gap shorter after a success.
func (p *pacer) speedUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gap == 0 {
		return
	}
	p.gap -= p.gap / 8
	if p.gap < minGap/2 {
		p.gap = 0
	}
}

// sleep returns after d, or earlier with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
