package ingester

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/wal"
	"logstore/pkg/wire"
)

// copyDir copies what a killed process would leave: each file as it is at some moment, in the order that a crash could show:
// newer files first, so that no later record is there without an earlier one.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	for _, log := range []string{"data", "parts", "marks"} {
		require.NoError(t, os.MkdirAll(filepath.Join(to, log), 0o755))
		infos, err := os.ReadDir(filepath.Join(from, log))
		require.NoError(t, err)
		for _, info := range infos {
			src, err := os.Open(filepath.Join(from, log, info.Name()))
			if os.IsNotExist(err) {
				continue
			}
			require.NoError(t, err)
			dst, err := os.Create(filepath.Join(to, log, info.Name()))
			require.NoError(t, err)
			_, err = io.Copy(dst, src)
			require.NoError(t, err)
			require.NoError(t, dst.Close())
			require.NoError(t, src.Close())
		}
	}
}

func smallLog(dir string) Config {
	cfg := testConfig(dir)
	cfg.WALSegmentSize, cfg.WALSize = 16<<10, 64<<10
	cfg.BlockSize, cfg.TargetSize = 4<<10, 8<<10
	cfg.CheckpointPeriod = 5 * time.Millisecond
	return cfg
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	store := newMemStore()
	var want []entry
	for round := range 4 {
		n := start(t, testConfig(dir), store, nil)
		require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t", "u")))
		for k := range 50 {
			a := app(fmt.Sprint("a", k%7), at(int64(round*1000+k), fmt.Sprintf("round %d line %d", round, k)))
			b := labelled(map[string]string{"app": "b", "round": fmt.Sprint(round)}, at(int64(k), "plain"), at(int64(k), "rich", "k", fmt.Sprint(k)))
			n.push("t", a, b)
			n.push("u", a)
			want = append(append(want, expect("t", a, b)...), expect("u", a)...)
		}
		want = sorted(want)
		n.end()
	}
	n := start(t, testConfig(dir), store, nil)
	require.Equal(t, want, sorted(inMemory(t, n.Ingester, "t", "u")))
	require.Zero(t, store.count())
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, want, sorted(store.all(t)))
	n.end()
	require.Zero(t, n.logBytes(), "everything was flushed")
	n = start(t, testConfig(dir), store, nil)
	require.Empty(t, inMemory(t, n.Ingester, "t", "u"))
	n.end()
}

// TestReplayLeavesOutWhatWasFlushed kills the process when some streams were flushed and others go on.
func TestReplayLeavesOutWhatWasFlushed(t *testing.T) {
	dir, crashed := t.TempDir(), t.TempDir()
	store := newMemStore()
	n := start(t, testConfig(dir), store, nil)
	a := app("a", at(1, "flushed a"))
	b := app("b", at(1, "flushed b"))
	n.push("t", a, b)
	require.NoError(t, n.FlushWait(context.Background()))
	// The log is cut when everything is flushed; a stream that is not flushed keeps its segment.
	c := app("a", at(2, "not flushed"))
	n.push("t", c)
	store.set(func() {
		store.putObject = func(_ context.Context, ref model.ChunkRef) error { return nil }
	})
	copyDir(t, dir, crashed)
	n.end()
	n = start(t, testConfig(crashed), store, nil)
	require.Equal(t, expect("t", c), inMemory(t, n.Ingester, "t"))
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, sorted(expect("t", a, b, c)), sorted(store.all(t)))
	n.end()
}

// TestCrashAtRandomMoments copies the log while pushes, flushes, checkpoints and removals of segments go on, and replays each
// copy: every entry that was acknowledged before the copy began is there, in the store or in memory, and none is stored twice
// but for those whose mark was not yet written.
func TestCrashAtRandomMoments(t *testing.T) {
	dir := t.TempDir()
	cfg := smallLog(dir)
	store := newMemStore()
	n := start(t, cfg, store, nil)
	var mu sync.Mutex
	var acked []entry
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for k := 0; !stop.Load(); k++ {
				var streams []wire.Stream
				for s := range 1 + r.IntN(4) {
					name := fmt.Sprint("app", (g+s)%3)
					if r.IntN(20) == 0 {
						name = fmt.Sprint("slow", g)
					}
					in := app(name)
					for e := range 1 + r.IntN(5) {
						line := fmt.Sprintf("g%d k%d s%d e%d %s", g, k, s, e, strings.Repeat("x", r.IntN(200)))
						ts := int64(k)*1000 + r.Int64N(1000)
						if r.IntN(3) == 0 {
							in.Entries = append(in.Entries, at(ts, line, "k", fmt.Sprint(r.IntN(9))))
						} else {
							in.Entries = append(in.Entries, at(ts, line))
						}
					}
					streams = append(streams, in)
				}
				if err := n.Push(context.Background(), "t", streams); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, expect("t", streams...)...)
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	for round := range 12 {
		time.Sleep(20 * time.Millisecond)
		if round%3 == 2 {
			n.Flush()
		}
		crashed := t.TempDir()
		mu.Lock()
		want := append([]entry(nil), acked...)
		mu.Unlock()
		// What is stored when the copy is complete may be marked in it or not; it is in the bucket of the crashed process.
		copyDirConsistently(t, n.Ingester, dir, crashed)
		have := store.all(t)
		cfg := smallLog(crashed)
		again := start(t, cfg, newMemStore(), nil)
		require.NoError(t, again.FlushWait(context.Background()))
		back := again.store.all(t)
		again.end()
		require.Equal(t, len(back), len(distinct(append([]entry(nil), back...))), "the replay has an entry twice")
		requireAll(t, append(have, back...), want)
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, n.FlushWait(context.Background()))
	requireAll(t, store.all(t), acked)
	require.Equal(t, len(acked), len(store.all(t)))
	n.end()
	require.Zero(t, n.logBytes())
}

// requireAll wants each entry of want to be in have.
func requireAll(t testing.TB, have, want []entry) {
	t.Helper()
	known := make(map[entry]bool, len(have))
	for _, e := range have {
		known[e] = true
	}
	missing := 0
	for _, e := range want {
		if !known[e] {
			missing++
			if missing < 5 {
				t.Errorf("missing: %v", e)
			}
		}
	}
	require.Zero(t, missing, "of %d", len(want))
}

// copyDirConsistently copies the logs while no segment is being removed, as a crash would find them: marks first, since a mark
// that is newer than the copy of the data does no harm, but data without its mark comes back.
func copyDirConsistently(t testing.TB, i *Ingester, from, to string) {
	t.Helper()
	i.trim.hold.Lock()
	defer i.trim.hold.Unlock()
	copyDir(t, from, to)
}

// TestCheckpointsBoundTheLog has one stream that gets an entry now and then beside a fast one.
func TestCheckpointsBoundTheLog(t *testing.T) {
	dir := t.TempDir()
	cfg := smallLog(dir)
	store := newMemStore()
	n := start(t, cfg, store, nil)
	var want []entry
	most := int64(0)
	for k := range 600 {
		fast := app("fast", at(int64(k), fmt.Sprintf("%d %d %d", k, rand.Uint64(), rand.Uint64())+strings.Repeat("y", 900)))
		n.push("t", fast)
		want = append(want, expect("t", fast)...)
		if k%50 == 0 {
			slow := app("slow", at(int64(k), fmt.Sprint("slow ", k), "k", "v"), at(int64(k), fmt.Sprint("slow plain ", k)))
			n.push("t", slow)
			want = append(want, expect("t", slow)...)
		}
		if k%20 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
		most = max(most, n.data.Size())
	}
	require.Less(t, most, int64(300<<10), "600 KB were pushed")
	require.Positive(t, n.parts.Size())
	require.Eventually(t, func() bool { return n.flushes.outstanding.Load() == 0 }, 10*time.Second, time.Millisecond)
	n.end()
	// Chunks that come back with parts of checkpoints have their size at other entries than before, so that the replay may end one
	// that was open. Nothing is stored while memory and store are compared: a chunk on its way is rightly in both.
	compared := make(chan struct{})
	store.set(func() {
		store.putObject = func(context.Context, model.ChunkRef) error { <-compared; return nil }
	})
	again := start(t, cfg, store, nil)
	back := inMemory(t, again.Ingester, "t")
	require.Equal(t, sorted(want), sorted(append(back, store.all(t)...)), "each exactly once")
	close(compared)
	slow := 0
	for _, e := range back {
		if strings.HasPrefix(e.line, "slow") {
			slow++
		}
	}
	require.Equal(t, 24, slow, "the slow stream was never flushed")
	require.NoError(t, again.FlushWait(context.Background()))
	again.end()
	require.Zero(t, again.logBytes())
	require.Equal(t, sorted(want), sorted(store.all(t)))
}

// TestPartsOfFlushedPieces crashes when a piece with parts and pages was flushed and another keeps their segments.
func TestPartsOfFlushedPieces(t *testing.T) {
	for _, size := range []int{100, 3000} {
		dir, crashed := t.TempDir(), t.TempDir()
		cfg := smallLog(dir)
		cfg.TargetSize, cfg.WALSegmentSize, cfg.WALSize = 1<<20, 1<<20, 8<<20
		store := newMemStore()
		n := start(t, cfg, store, nil)
		flushed, kept := app("flushed", at(1, strings.Repeat("f", size))), app("kept", at(1, strings.Repeat("k", size)))
		n.push("t", flushed, kept)
		n.checkpoint(context.Background(), n.data.Segment()+1)
		require.Positive(t, n.parts.Size())
		n.trimLogs()
		store.set(func() {
			store.putObject = func(ctx context.Context, ref model.ChunkRef) error {
				if ref.Fingerprint == schema.Fingerprint(kept.Labels) {
					return errStore
				}
				return nil
			}
		})
		n.Flush()
		require.Eventually(t, func() bool { return n.flushes.outstanding.Load() == 1 }, waitLong, waitShort)
		copyDirConsistently(t, n.Ingester, dir, crashed)
		n.end()
		cfg.WALDir = crashed
		n = start(t, cfg, newMemStore(), nil)
		require.Equal(t, expect("t", kept), inMemory(t, n.Ingester, "t"), "size %d", size)
		n.end()
	}
}

// TestStreamsThatLeaveAndComeAgain pushes to streams that are removed all the time.
func TestStreamsThatLeaveAndComeAgain(t *testing.T) {
	store := newMemStore()
	n := start(t, smallLog(t.TempDir()), store, nil)
	var wg sync.WaitGroup
	var stop atomic.Bool
	wg.Go(func() {
		for !stop.Load() {
			n.Flush()
			n.sweep(time.Now())
		}
	})
	var want []entry
	for k := range 3000 {
		s := app(fmt.Sprint("a", k%2), at(int64(k), fmt.Sprint("line ", k)))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, n.FlushWait(context.Background()))
	requireAll(t, store.all(t), want)
	n.sweep(time.Now())
	require.Zero(t, n.countStreams())
	n.end()
	require.Zero(t, n.logBytes())
}

// TestPushMeetsDeadStream removes a stream between a push's look-up and its lock.
func TestPushMeetsDeadStream(t *testing.T) {
	n := start(t, testConfig(t.TempDir()), newMemStore(), nil)
	n.push("t", app("a", at(1, "flushed")))
	require.NoError(t, n.FlushWait(context.Background()))
	in := app("a", at(2, "after"))
	s := n.streams.find(n.streams.tenant("t"), in.Hash, in.Labels)
	s.mu.Lock()
	done := make(chan error)
	go func() { done <- n.Push(context.Background(), "t", []wire.Stream{in}) }()
	time.Sleep(20 * time.Millisecond)
	s.dead.Store(true)
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	sh := n.streams.shard(s.hash)
	sh.mu.Lock()
	sh.removeLocked(s)
	sh.mu.Unlock()
	require.NoError(t, <-done)
	require.Equal(t, expect("t", in), inMemory(t, n.Ingester, "t"))
	n.end()
}

func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.WALSegmentSize, cfg.WALSize = 8<<10, 1<<20
	n := start(t, cfg, newMemStore(), nil)
	var want []entry
	for k := range 40 {
		s := app("a", at(int64(k), fmt.Sprintf("%02d %s", k, strings.Repeat("z", 1000))))
		n.push("t", s)
		want = append(want, expect("t", s)...)
	}
	n.end()
	// The first record of the second segment, which defines the stream there, and one in the middle of the third.
	damage := func(segment, offset int) {
		name := filepath.Join(dir, "data", fmt.Sprintf("%08d.wal", segment))
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[offset] ^= 0x40
		require.NoError(t, os.WriteFile(name, b, 0o644))
	}
	damage(1, 100)
	damage(3, 4000)
	n = start(t, cfg, newMemStore(), nil)
	got := sorted(inMemory(t, n.Ingester, "t"))
	require.Len(t, got, len(want)-2)
	requireAll(t, want, got)
	require.InDelta(t, 2, value(t, n, "loki_ingester_wal_corruptions_total"), 0)
	require.InDelta(t, 38, value(t, n, "loki_ingester_wal_recovered_entries_total"), 0)
	n.end()
}

func value(t testing.TB, n *node, name string) float64 {
	t.Helper()
	families, err := n.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatal("no metric ", name)
	return 0
}

// diskFS is a file system whose disk can be full.
type diskFS struct {
	wal.FS
	full atomic.Bool
}

func (d *diskFS) Create(name string) (wal.File, error) {
	if d.full.Load() {
		return nil, wal.ErrNoSpace
	}
	f, err := d.FS.Create(name)
	return &diskFile{f, d}, err
}

type diskFile struct {
	wal.File
	disk *diskFS
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.full.Load() {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, wal.ErrNoSpace
	}
	return f.File.WriteAt(p, off)
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := &diskFS{FS: wal.OS}
	store := newMemStore()
	n := start(t, testConfig(dir), store, disk)
	kept := app("a", at(1, "kept"))
	n.push("t", kept)
	disk.full.Store(true)
	err := n.Push(context.Background(), "t", []wire.Stream{app("a", at(2, "refused")), app("new", at(2, "refused"))})
	require.ErrorIs(t, err, wire.ErrUnavailable)
	require.ErrorIs(t, err, ErrLog)
	require.ErrorIs(t, err, wal.ErrNoSpace)
	require.ErrorContains(t, err, "no space left")
	require.Equal(t, expect("t", kept), inMemory(t, n.Ingester, "t"), "reads go on")
	require.Positive(t, value(t, n, "loki_ingester_wal_disk_full_failures_total"))
	n.end()

	// A start with a full disk answers queries, flushes, and takes pushes again when there is space.
	n = start(t, testConfig(dir), store, disk)
	require.Equal(t, expect("t", kept), inMemory(t, n.Ingester, "t"))
	require.ErrorIs(t, n.Push(context.Background(), "t", []wire.Stream{app("a", at(2, "refused"))}), wal.ErrNoSpace)
	require.NoError(t, n.FlushWait(context.Background()))
	require.Equal(t, expect("t", kept), store.all(t))
	disk.full.Store(false)
	after := app("a", at(3, "after"))
	n.push("t", after)
	n.end()
	n = start(t, testConfig(dir), store, disk)
	require.Contains(t, inMemory(t, n.Ingester, "t"), expect("t", after)[0])
	n.end()
}

var osFS = wal.OS

// partsFull is a disk that has no room for parts.
type partsFull struct{ diskFS }

func (d *partsFull) Create(name string) (wal.File, error) {
	if d.full.Load() && strings.Contains(name, "parts") {
		return nil, wal.ErrNoSpace
	}
	return d.FS.Create(name)
}
