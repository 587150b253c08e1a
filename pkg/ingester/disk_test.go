package ingester

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/schema"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

// A disk is full by its share alone, or by its share and its free bytes, and is so until it has got better by some percent.
func TestIsFull(t *testing.T) {
	const gb = 1 << 30
	for _, c := range []struct {
		threshold  float64
		spare      int64
		was        bool
		used       float64
		free       int64
		full       bool
		otherwords string
	}{
		{0.9, 0, false, 0.89, gb, false, "below"},
		{0.9, 0, false, 0.91, 400 * gb, true, "a threshold that was given holds whatever is free"},
		{0.9, 2 * gb, false, 0.91, 400 * gb, false, "a large disk by the default"},
		{0.9, 2 * gb, false, 0.97, gb, true, "a small disk by the default"},
		{0.9, 2 * gb, false, 0.5, gb, false, "a small disk that is half empty"},
		{0.9, 0, true, 0.89, gb, true, "hardly better"},
		{0.9, 0, true, 0.88, gb, false, "better"},
		{0.9, 2 * gb, true, 0.95, 2*gb + 1, true, "hardly more"},
		{0.9, 2 * gb, true, 0.95, 3 * gb, false, "more"},
		{0, 0, false, 1, 0, false, "0 is never"},
		{0.001, 0, false, 0.01, 400 * gb, true, "a tiny one"},
	} {
		cfg := Config{DiskFull: c.threshold, DiskSpare: c.spare}
		require.Equal(t, c.full, cfg.isFull(c.was, c.used, c.free), c.otherwords)
	}
}

// logText is a log that may be read while it is written.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), part)
}

// Pushes are refused while the disk of the log is nearly full, and what was taken before is kept and answered. It is said once.
func TestDiskThreshold(t *testing.T) {
	var used atomic.Int64
	used.Store(50)
	cfg := testConfig(t.TempDir())
	cfg.DiskFull, cfg.DiskSpare = 0.9, 0
	lim, err := limits.New(testLimits())
	require.NoError(t, err)
	log, reg := &logText{}, prometheus.NewRegistry()
	i, err := New(cfg, Deps{Store: newMemStore(), Limits: lim, Periods: schema.Periods{schema.DefaultPeriod}, Registry: reg,
		Log: slog.New(slog.NewTextHandler(log, nil)), DiskUsage: func(dir string) (int64, int64, error) {
			if dir != cfg.WALDir {
				return 0, 0, errors.New("another folder")
			}
			return used.Load(), 100, nil
		}})
	require.NoError(t, err)
	n := &node{Ingester: i, t: t, reg: reg, lim: lim, done: make(chan error, 1)}
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, waitLong, waitShort)
	kept := app("a", at(1, "kept"))
	n.push("t", kept)
	require.EqualValues(t, 0.5, value(t, n, "loki_ingester_wal_disk_usage_percent"))
	require.Zero(t, value(t, n, "logstore_ingester_wal_disk_full"))

	push := func() error { return n.Push(context.Background(), "t", []wire.Stream{app("a", at(2, "more"))}) }
	used.Store(95)
	require.Eventually(t, func() bool { return push() != nil }, waitLong, 10*time.Millisecond, "it is looked at now and then")
	for range 5 {
		err = push()
		require.ErrorIs(t, err, wire.ErrUnavailable)
		require.ErrorIs(t, err, wal.ErrNoSpace)
		require.ErrorContains(t, err, "95.0 % of the disk are used")
		require.ErrorContains(t, err, "disk_full_threshold is 0.9")
	}
	require.EqualValues(t, 1, value(t, n, "logstore_ingester_wal_disk_full"))
	require.GreaterOrEqual(t, value(t, n, "loki_ingester_wal_disk_full_failures_total"), 5.0)
	require.Contains(t, inMemory(t, n.Ingester, "t"), expect("t", kept)[0], "reads go on")
	used.Store(89)
	require.True(t, n.lookAtDisk())
	require.Error(t, push(), "hardly better")
	used.Store(70)
	time.Sleep(2 * diskCheckFull)
	require.NoError(t, push(), "a push looks whether there is space again")
	require.Equal(t, 1, log.count("its disk is nearly full"))
	require.Equal(t, 1, log.count("there is space on the disk of the write-ahead log again"))
	n.end()
}
