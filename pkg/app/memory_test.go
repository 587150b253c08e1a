package app

import (
	"log/slog"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTuneMemory(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "77")
	tuneMemory(slog.New(slog.DiscardHandler))
	require.Equal(t, 100, debug.SetGCPercent(100), "the environment decides")
	t.Setenv("GOGC", "")
	tuneMemory(slog.New(slog.DiscardHandler))
	require.Equal(t, gcPercent, debug.SetGCPercent(100))
}
