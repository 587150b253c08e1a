package chunk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// logLines returns n lines of the kinds that services write, about 240 bytes each.
func logLines(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	lines := make([][]byte, n)
	for i := range lines {
		switch r.IntN(3) {
		case 0:
			lines[i] = fmt.Appendf(nil, `{"time":"2026-01-10T12:%02d:%02d.%03dZ","level":"info","msg":"request completed","method":"GET","path":"/api/v1/orders/%d","status":%d,"duration_ms":%d,"trace_id":"%016x%016x","user":"u%d","bytes":%d}`,
				i/60%60, i%60, r.IntN(1000), r.IntN(10000), 200+r.IntN(5)*100, r.IntN(900), r.Uint64(), r.Uint64(), r.IntN(5000), r.IntN(100000))
		case 1:
			lines[i] = fmt.Appendf(nil, `ts=2026-01-10T12:%02d:%02d.%03dZ caller=handler.go:%d level=warn component=checkout msg="slow query" query_id=%08x rows=%d elapsed=%dms retries=%d pool=primary client=10.%d.%d.%d`,
				i/60%60, i%60, r.IntN(1000), r.IntN(400), r.Uint32(), r.IntN(5000), r.IntN(4000), r.IntN(4), r.IntN(255), r.IntN(255), r.IntN(255))
		default:
			lines[i] = fmt.Appendf(nil, `10.%d.%d.%d - - [10/Jan/2026:12:%02d:%02d +0000] "GET /static/js/app.%06x.js?v=%d HTTP/1.1" %d %d "https://shop.example.com/cart/%d" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" rt=0.%03d`,
				r.IntN(255), r.IntN(255), r.IntN(255), i/60%60, i%60, r.IntN(1<<24), r.IntN(10), 200+r.IntN(4)*100, r.IntN(90000), r.IntN(9999), r.IntN(1000))
		}
	}
	return lines
}

// fullBlock is a live block of the default size, of increasing times.
func fullBlock(b *testing.B, metadata bool) Block {
	builder := NewBuilder(Version3)
	r := rand.New(rand.NewPCG(2, 2))
	ts := int64(1768089599999999999)
	for i, line := range logLines(1 << 16) {
		var meta []model.Pair
		if metadata {
			meta = []model.Pair{{Name: "trace_id", Value: fmt.Sprint(i / 4)}}
		}
		if err := builder.Append(ts, line, meta); err != nil {
			b.Fatal(err)
		}
		if builder.HeadSize() >= DefaultBlockSize {
			break
		}
		ts += r.Int64N(1e9)
	}
	_, raw, _ := builder.Cut()
	return raw
}

func perEntry(b *testing.B, entries int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entries), "ns/entry")
}

func BenchmarkAppend(b *testing.B) {
	lines := logLines(4096)
	for _, metadata := range []bool{false, true} {
		b.Run(fmt.Sprintf("metadata=%t", metadata), func(b *testing.B) {
			b.ReportAllocs()
			var meta []model.Pair
			if metadata {
				meta = []model.Pair{{Name: "level", Value: "info"}, {Name: "trace_id", Value: "0123456789abcdef"}}
			}
			builder := NewBuilder(Version3)
			n := 0
			for b.Loop() {
				line := lines[n&4095]
				n++
				if err := builder.Append(int64(n)*1e9, line, meta); err != nil {
					b.Fatal(err)
				}
				if builder.HeadSize() >= DefaultBlockSize {
					i, _, _ := builder.Cut()
					builder.Replace(i, Block{})
					builder.blocks = builder.blocks[:0]
				}
			}
		})
	}
}

func BenchmarkAppendEncoded(b *testing.B) {
	var run []byte
	const entries = 100
	for i, line := range logLines(entries) {
		run = AppendEntry(run, int64(i)*1e9, line)
	}
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	builder := NewBuilder(Version3)
	for b.Loop() {
		if err := builder.AppendEncoded(run); err != nil {
			b.Fatal(err)
		}
		if builder.HeadSize() >= DefaultBlockSize {
			i, _, _ := builder.Cut()
			builder.Replace(i, Block{})
			builder.blocks = builder.blocks[:0]
		}
	}
	perEntry(b, entries)
}

func BenchmarkSeal(b *testing.B) {
	for _, enc := range []compress.Encoding{compress.Zstd, compress.Snappy, compress.LZ4, compress.Gzip} {
		raw := fullBlock(b, false)
		b.Run(enc.String(), func(b *testing.B) {
			b.SetBytes(int64(raw.Size))
			b.ReportAllocs()
			var out Block
			for b.Loop() {
				var err error
				if out, err = Seal(raw, enc); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(out.data))/float64(raw.Size), "stored/raw")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, enc := range []compress.Encoding{compress.None, compress.Zstd, compress.Snappy, compress.LZ4, compress.Gzip} {
		blk, err := Seal(fullBlock(b, false), enc)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(enc.String(), func(b *testing.B) {
			b.SetBytes(int64(blk.Size))
			b.ReportAllocs()
			batch := GetBatch()
			for b.Loop() {
				if err := batch.Load(&blk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, metadata := range []bool{false, true} {
		raw := fullBlock(b, metadata)
		b.Run(fmt.Sprintf("metadata=%t", metadata), func(b *testing.B) {
			b.SetBytes(int64(raw.Size))
			b.ReportAllocs()
			batch := GetBatch()
			if err := batch.Load(&raw); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := batch.Walk(); err != nil {
					b.Fatal(err)
				}
			}
			perEntry(b, raw.Entries)
		})
	}
}

func BenchmarkLoadWalk(b *testing.B) {
	blk, err := Seal(fullBlock(b, false), compress.Zstd)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(blk.Size))
	batch := GetBatch()
	for b.Loop() {
		if err := batch.Load(&blk); err != nil {
			b.Fatal(err)
		}
		if err := batch.Walk(); err != nil {
			b.Fatal(err)
		}
	}
	perEntry(b, blk.Entries)
}

func BenchmarkMetadata(b *testing.B) {
	raw := fullBlock(b, true)
	batch := GetBatch()
	if err := batch.Load(&raw); err != nil {
		b.Fatal(err)
	}
	if err := batch.Walk(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var pairs []model.Pair
	i := 0
	for b.Loop() {
		pairs = batch.Metadata(i%batch.Len(), pairs[:0])
		i++
	}
}

func BenchmarkOpen(b *testing.B) {
	g := goldenNamed(b, "v3-zstd-api")
	for _, what := range []string{"header", "chunk"} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if what == "header" {
					_, err = OpenHeader(g.data)
				} else {
					_, err = OpenRef(g.data, g.ref)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIterate(b *testing.B) {
	blk, err := Seal(fullBlock(b, false), compress.Zstd)
	if err != nil {
		b.Fatal(err)
	}
	c := &Chunk{Blocks: []Block{blk, blk}}
	b.SetBytes(int64(2 * blk.Size))
	n := 0
	for b.Loop() {
		it := Iterate(c)
		for n = 0; it.Next(); n++ {
			if bytes.IndexByte(it.Line(), 0) >= 0 {
				b.Fatal("wrong line")
			}
		}
	}
	perEntry(b, 2*n)
}
