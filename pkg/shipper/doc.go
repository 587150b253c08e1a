// Package shipper is the boltdb-shipper index: it writes the rows of flushed chunks to local table files, uploads these to
// the bucket, fetches the files that others uploaded, and answers lookups over all of them.
//
// The nouns:
//
//   - table: the rows of one day. It consists of files: those of this process, and those in the bucket.
//   - local file: a table file that this process writes, or that an earlier run left. It is active while it takes rows
//     (a quarter of an hour at most), then sealed, then uploaded, and removed when readers elsewhere have had time to see the upload.
//   - remote table: the listing of a table in the bucket and the copies of its files under the cache location.
//   - series set: what a file says about the streams of one tenant, decoded: ids, labels and postings by label. Sets are
//     immutable. Those of local files grow by one set per write, so that a write is visible when Put returns; those of
//     copies are decoded at the first lookup and kept in a cache that is bounded in bytes. Chunk rows are never decoded
//     ahead: they are looked up in the file by the ids that match.
//   - pool: the open files. A file is closed when too many others are open, and not before its last reader let go.
//
// A lookup first takes the local files of a table, then the remote ones except those that are uploads of the local ones
// it took. So a file is always seen, however the upload and the removal fall in between; rows that come twice are merged.
//
// Lock order: every mutex is a leaf, taken alone. None is held while a file or the bucket is read or written: a write or a
// listing in progress is marked under the lock, and whoever comes meanwhile waits for the one that does the work. What an
// activeTable says of its file belongs to whoever has the turn to write.
package shipper
