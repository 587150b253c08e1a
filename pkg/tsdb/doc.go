// Package tsdb reads the index files that Loki keeps under `store: tsdb`. FORMAT.md beside this file has the bytes. It writes
// none: new days are indexed by package index.
//
// The nouns:
//
//   - Index: one file, held as bytes, with tables to find a symbol or a postings list. The sections are checked when it is
//     opened, the records of series and the postings lists when they are read.
//   - Reference: the number of a series in its file, which is its offset divided by 16.
//   - Series: labels by symbol, fingerprint, and where its chunks begin. Reader.Series fills one and can be used for many.
//   - Chunk: bounds, size and checksum of one chunk; with the tenant and the fingerprint that is the whole key of the object.
//
// A file holds one tenant, or all of them with the label TenantLabel, which lookups add and take away.
//
// The package is pure: no I/O, no clock, no goroutine. Files come from a bucket that others write: everything that is not as
// it should be is an error that wraps ErrCorrupt, and no input panics or makes it take memory out of proportion. An Index is
// immutable and safe for concurrent use; a Reader is not. Strings that are returned are copies: they outlive the bytes.
package tsdb
