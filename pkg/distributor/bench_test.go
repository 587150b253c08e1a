package distributor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

// corpus returns up to n push bodies of the file that PUSH_CORPUS names (frames of 24 bytes of header, of which the first
// four are the length, and a snappy protobuf body), else bodies that are made here.
func corpus(tb testing.TB, n int) (bodies [][]byte) {
	name := os.Getenv("PUSH_CORPUS")
	if name == "" {
		for i := range n {
			s := stream(fmt.Sprintf(`{app="a%d", cluster="eu", namespace="default"}`, i))
			for j := range 2000 {
				s.Entries = append(s.Entries, at(1768867200_000000000+int64(j)*1e6, fmt.Sprintf("2026-01-20 worker %d took request %x from the queue: INFO nothing to do", j, j*7919)))
			}
			bodies = append(bodies, s2.EncodeSnappy(nil, wire.AppendProto(nil, []wire.PushStream{s})))
		}
		return bodies
	}
	f, err := os.Open(name)
	require.NoError(tb, err)
	defer f.Close()
	for len(bodies) < n {
		var h [24]byte
		_, err := io.ReadFull(f, h[:])
		if err == io.EOF {
			break
		}
		require.NoError(tb, err)
		b := make([]byte, binary.LittleEndian.Uint32(h[:]))
		_, err = io.ReadFull(f, b)
		require.NoError(tb, err)
		bodies = append(bodies, b)
	}
	return bodies
}

type nowhere struct{}

func (nowhere) Push(context.Context, string, []wire.Stream) error { return nil }

func benchmarkPush(b *testing.B, change func(l *limits.Limits)) {
	lim := conformanceLimits()
	lim.IngestionRateMB, lim.IngestionBurstSizeMB = 1e5, 1e5
	change(&lim)
	d, _, _, _ := newTestDistributor(b, lim)
	d.ingester = nowhere{}
	ctx := tenant.Inject(context.Background(), "bench")
	bodies := corpus(b, 200)
	reader := bytes.NewReader(nil)
	entries, size := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body := bodies[i%len(bodies)]
		reader.Reset(body)
		r, err := wire.ReadPush(reader, wire.Header{ContentType: "application/x-protobuf", ContentLength: int64(len(body))}, wire.Options{MaxBody: 100 << 20, MaxDecompressed: 5000 << 20})
		require.NoError(b, err)
		for j := range r.Streams {
			for k := range r.Streams[j].Entries {
				size += len(r.Streams[j].Entries[k].Line)
			}
			entries += len(r.Streams[j].Entries)
		}
		if err := d.Push(ctx, r); err != nil {
			b.Fatal(err)
		}
		r.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(entries), "ns/entry")
	b.ReportMetric(b.Elapsed().Seconds()/float64(size)*1e9, "s/rawGB")
}

func BenchmarkPush(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkPush(b, func(*limits.Limits) {}) })
	b.Run("levels", func(b *testing.B) { benchmarkPush(b, func(l *limits.Limits) { l.DiscoverLogLevels = true }) })
	b.Run("levels of lines", func(b *testing.B) {
		benchmarkPush(b, func(l *limits.Limits) {
			l.DiscoverLogLevels = true
			l.LogLevelFields = []string{"LEVEL", "Level", "lvl", "severity", "loglevel"}
		})
	})
}

// promptPeers take everything at once.
type promptPeers struct{ *testCluster }

func (promptPeers) Send(_ context.Context, _, _ string, _ []byte, _ time.Duration, done func(error)) {
	done(nil)
}

// BenchmarkReplicas writes a small push to two of three members that take it at once: the cost of the choice and the messages.
func BenchmarkReplicas(b *testing.B) {
	c := newTestCluster(b, 3, 2)
	r := *c.d.ingester.(*replicas)
	r.peers, r.local = promptPeers{c}, nowhere{}
	streams := make([]wire.Stream, 3)
	for i := range streams {
		lbls := labels.FromStrings("app", "x", "n", fmt.Sprint(i))
		streams[i] = wire.Stream{Labels: lbls, Text: lbls.String(), Hash: labels.StableHash(lbls)}
		for n := range 20 {
			streams[i].Entries = append(streams[i].Entries, wire.PushEntry{Timestamp: int64(n), Line: bytes.Repeat([]byte("x"), 150)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Push(b.Context(), "acme", streams); err != nil {
			b.Fatal(err)
		}
	}
}
