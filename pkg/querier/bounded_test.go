package querier

import (
	"context"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/tenant"
)

// counted is a Source of so many streams with so many pieces each.
type counted struct {
	logql.Source
	streams, pieces int
}

func (c counted) Select(context.Context, logql.Selection) ([]logql.Stream, error) {
	out := make([]logql.Stream, c.streams)
	for i := range out {
		out[i].Pieces = make([]logql.Piece, c.pieces)
	}
	return out, nil
}

func (c counted) Series(context.Context, logql.Selection) ([]labels.Labels, error) {
	return make([]labels.Labels, c.streams), nil
}

// A lookup that finds more streams or chunks than the tenant may have fails with the limit's name, by the query's own fault;
// other tenants are not concerned.
func TestBounded(t *testing.T) {
	lim, err := limits.New(limits.DefaultLimits())
	require.NoError(t, err)
	l := limits.DefaultLimits()
	l.CardinalityLimit, l.MaxChunksPerQuery = 3, 10
	require.NoError(t, lim.Set("small", l))
	small, other := tenant.Inject(t.Context(), "small"), tenant.Inject(t.Context(), "other")
	look := func(ctx context.Context, streams, pieces int) error {
		_, err := Bounded(counted{streams: streams, pieces: pieces}, lim).Select(ctx, logql.Selection{})
		return err
	}
	require.NoError(t, look(small, 3, 3))
	err = look(small, 4, 1)
	require.ErrorIs(t, err, engine.ErrCardinality)
	require.ErrorContains(t, err, "cardinality limit exceeded: the selector matches 4 streams, more than the limit of 3")
	require.True(t, engine.IsBadQuery(err))
	err = look(small, 3, 4)
	require.ErrorIs(t, err, engine.ErrMaxChunks)
	require.ErrorContains(t, err, "12 > 10")
	require.ErrorIs(t, engine.NamedError(engine.ErrorName(err), err.Error()), engine.ErrMaxChunks, "among members, too")
	require.NoError(t, look(other, 4, 40))

	series := func(ctx context.Context, streams int) error {
		_, err := Bounded(counted{streams: streams}, lim).Series(ctx, logql.Selection{})
		return err
	}
	require.NoError(t, series(small, 3))
	require.ErrorIs(t, series(small, 4), engine.ErrCardinality)
	require.NoError(t, series(other, 4))
}
