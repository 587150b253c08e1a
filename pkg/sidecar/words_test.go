package sidecar

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWordMask(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := make([]byte, rng.IntN(400))
		for i := range text {
			text[i] = byte(rng.Uint32())
			if rng.IntN(3) > 0 {
				text[i] = "abcXYZ019_ -/\x80\xff@[`{:"[rng.IntN(20)]
			}
		}
		mask := wordMask(nil, text)
		require.Len(t, mask, len(text)/64+2)
		for i, c := range text {
			require.Equal(t, class[c]&classWord != 0, mask[i/64]>>(i%64)&1 == 1, "byte %q", c)
		}
		var want []string
		for i := 0; i < len(text); {
			j := i
			for j < len(text) && class[text[j]]&classWord != 0 {
				j++
			}
			if j-i >= minWord {
				want = append(want, string(text[i:j]))
			}
			i = max(j, i+1)
		}
		var got []string
		eachWord(mask, func(from, to int) { got = append(got, string(text[from:to])) })
		require.Equal(t, want, got)
		from := rng.IntN(len(text) + 1)
		to := from + rng.IntN(len(text)+1-from)
		cleared := slices.Clone(mask)
		clearBits(cleared, uint32(from), uint32(to))
		for i := range text {
			require.Equal(t, mask[i/64]>>(i%64)&1 == 1 && (i < from || i >= to), cleared[i/64]>>(i%64)&1 == 1)
		}
	}
	for c := range 256 {
		wide := wordMask(nil, bytes.Repeat([]byte{byte(c)}, 64))
		require.Equal(t, class[c]&classWord != 0, wide[0] == ^uint64(0), "byte %x", c)
	}
}
