package querier

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/tenant"
)

// bounded is a Source whose answers to one lookup are bounded by the tenant's limits.
type bounded struct {
	logql.Source
	limits *limits.Overrides
}

// Bounded holds the lookups of a source against cardinality_limit and max_chunks_per_query of the context's tenant. A part of a
// query, by time and shard, is one lookup.
func Bounded(src logql.Source, lim *limits.Overrides) logql.Source { return bounded{src, lim} }

// Select implements logql.Source.
func (b bounded) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	streams, err := b.Source.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	chunks := 0
	for i := range streams {
		chunks += len(streams[i].Pieces)
	}
	return streams, b.check(ctx, len(streams), chunks)
}

// Series implements logql.Source.
func (b bounded) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	series, err := b.Source.Series(ctx, sel)
	if err != nil {
		return nil, err
	}
	return series, b.check(ctx, len(series), 0)
}

func (b bounded) check(ctx context.Context, streams, chunks int) error {
	id, err := tenant.ID(ctx)
	if err != nil {
		return err
	}
	lim := b.limits.For(id)
	if n := lim.CardinalityLimit; n > 0 && streams > n {
		return engine.CardinalityError(streams, n)
	}
	if n := lim.MaxChunksPerQuery; n > 0 && chunks > n {
		return engine.ChunksError(chunks, n)
	}
	return nil
}
