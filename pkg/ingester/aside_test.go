package ingester

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// memSidecars keeps what is said of chunks.
type memSidecars struct {
	mu     sync.Mutex
	fail   error
	stored map[model.ChunkRef][]sidecar.Block
	// described counts blocks that were described when they were sealed, known those of them that were known when the chunk was stored.
	described, known, asked int
}

func (m *memSidecars) DescribeBlock(b *chunk.Batch, size int) sidecar.Block {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.described++
	return describeBlock(b, size)
}

func describeBlock(b *chunk.Batch, size int) sidecar.Block {
	return logql.Describe(b, sidecar.Options{BitsPerKey: 6, MaxBytes: size})
}

// count is how many blocks were described outside of a flush.
func (m *memSidecars) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.described
}

func (m *memSidecars) StoreSidecar(_ context.Context, ref model.ChunkRef, object []byte, known func(*chunk.Block) (sidecar.Block, bool)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	c, err := chunk.OpenRef(object, ref)
	if err != nil {
		return err
	}
	blocks := make([]sidecar.Block, len(c.Blocks))
	for i := range c.Blocks {
		var ok bool
		if blocks[i], ok = known(&c.Blocks[i]); ok {
			m.known++
			continue
		}
		b := chunk.GetBatch()
		defer chunk.PutBatch(b)
		if err := errors.Join(b.Load(&c.Blocks[i]), b.Walk()); err != nil {
			return err
		}
		blocks[i] = describeBlock(b, c.Blocks[i].Bytes())
	}
	m.stored[ref] = blocks
	return nil
}

func (m *memSidecars) LacksSidecar(_ context.Context, ref model.ChunkRef, _ []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	_, ok := m.stored[ref]
	return !ok
}

// blocksOfLines pushes a stream of several blocks.
func blocksOfLines(n *node) []entry {
	var want []entry
	for k := range 40 {
		s := app("a", at(int64(k), fmt.Sprintf("line %d %s", k, strings.Repeat("x", 200))))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	return want
}

func sidecarNode(t *testing.T, store *memStore, asides *memSidecars) *node {
	t.Helper()
	cfg := testConfig(t.TempDir())
	cfg.BlockSize = 1 << 10
	n := build(t, cfg, store, nil)
	if asides != nil {
		n.asides = asides
	}
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, waitLong, waitShort)
	return n
}

// TestFlushStoresSidecars wants a sidecar beside each chunk, whose sealed blocks were described when they were sealed.
func TestFlushStoresSidecars(t *testing.T) {
	store, asides := newMemStore(), &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}
	n := sidecarNode(t, store, asides)
	blocksOfLines(n)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Len(t, store.objects, 1)
	require.Len(t, asides.stored, 1)
	for ref := range store.objects {
		blocks, entries := asides.stored[ref], 0
		require.Greater(t, len(blocks), 3)
		for _, b := range blocks {
			entries += b.Entries
		}
		require.Equal(t, 40, entries)
		require.Equal(t, len(blocks), asides.known)
	}
	require.Zero(t, asides.asked, "what this member wrote itself")
	require.Zero(t, value(t, n, "logstore_ingester_sidecar_failures_total"))
	n.end()
}

// TestSidecarFailureDoesNotFailFlush loses sidecars, and counts them, and nothing else.
func TestSidecarFailureDoesNotFailFlush(t *testing.T) {
	store, asides := newMemStore(), &memSidecars{fail: errStore}
	n := sidecarNode(t, store, asides)
	want := blocksOfLines(n)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, sorted(want), sorted(store.all(t)))
	require.Equal(t, 1, store.objectCalls, "the chunk is not stored again")
	require.Empty(t, asides.stored)
	require.InDelta(t, 1, value(t, n, "logstore_ingester_sidecar_failures_total"), 0)
	require.Zero(t, value(t, n, "loki_ingester_chunks_flush_failures_total"))
	n.end()
}

// TestFlushWithoutSidecars describes nothing where sidecars are off.
func TestFlushWithoutSidecars(t *testing.T) {
	store := newMemStore()
	n := sidecarNode(t, store, nil)
	want := blocksOfLines(n)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, sorted(want), sorted(store.all(t)))
	n.end()
}

// TestReplicaStoresNoSidecarAgain flushes the same chunk from two members: the second stores the sidecar only if the first did not.
func TestReplicaStoresNoSidecarAgain(t *testing.T) {
	for _, lost := range []bool{false, true} {
		store, first, second := newMemStore(), &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}, &memSidecars{}
		n := sidecarNode(t, store, first)
		blocksOfLines(n)
		require.NoError(t, n.FlushWait(context.Background()))
		n.end()
		second.stored = map[model.ChunkRef][]sidecar.Block{}
		if !lost {
			second.stored = first.stored
		}
		n = sidecarNode(t, store, second)
		blocksOfLines(n)
		require.NoError(t, n.FlushWait(context.Background()))
		n.end()
		require.Len(t, store.objects, 1, "both made the same chunk")
		require.Equal(t, 1, second.asked)
		require.Equal(t, lost, second.known > 0, "described anew only if it was lost")
		require.Len(t, second.stored, 1)
	}
}
