package ingester

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// pushMany pushes rounds of entries, from the first on, to very many streams, of which one is fast.
func pushMany(n *node, streams, first, rounds int) (want []entry) {
	for r := first; r < first+rounds; r++ {
		var push []wire.Stream
		for k := range streams {
			s := labelled(map[string]string{"app": "many", "pod": fmt.Sprint("pod", k)}, at(int64(1000*r+k), fmt.Sprintf("round %d pod %d %s", r, k, strings.Repeat("p", 100))))
			if k%3 == 0 {
				s.Entries = append(s.Entries, at(int64(1000*r), "rich", "trace_id", fmt.Sprint(r)))
			}
			push = append(push, s)
		}
		fast := app("fast")
		for k := range 50 {
			fast.Entries = append(fast.Entries, at(int64(100*r+k), fmt.Sprintf("fast %d %d %s", r, k, strings.Repeat("f", 300))))
		}
		push = append(push, fast)
		n.push("t", push...)
		want = append(want, expect("t", push...)...)
	}
	return sorted(want)
}

func manyConfig(dir string) Config {
	cfg := testConfig(dir)
	cfg.HeadLimit = 128 << 10
	return cfg
}

// TestPagesOfSmallStreams keeps far more streams than heads fit into memory, reads them, crashes, reads them again and flushes.
func TestPagesOfSmallStreams(t *testing.T) {
	dir := t.TempDir()
	store := newMemStore()
	n := start(t, manyConfig(dir), store, nil)
	want := pushMany(n, 500, 0, 12)
	require.Less(t, n.heads.Load(), int64(192<<10))
	require.Positive(t, value(t, n, "logstore_ingester_pages_total"))
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t")))
	n.end()

	n = start(t, manyConfig(dir), store, nil)
	require.Less(t, n.heads.Load(), int64(192<<10))
	require.EqualValues(t, len(want), n.Progress().Entries)
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t")))
	// What was found before the flush can be read after it, although the segments with its pages are gone.
	ctx := tenant.Inject(context.Background(), "t")
	found, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 40}})
	require.NoError(t, err)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, want, sorted(store.all(t)))
	require.Equal(t, 501, store.count())
	require.Eventually(t, func() bool { return n.logBytes() == 0 }, waitLong, waitShort)
	var again []entry
	for _, s := range found {
		for _, p := range s.Pieces {
			c, err := p.Open(ctx)
			require.NoError(t, err)
			again = append(again, entriesOf(t, "t", s.Labels, c)...)
		}
	}
	require.Equal(t, want, sorted(again))
	n.end()
	require.Zero(t, n.memory.Load())
}

func TestPagesWithoutALog(t *testing.T) {
	store := newMemStore()
	n := start(t, manyConfig(""), store, nil)
	want := pushMany(n, 300, 0, 8)
	require.Positive(t, value(t, n, "logstore_ingester_pages_total"))
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t")))
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, want, sorted(store.all(t)))
	n.end()
}

// TestPagesOnAFullDisk writes pages that the disk does not take: they stay in memory, and in the log of data.
func TestPagesOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := &partsFull{diskFS: diskFS{FS: osFS}}
	store := newMemStore()
	cfg := manyConfig(dir)
	cfg.WALSegmentSize = 64 << 10
	n := start(t, cfg, store, disk)
	disk.full.Store(true)
	want := pushMany(n, 300, 0, 8)
	require.Positive(t, value(t, n, "loki_ingester_wal_disk_full_failures_total"))
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t")))
	// When there is space again pages are written again. Those in memory keep their segments of the data.
	disk.full.Store(false)
	for round := range 4 {
		want = append(want, pushMany(n, 310, 8+4*round, 4)...)
		n.checkpoint(context.Background(), n.data.Segment()+1)
		n.trimLogs()
	}
	n.end()
	n = start(t, manyConfig(dir), store, nil)
	require.Equal(t, sorted(want), sorted(inMemory(t, n.Ingester, "t")))
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, sorted(want), sorted(store.all(t)))
	n.end()
}

// TestDamagedPage flips bits of pages under a running ingester: a query fails with a clear error, and a flush is tried again instead of
// storing wrong lines. After a few attempts what is not damaged is stored, what is lost is counted, and nothing is held any longer.
func TestDamagedPage(t *testing.T) {
	dir := t.TempDir()
	store := newMemStore()
	n := start(t, manyConfig(dir), store, nil)
	want := pushMany(n, 500, 0, 12)
	name := filepath.Join(dir, "parts", "00000001.wal")
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	for k := 200; k < len(b); k += 2000 {
		b[k] ^= 1
	}
	require.NoError(t, os.WriteFile(name, b, 0o644))
	ctx := tenant.Inject(context.Background(), "t")
	found, err := n.Select(ctx, logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 40}})
	require.NoError(t, err)
	failed := 0
	for _, s := range found {
		if _, err := s.Pieces[0].Open(ctx); err != nil {
			require.ErrorContains(t, err, "cannot read a page: cannot read a record at offset")
			failed++
		}
	}
	require.Positive(t, failed)
	wait, cancel := context.WithTimeout(ctx, waitLong)
	defer cancel()
	require.NoError(t, n.FlushWait(wait))
	require.Positive(t, value(t, n, "loki_ingester_chunks_flush_failures_total"))
	stored := store.all(t)
	left := map[string]bool{} // streams of which something is left: mostly not of all, as it lay in pages or in memory
	for _, e := range stored {
		left[e.stream] = true
	}
	require.Equal(t, len(left), store.count(), "of a stream of which nothing is left nothing is stored")
	require.Subset(t, want, stored)
	require.Positive(t, value(t, n, "logstore_ingester_lost_entries_total"))
	require.EqualValues(t, len(want), float64(len(stored))+value(t, n, "logstore_ingester_lost_entries_total"))
	require.Eventually(t, func() bool { return n.logBytes() == 0 }, waitLong, waitShort)
	n.end()
	require.Zero(t, n.memory.Load())
}
