package objstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BackoffConfig says how often and how fast a failed request is repeated.
type BackoffConfig struct {
	// MinPeriod is the longest first pause; each further one is twice as long, up to MaxPeriod. Jitter takes up to half.
	MinPeriod, MaxPeriod time.Duration
	// MaxRetries is how often a request is repeated after it failed first; 0 repeats it until its context ends.
	MaxRetries int
}

// DefaultBackoffConfig returns Loki's values.
func DefaultBackoffConfig() BackoffConfig {
	return BackoffConfig{MinPeriod: 100 * time.Millisecond, MaxPeriod: 3 * time.Second, MaxRetries: 5}
}

// Validate checks the configuration.
func (c BackoffConfig) Validate() error {
	switch {
	case c.MinPeriod <= 0:
		return fmt.Errorf("backoff min_period must be above zero, but is %s", c.MinPeriod)
	case c.MaxPeriod < c.MinPeriod:
		return fmt.Errorf("backoff max_period %s must not be below min_period %s", c.MaxPeriod, c.MinPeriod)
	case c.MaxRetries < 0:
		return fmt.Errorf("backoff max_retries must not be negative, but is %d", c.MaxRetries)
	}
	return nil
}

// delay returns the pause before the given retry, which counts from 0.
func (c BackoffConfig) delay(retry int) time.Duration {
	d := c.MaxPeriod
	if retry < 62 && c.MinPeriod <= c.MaxPeriod>>retry {
		d = c.MinPeriod << retry
	}
	return d/2 + rand.N(d/2+1)
}

// Retried repeats requests that failed for a passing reason: throttling, server errors, time-outs, broken connections,
// truncated and corrupt bodies. What the store says for good, such as ErrNotFound, comes back at once, and the end of the
// context ends the pauses too. While the store throttles, all requests through the bucket are spread out. A stream of
// GetReader is not repeated once it is open.
func Retried(b Bucket, cfg BackoffConfig, logger *slog.Logger, reg prometheus.Registerer) Bucket {
	r := &retrier{cfg: cfg, logger: logger, name: b.Name(), metrics: newRetryMetrics(reg)}
	return &around{inner: pagerOf(b), call: r.call}
}

type retrier struct {
	cfg     BackoffConfig
	logger  *slog.Logger
	name    string
	metrics *retryMetrics
	pacer   pacer
}

func (r *retrier) call(ctx context.Context, op operation, do request) error {
	start := time.Now()
	var last error
	for retry := 0; ; retry++ {
		if err := r.pacer.wait(ctx); err != nil {
			return r.giveUp(err, last, retry, start)
		}
		_, err := do(ctx)
		if err == nil {
			r.pacer.speedUp()
			return nil
		}
		if ctx.Err() != nil {
			return r.giveUp(err, last, retry, start)
		}
		if !retryable(err) {
			return err
		}
		if throttled(err) {
			r.slowDown(op, err)
		}
		last = err
		if r.cfg.MaxRetries > 0 && retry == r.cfg.MaxRetries {
			return r.giveUp(nil, last, retry+1, start)
		}
		r.metrics.retries.WithLabelValues(string(op)).Inc()
		r.logger.Debug("request to the object store is repeated", "store", r.name, "operation", op, "retry", retry+1, "err", err)
		if err := sleep(ctx, r.cfg.delay(retry)); err != nil {
			return r.giveUp(err, last, retry+1, start)
		}
	}
}

// slowDown tells the pacer, and the log only when throttling begins: it is the store's everyday means.
func (r *retrier) slowDown(op operation, err error) {
	r.metrics.throttled.Inc()
	if r.pacer.slowDown() {
		r.logger.Warn("object store asks to slow down, spreading requests", "store", r.name, "operation", op, "err", err)
	}
}

// giveUp puts the last failure and the context's end, if that is why, into one error.
func (r *retrier) giveUp(ended, last error, attempts int, start time.Time) error {
	took := time.Since(start).Round(time.Millisecond)
	switch {
	case last == nil:
		return ended
	case ended == nil:
		return fmt.Errorf("%w (gave up after %d attempts in %s)", last, attempts, took)
	}
	return &endedError{ended, fmt.Errorf("%w (ended after %d attempts in %s)", last, attempts, took)}
}

// endedError is a request's last failure with the end of its context as the first thing that errors.Is sees.
type endedError struct{ ended, last error }

// Error implements error.
func (e *endedError) Error() string { return e.ended.Error() + ": " + e.last.Error() }

// Unwrap returns both.
func (e *endedError) Unwrap() []error { return []error{e.ended, e.last} }

// IsTemporary reports whether err says that the store is ill rather than that the request is wrong, so that the caller
// may keep its data and come back later.
func IsTemporary(err error) bool {
	return err != nil && (retryable(err) || errors.Is(err, context.DeadlineExceeded))
}
