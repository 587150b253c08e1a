package wal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func record(payload string) []byte { return append(make([]byte, HeaderSize), payload...) }

func open(t testing.TB, dir string, fs FS) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir, SegmentSize: 4096}, fs)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t testing.TB, l *Log, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		_, err := l.Append(record(p), AnySegment)
		require.NoError(t, err)
	}
}

// read opens the log anew and returns what is in it.
func read(t testing.TB, dir string) (records []string, damages []Damage) {
	t.Helper()
	l, err := Open(Config{Dir: dir, SegmentSize: 4096}, OS)
	require.NoError(t, err)
	records, damages = drain(t, l)
	return records, append(l.Repairs(), damages...)
}

func drain(t testing.TB, l *Log) (records []string, damages []Damage) {
	t.Helper()
	r := l.Reader()
	for r.Next() {
		records = append(records, string(r.Record()))
	}
	require.NoError(t, r.Err())
	done, total := r.Progress()
	require.Equal(t, total, done)
	return records, r.Damages()
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for round := range 3 {
		l := open(t, dir, OS)
		got, damages := drain(t, l)
		require.Equal(t, want, got)
		require.Empty(t, damages)
		for i := range 100 {
			p := fmt.Sprintf("round %d record %d %s", round, i, bytes.Repeat([]byte("x"), i*20))
			add(t, l, p)
			want = append(want, p)
		}
		big := string(bytes.Repeat([]byte("big"), 3<<20))
		add(t, l, big)
		want = append(want, big)
		require.NoError(t, l.Close())
		_, err := l.Append(record("late"), AnySegment)
		require.ErrorIs(t, err, ErrClosed)
	}
	got, damages := read(t, dir)
	require.Equal(t, want, got)
	require.Empty(t, damages)
}

func TestSizesAndTruncation(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS)
	require.EqualValues(t, 1, l.Oldest())
	for l.Segment() < 6 {
		add(t, l, string(make([]byte, 1000)))
	}
	onDisk := func() (n int64) {
		infos, err := OS.List(dir)
		require.NoError(t, err)
		for _, i := range infos {
			n += i.Size
		}
		return n
	}
	require.Equal(t, onDisk(), l.Size())
	n, err := l.TruncateBefore(4)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.EqualValues(t, 4, l.Oldest())
	require.Equal(t, onDisk(), l.Size())
	require.Less(t, l.SizeBefore(5), l.Size())
	_, err = l.TruncateBefore(l.Segment() + 1)
	require.NoError(t, err)
	require.Equal(t, l.Segment(), l.Oldest(), "the current segment stays")
	require.Positive(t, l.Size())
	next := l.Cut()
	require.Equal(t, next, l.Cut(), "an empty segment is not cut")
	n, err = l.TruncateBefore(next + 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Zero(t, l.Size())
	add(t, l, "after")
	require.NoError(t, l.Close())
	got, _ := read(t, dir)
	require.Equal(t, []string{"after"}, got)
}

func TestAppendIntoSegment(t *testing.T) {
	l := open(t, t.TempDir(), OS)
	at, err := l.Append(record("a"), 1)
	require.NoError(t, err)
	require.Equal(t, Position{1, segmentHeaderSize}, at)
	at, err = l.Append(record(string(make([]byte, 4096))), 1)
	require.ErrorIs(t, err, ErrRotated)
	require.EqualValues(t, 2, at.Segment)
	at, err = l.Append(record("b"), 1)
	require.ErrorIs(t, err, ErrRotated)
	require.EqualValues(t, 2, at.Segment)
	_, err = l.Append(record("b"), 2)
	require.NoError(t, err)
}

// TestConcurrentAppendersShareWrites runs twice, as what a log keeps for its next appenders belongs to its bubble.
func TestConcurrentAppendersShareWrites(t *testing.T) {
	for range 2 {
		synctest.Test(t, testConcurrentAppenders)
	}
}

func testConcurrentAppenders(t *testing.T) {
	dir := t.TempDir()
	fs := newFaultFS()
	fs.gate = make(chan struct{})
	l := open(t, dir, fs)
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := l.Append(record(fmt.Sprint("record ", i)), AnySegment); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Wait() // one writes, and the others wait for it
	close(fs.gate)
	wg.Wait()
	// One write for the segment's header, one for the first record and few for the 49 that waited.
	require.LessOrEqual(t, fs.writes.Load(), int64(10))
	require.EqualValues(t, n, l.Stats().Records)
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Empty(t, damages)
	require.Len(t, got, n)
}

// TestRunnableAppendersShareWrites has appenders of one processor that could all go on: they need few writes.
func TestRunnableAppendersShareWrites(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := open(t, t.TempDir(), OS)
	const appenders, rounds = 8, 25
	for range rounds {
		var wg sync.WaitGroup
		for range appenders {
			wg.Go(func() { add(t, l, "record") })
		}
		wg.Wait()
	}
	stats := l.Stats()
	require.EqualValues(t, appenders*rounds, stats.Records)
	require.Less(t, stats.Writes, stats.Records/2)
	require.NoError(t, l.Close())
}

func TestConcurrentAppendAndTruncate(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS)
	var wg sync.WaitGroup
	var mu sync.Mutex
	highest := map[string]uint64{}
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				p := fmt.Sprintf("g%d i%d %s", g, i, make([]byte, i%200))
				at, err := l.Append(record(p), AnySegment)
				require.NoError(t, err)
				mu.Lock()
				highest[p] = at.Segment
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_, err := l.TruncateBefore(l.Segment() / 2)
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
	})
	wg.Wait()
	oldest := l.Oldest()
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Empty(t, damages)
	seen := map[string]bool{}
	for _, p := range got {
		require.False(t, seen[p], "twice")
		seen[p] = true
	}
	for p, seg := range highest {
		require.Equal(t, seg >= oldest, seen[p], "segment %d, oldest %d", seg, oldest)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	fs := newFaultFS()
	l := open(t, dir, fs)
	add(t, l, "kept")
	for _, free := range []int64{0, 1, 11, 12, 500} {
		fs.set(func() { fs.free = free })
		size := l.Size()
		_, err := l.Append(record(string(make([]byte, 3000))), AnySegment)
		require.ErrorIs(t, err, ErrNoSpace, "free %d", free)
		require.ErrorContains(t, err, "00000001.wal")
		require.Equal(t, size, l.Size())
		fs.set(func() { fs.free = -1 })
		add(t, l, fmt.Sprint("back after ", free))
	}
	require.EqualValues(t, 5, l.Stats().NoSpace)
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Empty(t, damages)
	require.Equal(t, []string{"kept", "back after 0", "back after 1", "back after 11", "back after 12", "back after 500"}, got)
}

func TestFullDiskAtRotation(t *testing.T) {
	dir := t.TempDir()
	fs := newFaultFS()
	l := open(t, dir, fs)
	add(t, l, string(make([]byte, 3000)))
	for _, free := range []int64{0, 10, segmentHeaderSize + 5} {
		fs.set(func() { fs.free = free })
		_, err := l.Append(record(string(make([]byte, 3000))), AnySegment)
		require.ErrorIs(t, err, ErrNoSpace)
	}
	fs.set(func() { fs.free = -1 })
	add(t, l, "after")
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Empty(t, damages)
	require.Equal(t, []string{string(make([]byte, 3000)), "after"}, got)
}

func TestOpenAndReadOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS)
	add(t, l, "one", "two")
	require.NoError(t, l.Close())
	fs := newFaultFS()
	fs.free = 0
	l = open(t, dir, fs)
	got, _ := drain(t, l)
	require.Equal(t, []string{"one", "two"}, got)
	_, err := l.Append(record("three"), AnySegment)
	require.ErrorIs(t, err, ErrNoSpace)
	n, err := l.TruncateBefore(l.Segment())
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestFailedWriteThatCannotBeCutBack(t *testing.T) {
	dir := t.TempDir()
	fs := newFaultFS()
	l := open(t, dir, fs)
	add(t, l, "one")
	fs.set(func() { fs.free, fs.failTruncate = 20, true })
	_, err := l.Append(record(string(make([]byte, 100))), 1)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, err, errInjected)
	fs.set(func() { fs.free = -1 })
	at, err := l.Append(record("two"), 1)
	require.ErrorIs(t, err, ErrRotated)
	require.EqualValues(t, 2, at.Segment)
	add(t, l, "two")
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Equal(t, []string{"one", "two"}, got)
	require.Len(t, damages, 1)
	require.Equal(t, "the file ends within a record", damages[0].Reason)
}

func TestFailedSyncIsNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	fs := newFaultFS()
	l, err := Open(Config{Dir: dir, SegmentSize: 4096, Sync: true}, fs)
	require.NoError(t, err)
	add(t, l, "one")
	fs.set(func() { fs.failSync = true })
	_, err = l.Append(record("two"), AnySegment)
	require.ErrorIs(t, err, errInjected)
	fs.set(func() { fs.failSync = false })
	add(t, l, "three")
	require.NoError(t, l.Close())
	got, damages := read(t, dir)
	require.Empty(t, damages)
	require.Equal(t, []string{"one", "three"}, got)
}

func TestConfig(t *testing.T) {
	require.Error(t, DefaultConfig.Validate())
	_, err := Open(Config{Dir: t.TempDir(), SegmentSize: 10}, OS)
	require.ErrorContains(t, err, "too small")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Open(Config{Dir: file, SegmentSize: 4096}, OS)
	require.Error(t, err)
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := Open(Config{Dir: b.TempDir(), SegmentSize: 64 << 20}, OS)
			require.NoError(b, err)
			b.SetParallelism(4)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				rec := record(string(make([]byte, size)))
				for pb.Next() {
					at, err := l.Append(rec, AnySegment)
					if err != nil {
						b.Fatal(err)
					}
					if at.Segment > 4 {
						_, _ = l.TruncateBefore(at.Segment - 2)
					}
				}
			})
			b.ReportMetric(float64(l.Stats().Writes)/float64(l.Stats().Records), "writes/op")
			require.NoError(b, l.Close())
		})
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Config{Dir: dir, SegmentSize: 64 << 20}, OS)
	require.NoError(b, err)
	for range 64 {
		_, err := l.Append(record(string(make([]byte, 1<<20))), AnySegment)
		require.NoError(b, err)
	}
	require.NoError(b, l.Close())
	b.SetBytes(64 << 20)
	for b.Loop() {
		l, err := Open(Config{Dir: dir, SegmentSize: 64 << 20}, OS)
		require.NoError(b, err)
		r := l.Reader()
		n := 0
		for r.Next() {
			n++
		}
		require.Equal(b, 64, n)
	}
}

func TestReadRecord(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS)
	var wg sync.WaitGroup
	for k := range 20 {
		wg.Go(func() {
			p := fmt.Sprint("payload ", k)
			at, err := l.Append(record(p), AnySegment)
			require.NoError(t, err)
			f, err := l.OpenSegment(at.Segment)
			require.NoError(t, err)
			defer f.Close()
			got, err := ReadRecord(f, at.Offset, nil)
			require.NoError(t, err)
			require.Equal(t, p, string(got))
			for _, wrong := range []int64{-1, 1, HeaderSize, 1 << 20} {
				_, err = ReadRecord(f, at.Offset+wrong, nil)
				require.Error(t, err)
			}
		})
	}
	wg.Wait()
	at, err := l.Append(record("kept open"), AnySegment)
	require.NoError(t, err)
	f, err := l.OpenSegment(at.Segment)
	require.NoError(t, err)
	defer f.Close()
	l.Cut()
	_, err = l.TruncateBefore(l.Segment())
	require.NoError(t, err)
	got, err := ReadRecord(f, at.Offset, make([]byte, 0, 100))
	require.NoError(t, err)
	require.Equal(t, "kept open", string(got))
	_, err = l.OpenSegment(at.Segment)
	require.Error(t, err)
}
