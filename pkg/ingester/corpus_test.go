package ingester

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/model"
	"logstore/pkg/schema"
	"logstore/pkg/wire"
)

// bodyAt is where a push body stands in the corpus.
type bodyAt struct{ offset, length int64 }

// pushCorpus is a run of push bodies: those of the file that PUSH_CORPUS names (frames of u32 length, u32 shard, u32 lines,
// u32 bytes of lines, u64 more, and a snappy protobuf body), else some made here. Bodies of one shard are pushed one after the other.
type pushCorpus struct {
	file   io.ReaderAt
	shards [8][]bodyAt
	size   int
}

func openCorpus(tb testing.TB) *pushCorpus {
	tb.Helper()
	c := &pushCorpus{}
	name := os.Getenv("PUSH_CORPUS")
	if name == "" {
		var all []byte
		for k := range 64 {
			body := s2.EncodeSnappy(nil, wire.AppendProto(nil, madeStreams(k)))
			c.shards[k%8] = append(c.shards[k%8], bodyAt{int64(len(all)), int64(len(body))})
			all = append(all, body...)
			c.size += 20 * 100 * 80
		}
		c.file = bytes.NewReader(all)
		return c
	}
	f, err := os.Open(name)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = f.Close() })
	c.file = f
	for at := int64(0); ; {
		var h [24]byte
		if _, err := f.ReadAt(h[:], at); err == io.EOF {
			return c
		}
		length := int64(binary.LittleEndian.Uint32(h[0:]))
		shard := binary.LittleEndian.Uint32(h[4:]) % 8
		c.shards[shard] = append(c.shards[shard], bodyAt{at + 24, length})
		c.size += int(binary.LittleEndian.Uint32(h[12:]))
		at += 24 + length
	}
}

func madeStreams(k int) (streams []wire.PushStream) {
	for s := range 20 {
		in := wire.PushStream{Labels: fmt.Sprintf(`{app="app%d", pod="pod%d"}`, s%5, 8*s+k%8)}
		for e := range 100 {
			line := fmt.Sprintf(`level=info ts=%d caller=server.go:%d msg="request done" id=%x took=%dms`, k*100+e, s, uint64(k*s*e)*0x9e3779b97f4a7c15, e)
			in.Entries = append(in.Entries, wire.PushEntry{Timestamp: int64(k*100+e) * 1e6, Line: []byte(line)})
		}
		streams = append(streams, in)
	}
	return streams
}

// interner does for a benchmark what the distributor does: streams by their text.
type interner struct {
	mu    sync.RWMutex
	known map[string]wire.Stream
}

func (n *interner) stream(tb testing.TB, text string) wire.Stream {
	n.mu.RLock()
	s, ok := n.known[text]
	n.mu.RUnlock()
	if ok {
		return s
	}
	set, err := wire.ParseLabels(text)
	require.NoError(tb, err)
	for k := range set {
		set[k].Name, set[k].Value = strings.Clone(set[k].Name), strings.Clone(set[k].Value)
	}
	l := labels.New(set...)
	s = wire.Stream{Labels: l, Text: strings.Clone(text), Hash: labels.StableHash(l)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[s.Text] = s
	return s
}

// pushAll decodes and pushes the corpus and returns the number of entries.
func pushAll(tb testing.TB, c *pushCorpus, push func([]wire.Stream) error) (entries int64) {
	tb.Helper()
	in := &interner{known: map[string]wire.Stream{}}
	var wg sync.WaitGroup
	var n atomic.Int64
	for _, bodies := range c.shards {
		wg.Go(func() {
			var streams []wire.Stream
			for _, at := range bodies {
				body := io.NewSectionReader(c.file, at.offset, at.length)
				r, err := wire.ReadPush(body, wire.Header{ContentType: "application/x-protobuf", ContentLength: at.length}, wire.Options{})
				require.NoError(tb, err)
				streams = streams[:0]
				for k := range r.Streams {
					s := in.stream(tb, r.Streams[k].Labels)
					s.Entries = r.Streams[k].Entries
					n.Add(int64(len(s.Entries)))
					streams = append(streams, s)
				}
				require.NoError(tb, push(streams))
				r.Release()
			}
		})
	}
	wg.Wait()
	return n.Load()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory returns the peak of resident memory in MB since the last reset.
func peakMemory() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return float64(n) / 1024
		}
	}
	return 0
}

// fileStore writes objects as files, as the filesystem bucket does.
type fileStore struct {
	dir   string
	bytes atomic.Int64
	count atomic.Int64
}

func (s *fileStore) PutObject(_ context.Context, ref model.ChunkRef, object []byte) (bool, error) {
	s.bytes.Add(int64(len(object)))
	s.count.Add(1)
	return true, os.WriteFile(filepath.Join(s.dir, strings.ReplaceAll(schema.ContentKey(ref), "/", "_")), object, 0o644)
}

func (s *fileStore) PutIndex(context.Context, []schema.IndexEntry) error { return nil }

// BenchmarkIngest pushes the whole corpus, flushes it, and reports the CPU time of both without that of decoding.
func BenchmarkIngest(b *testing.B) {
	c := openCorpus(b)
	begin := cpuTime()
	pushAll(b, c, func([]wire.Stream) error { return nil })
	decoding := cpuTime() - begin
	for b.Loop() {
		store := &fileStore{dir: b.TempDir()}
		cfg := DefaultConfig
		cfg.WALDir = b.TempDir()
		n := start(b, cfg, nil, nil, store)
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
		wall, cpu := time.Now(), cpuTime()
		entries := pushAll(b, c, func(s []wire.Stream) error { return n.Push(context.Background(), "t", s) })
		pushed, pushCPU := time.Since(wall), cpuTime()-cpu
		require.NoError(b, n.FlushWait(context.Background()))
		total := cpuTime() - cpu
		b.ReportMetric(float64(pushCPU-decoding)/float64(entries), "cpu-ns/entry")
		b.ReportMetric((pushCPU - decoding).Seconds(), "push-cpu-s")
		b.ReportMetric((total - decoding).Seconds(), "total-cpu-s")
		b.ReportMetric(pushed.Seconds(), "push-s")
		b.ReportMetric(peakMemory(), "peak-MB")
		b.ReportMetric(float64(store.bytes.Load())/float64(max(c.size, 1)), "stored/raw")
		b.ReportMetric(float64(store.count.Load()), "chunks")
		n.end()
	}
}

// BenchmarkReplay replays the log of the whole corpus.
func BenchmarkReplay(b *testing.B) {
	c := openCorpus(b)
	dir := b.TempDir()
	cfg := DefaultConfig
	cfg.WALDir, cfg.TargetSize, cfg.WALSize, cfg.FlushOnShutdown = dir, 1<<30, 1<<40, false
	cfg.MaxChunkAge, cfg.MemoryLimit = 1000*time.Hour, 8<<30 // nothing is flushed
	n := start(b, cfg, nil, nil, &fileStore{dir: b.TempDir()})
	entries := pushAll(b, c, func(s []wire.Stream) error { return n.Push(context.Background(), "t", s) })
	n.end()
	cfg.TargetSize, cfg.MaxChunkAge, cfg.MemoryLimit = DefaultConfig.TargetSize, DefaultConfig.MaxChunkAge, 0
	for b.Loop() {
		copied := b.TempDir()
		copyDir(b, dir, copied)
		cfg.WALDir = copied
		debug.FreeOSMemory()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
		cpu := cpuTime()
		begin := time.Now()
		n := start(b, cfg, nil, nil, &fileStore{dir: b.TempDir()})
		took := time.Since(begin)
		require.Equal(b, entries, n.Progress().Entries)
		b.ReportMetric(took.Seconds(), "replay-s")
		b.ReportMetric(float64(c.size)/1e6/took.Seconds(), "raw-MB/s")
		b.ReportMetric((cpuTime() - cpu).Seconds(), "replay-cpu-s")
		b.ReportMetric(peakMemory(), "peak-MB")
		n.end()
	}
}

// BenchmarkPush is the way of a push up to its acknowledgement.
func BenchmarkPush(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.WALSize = 256 << 20
	n := start(b, cfg, nil, nil, &fileStore{dir: b.TempDir()})
	line := []byte(strings.Repeat("a line of a log that says something. ", 6))
	const perStream = 100
	var streams []wire.Stream
	for s := range 12 {
		in := app(fmt.Sprint("app", s))
		for range perStream {
			in.Entries = append(in.Entries, wire.PushEntry{Line: line})
		}
		streams = append(streams, in)
	}
	ts := int64(0)
	b.ReportAllocs()
	b.SetBytes(int64(len(streams) * perStream * len(line)))
	for b.Loop() {
		for s := range streams {
			for e := range streams[s].Entries {
				ts++
				streams[s].Entries[e].Timestamp = ts
			}
		}
		require.NoError(b, n.Push(context.Background(), "t", streams))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(streams)*perStream), "ns/entry")
	n.end()
}
