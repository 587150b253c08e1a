// Package index reads and writes one table file of the index: a bbolt database with the rows of package schema. It is the
// door to bbolt. FORMAT.md beside this file has the bytes.
//
// The nouns:
//
//   - File: an open table file. Open takes an existing one for reading, after Check has walked it; Create makes a new one
//     that takes rows until it is closed. A file that was closed is never opened for writing again.
//   - Cursor: a position in the rows of one tenant, given to the function of File.View.
//   - Builder: writes a whole file from ascending rows, page after page, without a transaction, at a tenth of the cost of
//     putting the rows into a database. Build and Merge are the two ways to feed it: from memory, and from other files.
//   - Check: walks all pages of a file that this process did not write. bbolt trusts what it maps: a torn or foreign file
//     makes it panic or fault, so that no such file is mapped before each page of it has been looked at.
//   - Compress and Unpack: a file as it is in the bucket, and back.
//
// Caveats: slices that a Cursor returns are parts of the mapped file. They end with the View and must not be changed. A file
// that shrinks while it is mapped faults; View turns that fault and any panic of bbolt into an error.
//
// A File is safe for concurrent use. Views run beside a Put, which they see as a whole or not at all. A View must not call
// Put of the same file: growing the map waits for all views. There are no locks of our own.
package index
