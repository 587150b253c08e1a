package ring

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// entry is what the members know of one member: two registers that only grow. The body is written at a change of state, the
// beat at each heartbeat, and merging takes the greater of each. So entries may come in any order, twice, or by detours, and
// all members that have seen the same ones agree.
type entry struct {
	ID   string
	Body body
	// Beat is the time of the last heartbeat in milliseconds, by the member's own clock. It is compared with earlier beats of
	// the same member only, so that clocks may differ.
	Beat uint64
}

// body is what a member says of itself. A zero Version is no body: a beat of a member of which nothing else is known.
type body struct {
	// Version orders bodies: milliseconds by the writer's clock, and always above the version that it replaces.
	Version uint64
	// Incarnation is one run of the process, ascending with each start: two processes that live under one ID are told apart by
	// it, and the later one keeps the ID.
	Incarnation uint64
	State       State
	Registered  uint64 // milliseconds
	// Addr is the gRPC address, HTTPAddr that of HTTP, Build the version of the program.
	Addr, HTTPAddr, Zone, Build string
	Tokens                      []uint32 // ascending, without doubles
}

// compare orders bodies totally, so that of two different ones each member takes the same.
func (b body) compare(o body) int {
	if c := cmp.Or(cmp.Compare(b.Version, o.Version), cmp.Compare(b.State, o.State), cmp.Compare(b.Incarnation, o.Incarnation)); c != 0 || b.Version == 0 {
		return c
	}
	return bytes.Compare(appendBody(nil, b), appendBody(nil, o))
}

// merged is the least entry that is not below either of two entries of one member, and whether each register of a is new.
func (e entry) merged(o entry) (out entry, newBody, newBeat bool) {
	out = e
	if o.Body.compare(e.Body) > 0 {
		out.Body, newBody = o.Body, true
	}
	if o.Beat > e.Beat {
		out.Beat, newBeat = o.Beat, true
	}
	return out, newBody, newBeat
}

// state is the set of entries by ID.
type state map[string]entry

// change is what a merge has brought about one member.
type change struct {
	entry            entry // after the merge
	newBody, newBeat bool
}

// merge takes in entries and returns what has changed, in no order.
func (s state) merge(entries []entry) []change {
	var out []change
	for _, e := range entries {
		old := s[e.ID]
		old.ID = e.ID
		merged, newBody, newBeat := old.merged(e)
		if newBody || newBeat {
			s[e.ID] = merged
			out = append(out, change{merged, newBody, newBeat})
		}
	}
	return out
}

// entries returns all entries by ID.
func (s state) entries() []entry {
	out := make([]entry, 0, len(s))
	for _, id := range slices.Sorted(maps.Keys(s)) {
		out = append(out, s[id])
	}
	return out
}
