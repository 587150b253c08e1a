package ingester

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
	"logstore/pkg/tenant"
)

// heldSecond runs a member that holds all streams second as long as the flag says so.
func heldSecond(t *testing.T, store *memStore, asides *memSidecars, second *atomic.Bool) *node {
	t.Helper()
	cfg := testConfig(t.TempDir())
	cfg.BlockSize = 1 << 10
	n := build(t, cfg, store, nil)
	n.asides = asides
	n.second = func(string, uint64) bool { return second.Load() }
	n.run()
	require.Eventually(t, func() bool { return n.Ready() == nil }, waitLong, waitShort)
	return n
}

// sealed waits until nothing waits for compression.
func (n *node) sealed() {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		n.seals.mu.Lock()
		defer n.seals.mu.Unlock()
		return n.seals.bytes == 0
	}, waitLong, waitShort)
}

// outline asks for what is known of the only piece in memory; nil if that is nothing.
func (n *node) outline() logql.Outline {
	n.t.Helper()
	ctx := tenant.Inject(context.Background(), "t")
	streams, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: minTime, End: -minTime}})
	require.NoError(n.t, err)
	require.Len(n.t, streams, 1)
	require.Len(n.t, streams[0].Pieces, 1)
	o, err := streams[0].Pieces[0].(logql.Outliner).Outline(ctx, sidecar.Whole)
	require.NoError(n.t, err)
	return o
}

// described returns the numbers of the blocks that are described, and of the sealed ones that are not.
func described(o logql.Outline) (done, left []int) {
	for k, b := range o.Blocks() {
		switch c := &o.(*memoryOutline).all.Blocks[k]; {
		case b.Unique:
			done = append(done, k)
		case c.Compressed():
			left = append(left, k)
		}
	}
	return done, left
}

// TestSecondDescribesWhatIsRead wants nothing described by a member that holds a stream second, but for the blocks that a query read:
// these once.
func TestSecondDescribesWhatIsRead(t *testing.T) {
	asides := &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}
	var second atomic.Bool
	second.Store(true)
	n := heldSecond(t, newMemStore(), asides, &second)
	blocksOfLines(n)
	n.sealed()
	o := n.outline()
	done, left := described(o)
	require.Empty(t, done)
	require.Greater(t, len(left), 3)
	require.Zero(t, asides.count())
	require.InDelta(t, len(left), value(t, n, "logstore_ingester_undescribed_blocks_total"), 0)

	before := n.memory.Load()
	c, err := o.Read(t.Context(), left[1:3])
	require.NoError(t, err)
	require.Len(t, c.Blocks, 2)
	require.Eventually(t, func() bool { done, _ := described(n.outline()); return len(done) == 2 }, waitLong, waitShort)
	o = n.outline()
	done, _ = described(o)
	require.Equal(t, left[1:3], done)
	grown := 0
	for _, k := range done {
		b := o.Blocks()[k]
		require.True(t, b.HasTimes())
		grown += b.Bytes()
	}
	require.GreaterOrEqual(t, n.memory.Load()-before, int64(grown), "the memory of descriptions counts")

	// The same blocks again, and the head.
	n.push("t", app("a", at(1000, "head")))
	o = n.outline()
	head := len(o.Blocks()) - 1
	require.False(t, o.(*memoryOutline).all.Blocks[head].Compressed())
	_, err = o.Read(t.Context(), append(done, head))
	require.NoError(t, err)
	_, err = o.Read(t.Context(), left[:1])
	require.NoError(t, err)
	require.Eventually(t, func() bool { done, _ := described(n.outline()); return len(done) == 3 }, waitLong, waitShort)
	require.Equal(t, 3, asides.count())
	require.InDelta(t, 3, value(t, n, "logstore_ingester_described_blocks_total"), 0)
	n.end()
}

// TestSecondBecomesFirst describes blocks from then on when they are sealed; those before can still be described.
func TestSecondBecomesFirst(t *testing.T) {
	asides := &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}
	var second atomic.Bool
	second.Store(true)
	n := heldSecond(t, newMemStore(), asides, &second)
	blocksOfLines(n)
	n.sealed()
	_, before := described(n.outline())
	second.Store(false)
	for k := range 40 {
		n.push("t", app("a", at(int64(100+k), fmt.Sprintf("line %d %s", k, strings.Repeat("y", 200)))))
	}
	n.sealed()
	o := n.outline()
	done, left := described(o)
	require.Greater(t, len(done), 3)
	require.Equal(t, before, left)
	_, err := o.Read(t.Context(), left)
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, left := described(n.outline()); return len(left) == 0 }, waitLong, waitShort)
	n.end()
}

// TestSecondStoresForDeadFirst flushes chunks that the first member did not live to store: the sidecar is what the first would have stored.
func TestSecondStoresForDeadFirst(t *testing.T) {
	var stored [2]map[model.ChunkRef][]sidecar.Block
	for k := range stored {
		asides := &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}
		var second atomic.Bool
		second.Store(k == 1)
		n := heldSecond(t, newMemStore(), asides, &second)
		blocksOfLines(n)
		n.sealed()
		require.Equal(t, k == 0, asides.count() > 0)
		if k == 1 {
			_, left := described(n.outline())
			_, err := n.outline().Read(t.Context(), left[:1])
			require.NoError(t, err)
			require.Eventually(t, func() bool { done, _ := described(n.outline()); return len(done) == 1 }, waitLong, waitShort)
			require.Equal(t, 1, asides.count())
		}
		require.NoError(t, n.FlushWait(context.Background()))
		require.Len(t, asides.stored, 1)
		if k == 1 {
			require.Equal(t, 1, asides.known, "the one that a query read")
		}
		stored[k] = asides.stored
		n.end()
	}
	require.Equal(t, stored[0], stored[1])
}

// TestLateOnceUnderLoad has queries read while blocks are sealed, described and flushed, and the ring changes its mind.
func TestLateOnceUnderLoad(t *testing.T) {
	asides := &memSidecars{stored: map[model.ChunkRef][]sidecar.Block{}}
	var second atomic.Bool
	n := heldSecond(t, newMemStore(), asides, &second)
	ctx := tenant.Inject(context.Background(), "t")
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				streams, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: minTime, End: -minTime}})
				if err != nil {
					t.Error(err)
					return
				}
				for _, s := range streams {
					for _, p := range s.Pieces {
						if err := readAll(ctx, p); err != nil {
							t.Error(err)
							return
						}
					}
				}
			}
		})
	}
	var want []entry
	for k := range 600 {
		second.Store(k%100 < 70)
		s := app("abc"[k%3:k%3+1], at(int64(k), fmt.Sprintf("line %d %s", k, strings.Repeat("x", 200))))
		n.push("t", s)
		want = append(want, expect("t", s)...)
		if k%200 == 150 {
			n.Flush()
		}
	}
	require.NoError(t, n.FlushWait(context.Background()))
	close(stop)
	readers.Wait()
	require.Equal(t, sorted(want), sorted(n.store.all(t)))
	blocks := 0
	for _, list := range asides.stored {
		blocks += len(list)
	}
	require.LessOrEqual(t, asides.count(), blocks, "no block is described twice")
	n.end()
}

// readAll reads all blocks of a piece as a query does.
func readAll(ctx context.Context, p logql.Piece) error {
	o, err := p.(logql.Outliner).Outline(ctx, sidecar.Columns)
	if err != nil || o == nil {
		return err
	}
	all := make([]int, len(o.Blocks()))
	for k := range all {
		all[k] = k
	}
	_, err = o.Read(ctx, all)
	return err
}
