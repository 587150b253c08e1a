// Package sidecar describes a chunk in a small object of its own, so that a query need not fetch or decompress what it can know
// without (FORMAT.md).
//
// The nouns: an Object describes one chunk. A Block describes one of its blocks: its numbers, columns of timestamps, line
// lengths and metadata, and a filter, which is a set of keys of what its lines hold. A Needle is the keys of a text or of a
// pair of metadata; a Demand is that one of several needles be there. Build makes a Block, and a Block says whether it MayMeet
// demands. A Pack holds the objects of many chunks, columns and filters apart.
//
// A filter never rules out a block with a line that matches, and may leave in one without. Text that stands within a line is
// found by the words that stand in it as a whole, by grams of letters and by samples of long ids: see keys.go.
//
// Timestamps are rounded up to milliseconds: whether an entry lies at or before an instant of whole milliseconds is exact, and
// Clean tells for which instants it is.
//
// The package does no I/O and starts nothing. Objects are rebuildable: whoever finds one missing, foreign or corrupt reads the
// chunk.
//
// Caveats. An Object points into the bytes it was opened from. Checksums of columns and filters are tested by Open; bytes with
// a right checksum that make no sense are noticed when they are decoded, and the column counts as not there.
package sidecar
