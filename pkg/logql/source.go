package logql

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
)

// Selection asks for streams.
type Selection struct {
	// Matchers must all accept a stream's labels. None selects every stream of the tenant.
	Matchers []*labels.Matcher
	// Interval bounds the entries that the query wants; pieces without an instant in it may be left out.
	Interval model.Interval
	// ShardIndex and ShardCount keep only streams whose labels.StableHash modulo ShardCount is ShardIndex.
	// A ShardCount of zero keeps all.
	ShardIndex, ShardCount uint64
}

// Source is data that a query can read. The tenant travels in the context (package tenant).
//
// Implementations are safe for concurrent use. Errors of the context are returned as they are. Entries may come back
// more than once (from two replicas, or from an ingester and the bucket); the engine drops what is equal in stream,
// timestamp, line and metadata.
type Source interface {
	// Select returns the streams that match, in no particular order, each label set (and tenant) at most once, with the pieces
	// that may hold entries of the interval. It opens no chunk. The result belongs to the caller.
	Select(ctx context.Context, sel Selection) ([]Stream, error)
	// LabelNames returns the label names of the matching streams, sorted, each once.
	LabelNames(ctx context.Context, sel Selection) ([]string, error)
	// LabelValues returns the values that the matching streams have under name, sorted, each once.
	LabelValues(ctx context.Context, name string, sel Selection) ([]string, error)
	// Series returns the label sets of the matching streams in no particular order, each once.
	Series(ctx context.Context, sel Selection) ([]labels.Labels, error)
}

// Stream is one label set and the pieces that hold its entries.
type Stream struct {
	Labels labels.Labels
	// Tenant is set in queries of several tenants only. The engine then puts the label __tenant_id__ of that value on
	// every result of the stream, behind the pipeline: aggregations see it, templates and label filters do not. Streams of
	// several tenants may have equal Labels.
	Tenant string
	// Pieces may overlap in time and may hold the same entry twice; they are in no particular order.
	Pieces []Piece
}

// Piece is a part of a stream that is opened as a whole: a chunk in the bucket, or what an ingester holds in memory.
type Piece interface {
	// Key identifies the content: two pieces of equal, non-empty key hold the same entries. Chunks that exist (or
	// will exist) in the bucket have their object key without tenant and layout, "<fp>/<from>:<through>:<sum>" in hex;
	// what is still being written has none.
	Key() string
	// Bounds returns the span of the entries in nanoseconds, both ends inclusive; it may be wider than the entries.
	Bounds() (first, last int64)
	// Open returns the chunk. It may fetch from the cache or the bucket, so it is called by few goroutines at a time
	// and only when its content is needed. The chunk is immutable and stays valid as long as it is referenced.
	Open(ctx context.Context) (*chunk.Chunk, error)
}

// SizedPiece is a Piece of which the index knows the size without opening it. Statistics are taken from it.
type SizedPiece interface {
	Piece
	// Size returns the bytes of lines and metadata in units of 1024, rounded, and the number of entries. ok is false if this
	// piece's index does not know them.
	Size() (kb, entries uint32, ok bool)
}
