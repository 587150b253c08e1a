package wire

import (
	"sync"
	"unsafe"

	"logstore/pkg/model"
)

// PushRequest is a decoded push of any encoding. Everything in it aliases the decoded body or arenas that belong to the
// request, and is valid until Release; what is kept longer is copied by whoever keeps it.
type PushRequest struct {
	Streams []PushStream
	// WireBytes is the body's size as it came, BodyBytes its size after decompression.
	WireBytes, BodyBytes int

	// body is the body as it came, plain what it decompressed to, spare a third buffer for an inner compression.
	body, plain, spare []byte
	// entries, meta and text are the arenas. When one grows its old array lives on in the slices cut from it.
	entries []PushEntry
	meta    []model.Pair
	text    []byte
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
	// Metadata is in the order pushed, names as the client wrote them. After the distributor it is clean and sorted.
	Metadata []model.Pair
}

// Size is the entry's size as limits and metrics count it: the line and the metadata.
func (e *PushEntry) Size() int {
	n := len(e.Line)
	for i := range e.Metadata {
		n += len(e.Metadata[i].Name) + len(e.Metadata[i].Value)
	}
	return n
}

// maxPooled bounds the buffers that go back to the pool, so that one huge push does not stay in memory.
const maxPooled = 16 << 20

var requestPool = sync.Pool{New: func() any { return new(PushRequest) }}

// GetPushRequest returns an empty request from the pool.
func GetPushRequest() *PushRequest { return requestPool.Get().(*PushRequest) }

// Release gives the request and all that aliases it back to the pool.
func (r *PushRequest) Release() {
	if cap(r.body)+cap(r.plain)+cap(r.spare)+cap(r.text)+cap(r.entries)*int(unsafe.Sizeof(PushEntry{}))+cap(r.meta)*int(unsafe.Sizeof(model.Pair{})) > 4*maxPooled {
		return
	}
	r.reset()
	requestPool.Put(r)
}

// reset forgets the content. The arenas are cleared, so that they hold no array that was outgrown.
func (r *PushRequest) reset() {
	clear(r.Streams)
	clear(r.entries)
	clear(r.meta)
	r.Streams, r.entries, r.meta, r.text = r.Streams[:0], r.entries[:0], r.meta[:0], r.text[:0]
	r.WireBytes, r.BodyBytes = 0, 0
}

// Entries returns the number of entries in all streams.
func (r *PushRequest) Entries() int {
	n := 0
	for i := range r.Streams {
		n += len(r.Streams[i].Entries)
	}
	return n
}

// AliasString returns b as a string without copying: it changes when b does.
func AliasString(b []byte) string { return str(b) }

// str returns b as a string that aliases it.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// cutEntries returns the entries added since the arena had from.
func (r *PushRequest) cutEntries(from int) []PushEntry {
	return r.entries[from:len(r.entries):len(r.entries)]
}

// cutMeta returns the metadata added since the arena had from, nil if none.
func (r *PushRequest) cutMeta(from int) []model.Pair {
	if from == len(r.meta) {
		return nil
	}
	return r.meta[from:len(r.meta):len(r.meta)]
}
