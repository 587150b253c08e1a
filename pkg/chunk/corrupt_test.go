package chunk

import (
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// readAll opens an object and reads everything in it by every way there is.
func readAll(data []byte) error {
	_, _ = OpenHeader(data)
	c, err := Open(data)
	if err != nil {
		return err
	}
	if _, err := dump(c); err != nil {
		return err
	}
	it := Iterate(c)
	defer it.Close()
	for it.Next() {
		_ = it.Metadata()
	}
	return it.Err()
}

// TestTruncated cuts small chunks of every version and codec at every byte.
func TestTruncated(t *testing.T) {
	for _, g := range goldens(t) {
		if len(g.data) > 600 {
			continue
		}
		for n := range g.data {
			err := readAll(g.data[:n:n])
			require.ErrorIs(t, err, ErrCorrupt, "%s cut to %d bytes", g.name, n)
			_, err = OpenRef(g.data[:n:n], g.ref)
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
}

// TestFlipped flips every bit of small chunks. The key's checksum finds each; without it nothing may panic, and a block
// is never read wrong as long as the two bytes that no checksum covers, version and encoding, are right.
func TestFlipped(t *testing.T) {
	for _, g := range goldens(t) {
		if len(g.data) > 400 {
			continue
		}
		c, err := Open(g.data)
		require.NoError(t, err)
		want, err := dump(c)
		require.NoError(t, err)
		for i := range 8 * len(g.data) {
			data := append([]byte(nil), g.data...)
			data[i/8] ^= 1 << (i % 8)
			_, err := OpenRef(data, g.ref)
			require.ErrorIs(t, err, ErrChecksum)
			err = readAll(data)
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt, "%s bit %d", g.name, i)
				continue
			}
			changed, err := Open(data)
			require.NoError(t, err)
			if changed.Version == c.Version && changed.Encoding == c.Encoding {
				got, err := dump(changed)
				require.NoError(t, err)
				require.Equal(t, want, got, "%s bit %d", g.name, i)
				require.Equal(t, shape(c), shape(changed), "%s bit %d", g.name, i)
			}
		}
	}
}

// shape is what a chunk says about its blocks.
func shape(c *Chunk) [][4]int64 {
	var all [][4]int64
	for _, b := range c.Blocks {
		all = append(all, [4]int64{b.MinTime, b.MaxTime, int64(b.Entries), int64(b.Size)})
	}
	return all
}

// TestPayloadLength wants the payload to reach exactly to the end of the object.
func TestPayloadLength(t *testing.T) {
	data, payload := tinyObject(t)
	_, err := Open(append(data[:len(data):len(data)], 0))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "are there")
	data[payload-1]++
	_, err = Open(data)
	require.ErrorContains(t, err, "are there")
}

// TestLineBeyondTheEnd has a line that claims more than the block has left, but less than the block has.
func TestLineBeyondTheEnd(t *testing.T) {
	data := AppendEntry(nil, 1768089599999999999, make([]byte, 500))
	for _, claim := range []byte{101, 120, 200} {
		last := AppendEntry(nil, 1768089599999999999, make([]byte, claim))
		for _, pairs := range []bool{false, true} {
			block := append([]byte(nil), data...)
			if pairs {
				block = append(block, noPairs...)
			}
			block = append(block, last[:len(last)-int(claim)+100]...)
			blk := Block{Entries: 2, data: block, raw: true, pairs: pairs}
			var b Batch
			require.NoError(t, b.Load(&blk))
			require.ErrorIs(t, b.Walk(), ErrCorrupt)
		}
	}
}

// TestFlippedPlain flips every bit of a block without any checksum: an error or entries, but never a panic.
func TestFlippedPlain(t *testing.T) {
	builder := build(t, entry(1, "one", "k", "v"), entry(1768089599999999999, "two"), entry(-3, "three", "k", "w", "l", "v"))
	for n := range 200 {
		require.NoError(t, builder.Append(int64(n), make([]byte, n), nil))
	}
	c := builder.Chunk()
	blk := c.Blocks[len(c.Blocks)-1]
	for _, pairs := range []bool{true, false} {
		for i := range 8 * len(blk.data) {
			if i > 4000 {
				break
			}
			data := append([]byte(nil), blk.data...)
			data[i/8] ^= 1 << (i % 8)
			changed := blk
			changed.data, changed.pairs = data, pairs
			walkEverything(t, &changed)
		}
	}
}

func walkEverything(t testing.TB, blk *Block) {
	b := GetBatch()
	defer PutBatch(b)
	require.NoError(t, b.Load(blk))
	if err := b.Walk(); err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		require.Zero(t, b.Len())
		return
	}
	require.Equal(t, len(b.Ts), len(b.Start))
	require.Equal(t, len(b.Ts), len(b.End))
	size := 0
	for i := range b.Len() {
		size += len(b.Line(i))
		b.Metadata(i, nil)
		if i > 0 {
			require.LessOrEqual(t, b.Ts[i-1], b.Ts[i])
		}
	}
	require.LessOrEqual(t, size, len(b.Buf))
}

func FuzzOpen(f *testing.F) {
	for _, g := range goldens(f) {
		if len(g.data) < 1500 {
			f.Add(g.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := readAll(data); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		c, err := Open(data)
		require.NoError(t, err)
		out, ref, err := Marshal(c, Options{Encoding: compress.Snappy})
		if err != nil {
			require.ErrorIs(t, err, ErrEmpty)
			return
		}
		back, err := OpenRef(out, ref)
		require.NoError(t, err)
		want := collect(t, c)
		require.Equal(t, want, collect(t, back))
	})
}

func FuzzWalk(f *testing.F) {
	b := build(f, entry(1, "one", "k", "v"), entry(1768089599999999999, "two"), entry(-3, "three", "k", "w"))
	for _, blk := range b.Chunk().Blocks {
		f.Add(blk.data, true)
		f.Add(blk.data, false)
	}
	f.Add(AppendEntry(AppendEntry(nil, 1<<62, nil), -1<<63, make([]byte, 300)), false)
	f.Fuzz(func(t *testing.T, data []byte, pairs bool) {
		blk := Block{Entries: len(data), data: data, raw: true, pairs: pairs}
		if pairs {
			blk.Symbols = &Symbols{strings: []string{"k", "v", "b.c"}}
		}
		walkEverything(t, &blk)
		if pairs {
			return
		}
		// The fast way and the plain way must read the same.
		builder := NewBuilder(Version3)
		err := builder.AppendEncoded(data)
		n := 0
		for pos := 0; pos < len(data); n++ {
			ts, start, end := entryAt(data, pos)
			ts2, start2, end2 := oddEntryAt(data, pos)
			require.Equal(t, []int64{ts2, int64(start2), int64(end2)}, []int64{ts, int64(start), int64(end)})
			if end < 0 {
				require.ErrorIs(t, err, ErrCorrupt)
				return
			}
			pos = end
		}
		require.NoError(t, err)
		require.Equal(t, n, builder.Entries())
	})
}

func FuzzEntry(f *testing.F) {
	for _, ts := range []int64{0, 1, -1, 63, 64, 1 << 55, 1 << 54, 1<<62 - 1, 1 << 62, -1 << 63, 1<<63 - 1, 1768089599999999999} {
		f.Add(ts, []byte("line"))
		f.Add(ts, make([]byte, 1<<14))
	}
	f.Fuzz(func(t *testing.T, ts int64, line []byte) {
		b := AppendEntry([]byte("x"), ts, line)
		got, l, rest, err := ReadEntry(append(b[1:len(b):len(b)], "rest"...))
		require.NoError(t, err)
		require.Equal(t, ts, got)
		require.Equal(t, string(line), string(l))
		require.Equal(t, "rest", string(rest))
		builder := NewBuilder(Version4)
		require.NoError(t, builder.Append(ts, line, []model.Pair{{Name: "n", Value: string(line)}}))
		e := collect(t, builder.Chunk())
		require.Len(t, e, 1)
		require.Equal(t, string(line), e[0].Metadata[0].Value)
	})
}
