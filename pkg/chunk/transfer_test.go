package chunk

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// growing is a chunk with sealed and raw blocks, whose symbols grow from block to block.
func growing(t testing.TB, version byte) *Chunk {
	b := NewBuilder(version)
	for i := range 300 {
		var pairs []model.Pair
		if version == Version4 && i%3 > 0 {
			pairs = []model.Pair{{Name: "id", Value: fmt.Sprint(i)}}
		}
		require.NoError(t, b.Append(int64(i*7%100), fmt.Appendf(nil, "line %d", i), pairs))
		if i%100 == 99 && i < 299 {
			at, raw, ok := b.Cut()
			require.True(t, ok)
			sealed, err := Seal(raw, compress.Zstd)
			require.NoError(t, err)
			b.Replace(at, sealed)
		}
	}
	return b.Chunk()
}

// text is what a chunk holds.
func text(t testing.TB, c *Chunk) []string {
	var out []string
	it := Iterate(c)
	defer it.Close()
	for it.Next() {
		out = append(out, fmt.Sprint(it.Timestamp(), string(it.Line()), it.Metadata()))
	}
	require.NoError(t, it.Err())
	return out
}

func TestTransfer(t *testing.T) {
	for _, version := range []byte{Version3, Version4} {
		c := growing(t, version)
		want := text(t, c)
		require.Len(t, want, 300)
		b, err := AppendTransfer([]byte("x"), c)
		require.NoError(t, err)
		got, err := OpenTransfer(b[1:])
		require.NoError(t, err)
		require.Equal(t, want, text(t, got))
		// What a receiver got can be sent on and stored.
		again, err := AppendTransfer(nil, got)
		require.NoError(t, err)
		require.Equal(t, b[1:], again)
		c.Labels, got.Labels = got.Labels, c.Labels
		object, _, err := Marshal(c, Options{Encoding: compress.Zstd})
		require.NoError(t, err)
		theirs, _, err := Marshal(got, Options{Encoding: compress.Zstd})
		require.NoError(t, err)
		require.Equal(t, object, theirs)
	}
}

func FuzzTransfer(f *testing.F) {
	for _, version := range []byte{Version3, Version4} {
		b, err := AppendTransfer(nil, growing(f, version))
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := OpenTransfer(b)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		it := Iterate(c)
		defer it.Close()
		for it.Next() {
			_ = it.Metadata() // it must not panic
		}
	})
}
