package ring

import "github.com/cespare/xxhash/v2"

// Token returns the place of a tenant's stream on the ring.
func Token(tenant string, streamHash uint64) uint32 {
	h := xxhash.Sum64String(tenant)*0x9e3779b97f4a7c15 ^ streamHash
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}

// TokenOf returns the place of anything that has a name: a rule group, a table.
func TokenOf(name string) uint32 { return Token("", xxhash.Sum64String(name)) }
