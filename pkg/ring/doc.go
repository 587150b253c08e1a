// Package ring knows the members of the store and which of them hold a stream: the replica set of a token.
//
// Nouns: a Member is one process; a token is a place on the ring, made of a tenant and a stream's hash by Token; the
// replica set of a token is the members that hold what hashes there.
//
// The ring of this package's New has a single member, the process itself, which holds everything.
package ring
