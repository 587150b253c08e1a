package engine

import (
	"errors"
	"fmt"

	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
)

// Errors of a query. All of them are the query's own fault; so are those of parsing and those that wrap ErrPipeline.
var (
	// ErrInstantLog is returned for a log query with Params.Instant.
	ErrInstantLog = errors.New("log queries are not supported as an instant query type, please change your query to a range query type")
	// ErrPipeline is wrapped by errors that stages leave in an entry of a metric query, and by stages that cannot be compiled.
	ErrPipeline = errors.New("pipeline error")
	// ErrMaxSeries is wrapped by the error for more series than Limits.MaxSeries.
	ErrMaxSeries = errors.New("maximum number of series reached for a single query")
	// ErrMaxBytesRead is wrapped by the error for more bytes than Limits.MaxBytesRead.
	ErrMaxBytesRead = errors.New("the query would read too many bytes")
	// ErrMaxMemory is wrapped by the error for more memory than Limits.MaxMemory.
	ErrMaxMemory = errors.New("the query needs too much memory")
	// ErrMaxChunks is wrapped by the error for more chunks than a query may fetch, ErrCardinality by that for more streams than a
	// lookup of the index may find.
	ErrMaxChunks   = errors.New("the query would fetch too many chunks")
	ErrCardinality = errors.New("cardinality limit exceeded")
	// ErrManyToMany is wrapped by the error for a binary operation that finds several partners for a series.
	ErrManyToMany = errors.New("many-to-many matching not allowed")
	// ErrDuplicateSeries is wrapped by the error for a result that has one label set twice.
	ErrDuplicateSeries = errors.New("the same label set twice")
	// ErrStep is wrapped by the error for a metric range query without a step above zero.
	ErrStep = errors.New("the step must be above zero")
)

// names are the sentinels and how members call them among each other.
var names = []struct {
	name     string
	sentinel error
}{
	{"instant-log", ErrInstantLog}, {"pipeline", ErrPipeline}, {"max-series", ErrMaxSeries}, {"max-bytes-read", ErrMaxBytesRead},
	{"max-memory", ErrMaxMemory}, {"max-chunks", ErrMaxChunks}, {"cardinality", ErrCardinality}, {"many-to-many", ErrManyToMany}, {"duplicate-series", ErrDuplicateSeries}, {"step", ErrStep},
}

// ErrorName returns a name of what a bad query did wrong, for NamedError at another place.
func ErrorName(err error) string {
	for _, n := range names {
		if errors.Is(err, n.sentinel) {
			return n.name
		}
	}
	return "pipeline" // parse errors, and those of entries
}

// NamedError returns an error of that text which is the sentinel of a name; of an unknown one, ErrPipeline.
func NamedError(name, text string) error {
	for _, n := range names {
		if n.name == name {
			return &queryError{sentinel: n.sentinel, text: text}
		}
	}
	return entryError(errors.New(text))
}

// IsBadQuery reports whether the query itself is to blame: the answer would be the same at another time or place.
func IsBadQuery(err error) bool {
	for _, n := range names {
		if errors.Is(err, n.sentinel) {
			return true
		}
	}
	var parse *syntax.ParseError
	var entry *pipeline.Error
	return errors.As(err, &parse) || errors.As(err, &entry)
}

// SeriesError is the error for more series than MaxSeries.
func SeriesError(limit int) error {
	return queryErrorf(ErrMaxSeries, "maximum number of series (%d) reached for a single query; consider reducing query cardinality by "+
		"adding more specific stream selectors, reducing the time range, or aggregating results with functions like sum, count or topk", limit)
}

// ChunksError is the error for a query that would fetch found chunks of the bucket, and CardinalityError that for a lookup of the
// index which finds so many streams.
func ChunksError(found, limit int) error {
	return queryErrorf(ErrMaxChunks, "the query would fetch too many chunks (%d > %d, limits_config.max_chunks_per_query); consider a shorter time range "+
		"or more specific stream selectors", found, limit)
}

// CardinalityError is told at ChunksError.
func CardinalityError(found, limit int) error {
	return queryErrorf(ErrCardinality, "cardinality limit exceeded: the selector matches %d streams, more than the limit of %d "+
		"(limits_config.cardinality_limit); consider more specific stream selectors", found, limit)
}

// queryError is an error with a text of its own that is one of the sentinels.
type queryError struct {
	sentinel error
	text     string
}

func (e *queryError) Error() string { return e.text }
func (e *queryError) Unwrap() error { return e.sentinel }

func queryErrorf(sentinel error, format string, args ...any) error {
	return &queryError{sentinel: sentinel, text: fmt.Sprintf(format, args...)}
}

// entryError is the error for an entry that a stage failed on.
func entryError(err error) error {
	return &queryError{sentinel: ErrPipeline, text: err.Error()}
}

// buildError is the error for a pipeline that cannot be compiled.
func buildError(err error) error {
	return &queryError{sentinel: ErrPipeline, text: "parse error : " + err.Error()}
}
