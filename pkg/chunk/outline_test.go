package chunk

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/compress"
	"logstore/pkg/model"
)

// TestOutline reads single blocks of an object by their places.
func TestOutline(t *testing.T) {
	for _, metadata := range []bool{false, true} {
		b := NewBuilder(Version3)
		for i := range 3000 {
			var pairs []model.Pair
			if metadata {
				pairs = []model.Pair{{Name: "k", Value: fmt.Sprint(i % 7)}}
			}
			require.NoError(t, b.Append(int64(i)*1e9, fmt.Appendf(nil, "line %d of a chunk", i), pairs))
			if i%1000 == 999 {
				b.Cut()
			}
		}
		c := b.Chunk()
		c.Tenant, c.Labels = "acme", labels.FromStrings("app", "a")
		object, _, err := Marshal(c, Options{Encoding: compress.Zstd, BlockSize: 1 << 10})
		require.NoError(t, err)
		opened, err := Open(object)
		require.NoError(t, err)
		o := opened.Outline()
		require.Len(t, o.Blocks, 3)
		cut := func(e Extent) []byte { return object[e.Offset : e.Offset+e.Length] }
		var symbols []byte
		if metadata {
			symbols = cut(o.Symbols)
		} else {
			require.Zero(t, o.Symbols.Length)
		}
		part, err := o.Open([]int{0, 2}, [][]byte{cut(o.Blocks[0].Extent), cut(o.Blocks[2].Extent)}, symbols)
		require.NoError(t, err)
		want, got := GetBatch(), GetBatch()
		for k, i := range []int{0, 2} {
			require.NoError(t, want.Load(&opened.Blocks[i]))
			require.NoError(t, want.Walk())
			require.NoError(t, got.Load(&part.Blocks[k]))
			require.NoError(t, got.Walk())
			require.Equal(t, want.Ts, got.Ts)
			require.Equal(t, want.Buf, got.Buf)
			require.Equal(t, want.Metadata(5, nil), got.Metadata(5, nil))
		}
		_, err = o.Open([]int{1}, [][]byte{cut(o.Blocks[0].Extent)}, symbols)
		require.ErrorIs(t, err, ErrChecksum)
		require.Empty(t, c.Outline().Blocks, "a chunk that is being built has no places")
	}
}
