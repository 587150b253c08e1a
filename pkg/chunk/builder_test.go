package chunk

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

var encodings = []compress.Encoding{
	compress.None, compress.Gzip, compress.LZ4With64K, compress.Snappy, compress.Flate, compress.Zstd,
}

// collect returns all entries in order, each once.
func collect(t testing.TB, chunks ...*Chunk) []model.Entry {
	t.Helper()
	var out []model.Entry
	it := Iterate(chunks...)
	for it.Next() {
		e := model.Entry{Timestamp: it.Timestamp(), Line: string(it.Line())}
		e.Metadata = append(e.Metadata, it.Metadata()...)
		out = append(out, e)
	}
	require.NoError(t, it.Err())
	return out
}

func entry(ts int64, line string, pairs ...string) model.Entry {
	e := model.Entry{Timestamp: ts, Line: line}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Metadata = append(e.Metadata, model.Pair{Name: pairs[i], Value: pairs[i+1]})
	}
	return e
}

func build(t testing.TB, entries ...model.Entry) *Builder {
	t.Helper()
	b := NewBuilder(Version3)
	for _, e := range entries {
		require.NoError(t, b.Append(e.Timestamp, []byte(e.Line), e.Metadata))
	}
	return b
}

// reopen marshals a chunk and opens the object.
func reopen(t testing.TB, c *Chunk, opts Options) *Chunk {
	t.Helper()
	out, ref, err := Marshal(c, opts)
	require.NoError(t, err)
	back, err := OpenRef(out, ref)
	require.NoError(t, err)
	require.True(t, back.Ordered())
	require.Equal(t, opts.Encoding, back.Encoding)
	return back
}

func TestRoundTrip(t *testing.T) {
	var entries []model.Entry
	for i := range 500 {
		e := entry(int64(i)*1e9+17, strings.Repeat(fmt.Sprintf("line %d ", i), i%40))
		if i%3 == 0 {
			e.Metadata = []model.Pair{{Name: "i", Value: fmt.Sprint(i)}, {Name: "trace", Value: fmt.Sprint(i % 7)}}
		}
		entries = append(entries, e)
	}
	plain := slices.Clone(entries)
	for i := range plain {
		plain[i].Metadata = nil
	}
	for _, enc := range encodings {
		for _, size := range []int{1000, 1 << 20} {
			b := build(t)
			for _, e := range entries {
				require.NoError(t, b.Append(e.Timestamp, []byte(e.Line), e.Metadata))
				if b.HeadSize() >= size {
					if i, raw, ok := b.Cut(); ok && i%2 == 0 {
						sealed, err := Seal(raw, enc)
						require.NoError(t, err)
						b.Replace(i, sealed)
					}
				}
			}
			c := b.Chunk()
			c.Labels = labels.FromStrings("app", `a"\b`, "z", "\n\x01é\u2028")
			require.Equal(t, entries, collect(t, c))
			back := reopen(t, c, Options{Encoding: enc, BlockSize: size})
			require.Equal(t, byte(Version4), back.Version)
			require.Equal(t, c.Labels, back.Labels)
			require.Equal(t, entries, collect(t, back))
			require.Equal(t, 500, back.Entries())

			b = build(t, plain...)
			back = reopen(t, b.Chunk(), Options{Encoding: enc, BlockSize: size})
			require.Equal(t, byte(Version3), back.Version)
			require.Equal(t, plain, collect(t, back))
			back = reopen(t, b.Chunk(), Options{Encoding: enc, BlockSize: size, Version4: true})
			require.Equal(t, byte(Version4), back.Version)
			require.Equal(t, plain, collect(t, back))
		}
	}
}

func TestUnorderedHead(t *testing.T) {
	b := build(t, entry(5, "e"), entry(3, "c"), entry(5, "e"), entry(4, "d"), entry(3, "c2"), entry(3, "c"), entry(1, "a"))
	first, last, ok := b.Bounds()
	require.True(t, ok)
	require.Equal(t, []int64{1, 5}, []int64{first, last})
	c := b.Chunk()
	// A reader of the live block sees everything, in the order of time, equal instants in the order of arrival.
	text, err := dump(c)
	require.NoError(t, err)
	require.Equal(t, "1 \"a\" []\n3 \"c\" []\n3 \"c2\" []\n3 \"c\" []\n4 \"d\" []\n5 \"e\" []\n5 \"e\" []\n", text)
	// The sealed block has each entry once.
	i, raw, ok := b.Cut()
	require.True(t, ok)
	sealed, err := Seal(raw, compress.Zstd)
	require.NoError(t, err)
	b.Replace(i, sealed)
	require.Equal(t, 5, b.Entries())
	require.Equal(t, 6, b.Size())
	text, err = dump(b.Chunk())
	require.NoError(t, err)
	require.Equal(t, "1 \"a\" []\n3 \"c\" []\n3 \"c2\" []\n4 \"d\" []\n5 \"e\" []\n", text)
	// Who holds the old chunk still reads it.
	require.Equal(t, 7, c.Entries())
	require.Len(t, collect(t, c), 5)
}

// TestSealedInOrder looks at the bytes, since our own readers would sort them again.
func TestSealedInOrder(t *testing.T) {
	b := build(t, entry(9, "z"), entry(3, "a"), entry(9, "y"), entry(5, "m"))
	_, raw, _ := b.Cut()
	sealed, err := Seal(raw, compress.None)
	require.NoError(t, err)
	want := AppendEntry(AppendEntry(nil, 3, []byte("a")), 5, []byte("m"))
	want = AppendEntry(AppendEntry(want, 9, []byte("z")), 9, []byte("y"))
	require.Equal(t, want, sealed.data)
	require.Equal(t, []int64{3, 9}, []int64{sealed.MinTime, sealed.MaxTime})
	// What is sealed already is only compressed anew for another encoding.
	again, err := Seal(sealed, compress.None)
	require.NoError(t, err)
	require.Equal(t, sealed, again)
	other, err := Seal(sealed, compress.Zstd)
	require.NoError(t, err)
	require.NotEqual(t, sealed.data, other.data)
	require.Equal(t, collect(t, &Chunk{Blocks: []Block{sealed}}), collect(t, &Chunk{Blocks: []Block{other}}))
}

// TestSmallBlocks puts many small blocks together when the chunk is written.
func TestSmallBlocks(t *testing.T) {
	b := NewBuilder(Version3)
	var want []model.Entry
	for i := range 100 {
		e := entry(int64(i), strings.Repeat("s", 50))
		want = append(want, e)
		require.NoError(t, b.Append(e.Timestamp, []byte(e.Line), nil))
		if i%5 == 4 {
			b.Cut()
		}
	}
	require.Equal(t, 20, b.Blocks())
	c := reopen(t, b.Chunk(), Options{Encoding: compress.Zstd, BlockSize: 2000})
	require.Len(t, c.Blocks, 3)
	require.Equal(t, want, collect(t, c))
	// Blocks that are large enough stay as they are.
	c = reopen(t, b.Chunk(), Options{Encoding: compress.Zstd, BlockSize: 1000})
	require.Len(t, c.Blocks, 20)
}

func TestRepeats(t *testing.T) {
	// Few entries of one instant are compared with each other, many go through a map.
	for _, n := range []int{7, 200} {
		b := NewBuilder(Version4)
		for i := range n {
			require.NoError(t, b.Append(7, fmt.Append(nil, i%5), []model.Pair{{Name: "k", Value: "v"}}))
			require.NoError(t, b.Append(7, fmt.Append(nil, i%5), nil))
		}
		_, raw, _ := b.Cut()
		sealed, err := Seal(raw, compress.Snappy)
		require.NoError(t, err)
		require.Equal(t, 10, sealed.Entries)
		require.Equal(t, 5*8+10, sealed.Size)
	}
}

// TestLeadingEmptyLine keeps what Loki loses: empty lines count like any other, in the bounds too.
func TestLeadingEmptyLine(t *testing.T) {
	b := build(t, entry(1_000_001, ""), entry(2_000_000, ""))
	require.Equal(t, 2, b.HeadEntries())
	require.Zero(t, b.HeadSize())
	c := reopen(t, b.Chunk(), Options{Encoding: compress.Gzip})
	require.Equal(t, int64(1), c.From)
	require.Equal(t, int64(2), c.Through)
	require.Equal(t, int64(1_000_001), c.Blocks[0].MinTime)
	require.Equal(t, []model.Entry{entry(1_000_001, ""), entry(2_000_000, "")}, collect(t, c))
}

func TestBounds(t *testing.T) {
	f := func(first, last, from, through int64) {
		t.Helper()
		gotFrom, gotThrough := roundBounds(first, last)
		require.Equal(t, []int64{from, through}, []int64{gotFrom, gotThrough})
	}
	f(1768089599999999999, 1768089599999999999, 1768089599999, 1768089600000)
	f(1_000_000, 1_000_000, 1, 1)
	f(0, 0, 0, 0)
	f(999_999, 1, 0, 1)
	f(-1, -1, -1, 0)
	f(-1_000_000, -1_000_001, -1, -1)
	f(math.MinInt64, math.MaxInt64, math.MinInt64/1_000_000-1, math.MaxInt64/1_000_000+1)
}

// TestMetadataUpgrade gives a chunk metadata after its first block is closed: the blocks differ in layout until it is marshalled.
func TestMetadataUpgrade(t *testing.T) {
	want := []model.Entry{entry(1, "a"), entry(2, "b"), entry(3, "c", "k", "v"), entry(4, "d")}
	b := build(t, want...)
	require.Equal(t, 1, b.Blocks())
	c := b.Chunk()
	require.Nil(t, c.Blocks[0].Symbols)
	require.Equal(t, want, collect(t, c))
	back := reopen(t, c, Options{Encoding: compress.Zstd})
	require.Equal(t, byte(Version4), back.Version)
	require.Len(t, back.Blocks, 1)
	require.Equal(t, want, collect(t, back))
}

// TestMetaColumn is nil for a block without metadata, even in a chunk that has some.
func TestMetaColumn(t *testing.T) {
	b := build(t, entry(1, "a", "k", "v"))
	b.Cut()
	require.NoError(t, b.Append(2, []byte("b"), nil))
	c := reopen(t, b.Chunk(), Options{Encoding: compress.None, BlockSize: 1})
	require.Len(t, c.Blocks, 2)
	batch := GetBatch()
	defer PutBatch(batch)
	for i, want := range []int{1, 0, 1} {
		require.NoError(t, batch.Load(&c.Blocks[i%2]))
		require.NoError(t, batch.Walk())
		require.Len(t, batch.Meta, want)
		require.Len(t, batch.Metadata(0, nil), want)
	}
}

func TestMetadataNames(t *testing.T) {
	b := build(t, entry(1, "x", "b.c", "1", "a", "2", "b-c", "3", "1st", "4", "é/ü", "5", "ok_", "6"))
	require.Equal(t, []model.Pair{{Name: "_", Value: "5"}, {Name: "a", Value: "2"}, {Name: "b_c", Value: "1"}, {Name: "key_1st", Value: "4"}, {Name: "ok_", Value: "6"}}, collect(t, b.Chunk())[0].Metadata)
	// The names are stored as they came.
	back := reopen(t, b.Chunk(), Options{Encoding: compress.None})
	require.NoError(t, back.Blocks[0].Symbols.load())
	require.Contains(t, back.Blocks[0].Symbols.strings, "é/ü")
	require.Equal(t, collect(t, b.Chunk()), collect(t, back))
}

func TestAppendEncoded(t *testing.T) {
	want := []model.Entry{entry(-5, "a"), entry(1<<62, strings.Repeat("b", 300)), entry(7, "")}
	var run []byte
	for _, e := range want {
		n := len(run)
		run = AppendEntry(run, e.Timestamp, []byte(e.Line))
		require.LessOrEqual(t, len(run)-n, len(e.Line)+EntryBound)
	}
	for _, version := range []byte{Version3, Version4} {
		one, two := NewBuilder(version), NewBuilder(version)
		require.NoError(t, one.AppendEncoded(run))
		for _, e := range want {
			require.NoError(t, two.Append(e.Timestamp, []byte(e.Line), nil))
		}
		require.Equal(t, two.head.buf, one.head.buf)
		one.head.buf, two.head.buf = nil, nil
		require.Equal(t, two.head, one.head)
	}
	for n := range run {
		b := NewBuilder(Version3)
		if err := b.AppendEncoded(run[:n]); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			require.Zero(t, b.Entries())
			require.Empty(t, b.head.buf)
		}
	}
	ts, line, rest, err := ReadEntry(run)
	require.NoError(t, err)
	require.Equal(t, int64(-5), ts)
	require.Equal(t, "a", string(line))
	require.Equal(t, len(run)-3, len(rest))
}

func TestTooLarge(t *testing.T) {
	b := NewBuilder(Version3)
	require.ErrorIs(t, b.Append(1, make([]byte, maxRun+1), nil), ErrTooLarge)
	require.ErrorIs(t, b.AppendEncoded(make([]byte, maxRun+1)), ErrTooLarge)
	require.Zero(t, b.Entries())
}

// TestLiveReaders reads chunks of a builder while it grows, cuts, seals and uses its buffers again. It needs the race
// detector to mean something, but wrong lines show without it.
func TestLiveReaders(t *testing.T) {
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			b := NewBuilder(Version3)
			r := rand.New(rand.NewPCG(uint64(w), 1))
			var readers sync.WaitGroup
			for i := range 3000 {
				var meta []model.Pair
				if i > 1000 && i%2 == 0 {
					meta = []model.Pair{{Name: "i", Value: fmt.Sprint(i)}}
				}
				if err := b.Append(int64(i), fmt.Appendf(nil, "writer %d line %d", w, i), meta); err != nil {
					panic(err)
				}
				if r.IntN(100) == 0 {
					c, n := b.Chunk(), i+1
					readers.Go(func() { checkLive(c, w, n) })
				}
				if b.HeadSize() > 3000 {
					k, raw, _ := b.Cut()
					sealed, err := Seal(raw, compress.Snappy)
					if err != nil {
						panic(err)
					}
					b.Replace(k, sealed)
				}
			}
			readers.Wait()
		})
	}
	wg.Wait()
}

func checkLive(c *Chunk, writer, n int) {
	it := Iterate(c)
	i := 0
	for ; it.Next(); i++ {
		if want := fmt.Sprintf("writer %d line %d", writer, i); string(it.Line()) != want || it.Timestamp() != int64(i) {
			panic(fmt.Sprintf("got %q, want %q", it.Line(), want))
		}
		if m := it.Metadata(); i > 1000 && i%2 == 0 && (len(m) != 1 || m[0].Value != fmt.Sprint(i)) {
			panic(fmt.Sprint("metadata of line ", i, m))
		}
	}
	if it.Err() != nil || i != n {
		panic(fmt.Sprint(i, n, it.Err()))
	}
}

// TestMemory holds a hundred thousand streams of a few lines to their promise: well under 3 KB each beside their bytes.
func TestMemory(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 200)
	b := NewBuilder(Version3)
	require.Less(t, b.Memory(), 400)
	for i := range 2000 {
		require.NoError(t, b.Append(int64(i), line, nil))
		require.LessOrEqual(t, b.Memory(), 512+256+b.Size()*8/5)
	}
}

func TestAppendAllocates(t *testing.T) {
	line := bytes.Repeat([]byte("y"), 150)
	meta := []model.Pair{{Name: "trace", Value: "same"}, {Name: "user", Value: "u1"}}
	b := NewBuilder(Version4)
	ts := int64(0)
	add := func() {
		ts++
		if b.Append(ts, line, meta) != nil {
			t.Fail()
		}
		if b.HeadSize() > 200_000 {
			i, raw, _ := b.Cut()
			b.Replace(i, Block{})
			b.blocks = b.blocks[:0]
			_ = raw
		}
	}
	for range 5000 {
		add()
	}
	require.Less(t, testing.AllocsPerRun(20_000, add), 0.1)
}

// TestRandom compares a builder under random use with a sorted list.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 60 {
		var all []model.Entry
		enc := encodings[r.IntN(len(encodings))]
		b := NewBuilder([]byte{Version3, Version4}[r.IntN(2)])
		metadata := r.IntN(2) == 0
		size := 20 + r.IntN(2000)
		for range r.IntN(300) {
			e := entry(int64(r.IntN(400)), strings.Repeat("z", r.IntN(4)))
			if metadata && r.IntN(3) == 0 {
				e.Metadata = []model.Pair{{Name: "k", Value: fmt.Sprint(r.IntN(3))}}
			}
			all = append(all, e)
			require.NoError(t, b.Append(e.Timestamp, []byte(e.Line), e.Metadata))
			if b.HeadSize() >= size || r.IntN(50) == 0 {
				if i, raw, ok := b.Cut(); ok && r.IntN(2) == 0 {
					sealed, err := Seal(raw, enc)
					require.NoError(t, err)
					b.Replace(i, sealed)
				}
			}
		}
		slices.SortStableFunc(all, func(x, y model.Entry) int { return int(x.Timestamp - y.Timestamp) })
		var want []model.Entry
		seen := map[string]bool{}
		for _, e := range all {
			if key := fmt.Sprint(e); !seen[key] {
				seen[key] = true
				want = append(want, e)
			}
		}
		c := b.Chunk()
		require.Equal(t, want, collect(t, c), "seed %d round %d", seed, round)
		if len(want) == 0 {
			continue
		}
		require.Equal(t, want, collect(t, reopen(t, c, Options{Encoding: enc, BlockSize: size})), "seed %d round %d", seed, round)
		merged, err := Merge(MergeOptions{BlockSize: size}, c, c)
		require.NoError(t, err)
		require.Equal(t, want, collect(t, merged.Chunk()), "seed %d round %d", seed, round)
		require.Equal(t, len(want), merged.Entries())
	}
}
