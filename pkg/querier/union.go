package querier

import (
	"context"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql"
)

// union is several sources as one. The order matters: see the package comment.
type union []logql.Source

// Union joins sources, those first that hold the newest entries.
func Union(sources ...logql.Source) logql.Source { return union(sources) }

// Select asks one source after the other and joins the pieces of equal label sets. A piece whose key was already seen in
// its stream is dropped here, so that a chunk that is in memory is not fetched from the bucket.
func (u union) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	lists := make([][]logql.Stream, 0, len(u))
	for _, src := range u {
		streams, err := src.Select(ctx, sel)
		if err != nil {
			return nil, err
		}
		lists = append(lists, streams)
	}
	return joinStreams(lists), nil
}

// joinStreams joins the streams of equal labels, those of earlier lists first. The first list that is not empty is changed;
// within a list each stream must be there once.
func joinStreams(lists [][]logql.Stream) []logql.Stream {
	var all []logql.Stream
	var byHash map[uint64][]int
	for _, streams := range lists {
		if len(all) == 0 {
			all = streams
			continue
		}
		if len(streams) == 0 {
			continue
		}
		if byHash == nil {
			byHash = make(map[uint64][]int, len(all))
			for i := range all {
				h := all[i].Labels.Hash()
				byHash[h] = append(byHash[h], i)
			}
		}
		for _, s := range streams {
			h := s.Labels.Hash()
			if i := find(all, byHash[h], s.Labels); i >= 0 {
				all[i].Pieces = joinPieces(all[i].Pieces, s.Pieces)
				continue
			}
			byHash[h] = append(byHash[h], len(all))
			all = append(all, s)
		}
	}
	return all
}

func find(all []logql.Stream, candidates []int, lbs labels.Labels) int {
	for _, i := range candidates {
		if labels.Equal(all[i].Labels, lbs) {
			return i
		}
	}
	return -1
}

func joinPieces(have, more []logql.Piece) []logql.Piece {
	keys := make(map[string]logql.Piece, len(have))
	for _, p := range have {
		if k := p.Key(); k != "" {
			keys[k] = p
		}
	}
	for _, p := range more {
		if k := p.Key(); k != "" {
			if same, ok := keys[k]; ok {
				if several, ok := same.(interface{ AddOther(logql.Piece) }); ok {
					several.AddOther(p)
				}
				continue
			}
		}
		have = append(have, p)
	}
	return have
}

// LabelNames returns the names that any source knows.
func (u union) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return u.names(func(src logql.Source) ([]string, error) { return src.LabelNames(ctx, sel) })
}

// LabelValues returns the values that any source knows.
func (u union) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return u.names(func(src logql.Source) ([]string, error) { return src.LabelValues(ctx, name, sel) })
}

func (u union) names(ask func(logql.Source) ([]string, error)) ([]string, error) {
	var all []string
	for _, src := range u {
		names, err := ask(src)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	sort.Strings(all)
	return slices.Compact(all), nil
}

// Series returns the label sets that any source knows.
func (u union) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	var all []labels.Labels
	for _, src := range u {
		series, err := src.Series(ctx, sel)
		if err != nil {
			return nil, err
		}
		all = append(all, series...)
	}
	return distinct(all), nil
}

// distinct sorts the label sets and drops repeats, in place.
func distinct(all []labels.Labels) []labels.Labels {
	slices.SortFunc(all, labels.Compare)
	return slices.CompactFunc(all, labels.Equal)
}
