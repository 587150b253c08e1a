// Package compactor keeps the bucket in order: it merges the index files of each day, removes what retention and delete
// requests want gone, merges small chunks, and removes objects that nothing refers to any more. One member of the cluster
// does so at a time.
//
// The nouns:
//
//   - lock: an object in the bucket that says who works. The ring proposes a member, the lock has the last word. Each holder has a
//     number of its own, the fence, and looks at it before each step that others can see.
//   - table: the index of one day. Its files are the common ones, in which all tenants are, and the ones of single tenants.
//   - unit: what becomes one file: the rows of the bucket "index" of all common files, or the rows of one tenant's buckets.
//   - plan: what a pass over a unit is to leave out and to add: expired chunks, chunks that are deleted or rewritten, small
//     chunks that were merged.
//   - manifest: an object that names the files which a published file stands for, and when they may go.
//   - marks: an object that lists chunks whose rows were removed, and when their objects may go.
//
// Every change of a table has two phases. First the new chunks, the new file, the marks and the manifest are written, in this
// order; now readers see old and new files together, which is harmless, since equal rows count once and entries are
// deduplicated. After Config.Grace, when every reader has a listing with the new file, the old files are removed; the chunks go
// after Config.DeleteDelay, but not before Config.Staleness has passed since the last file that named them was removed, for lookups
// work with listings of before. A crash at any step leaves rows and chunks that the next pass finds and treats as it would
// have: nothing is removed on account of what was meant to be done, only on
// account of what stands in the bucket. In particular a chunk is removed only if no file of any of its tables names it.
//
// Rows are streamed from memory-mapped files into the new file. What is held in memory grows with the streams that have rules
// of their own, with the chunks that are rewritten and with the streams that vanish, not with the table.
//
// Caveats: the tables of periods with store tsdb are read-only and passed over. A delete request is processed when no table
// that it concerns has a file from before, so that it takes at least Config.Grace.
//
// Lock order: cycles do not overlap, so that what belongs to a cycle needs no lock. The mutexes of lock and of the status are
// leaves; none is held over I/O.
package compactor
