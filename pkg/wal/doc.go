// Package wal keeps a write-ahead log: numbered segment files of checksummed records whose bytes are opaque to it.
//
// Nouns. A record is what one Append writes. A segment is one file of records; it is never appended to again once the
// log was closed, so each Open begins a new one with the first record. A group is the records of concurrent appenders
// that one write call puts into the file. Damage is a stretch of a segment that holds no valid record; it is always
// reported with file and offset, and what stands behind it, in the same segment or in later ones, is still read.
//
// Durability. A record is acknowledged after write(2) took it: it survives the death of the process, not the loss of
// power. With Config.Sync it is acknowledged after fsync. A write that fails half-way is cut back, and the next Append
// tries again; when the disk is full the error is an ErrNoSpace. Nothing else of the log's state changes by a failure,
// so appending goes on as soon as there is space again. No file is created before the first Append: a log can be opened
// and read on a full disk.
//
// A torn tail (the end of the last segment without a valid record behind it) is cut off by Open and listed by Repairs.
//
// Locks. Log.mu guards the queue, the list of segments and the logical end; it is never held over I/O. The file that
// is written belongs to the leader, the one appender that writes on behalf of the others.
package wal
