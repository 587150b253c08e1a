package ingester

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// TestHandOver stops an ingester whose store is away: another one has everything afterwards, old entries and those of a tenant
// at its limits too, and a restart finds nothing left.
func TestHandOver(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.FlushOnShutdown, cfg.ShutdownTimeout = true, 2*time.Second
	away := newMemStore()
	away.putObject = func(context.Context, model.ChunkRef) error { return errors.New("the store is away") }
	other := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	defer other.end()
	n := build(t, cfg, away, nil)
	calls := 0
	n.Ingester.handOver = func(ctx context.Context, tenant string, streams []wire.Stream) error {
		calls++
		return other.Accept(ctx, tenant, streams)
	}
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, waitLong, waitShort)
	hour := int64(time.Hour)
	streams := []wire.Stream{
		app("a", at(5*hour, "one"), at(5*hour+1, "two", "k", "v")),
		app("b", at(5*hour, string(rand16k(1))), at(5*hour+2, string(rand16k(2)))),
	}
	n.push("t1", streams...)
	n.push("t2", streams[0])
	// The other one has newer entries of the same stream.
	other.push("t1", app("a", at(50*hour, "newer")))
	n.end()
	require.NotZero(t, calls)
	want := append(expect("t1", append(streams, app("a", at(50*hour, "newer")))...), expect("t2", streams[0])...)
	require.Equal(t, sorted(want), sorted(inMemory(t, other.Ingester, "t1", "t2")))
	again := start(t, testConfig(dir), newMemStore(), nil)
	defer again.end()
	require.Empty(t, inMemory(t, again.Ingester, "t1", "t2"))
}

// TestHandOverFails keeps in the log what nobody takes.
func TestHandOverFails(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.FlushOnShutdown, cfg.ShutdownTimeout = true, time.Second
	away := newMemStore()
	away.putObject = func(context.Context, model.ChunkRef) error { return errors.New("the store is away") }
	n := build(t, cfg, away, nil)
	n.Ingester.handOver = func(context.Context, string, []wire.Stream) error { return wire.ErrUnavailable }
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, waitLong, waitShort)
	n.push("t1", app("a", at(1, "one")))
	n.end()
	again := start(t, testConfig(dir), newMemStore(), nil)
	defer again.end()
	require.Equal(t, expect("t1", app("a", at(1, "one"))), inMemory(t, again.Ingester, "t1"))
}
