package chunk

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// TestIterateOneInstant has very many entries of one instant in two overlapping chunks.
func TestIterateOneInstant(t *testing.T) {
	one, two := NewBuilder(Version3), NewBuilder(Version3)
	var want []model.Entry
	const n = 20_000
	for i := range n {
		e := entry(7, fmt.Sprint(i/2))
		if i%2 == 1 {
			e.Metadata = []model.Pair{{Name: "k", Value: "v"}}
		}
		want = append(want, e)
		require.NoError(t, one.Append(7, []byte(e.Line), e.Metadata))
		require.NoError(t, two.Append(7, []byte(e.Line), e.Metadata))
	}
	require.NoError(t, two.Append(8, []byte("0"), nil))
	require.Equal(t, append(want, entry(8, "0")), collect(t, one.Chunk(), two.Chunk(), one.Chunk()))
}

// TestIterateOrder gives the entries of an instant in the order of the chunks, then of arrival.
func TestIterateOrder(t *testing.T) {
	one := build(t, entry(1, "a"), entry(2, "b"), entry(2, "a")).Chunk()
	two := build(t, entry(2, "c"), entry(2, "b"), entry(3, "x"), entry(0, "y")).Chunk()
	want := []model.Entry{entry(0, "y"), entry(1, "a"), entry(2, "b"), entry(2, "a"), entry(2, "c"), entry(3, "x")}
	require.Equal(t, want, collect(t, one, two))
	it := Iterate(one, two)
	require.True(t, it.Next())
	it.Close()
	it.Close()
	require.False(t, it.Next())
	require.NoError(t, it.Err())
	require.Empty(t, collect(t))
	require.Empty(t, collect(t, &Chunk{}))
}

func TestMerge(t *testing.T) {
	one := build(t, entry(1, "a"), entry(5, "b", "bad.name", "1"), entry(9, "c")).Chunk()
	two := build(t, entry(5, "b", "bad.name", "1"), entry(6, "d", "k", "v"), entry(7, "")).Chunk()
	f := func(opts MergeOptions, want ...model.Entry) *Builder {
		t.Helper()
		b, err := Merge(opts, one, two)
		require.NoError(t, err)
		require.Equal(t, want, collect(t, b.Chunk()))
		return b
	}
	b := f(MergeOptions{}, entry(1, "a"), entry(5, "b", "bad_name", "1"), entry(6, "d", "k", "v"), entry(7, ""), entry(9, "c"))
	require.Contains(t, b.table.strings, "bad.name")
	f(MergeOptions{First: 5, Last: 7}, entry(5, "b", "bad_name", "1"), entry(6, "d", "k", "v"), entry(7, ""))
	f(MergeOptions{Keep: func(ts int64, line []byte, metadata []model.Pair) bool { return len(metadata) == 0 && len(line) > 0 }}, entry(1, "a"), entry(9, "c"))
	b = f(MergeOptions{Keep: func(int64, []byte, []model.Pair) bool { return false }})
	_, _, err := Marshal(b.Chunk(), Options{Encoding: compress.Zstd})
	require.ErrorIs(t, err, ErrEmpty)
}
