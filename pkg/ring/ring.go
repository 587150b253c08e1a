package ring

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// State is the state of a member's life.
type State uint8

// The states of a member, in the order of its life.
const (
	Pending State = iota
	Joining
	Active
	Leaving
	Left
)

// String returns the state as ring pages write it.
func (s State) String() string {
	return [...]string{"PENDING", "JOINING", "ACTIVE", "LEAVING", "LEFT"}[s]
}

// Member is one process of the store.
type Member struct {
	// ID names the member, Addr is where its gRPC server listens, Zone where it runs.
	ID, Addr, Zone string
	State          State
	// Registered is when the member first joined, Heartbeat when it was last heard of.
	Registered, Heartbeat time.Time
	Tokens                []uint32
}

// Ring is the view that one process has of all members. It is safe for concurrent use.
type Ring struct {
	mu   sync.RWMutex
	self Member
}

// New returns a ring whose only member is self, in state Pending.
func New(self Member) *Ring {
	self.State, self.Registered = Pending, time.Now()
	if len(self.Tokens) == 0 {
		self.Tokens = randomTokens(defaultTokens)
	}
	return &Ring{self: self}
}

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

// SetState moves the own member to another state.
func (r *Ring) SetState(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self.State = s
}

// Self returns the own member.
func (r *Ring) Self() Member {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m := r.self
	m.Heartbeat = time.Now()
	return m
}

// Members returns all members, by ID.
func (r *Ring) Members() []Member { return []Member{r.Self()} }

// Healthy is the number of members that take pushes, at least 1: the one that asks.
func (r *Ring) Healthy() int { return 1 }

// Replicas appends the replica set of a token to dst.
func (r *Ring) Replicas(dst []Member, _ uint32) []Member { return append(dst, r.Self()) }

// Token returns the place of a tenant's stream on the ring.
func Token(tenant string, streamHash uint64) uint32 {
	h := xxhash.Sum64String(tenant)*0x9e3779b97f4a7c15 ^ streamHash
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}
