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
// A peer is down from the first call that cannot reach it, or that does not answer a ping, until it answers one. It is slow for a
// while after its caller said that it is late. Callers ask Standing and go elsewhere, or Answers, which asks a member that is down
// once more; the pool itself refuses nothing.
//
// A push travels as FORMAT.md says: streams by their canonical label text, entries in the encoding in which chunks and the
// write-ahead log have them. They are encoded once for all replicas (RunMemory), and the receiver copies them and does not encode them
// anew. All pushes to a member go over one stream that stays open, the line: what gathers while a batch is unanswered goes as the
// next batch, and the pushes of a tenant in a batch are stored by one call. So the cost of a message between members is shared by
// more pushes the busier they are.
//
// Lock order: Pool.mu, line.mu, peer.mu; none is held over I/O but lineEnd.mu, which orders the batches of a line.
package rpc
