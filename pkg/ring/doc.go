// Package ring knows the members of the store and which of them hold a stream: the replica set of a token.
//
// Nouns: a Member is one process; a token is a place on the ring, made of a tenant and a stream's hash by Token; the
// replica set of a token is the members that hold what hashes there. Every member is distributor, ingester, ruler and
// compactor at once, so there is one ring of members with one life cycle, and what Loki calls the rings of these four are
// four names for it.
//
// The ring of a process without gossip has a single member, the process itself, which holds everything.
//
// # Locks
//
// Ring.mu guards the members; readers never take it: they read the last view, which is immutable.
package ring
