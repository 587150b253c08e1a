package engine

import (
	"cmp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Value is what a query yields: Streams, Matrix, Vector or Scalar.
type Value interface{ Type() string }

// LogStream is a label set of the result and its entries in the query's direction.
type LogStream struct {
	Labels  labels.Labels
	Entries []LogEntry
}

// LogEntry is one line of a result. Metadata and Parsed are filled only with Params.Categorize.
type LogEntry struct {
	Timestamp        int64
	Line             string
	Metadata, Parsed labels.Labels
	// Origin is filled only with Params.Origins.
	Origin Origin
}

// Origin says where an entry stands among those of its time: behind those of lesser streams, and in its stream by its rank.
// Results of parts of the streams are put together by it.
type Origin struct {
	Stream labels.Labels
	Tenant string
	// Rank is the entry's place in the result of its run, in the query's direction.
	Rank int
}

// Compare orders origins as the engine orders entries of one time, whatever the direction.
func (o Origin) Compare(p Origin) int {
	if c := labels.Compare(o.Stream, p.Stream); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(o.Tenant, p.Tenant), cmp.Compare(o.Rank, p.Rank))
}

// Point is a sample; T is in milliseconds.
type Point struct {
	T int64
	V float64
}

// Series is a label set of a metric result and its samples in ascending order of time.
type Series struct {
	Labels labels.Labels
	Points []Point
}

type (
	// Streams is the result of a log query, sorted by labels.
	Streams []LogStream
	// Matrix is the result of a metric range query, sorted by labels.
	Matrix []Series
	// Vector is the result of an instant metric query: each series has one point. It is sorted by labels, unless the query
	// is a sort.
	Vector []Series
	// Scalar is the result of an instant query without series.
	Scalar Point
)

// Type returns the result type as the HTTP API writes it.
func (Streams) Type() string { return "streams" }

// Type returns the result type as the HTTP API writes it.
func (Matrix) Type() string { return "matrix" }

// Type returns the result type as the HTTP API writes it.
func (Vector) Type() string { return "vector" }

// Type returns the result type as the HTTP API writes it.
func (Scalar) Type() string { return "scalar" }

// Stats counts what a query touched.
type Stats struct {
	Streams, ChunksOpened, BlocksDecompressed int64
	// BlocksSkipped were ruled out by what is known of them, BlocksDescribed counted by it: none of them was read.
	BlocksSkipped, BlocksDescribed int64
	// BytesProcessed and LinesProcessed count what was decompressed and walked (or searched).
	BytesProcessed, LinesProcessed int64
	// PostFilterLines counts the lines that passed the pipeline.
	PostFilterLines, MetadataBytesProcessed int64
	EntriesReturned                         int64
	ExecTime                                time.Duration

	// What follows is of queries that are run in parts: how many parts the time range was cut into and how many shards the
	// streams, how many runs that took, and how long they waited for their turn.
	Splits, Shards, Subqueries int64
	QueueTime                  time.Duration
	// Results counts what was asked of the cache of results, and Chunks how chunks were had.
	Results CacheStats
	Chunks  FetchStats
}

// CacheStats counts the use of a cache by one query.
type CacheStats struct {
	Requests, Requested, Found, Stored int64
	BytesReceived, BytesSent           int64
}

// FetchStats counts how the chunks of one query were had.
type FetchStats struct {
	FromCache, FromBucket, BytesFromCache, BytesFromBucket int64
	// Time is the sum over all fetches from the bucket; they run side by side.
	Time time.Duration
}

// Add adds what another part of the query touched; ExecTime is left to the caller.
func (s *Stats) Add(o Stats) {
	s.Streams += o.Streams
	s.ChunksOpened += o.ChunksOpened
	s.BlocksDecompressed += o.BlocksDecompressed
	s.BlocksSkipped += o.BlocksSkipped
	s.BlocksDescribed += o.BlocksDescribed
	s.BytesProcessed += o.BytesProcessed
	s.LinesProcessed += o.LinesProcessed
	s.PostFilterLines += o.PostFilterLines
	s.MetadataBytesProcessed += o.MetadataBytesProcessed
	s.EntriesReturned += o.EntriesReturned
	s.Subqueries += o.Subqueries
	s.QueueTime += o.QueueTime
	s.Chunks.FromCache += o.Chunks.FromCache
	s.Chunks.FromBucket += o.Chunks.FromBucket
	s.Chunks.BytesFromCache += o.Chunks.BytesFromCache
	s.Chunks.BytesFromBucket += o.Chunks.BytesFromBucket
	s.Chunks.Time += o.Chunks.Time
}

// Result is a value with the statistics and warnings of its query.
type Result struct {
	Value    Value
	Stats    Stats
	Warnings []string
}
