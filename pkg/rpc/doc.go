// Package rpc is how members call each other, over gRPC: a server of named handlers, and a pool of connections to the other
// members. It is the only door to gRPC.
//
// Nouns. A message is bytes that one side sends as a whole; a frame is a part of one of at most Config.MaxFrame bytes, as
// gRPC carries it. Messages have no size limit of gRPC's, only MaxMessage of ours: a chunk or a push that is larger than a frame goes in several, and flow
// control holds the sender back while the reader is slow. A call has one request message and one answer; a stream has one
// request and any number of answers. A lane is one of the connections to a member: pushes, calls and streams do not wait
// for each other. A peer is what the pool knows of a member: its lanes, whether it answers, and how fast.
//
// The tenant and the deadline of the context travel with every call, and an error that the handler's side registered with
// RegisterError is the same error on this side. Calls of the own member run the handler directly.
//
// A peer is down from the first call that cannot reach it, or from when its caller says that it is too slow, until it
// answers a ping. Callers ask Available and go elsewhere; the pool itself refuses nothing.
//
// Lock order: Pool.mu, peer.mu; neither is held over I/O.
package rpc
