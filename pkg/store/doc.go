// Package store is the long-term memory: chunks in the bucket, found through the index. It is a logql.Source, and it takes
// the chunks that the ingester flushes.
//
// The nouns:
//
//   - Index: what finds chunks, one for each index store that a schema period may name. Package shipper is the one for
//     boltdb-shipper. An index that is also a Writer takes new chunks.
//   - ObjectStore: the bucket of a period and how chunks are named in it: plain keys, a delimiter of its own instead of the
//     colons, or the base64 names of a folder.
//   - Cache: whatever keeps chunk objects nearer than the bucket. It is trusted with nothing: what does not have the
//     checksum of the key is a miss.
//   - Sidecar: the object beside a chunk that tells what its blocks hold (package sidecar). Sidecars that were read stay in memory, and
//     whole ones in the Cache; where some of a stream are missing, the stream's are listed once. A chunk too small for one is described in
//     memory when a query first reads it. Whatever is wrong with one, the chunk is read instead.
//   - Pack: an object with the sidecars of many chunks of a past day, most of which lie nowhere else. A Select reads those that it lacks
//     from there with few requests; those that no pack has are read one by one. The packs of a tenant are listed once in a while.
//
// A chunk lies once in the bucket, under a name that follows from the schema period of its first instant, but it is indexed in
// every day and period that it touches. The object is written before its index rows, so that no row points to nothing.
//
// Caveats: Select reads the index only; chunks are fetched when a Piece is opened, and the number of fetches at a time is
// the caller's to bound. A query that looks for something through the packs of several days has the next ones read ahead, by
// goroutines that end with its context; the store has no others. Its locks guard what is known of sidecars, and none is held over I/O.
package store
