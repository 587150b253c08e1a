package cli

import (
	"hash/maphash"
	"maps"
	"slices"

	"logstore/pkg/client"
)

// entryKey tells entries apart without keeping them: the time, and 128 bits of a hash over labels, line and metadata.
type entryKey struct {
	at     int64
	h1, h2 uint64
}

var keySeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func keyOf(e client.Entry) entryKey {
	sum := func(seed maphash.Seed) uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, set := range []map[string]string{e.Labels, e.Metadata} {
			for _, name := range slices.Sorted(maps.Keys(set)) {
				_, _ = h.WriteString(name) // a hash takes everything
				_ = h.WriteByte(0)
				_, _ = h.WriteString(set[name])
				_ = h.WriteByte(0)
			}
			_ = h.WriteByte(1)
		}
		_, _ = h.WriteString(e.Line)
		return h.Sum64()
	}
	return entryKey{at: e.Timestamp, h1: sum(keySeeds[0]), h2: sum(keySeeds[1])}
}
