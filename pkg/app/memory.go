package app

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent makes the garbage collector run earlier than Go's default: most of the heap is chunks that live long, and
	// letting it double before each cycle would cost more memory than the cycles cost time.
	gcPercent = 40
	// heapFloor is how far the heap may grow before the collector runs at all: while little is live, gcPercent alone would
	// start a cycle for every few chunks that a query reads.
	heapFloor = 160 << 20
)

// tuneMemory sets the collector's pace unless the environment does.
func tuneMemory(logger *slog.Logger) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	(&pacer{last: gcPercent}).watch()
	logger.Debug("garbage collector", "gogc", gcPercent, "heap_floor", heapFloor)
}

// pacer sets the percentage anew after each cycle, so that the next one starts at heapFloor at the earliest.
type pacer struct {
	last    int
	samples [1]metrics.Sample
}

// watch has adjust called after the next cycle: the sentinel becomes garbage at once, and its cleanup runs when the collector
// has found that.
func (p *pacer) watch() {
	sentinel := new(int)
	runtime.AddCleanup(sentinel, func(p *pacer) {
		p.adjust()
		p.watch()
	}, p)
}

func (p *pacer) adjust() {
	p.samples[0].Name = "/gc/heap/live:bytes"
	metrics.Read(p.samples[:])
	if p.samples[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	percent := paceFor(p.samples[0].Value.Uint64())
	if percent != p.last {
		p.last = percent
		debug.SetGCPercent(percent)
	}
}

// paceFor returns the percentage for a live heap, in steps of ten, since setting it stops the world.
func paceFor(live uint64) int {
	live = max(live, 4<<20)
	if live >= heapFloor {
		return gcPercent
	}
	percent := int(100 * (heapFloor - live) / live)
	return max(gcPercent, percent/10*10)
}
