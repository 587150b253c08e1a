package cache

import (
	"context"
	"sync"
)

// WriteConfig bounds what waits to be written.
type WriteConfig struct {
	// Goroutines write at a time.
	Goroutines int
	// MaxItems and MaxBytes bound the queue; what comes when it is full is dropped.
	MaxItems int
	MaxBytes int64
}

// DefaultWriteConfig is Loki's.
var DefaultWriteConfig = WriteConfig{Goroutines: 1, MaxItems: 500_000, MaxBytes: 500 << 20}

// Bounds of one write: as many values as are worth one round trip.
const (
	batchItems = 64
	batchBytes = 4 << 20
)

// pair is a value that waits to be written.
type pair struct {
	key   string
	value []byte
}

func (p pair) size() int64 { return int64(len(p.key)+len(p.value)) + itemBytes }

// writeBehind is a bounded queue of values and the goroutines that write them.
type writeBehind struct {
	cfg     WriteConfig
	metrics *metrics
	// write takes a batch; it may fail silently.
	write func(ctx context.Context, batch []pair)
	// wake has room for one token for each goroutine.
	wake chan struct{}

	mu    sync.Mutex
	queue []pair
	bytes int64
}

func newWriteBehind(cfg WriteConfig, m *metrics, write func(context.Context, []pair)) *writeBehind {
	if cfg.Goroutines < 1 {
		cfg.Goroutines = DefaultWriteConfig.Goroutines
	}
	if cfg.MaxItems < 1 {
		cfg.MaxItems = DefaultWriteConfig.MaxItems
	}
	if cfg.MaxBytes < 1 {
		cfg.MaxBytes = DefaultWriteConfig.MaxBytes
	}
	return &writeBehind{cfg: cfg, metrics: m, write: write, wake: make(chan struct{}, cfg.Goroutines)}
}

// put adds a value to the queue, or drops it.
func (w *writeBehind) put(p pair) {
	w.mu.Lock()
	full := len(w.queue) >= w.cfg.MaxItems || w.bytes+p.size() > w.cfg.MaxBytes
	if !full {
		w.queue = append(w.queue, p)
		w.bytes += p.size()
	}
	w.metrics.queued.Set(float64(w.bytes))
	w.mu.Unlock()
	if full {
		w.metrics.dropped.Inc()
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // all goroutines are awake or about to be
	}
}

// take removes the next batch from the queue; it is empty when the queue is.
func (w *writeBehind) take() []pair {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, int64(0)
	for n < len(w.queue) && n < batchItems && (n == 0 || size+w.queue[n].size() <= batchBytes) {
		size += w.queue[n].size()
		n++
	}
	batch := append([]pair(nil), w.queue[:n]...)
	clear(w.queue[:n])
	w.queue = w.queue[n:]
	w.bytes -= size
	if len(w.queue) == 0 {
		w.queue = nil // lets go of an array that a burst made large
	}
	w.metrics.queued.Set(float64(w.bytes))
	return batch
}

// run writes until ctx ends. What waits then is dropped: it can be had again from where it came.
func (w *writeBehind) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range w.cfg.Goroutines {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-w.wake:
				}
				for batch := w.take(); len(batch) > 0 && ctx.Err() == nil; batch = w.take() {
					w.write(ctx, batch)
				}
			}
		})
	}
	wg.Wait()
}
