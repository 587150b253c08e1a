package engine

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
	"logstore/pkg/model"
)

// TenantLabel names the tenant of a stream or a series in the answer to a query of several tenants.
const TenantLabel = "__tenant_id__"

// stream is a stream of the Source without pieces that are not needed.
type stream struct {
	labels labels.Labels
	tenant string
	// pieces are ordered by their first instant.
	pieces []piece
}

// piece is a piece and its bounds.
type piece struct {
	logql.Piece
	first, last int64
}

// selectStreams asks the Source for streams and drops pieces that hold the same entries as another one or that keep
// refuses by their bounds.
func (q *query) selectStreams(ctx context.Context, matchers []*labels.Matcher, span model.Interval, keep func(first, last int64) bool) ([]*stream, error) {
	found, err := q.src.Select(ctx, logql.Selection{
		Matchers: matchers, Interval: span, ShardIndex: q.p.ShardIndex, ShardCount: q.p.ShardCount,
	})
	if err != nil {
		return nil, err
	}
	total := 0
	for i := range found {
		total += len(found[i].Pieces)
	}
	// Two pieces of memory for all, since there may be very many streams of one piece.
	streams, all, pieces := make([]*stream, 0, len(found)), make([]stream, len(found)), make([]piece, 0, total)
	for i := range found {
		begin := len(pieces)
		for _, p := range found[i].Pieces {
			if first, last := p.Bounds(); span.Overlaps(first, last) && keep(first, last) {
				pieces = append(pieces, piece{p, first, last})
			}
		}
		if len(pieces) > begin {
			all[i] = stream{labels: found[i].Labels, tenant: found[i].Tenant, pieces: dropRepeats(pieces[begin:len(pieces):len(pieces)])}
			streams = append(streams, &all[i])
		}
	}
	q.acct.streams.Add(int64(len(streams)))
	return streams, nil
}

// dropRepeats orders the pieces and leaves one of each key.
func dropRepeats(pieces []piece) []piece {
	if apart(pieces) {
		return pieces
	}
	seen := make(map[string]bool, len(pieces))
	pieces = slices.DeleteFunc(pieces, func(p piece) bool {
		key := p.Key()
		repeat := key != "" && seen[key]
		seen[key] = true
		return repeat
	})
	slices.SortStableFunc(pieces, func(a, b piece) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return pieces
}

// apart reports whether each piece begins behind the one before it: then they are in order, and none of them holds the same as another.
func apart(pieces []piece) bool {
	for i := 1; i < len(pieces); i++ {
		if pieces[i].first <= pieces[i-1].last {
			return false
		}
	}
	return true
}

// withTenant returns the labels with the tenant of the stream, if it has one.
func (s *stream) withTenant(l labels.Labels) labels.Labels {
	if s.tenant == "" {
		return l
	}
	b := labels.NewBuilder(l)
	b.Set(TenantLabel, s.tenant)
	return b.Labels()
}
