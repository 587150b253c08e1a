package app

import (
	"log/slog"
	"os"
	"runtime/debug"
)

// gcPercent makes the garbage collector run earlier than Go's default: most of the heap is chunks that live long, and
// letting it double before each cycle would cost more memory than the cycles cost time.
const gcPercent = 40

// tuneMemory sets the collector's pace unless the environment does.
func tuneMemory(logger *slog.Logger) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	logger.Debug("garbage collector", "gogc", gcPercent)
}
