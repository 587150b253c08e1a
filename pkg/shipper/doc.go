// Package shipper is the index of a bucket that many members share. Shipper is its boltdb-shipper kind: it writes the rows of
// flushed chunks to local table files, uploads these to the bucket, fetches the files that others uploaded, and answers
// lookups over all of them. TSDB is the other kind: it reads the files that a Loki with `store: tsdb` wrote.
//
// The nouns:
//
//   - table: the rows of one day. It consists of files: those of this process, and those in the bucket.
//   - local file: a table file that this process writes, or that an earlier run left. It is active while it takes rows
//     (a quarter of an hour at most), then sealed, then uploaded, and removed when readers elsewhere have had time to see the upload.
//   - copies: the tables of a kind in the bucket and the copies of their files under the cache location, for both kinds. A
//     remote table is one of them: its listing, and its files. Copies are fetched when a lookup wants them, or before the
//     process is ready (query_ready_num_days); they are removed when their object is gone, when nobody used the table for
//     long, or, least recently used first, when there are too many bytes. None is removed while a lookup reads it. A damaged
//     copy is set aside and fetched again; few of those that were set aside are kept.
//   - series set: what a file says about the streams of one tenant, decoded: ids, labels and postings by label. Sets are
//     immutable. Those of local files grow by one set per write, so that a write is visible when Put returns; those of
//     copies are decoded at the first lookup and kept in a cache that is bounded in bytes. Chunk rows are never decoded
//     ahead: they are looked up in the file by the ids that match. What was read of a file that does not change is kept
//     too (rowcache.go), bounded in bytes, and dropped with the file.
//   - pool: the open files. A file is closed when too many others are open, and not before its last reader let go.
//
// A lookup first takes the local files of a table, then the remote ones except those that are uploads of the local ones
// it took. So a file is always seen, however the upload and the removal fall in between; rows that come twice are merged.
//
// What the bucket does not take when a process ends is handed over (handover.go): another process takes the file among its local
// ones and uploads it.
//
// Lock order: a remote table's mutex, then that of its copies; every other mutex is a leaf, taken alone. None is held while a
// file or the bucket is read or written: a write or a listing in progress is marked under the lock, and whoever comes
// meanwhile waits for the one that does the work; only a damaged copy is renamed under it. What an activeTable says of its file belongs to whoever has the turn to write.
package shipper
