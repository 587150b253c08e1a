package compress

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

var all = []Encoding{None, Gzip, LZ4With64K, Snappy, LZ4With256K, LZ4With1M, LZ4, Flate, Zstd}

// kinds leaves out the encodings that differ in the block size only.
var kinds = []Encoding{None, Gzip, LZ4With64K, Snappy, Flate, Zstd}

// text returns n bytes that look like log lines.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "level=info ts=%d msg=\"request done\" path=/api/v1/items/%d status=%d trace=%016x\n", 1768089599000+b.Len(), r.IntN(500), 200+r.IntN(5), r.Uint64())
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestNames(t *testing.T) {
	for number, name := range map[Encoding]string{0: "none", 1: "gzip", 3: "lz4-64k", 4: "snappy", 5: "lz4-256k", 6: "lz4-1M", 7: "lz4", 8: "flate", 9: "zstd"} {
		require.True(t, number.Valid())
		require.Equal(t, name, number.String())
		e, err := Parse(strings.ToUpper(name))
		require.NoError(t, err)
		require.Equal(t, number, e)
	}
	for _, bad := range []Encoding{2, 10, 255} {
		require.False(t, bad.Valid())
		_, err := bad.AppendCompress(nil, []byte("x"))
		require.ErrorIs(t, err, ErrUnknown)
		_, err = bad.AppendDecompress(nil, []byte("x"), 0, 10)
		require.ErrorIs(t, err, ErrUnknown)
		require.Equal(t, fmt.Sprintf("encoding(%d)", bad), bad.String())
	}
	_, err := Parse("lzma")
	require.ErrorIs(t, err, ErrUnknown)
	require.ErrorContains(t, err, "lz4-64k")
	_, err = Parse("")
	require.Error(t, err)
}

func TestRoundTrip(t *testing.T) {
	for _, e := range all {
		for _, src := range [][]byte{nil, []byte("x"), text(100), text(65535), text(65536), text(65537), text(300_000), noise(70_000), make([]byte, 2<<20)} {
			c, err := e.AppendCompress([]byte("before"), src)
			require.NoError(t, err, e)
			require.Equal(t, "before", string(c[:6]))
			for _, hint := range []int{0, len(src), 3, 10 * len(src)} {
				d, err := e.AppendDecompress([]byte("front"), c[6:], hint, len(src))
				require.NoError(t, err, "%s, %d bytes, hint %d", e, len(src), hint)
				require.Equal(t, "front", string(d[:5]))
				require.True(t, bytes.Equal(src, d[5:]), "%s, %d bytes", e, len(src))
			}
			if len(src) > 0 {
				_, err = e.AppendDecompress(nil, c[6:], 0, len(src)-1)
				require.ErrorIs(t, err, ErrTooLarge, "%s, %d bytes", e, len(src))
				_, err = e.AppendDecompress(nil, c[6:], len(src), 0)
				require.ErrorIs(t, err, ErrTooLarge, "%s, %d bytes", e, len(src))
			}
		}
	}
}

// TestSmallBuffers has room in the destination that is too little or just enough, which must make no difference.
func TestSmallBuffers(t *testing.T) {
	src := text(10_000)
	for _, e := range all {
		c, err := e.AppendCompress(nil, src)
		require.NoError(t, err)
		for _, room := range []int{1, 9_999, 10_000, 10_001, 50_000} {
			d, err := e.AppendDecompress(make([]byte, 0, room), c, len(src), len(src))
			require.NoError(t, err, "%s, room %d", e, room)
			require.Equal(t, src, d)
		}
	}
}

// TestForeignStreams reads what other writers make of the same formats.
func TestForeignStreams(t *testing.T) {
	src := text(200_000)
	f := func(e Encoding, what string, stream []byte) {
		t.Helper()
		d, err := e.AppendDecompress(nil, stream, 0, len(src))
		require.NoError(t, err, what)
		require.True(t, bytes.Equal(src, d), what)
	}
	var b bytes.Buffer
	for _, part := range [][]byte{src[:1000], src[1000:]} {
		w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		w.Name = "part"
		_, _ = w.Write(part)
		require.NoError(t, w.Close())
	}
	f(Gzip, "gzip of two members", b.Bytes())

	b.Reset()
	z, _ := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	_, _ = z.Write(src[:70_000])
	require.NoError(t, z.Flush())
	_, _ = z.Write(src[70_000:])
	require.NoError(t, z.Close())
	f(Zstd, "zstd stream without a size, with a checksum", b.Bytes())

	b.Reset()
	for _, part := range [][]byte{src[:70_000], src[70_000:]} {
		c, _ := Zstd.AppendCompress(nil, part)
		b.Write(c)
		b.WriteString("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	}
	f(Zstd, "zstd frames and skippable ones", b.Bytes())

	b.Reset()
	l := lz4.NewWriter(&b)
	require.NoError(t, l.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(src)))))
	_, _ = l.Write(src)
	require.NoError(t, l.Close())
	f(LZ4, "lz4 with checksums and a size, another block size", b.Bytes())
	f(LZ4With64K, "the same under another number", b.Bytes())

	a, _ := Snappy.AppendCompress(nil, src[:100_000])
	c, _ := Snappy.AppendCompress(nil, src[100_000:])
	f(Snappy, "snappy: second identifier, padding and skippable frames", slicesConcat(a, []byte("\xfe\x02\x00\x00\x00\x00"), []byte("\x80\x01\x00\x00z"), c))
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// linkedLZ4 is a frame of two linked blocks: the second copies from the first.
func linkedLZ4() (frame []byte, content string) {
	content = "0123456789abcdef0123456789abcdef" + "0123456789abcdef0123456789abcdef"
	// Flags 0x40: version 1, linked blocks, no checksums. 0x40: 64 KB blocks. The last byte is the header's checksum.
	frame = []byte("\x04\x22\x4d\x18\x40\x40\xc0")
	first := append([]byte{0xf0, 17}, content[:32]...)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(first)))
	frame = append(frame, first...)
	// No literals, a match of 27 bytes at distance 32, then the last five bytes as literals.
	second := append([]byte{0x0f, 32, 0, 8, 0x50}, content[59:]...)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(second)))
	frame = append(frame, second...)
	return append(frame, 0, 0, 0, 0), content
}

func TestLinkedLZ4(t *testing.T) {
	frame, content := linkedLZ4()
	d, err := LZ4.AppendDecompress(nil, frame, 0, 1000)
	require.NoError(t, err)
	require.Equal(t, content, string(d))
}

// TestTruncated cuts every stream everywhere: what cannot be told from a whole one must at least be shorter.
func TestTruncated(t *testing.T) {
	src := text(1000)
	for _, e := range kinds {
		if e == None {
			continue
		}
		c, err := e.AppendCompress(nil, src)
		require.NoError(t, err)
		for n := range c {
			d, err := e.AppendDecompress(nil, c[:n], len(src), len(src))
			// Snappy's format has no end mark: a cut between two frames is a whole stream.
			if e == Snappy && (n == 0 || n == len(snappyMagic)) {
				require.NoError(t, err)
				require.Empty(t, d)
				continue
			}
			require.Error(t, err, "%s cut to %d of %d", e, n, len(c))
			require.ErrorIs(t, err, ErrCorrupt)
		}
		_, err = e.AppendDecompress(nil, append(c[:len(c):len(c)], "rubbish"...), len(src), 2*len(src))
		require.ErrorIs(t, err, ErrCorrupt, "%s with bytes behind", e)
	}
}

// TestFlipped flips every bit: an error or some bytes, but neither a panic nor more than the limit.
func TestFlipped(t *testing.T) {
	src := text(250)
	for _, e := range kinds {
		c, err := e.AppendCompress(nil, src)
		require.NoError(t, err)
		for i := range 8 * len(c) {
			c[i/8] ^= 1 << (i % 8)
			d, err := e.AppendDecompress([]byte("keep"), c, len(src), 2*len(src))
			require.Equal(t, "keep", string(d[:4]))
			require.LessOrEqual(t, len(d), 4+2*len(src))
			if err == nil && (e == Snappy || e == Gzip) {
				// Flags that mean nothing may flip; the content is under a checksum.
				require.True(t, len(d) == 4 || bytes.Equal(src, d[4:]), "%s bit %d", e, i)
			}
			c[i/8] ^= 1 << (i % 8)
		}
	}
}

// TestBombs decompresses what would become much more than is allowed.
func TestBombs(t *testing.T) {
	bomb := make([]byte, 8<<20)
	for _, e := range all {
		if e == None {
			continue
		}
		c, err := e.AppendCompress(nil, bomb)
		require.NoError(t, err)
		const limit = 1 << 20
		d, err := e.AppendDecompress(nil, c, 1<<40, limit)
		require.ErrorIs(t, err, ErrTooLarge, e)
		require.Empty(t, d)
	}
	// A frame that claims a petabyte and holds nothing.
	_, err := Zstd.AppendDecompress(nil, []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00"), 0, 1<<20)
	require.Error(t, err)
}

func TestConcurrent(t *testing.T) {
	src := text(50_000)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 20 {
				e := all[(i+k)%len(all)]
				c, err := e.AppendCompress(nil, src)
				if err != nil {
					panic(err)
				}
				d, err := e.AppendDecompress(nil, c, len(src), len(src))
				if err != nil || !bytes.Equal(d, src) {
					panic(fmt.Sprint(e, err))
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDecompress(f *testing.F) {
	linked, _ := linkedLZ4()
	f.Add(uint8(LZ4), linked)
	for _, e := range all {
		c, _ := e.AppendCompress(nil, text(300))
		f.Add(uint8(e), c)
		c, _ = e.AppendCompress(nil, make([]byte, 100_000))
		f.Add(uint8(e), c)
	}
	f.Fuzz(func(t *testing.T, number uint8, src []byte) {
		const limit = 1 << 20
		d, err := Encoding(number).AppendDecompress(nil, src, len(src), limit)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(d), limit)
		c, err := Encoding(number).AppendCompress(nil, d)
		require.NoError(t, err)
		back, err := Encoding(number).AppendDecompress(nil, c, 0, limit)
		require.NoError(t, err)
		require.True(t, bytes.Equal(d, back))
	})
}

func BenchmarkCompress(b *testing.B) {
	src := text(256 << 10)
	for _, e := range all {
		b.Run(e.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = e.AppendCompress(dst[:0], src)
			}
			b.ReportMetric(float64(len(dst))/float64(len(src)), "stored/raw")
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	src := text(256 << 10)
	for _, e := range all {
		b.Run(e.String(), func(b *testing.B) {
			c, _ := e.AppendCompress(nil, src)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = e.AppendDecompress(dst[:0], c, len(src), len(src))
			}
		})
	}
}
