// Package schema holds the names by which a bucket in Loki's layout is found: schema periods v9 to v13, the tables of
// the index, the rows that one chunk has in them, and the keys of chunk objects. FORMAT.md beside this file has the
// bytes.
//
// The nouns:
//
//   - PeriodConfig, Periods: which schema, index store and object store are in force from which day on. A time before the
//     first period belongs to the first one, so that no chunk is without a home.
//   - Span: one day of one period that a chunk touches; the chunk has rows in the table of each of its spans.
//   - SeriesID: the SHA-256 of a stream's labels, which joins the rows of a stream.
//   - Row: a key and a value of a table. RowBuffer appends the rows of many chunks to few large allocations.
//   - Layout: the two forms of a chunk's object key. The layout follows from the period that holds the chunk's first
//     instant, not from the table in which its row is found.
//
// The package is pure: no I/O, no clock, no goroutine. Rows and keys that it parses come from foreign files, so that
// parsing returns errors and never panics. Times are milliseconds since 1970, as in the keys, unless a name says otherwise.
package schema
