package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chunkFigures is what members and a bucket say about chunks.
type chunkFigures struct {
	// flushed counts chunks that members flushed, skipped those of them that were not written because the object was there.
	flushed, skipped float64
	objects          int
	bytes            int64
	// hedged counts pushes that went to a third member because one was slow.
	hedged float64
	// described counts blocks that a member described for queries when it sealed them, undescribed those that it left to another.
	described, undescribed float64
}

// once is the share of the chunks that were written once, of all that two members had.
func (f chunkFigures) once() float64 { return 2 * (f.flushed - float64(f.objects)) / f.flushed }

// chunkFigures flushes everything and counts.
func (c *Cluster) chunkFigures() chunkFigures {
	c.t.Helper()
	c.flush()
	require.Eventually(c.t, func() bool { return c.metric("loki_ingester_memory_chunks") == 0 }, time.Minute, 100*time.Millisecond)
	f := chunkFigures{
		flushed: c.metric("loki_ingester_chunks_flushed_total"), skipped: c.metric("logstore_store_duplicate_chunks_total"),
		hedged:    c.metric("logstore_distributor_hedged_writes_total"),
		described: c.metric("logstore_ingester_described_blocks_total"), undescribed: c.metric("logstore_ingester_undescribed_blocks_total"),
	}
	require.NoError(c.t, filepath.WalkDir(filepath.Join(c.S3.Folder("loki-chunks"), "fake"), func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		f.objects++
		f.bytes += info.Size()
		return err
	}))
	return f
}

// TestReplicaChunksOnce pushes from several clients through all members: the two that hold a stream make the same chunks, so that the
// bucket has most of them once. What is open at the end is flushed at the same time and counts as well. A member that is slow, as all are
// on a busy machine, has some pushes go to a third one, whose chunks are its own.
func TestReplicaChunksOnce(t *testing.T) {
	args := append([]string{"-ingester.chunks-block-size=64KB", "-ingester.chunk-target-size=128KB"}, unlimited...)
	lines, pause := 200_000, 5*time.Millisecond
	const streams = 2
	if soak() {
		args, lines = unlimited, 2_000_000
	}
	load := bodies(faultClients, lines, shape{streams: streams, lines: 60})
	c := NewCluster(t, 3, args...)
	c.pushAll(load, pause)
	f := c.chunkFigures()
	t.Logf("%.0f chunks of two members in %d objects of %d bytes, %.0f were found written, %.0f pushes were hedged: %.0f %% once",
		f.flushed, f.objects, f.bytes, f.skipped, f.hedged, 100*f.once())
	// A hedged push makes a chunk of each of its streams on the third member, and may come late on the slow one.
	require.LessOrEqual(t, float64(f.objects), 0.6*f.flushed+2*streams*f.hedged)
	// So are blocks described. A hedged push makes blocks that nobody is first for.
	require.InDelta(t, f.described, f.undescribed, 0.1*f.described+2*streams*f.hedged)
	if !soak() {
		return
	}
	one := NewCluster(t, 1, args...)
	one.pushAll(load, 0)
	single := one.chunkFigures()
	t.Logf("one member: %.0f chunks in %d objects of %d bytes: %.2f times as many bytes for two copies", single.flushed, single.objects, single.bytes,
		float64(f.bytes)/float64(single.bytes))
	off := NewCluster(t, 3, append([]string{"-ingester.sync-period=0s"}, args...)...)
	off.pushAll(load, pause)
	f = off.chunkFigures()
	t.Logf("without sync_period: %.0f chunks in %d objects of %d bytes: %.0f %% once", f.flushed, f.objects, f.bytes, 100*f.once())
}
