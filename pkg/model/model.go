package model

import (
	"fmt"
	"time"
)

// Pair is one name and value of structured metadata.
type Pair struct {
	Name, Value string
}

// Entry is one log line.
type Entry struct {
	// Timestamp is in nanoseconds since 1970.
	Timestamp int64
	// Line is any sequence of bytes; it may be empty and need not be UTF-8.
	Line string
	// Metadata is the entry's structured metadata, sorted by name.
	Metadata []Pair
}

// Direction is the order in which a log query returns entries.
type Direction uint8

// The two directions. Backward is newest first and the default of every query.
const (
	Backward Direction = iota
	Forward
)

// String returns the direction as the HTTP API writes it.
func (d Direction) String() string {
	if d == Forward {
		return "forward"
	}
	return "backward"
}

// Interval is a span of time in nanoseconds since 1970. Start is inside, End is not.
type Interval struct {
	Start, End int64
}

// Empty reports whether no instant lies in the interval.
func (i Interval) Empty() bool { return i.End <= i.Start }

// Contains reports whether ts lies in [Start, End).
func (i Interval) Contains(ts int64) bool { return i.Start <= ts && ts < i.End }

// Overlaps reports whether some instant of the closed span [first, last] lies in the interval.
func (i Interval) Overlaps(first, last int64) bool { return first < i.End && last >= i.Start }

// String shows both bounds as UTC times.
func (i Interval) String() string {
	return fmt.Sprintf("[%s, %s)", time.Unix(0, i.Start).UTC().Format(time.RFC3339Nano), time.Unix(0, i.End).UTC().Format(time.RFC3339Nano))
}

// ChunkRef names one chunk of one stream. The object's key in the bucket is made of these fields by package schema.
type ChunkRef struct {
	Tenant string
	// Fingerprint is the stream's hash as written in the chunk's key; it is never recomputed when reading.
	Fingerprint uint64
	// From and Through bound the chunk's entries, both inclusive, in milliseconds since 1970:
	// the first entry's time rounded down and the last one's rounded up.
	From, Through int64
	// Checksum is the CRC-32C of the whole chunk object.
	Checksum uint32
}

// Bounds returns the span of the chunk's entries in nanoseconds, both ends inclusive.
func (r ChunkRef) Bounds() (first, last int64) {
	return r.From * int64(time.Millisecond), r.Through * int64(time.Millisecond)
}
