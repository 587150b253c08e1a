package sidecar

import (
	"bytes"
	"encoding/binary"
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

// TestGrams wants each four letters in a row of words of any bytes, in order.
func TestGrams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	const edges = "@[`{AZaz_0\x80\xc1\xe1\xff"
	for range 100_000 {
		word := make([]byte, rnd.IntN(24))
		for i := range word {
			word[i] = byte('a' + rnd.IntN(26) - 32*rnd.IntN(2))
			if rnd.IntN(6) == 0 {
				word[i] = edges[rnd.IntN(len(edges))]
			}
		}
		var want, got []uint32
		for i := 0; i+gramSize <= len(word); i++ {
			if !slices.ContainsFunc(word[i:i+gramSize], func(c byte) bool { return class[c]&classLetter == 0 }) {
				want = append(want, binary.LittleEndian.Uint32(bytes.ToLower(word[i:i+gramSize])))
			}
		}
		eachGram(word, func(gram uint32) { got = append(got, gram) })
		require.Equal(t, want, got, "%q", word)
	}
}
