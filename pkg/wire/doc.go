// Package wire decodes and encodes the messages of a push: Loki's protobuf and JSON (the new form and the old one), and
// OTLP logs (protobuf and JSON). It is pure: bytes in, nouns out; it keeps no clock and no goroutine and logs nothing.
//
// ReadPush and ReadOTLP take a request's body as it came, undo its Content-Encoding within the limits of Options, and
// return a PushRequest. A PushRequest is drawn from a pool together with the buffers it was decoded from: everything in it
// (label texts, lines, metadata) aliases those buffers, so that decoding allocates nothing per entry, and is gone after
// Release. The holder of a request may write to it: lines are cut, metadata sorted in place.
//
// Stream, RefusedError and their kin are what passes between a distributor and an ingester.
//
// Caveats: a label set is handed on as text and is parsed by ParseLabels, once per new stream, by the distributor. Metadata
// names of a Loki push are as the client wrote them; those of OTLP are clean already. FORMAT.md shows the messages.
package wire
