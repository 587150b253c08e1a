package objstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// HedgeConfig says when a read that is slow is sent a second time.
type HedgeConfig struct {
	// At is how long a read may take before the next one is sent; zero sends none.
	At time.Duration
	// UpTo is the most requests for one read, the first included.
	UpTo int
	// MaxPerSecond bounds the additional requests; zero means no bound.
	MaxPerSecond int
}

// Validate checks the configuration.
func (c HedgeConfig) Validate() error {
	if c.At > 0 && c.UpTo < 1 {
		return fmt.Errorf("hedging up_to must be at least 1, but is %d", c.UpTo)
	}
	return nil
}

// Hedged repeats reads of whole objects and of ranges that take long, without giving up the first: the answer that comes
// first counts, and the others are cancelled. Other requests pass as they are. Each additional read is counted in sent, which may be nil.
func Hedged(b Bucket, cfg HedgeConfig, sent prometheus.Counter) Bucket {
	if cfg.At <= 0 || cfg.UpTo < 2 {
		return b
	}
	h := &hedged{Bucket: b, cfg: cfg, limiter: rate.NewLimiter(rate.Inf, 0), sent: sent}
	if cfg.MaxPerSecond > 0 {
		h.limiter = rate.NewLimiter(rate.Limit(cfg.MaxPerSecond), cfg.MaxPerSecond)
	}
	return h
}

type hedged struct {
	Bucket
	cfg     HedgeConfig
	limiter *rate.Limiter
	sent    prometheus.Counter
}

// Unwrap returns the bucket inside.
func (h *hedged) Unwrap() Bucket { return h.Bucket }

// Get implements Bucket.
func (h *hedged) Get(ctx context.Context, key string) ([]byte, error) {
	return h.first(ctx, func(ctx context.Context) ([]byte, error) { return h.Bucket.Get(ctx, key) })
}

// GetRange implements Bucket.
func (h *hedged) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return h.first(ctx, func(ctx context.Context) ([]byte, error) { return h.Bucket.GetRange(ctx, key, offset, length) })
}

// outcome is how one of the requests ended.
type outcome struct {
	body []byte
	err  error
}

// first returns the first answer. A failure counts only when no request is under way any more, or when it is final.
func (h *hedged) first(ctx context.Context, read func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, h.cfg.UpTo)
	send := func() {
		body, err := read(ctx)
		outcomes <- outcome{body, err}
	}
	go send()
	timer := time.NewTimer(h.cfg.At)
	defer timer.Stop()
	for sent, done := 1, 0; ; {
		select {
		case o := <-outcomes:
			if done++; o.err == nil || done == sent || errors.Is(o.err, ErrNotFound) {
				return o.body, o.err
			}
		case <-timer.C:
			if sent < h.cfg.UpTo && h.limiter.Allow() {
				sent++
				if h.sent != nil {
					h.sent.Inc()
				}
				go send()
				timer.Reset(h.cfg.At)
			}
		}
	}
}
