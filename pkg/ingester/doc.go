// Package ingester holds the recent entries of streams in memory, safe by a write-ahead log, answers queries about
// them, and flushes them as chunks to the store.
//
// Nouns. A stream is one label set of one tenant with a number of its own, never used twice. A run is a stretch of
// entries of one stream in one push, encoded as a block has them, with an order number within its stream. A piece is a growing
// or finished chunk in memory with the set of order numbers that it holds, and how far it got: open, closed, object stored,
// indexed. A small piece keeps its runs as they came; a larger one has a chunk builder, whose full blocks are compressed by a pool
// of workers. A page holds the runs of many small pieces, compressed together, on disk: when there are more streams than memory
// for them, the larger small pieces move into pages, and are read from there by queries and when they are flushed. A part is
// what a larger piece had not logged elsewhere when a checkpoint came.
//
// Three logs (FORMAT.md). "data" has one record per push. "parts" has pages and the parts of checkpoints: what unflushed pieces
// still held in old data segments, so that these can be removed. "marks" has the order numbers that were flushed. Replay reads marks,
// parts and data in this order and takes each order number of a stream once: an entry is therefore never missing and never
// there twice, whenever the process died. A run enters exactly one piece, parts and pages hold whole runs, and a mark names whole
// runs: that is the invariant that this rests on.
//
// A push is checked and encoded under the locks of its streams, written to the log with no lock held, and then
// appended to the streams. Until it is appended its log segment is pinned. Pushes of one stream that run at the same
// time may be appended in another order than they were logged; order numbers, not positions, say what is where.
//
// Where blocks and chunks end (cut.go) follows from the entries alone, so that the members that hold a stream write the same objects;
// the one that is not the first of them stores a chunk a little later, and finds it written. Nor does it describe blocks for queries when
// they are sealed, but behind the first query that reads them (late.go), or if it is the one that stores the chunk after all.
//
// Caveats. Entries that are already in the log are not checked against limits again by a replay. A chunk whose object or index
// rows could not be stored is tried again for ever and stays readable; what bounds memory then is the hard limit, beyond
// which pushes are refused. A chunk that was stored and whose mark was lost by a crash comes back by the replay and is
// stored once more: queries drop equal entries.
//
// Pushes are refused before the disk of the logs is full (disk.go), for what is in the logs needs some space to get away.
//
// Lock order: spilling, shard.mu, stream.mu, index.mu. The mutexes of the queues, of the pins, of the trimmer and of the logs are
// leaves. Only spilling, which stands for the one writer of pages, trimmer.hold, disk.looking, and the lock of a cached page that is being
// loaded are held over I/O or compression.
package ingester
