package ring

import (
	"strings"
	"time"
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
	if int(s) >= len(stateNames) {
		return "UNKNOWN"
	}
	return stateNames[s]
}

var stateNames = [...]string{"PENDING", "JOINING", "ACTIVE", "LEAVING", "LEFT"}

// Member is one process of the store, as one view of the ring shows it.
type Member struct {
	// ID names the member, Addr is where its gRPC server listens, HTTPAddr its HTTP server, Zone where it runs, Version what it
	// runs. HTTPAddr, Zone and Version may be empty.
	ID, Addr, HTTPAddr, Zone, Version string
	State                             State
	// Healthy is whether the member was heard of lately, and gossip does not take it for dead. The own member always is.
	Healthy bool
	// Self is whether this is the process that asks.
	Self bool
	// Registered is when the member first joined, Heartbeat when it was last heard of, by the own clock.
	Registered, Heartbeat time.Time
	// Tokens are the member's places on the ring, ascending. They are shared: nobody may change them.
	Tokens []uint32
}

// Writable is whether the member takes pushes.
func (m Member) Writable() bool { return m.State == Active && m.Healthy }

func byID(a, b Member) int { return strings.Compare(a.ID, b.ID) }
