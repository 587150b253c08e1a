// Package model holds the nouns that every floor above it shares: an entry, its structured metadata, a direction,
// an interval of time and the reference to a chunk. Label sets are those of prometheus/model/labels.
//
// Times are int64 nanoseconds since 1970 unless a name says otherwise. An Interval is half open, [Start, End), as a log
// query's is; the bounds of chunks and blocks are closed, since they are measured from entries.
package model
