package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKeyTable finds every key again after growing and merging, and makes none twice.
func TestKeyTable(t *testing.T) {
	newStore := func() store { return newCellStore(&sums, 1) }
	var a, b seriesSet
	const keys = 5000
	for i := range 2 * keys {
		r, grown := a.byKey.get(fmt.Append(nil, i%keys), newStore)
		require.Equal(t, i < keys, grown > 0)
		r.sum.add(0, 0, 1)
	}
	require.Len(t, a.byKey.list(), keys)
	for i := keys / 2; i < 2*keys; i++ {
		r, _ := b.byKey.get(fmt.Append(nil, i), newStore)
		r.sum.add(0, 0, 10)
	}
	a.merge(&b)
	require.Len(t, a.byKey.list(), 2*keys)
	for i := range 2 * keys {
		r, grown := a.byKey.get(fmt.Append(nil, i), newStore)
		require.Zero(t, grown)
		want := 0.0
		if i < keys {
			want += 2
		}
		if i >= keys/2 {
			want += 10
		}
		got, _ := r.sum.get(0)
		require.Equal(t, want, got, "key %d", i)
	}
}
