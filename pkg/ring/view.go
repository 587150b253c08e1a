package ring

import (
	"cmp"
	"iter"
	"slices"
)

// view is the ring at one moment. It is immutable, so that every push can read it without a lock.
type view struct {
	factor  int
	members []Member // by ID; all that have not left
	// points are the places of the members that take pushes: a member that does not is no place of the ring, and so the next
	// one that does stands in for it.
	points  []point // by token
	writers int     // how many members take pushes
	zones   int     // how many different zones they are in; 0: zones do not matter
}

// point is a token and the member, an index into members, that owns what lies between the token before and this one.
type point struct {
	token uint32
	owner int32
}

// newView makes the view of members, which it keeps. Members in the excluded zones take no pushes. If alone, the own member
// takes pushes in any state.
func newView(members []Member, factor int, zoneAware, alone bool, excluded []string) *view {
	v := &view{factor: max(1, factor), members: members}
	zones := map[string]struct{}{}
	for i := range members {
		m := &members[i]
		if !alone && (!m.Writable() || slices.Contains(excluded, m.Zone)) {
			continue
		}
		v.writers++
		zones[m.Zone] = struct{}{}
		for _, t := range m.Tokens {
			v.points = append(v.points, point{t, int32(i)})
		}
	}
	if zoneAware && len(zones) > 1 {
		v.zones = len(zones)
	}
	// Of two members with the same token, which a healed split can bring, all take the same for its owner.
	slices.SortFunc(v.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.owner, b.owner))
	})
	v.points = slices.CompactFunc(v.points, func(a, b point) bool { return a.token == b.token })
	return v
}

// start returns the index of the point that owns a token.
func (v *view) start(token uint32) int {
	i, _ := slices.BinarySearchFunc(v.points, token, func(p point, t uint32) int { return cmp.Compare(p.token, t) })
	if i == len(v.points) {
		return 0
	}
	return i
}

// replicas appends the replica set of a token to dst: members in different zones as long as there are any, and else the next.
func (v *view) replicas(dst []Member, token uint32) []Member {
	want := min(v.factor, v.writers)
	if want == 0 || len(v.points) == 0 {
		return dst
	}
	base := len(dst)
	if v.zones > 0 {
		for m := range v.walk(token) {
			if dst = append(dst, *m); len(dst)-base == want {
				break
			}
		}
		return dst
	}
	for i, n := v.start(token), 0; n < len(v.points) && len(dst)-base < want; n++ {
		m := &v.members[v.points[i].owner]
		if !hasID(dst[base:], m.ID) {
			dst = append(dst, *m)
		}
		if i++; i == len(v.points) {
			i = 0
		}
	}
	return dst
}

func hasID(members []Member, id string) bool {
	for i := range members {
		if members[i].ID == id {
			return true
		}
	}
	return false
}

// walk yields every member that takes pushes once, those first that hold the token.
func (v *view) walk(token uint32) iter.Seq[*Member] {
	return func(yield func(*Member) bool) {
		seen := make([]bool, len(v.members))
		zones := map[string]bool{}
		var later []*Member
		begin, found, first := v.start(token), 0, 0
		// Until there is one member for each copy, only zones that have none yet count; who is passed over comes later.
		wantZones := min(v.factor, v.zones)
		for n := 0; n < len(v.points) && found < v.writers; n++ {
			p := v.points[(begin+n)%len(v.points)]
			if seen[p.owner] {
				continue
			}
			seen[p.owner] = true
			found++
			m := &v.members[p.owner]
			if first < wantZones && zones[m.Zone] {
				later = append(later, m)
				continue
			}
			zones[m.Zone] = true
			first++
			if first == wantZones {
				// All zones needed are there: those passed over are nearer than what follows.
				if !yield(m) {
					return
				}
				for _, l := range later {
					if !yield(l) {
						return
					}
				}
				later = nil
				continue
			}
			if !yield(m) {
				return
			}
		}
		for _, l := range later {
			if !yield(l) {
				return
			}
		}
	}
}
