// Package ring knows the members of the store and which of them hold a stream: the replica set of a token. And it is the
// process's own membership: how it joins the others, takes its part of the streams, and leaves.
//
// Nouns: a Member is one process; a token is a place on the ring, made of a tenant and a stream's hash by Token; the
// replica set of a token is the members that hold what hashes there. Every member is distributor, ingester, ruler and
// compactor at once, so there is one ring of members with one life cycle, and what Loki calls the rings of these four are
// four names for it. The ring of a process without gossip has a single member, the process itself, which holds everything.
//
// # A member's life
//
//	          tokens of the last run
//	         +----------------------------+
//	         |                            v
//	PENDING -+-> JOINING --------------> ACTIVE --> LEAVING --> LEFT --> forgotten after left_ingesters_timeout
//	         new  |  ^  observe_period            ^
//	       tokens +--+ without conflict           +-- a dead member skips to LEFT when others forget it
//
// PENDING: the member looks for the others. It goes on when it has reached one, or when twice in a row nobody was there: no
// such name, or nothing listens; then it is the first. For members that do not answer it waits up to join_after. It refuses to
// go on if a process that answers lives under its ID. Newcomers take their tokens one after the other, so that each sees those
// before it. JOINING: tokens are watched for conflicts. ACTIVE: it takes pushes. LEAVING: it takes none, and reads still ask
// it. An ACTIVE member that is not heard of for heartbeat_timeout, or that gossip finds dead, which takes some five seconds,
// takes no pushes, and is forgotten when it stays away.
//
// # State
//
// What is known of members is a mergeable state (entry.go, FORMAT.md): members agree whatever the order in which messages reach
// them. Only a member itself and who forgets it write its body; ages are measured by each one's own clock. Gossip is
// hashicorp/memberlist over TCP (transport.go).
//
// # Where streams go
//
// spread.go chooses tokens so that equal members own equal parts; view.go finds replicas by probes, so that second copies and
// the streams of a dead member are spread as evenly. When a member has left for good its ranges fall to its neighbours on the
// ring, unevenly if there are few members: even.go then moves a few tokens a minute until the parts differ by some percent.
//
// # Locks
//
// Ring.mu guards the members; pushes never take it: they read the last view, which is immutable. gossip.mu comes after it and
// is held for moments. memberlist calls gossip with locks of its own held, so nothing but its queue of broadcasts is called under either.
package ring
