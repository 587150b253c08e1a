package logql

import (
	"context"
	"sync/atomic"
)

// Fetches counts how the chunks of a query were had. It travels in the context to whoever opens pieces.
type Fetches struct {
	FromCache, FromBucket, BytesFromCache, BytesFromBucket atomic.Int64
	// Nanos is the sum of the times of all fetches from the bucket.
	Nanos atomic.Int64
	// Missing counts members without whose answer the query went on: the result is as good as it can be, and not kept.
	Missing atomic.Int64
	// Incomplete says that more members are dead than there are copies to spare: what only they hold is not in the result.
	Incomplete atomic.Bool
}

type fetchesKey struct{}

// WithFetches returns a context in which f counts.
func WithFetches(ctx context.Context, f *Fetches) context.Context {
	return context.WithValue(ctx, fetchesKey{}, f)
}

// FetchesOf returns what counts in the context; never nil.
func FetchesOf(ctx context.Context) *Fetches {
	if f, ok := ctx.Value(fetchesKey{}).(*Fetches); ok {
		return f
	}
	return &Fetches{}
}
