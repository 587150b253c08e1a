package wire

import "logstore/pkg/model"

// PushRequest is a decoded push of any encoding. Everything in it aliases the decoded body or arenas that belong to the
// request, and is valid until Release; what is kept longer is copied by whoever keeps it.
type PushRequest struct {
	Streams []PushStream
}

// PushStream is one stream of a push.
type PushStream struct {
	// Labels is the label set as text, {a="b", c="d"}, exactly as the client wrote it: a key for look-ups, not yet
	// checked. JSON and OTLP pushes carry it in canonical form.
	Labels  string
	Entries []PushEntry
}

// PushEntry is one line of a push.
type PushEntry struct {
	// Timestamp is in nanoseconds since 1970.
	Timestamp int64
	Line      []byte
	// Metadata is in the order pushed, names as the client wrote them.
	Metadata []model.Pair
}
