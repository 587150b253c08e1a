package wire

import (
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// corpus returns up to n push bodies of the file that PUSH_CORPUS names (frames of 24 bytes of header, of which the first
// four are the length, and a snappy protobuf body), else bodies that are made here.
func corpus(tb testing.TB, n int) (bodies [][]byte) {
	name := os.Getenv("PUSH_CORPUS")
	if name == "" {
		for range n {
			bodies = append(bodies, s2.EncodeSnappy(nil, AppendProto(nil, sampleStreams(20, 100))))
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

// benchBodies runs f over the bodies and reports the time per entry and per byte of lines.
func benchBodies(b *testing.B, bodies [][]byte, f func(body []byte) *PushRequest) {
	entries, size := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := f(bodies[i%len(bodies)])
		for j := range r.Streams {
			for k := range r.Streams[j].Entries {
				size += len(r.Streams[j].Entries[k].Line)
			}
			entries += len(r.Streams[j].Entries)
		}
		r.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(entries), "ns/entry")
	b.ReportMetric(b.Elapsed().Seconds()/float64(size)*1e9, "s/rawGB")
}
