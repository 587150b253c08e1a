package ring

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
)

// view is the ring at one moment. It is immutable, so that every push can read it without a lock.
//
// A token's members are found by probes: the member that owns the token itself, then those that own places hashed from it, one
// after the other, each member once and only those that take pushes. Going on to the neighbour on the ring instead, as usual,
// would load members by whom they stand beside; probes spread the second copies, and what a dead member leaves, as evenly as
// the first ones. A member that dies changes the replica sets that it was in and no other, and they return with it.
type view struct {
	factor    int
	zoneAware bool      // and there are several zones
	members   []Member  // by ID; all that have not left
	all       []Member  // members, and after them those that have left and still own their places
	points    []point   // by token
	index     []int32   // for the upper bits of a token the first point that may own it
	shift     int       // how many bits of a token lie below those of the index
	writable  []bool    // of all
	writers   int       // how many of them take pushes
	shares    []float64 // of the members: the part of the pushes that has them as owner
}

// point is a token and the member, an index into all, that owns what lies between the token before and this one.
type point struct {
	token uint32
	owner int32
}

// viewConfig says what of the members counts.
type viewConfig struct {
	factor    int
	zoneAware bool
	excluded  []string
	// alone is a process without gossip: it takes pushes in any state.
	alone bool
}

// newView makes the view of members, by ID, and of those that have left. It keeps both.
func newView(members, left []Member, cfg viewConfig) *view {
	v := &view{factor: max(1, cfg.factor), members: members, all: append(slices.Clip(members), left...)}
	v.writable = make([]bool, len(v.all))
	zones := map[string]struct{}{}
	for i := range v.all {
		m := &v.all[i]
		if cfg.alone || m.Writable() && !slices.Contains(cfg.excluded, m.Zone) {
			v.writable[i] = true
			v.writers++
			zones[m.Zone] = struct{}{}
		} else if m.State == Joining {
			continue // its tokens are not settled
		}
		for _, t := range m.Tokens {
			v.points = append(v.points, point{t, int32(i)})
		}
	}
	v.zoneAware = cfg.zoneAware && len(zones) > 1
	// Of two members with the same token, which a healed split can bring, all take the same for its owner.
	slices.SortFunc(v.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(v.all[a.owner].ID, v.all[b.owner].ID))
	})
	v.points = slices.CompactFunc(v.points, func(a, b point) bool { return a.token == b.token })
	v.makeIndex()
	v.makeShares()
	return v
}

// makeIndex makes finding a point nearly independent of how many there are.
func (v *view) makeIndex() {
	width := bits.Len(uint(len(v.points))) + 1
	v.shift = 32 - width
	v.index = make([]int32, 1<<width)
	at := 0
	for i := range v.index {
		for at < len(v.points) && int(v.points[at].token>>v.shift) < i {
			at++
		}
		v.index[i] = int32(at)
	}
}

// find returns the index of the point that owns a token.
func (v *view) find(token uint32) int {
	i := int(v.index[token>>v.shift])
	for i < len(v.points) && v.points[i].token < token {
		i++
	}
	if i == len(v.points) {
		return 0
	}
	return i
}

// makeShares sums the ranges of the members that take pushes; what others own falls to them in proportion.
func (v *view) makeShares() {
	v.shares = make([]float64, len(v.members))
	if v.writers == 0 || len(v.points) == 0 {
		return
	}
	last, total := v.points[len(v.points)-1].token, 0.0
	for _, p := range v.points {
		size := float64(p.token - last)
		if len(v.points) == 1 {
			size = ringSize
		}
		last = p.token
		if v.writable[p.owner] {
			v.shares[p.owner] += size
			total += size
		}
	}
	for i := range v.shares {
		if total > 0 {
			v.shares[i] /= total
		}
	}
}

// probe returns the place of a token's i-th probe.
func probe(token uint32, i int) uint32 {
	if i == 0 {
		return token
	}
	h := uint64(token)*0x9e3779b97f4a7c15 + uint64(i)*0xbf58476d1ce4e5b9
	h ^= h >> 31
	h *= 0x94d049bb133111eb
	h ^= h >> 29
	return uint32(h >> 32)
}

// probes is how many places are tried before the rest of the members is taken in the order of the ring.
const probes = 24

// replicas appends the replica set of a token to dst.
func (v *view) replicas(dst []Member, token uint32) []Member {
	want := min(v.factor, v.writers)
	if want == 0 || len(v.points) == 0 {
		return dst
	}
	base := len(dst)
	if !v.zoneAware {
		for i := range probes {
			owner := v.points[v.find(probe(token, i))].owner
			if !v.writable[owner] || has(dst[base:], v.all[owner].ID) {
				continue
			}
			if dst = append(dst, v.all[owner]); len(dst)-base == want {
				return dst
			}
		}
		dst = dst[:base]
	}
	for m := range v.walk(token) {
		if dst = append(dst, *m); len(dst)-base == want {
			break
		}
	}
	return dst
}

func has(members []Member, id string) bool {
	for i := range members {
		if members[i].ID == id {
			return true
		}
	}
	return false
}

// owner returns the first member of a token's walk, nil if none takes pushes.
func (v *view) owner(token uint32) *Member {
	for m := range v.order(token) {
		return m
	}
	return nil
}

// order yields every member that takes pushes once, in the order of the token's probes and then of the ring.
func (v *view) order(token uint32) iter.Seq[*Member] {
	return func(yield func(*Member) bool) {
		if len(v.points) == 0 {
			return
		}
		seen, found := make([]bool, len(v.all)), 0
		try := func(at int) bool {
			owner := v.points[at].owner
			if seen[owner] || !v.writable[owner] {
				return true
			}
			seen[owner] = true
			found++
			return yield(&v.all[owner])
		}
		for i := 0; i < probes && found < v.writers; i++ {
			if !try(v.find(probe(token, i))) {
				return
			}
		}
		begin := v.find(probe(token, probes))
		for n := 0; n < len(v.points) && found < v.writers; n++ {
			if !try((begin + n) % len(v.points)) {
				return
			}
		}
	}
}

// walk yields the members of order, but where zones matter those first that bring a zone that the copies are not in yet.
func (v *view) walk(token uint32) iter.Seq[*Member] {
	if !v.zoneAware {
		return v.order(token)
	}
	return func(yield func(*Member) bool) {
		members := slices.Collect(v.order(token))
		zones := map[string]bool{}
		var first, later []*Member
		for _, m := range members {
			if len(first) < v.factor && !zones[m.Zone] {
				zones[m.Zone] = true
				first = append(first, m)
			} else {
				later = append(later, m)
			}
		}
		for _, m := range append(first, later...) {
			if !yield(m) {
				return
			}
		}
	}
}
