package ring

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// defaultTokens is how many places a member takes on the ring, as in Loki.
const defaultTokens = 128

// randomTokens returns n different tokens in ascending order.
func randomTokens(n int) []uint32 {
	seen := make(map[uint32]struct{}, n)
	for len(seen) < n {
		seen[rand.Uint32()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(seen))
}
