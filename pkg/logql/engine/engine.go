package engine

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// Params says what to evaluate. Start and End are nanoseconds.
type Params struct {
	// Text is the query as written, for errors and the query log.
	Text string
	Expr syntax.Expr
	// Start and End bound a log query as [Start, End); a metric query is evaluated at Start, Start+Step, ... up to and
	// including End. Instant evaluates a metric query at End only and yields a Vector or a Scalar.
	Start, End int64
	Instant    bool
	// Step is that of a metric range query; Interval thins out a log query.
	Step, Interval time.Duration
	Direction      model.Direction
	// Limit is the most entries that a log query returns.
	Limit int
	// Categorize keeps the labels of a log query's entries apart by origin.
	Categorize bool
}

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
	// Streams is the result of a log query.
	Streams []LogStream
	// Matrix is the result of a metric range query, sorted by labels unless the query sorts.
	Matrix []Series
	// Vector is the result of an instant metric query: each series has one point.
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
	// BytesProcessed and LinesProcessed count what was decompressed and walked (or searched).
	BytesProcessed, LinesProcessed int64
	// PostFilterLines counts the lines that passed the pipeline.
	PostFilterLines, MetadataBytesProcessed int64
	EntriesReturned                         int64
	ExecTime                                time.Duration
}

// Result is a value with the statistics and warnings of its query.
type Result struct {
	Value    Value
	Stats    Stats
	Warnings []string
}

// Limits bound one query; zero means no bound.
type Limits struct {
	MaxSeries      int
	MaxBytesRead   int64
	MaxMemory      int64
	MaxParallelism int
}

// Engine evaluates queries over a Source.
type Engine struct{}

// Run evaluates p over src. It starts as many goroutines as lim allows and returns when all have ended; a cancelled
// context stops them at the next block.
func (e *Engine) Run(ctx context.Context, src logql.Source, p Params, lim Limits) (Result, error) {
	panic("skeleton")
}
