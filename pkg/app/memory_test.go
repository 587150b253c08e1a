package app

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceFor(t *testing.T) {
	require.Equal(t, gcPercent, paceFor(heapFloor))
	require.Equal(t, gcPercent, paceFor(1<<40))
	require.Equal(t, 100, paceFor(heapFloor/2))
	require.Equal(t, gcPercent, paceFor(heapFloor-1))
	require.Equal(t, 3900, paceFor(0), "a tiny heap counts as 4 MiB")
}

// TestPacer wants the percentage to follow the live heap.
func TestPacer(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	(&pacer{last: gcPercent}).watch()
	require.Eventually(t, func() bool {
		runtime.GC()
		current := debug.SetGCPercent(gcPercent)
		debug.SetGCPercent(current)
		return current > gcPercent
	}, 10*time.Second, 10*time.Millisecond)
}
