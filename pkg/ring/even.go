package ring

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// When a member has left for good, its ranges fall to its neighbours on the ring, unevenly if there are few members. So as long as parts
// of the ring differ, the member with the least moves a few of its tokens, from its smallest ranges into the largest of those who have
// most. Streams move with what it takes, and each begins a chunk at its new member: that is why members take turns, one a minute,
// and nobody moves while others come, leave, or are ill.

const (
	// evenPeriod is the time between two moves in the whole ring, steadyTime how long the ring must not have changed.
	evenPeriod = time.Minute
	steadyTime = time.Minute
	// maxMoves is how many tokens are moved at once.
	maxMoves = 8
	// leastPart and mostPart are how far a member's part of the ring may be from an equal one.
	leastPart = 0.97
	mostPart  = 1.04
)

// even moves tokens of this member when it has too little of the ring, until ctx ends.
func (r *Ring) even(ctx context.Context) {
	ticker := time.NewTicker(evenPeriod)
	defer ticker.Stop()
	last, since := []string(nil), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := r.roll()
		if !slices.Equal(now, last) {
			last, since = now, time.Now()
		}
		if now == nil || time.Since(since) < steadyTime || !r.lacks() {
			continue
		}
		r.mu.Lock()
		tokens := evenStep(r.othersLocked(), r.self.Body.Tokens, newRand())
		r.mu.Unlock()
		r.log.Info("the member moves tokens, for it has less of the ring than others", "id", r.cfg.ID, "tokens", maxMoves)
		r.activeWith(tokens)
		r.metrics.moves.Inc()
	}
}

// roll returns the IDs of the members if the ring is at rest: all take pushes, and none that left is remembered. Else it is nil.
func (r *Ring) roll() []string {
	v := r.view.Load()
	if len(v.all) != len(v.members) {
		return nil
	}
	ids := make([]string, 0, len(v.members))
	for i := range v.members {
		if m := &v.members[i]; m.State != Active || !m.Healthy {
			return nil
		}
		ids = append(ids, v.members[i].ID)
	}
	return ids
}

// lacks reports whether parts of the ring differ by too much and this member has the least.
func (r *Ring) lacks() bool {
	v := r.view.Load()
	least, ok := uneven(v.shares)
	return ok && v.members[least].ID == r.cfg.ID
}

// uneven returns the first member with the least share, and whether the shares differ by too much.
func uneven(shares []float64) (least int, ok bool) {
	if len(shares) < 2 {
		return 0, false
	}
	for i := range shares {
		if shares[i] < shares[least] {
			least = i
		}
	}
	equal := 1 / float64(len(shares))
	return least, shares[least] < leastPart*equal || slices.Max(shares) > mostPart*equal
}

// evenStep returns the tokens of the member with the least share when it has moved some.
func evenStep(others [][]uint32, own []uint32, rnd *rand.Rand) []uint32 {
	size := map[uint32]uint64{}
	points := pointsOf(others, own)
	last := points[len(points)-1].token
	for _, p := range points {
		size[p.token] = uint64(p.token - last)
		last = p.token
	}
	keep := slices.Clone(own)
	slices.SortFunc(keep, func(a, b uint32) int { return cmp.Or(cmp.Compare(size[b], size[a]), cmp.Compare(a, b)) })
	keep = keep[:max(len(keep)-maxMoves, len(keep)/2)]
	tokens := append(keep, spreadTokens(others, keep, len(own)-len(keep), rnd)...)
	slices.Sort(tokens)
	return slices.Compact(tokens)
}
