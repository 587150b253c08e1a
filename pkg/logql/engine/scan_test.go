package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// shelf is memory for the descriptions of the pieces of two days; those of a day are read at once.
type shelf struct {
	mu    sync.Mutex
	days  []int64
	reads int
}

func (s *shelf) want(day int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.days, day) {
		return
	}
	s.reads++
	if s.days = append(s.days, day); len(s.days) > 2 {
		s.days = s.days[1:]
	}
}

// shelved is a Source whose outlines come from a shelf.
type shelved struct {
	logql.Source
	shelf *shelf
}

type shelvedPiece struct {
	logql.Outliner
	shelf *shelf
}

func (s shelved) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	streams, err := s.Source.Select(ctx, sel)
	for _, st := range streams {
		for i, p := range st.Pieces {
			st.Pieces[i] = shelvedPiece{p.(logql.Outliner), s.shelf}
		}
	}
	return streams, err
}

func (p shelvedPiece) Outline(ctx context.Context, want sidecar.Parts) (logql.Outline, error) {
	first, _ := p.Bounds()
	p.shelf.want(first / int64(24*time.Hour))
	return p.Outliner.Outline(ctx, want)
}

// TestDescriptionsOfADayAreReadOnce counts over days of streams, with a memory that holds the descriptions of few of them: those of a day
// are read together, not for each stream again.
func TestDescriptionsOfADayAreReadOnce(t *testing.T) {
	const days, streams, perDay = 12, 20, 40
	src, plain := enginetest.New(enginetest.Options{PieceEntries: perDay / 4, Described: described}), enginetest.New(enginetest.Options{})
	for i := range streams {
		l := labels.FromStrings("app", "a", "pod", fmt.Sprint(i))
		for n := range days * perDay {
			e := model.Entry{
				Timestamp: int64(n) * int64(24*time.Hour) / perDay, Line: fmt.Sprintf("n=%d word=%s", n, words[n%len(words)]),
				Metadata: []model.Pair{{Name: "trace", Value: fmt.Sprint(n % 3)}},
			}
			src.Add(l, e)
			plain.Add(l, e)
		}
	}
	for _, query := range []string{
		`sum by (trace) (count_over_time({app="a"}[289h]))`,
		`sum by (pod) (count_over_time({app="a"} |= "timeout" [289h]))`,
		`sum(bytes_over_time({app="a"} | trace="1" [289h]))`,
	} {
		expr, err := syntax.Parse(query)
		require.NoError(t, err)
		p := engine.Params{Expr: expr, Start: int64(288 * time.Hour), End: int64(288 * time.Hour), Instant: true}
		want, err := new(engine.Engine).Run(t.Context(), plain, p, engine.Limits{})
		require.NoError(t, err)
		shelf := &shelf{}
		got, err := new(engine.Engine).Run(t.Context(), shelved{src, shelf}, p, engine.Limits{})
		require.NoError(t, err)
		require.NotEqual(t, "[]", text(got.Value))
		require.Equal(t, text(want.Value), text(got.Value), query)
		require.Equal(t, days, shelf.reads, query)
	}
}

// joined has the pieces of two sources of the same streams.
type joined struct {
	logql.Source
	other logql.Source
}

func (j joined) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	streams, err := j.Source.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	others, err := j.other.Select(ctx, sel)
	for i := range streams {
		streams[i].Pieces = append(streams[i].Pieces, others[i].Pieces...)
	}
	return streams, err
}

// TestRepeatsAcrossDays counts entries that are stored twice, in pieces of which one reaches over the beginning of a day, or of several.
func TestRepeatsAcrossDays(t *testing.T) {
	const days, perDay = 8, 24
	for _, sizes := range [][2]int{{7, 11}, {50, 3}, {5, 160}} {
		source := func(size int, d *sidecar.Options) *enginetest.Source {
			src := enginetest.New(enginetest.Options{PieceEntries: size, Described: d})
			for i := range 3 {
				for n := range days * perDay {
					src.Add(labels.FromStrings("app", "a", "pod", fmt.Sprint(i)), model.Entry{
						Timestamp: int64(n) * int64(24*time.Hour) / perDay, Line: fmt.Sprintf("n=%d word=%s", n, words[n%len(words)]),
						Metadata: []model.Pair{{Name: "trace", Value: fmt.Sprint(n % 3)}},
					})
				}
			}
			return src
		}
		src := joined{source(sizes[0], described), source(sizes[1], described)}
		for _, query := range []string{
			`sum by (trace) (count_over_time({app="a"}[193h]))`,
			`sum by (pod) (count_over_time({app="a"} |= "timeout" [193h]))`,
		} {
			expr, err := syntax.Parse(query)
			require.NoError(t, err)
			p := engine.Params{Expr: expr, Start: int64(192 * time.Hour), End: int64(192 * time.Hour), Instant: true}
			want, err := new(engine.Engine).Run(t.Context(), source(1000, nil), p, engine.Limits{})
			require.NoError(t, err)
			got, err := new(engine.Engine).Run(t.Context(), src, p, engine.Limits{})
			require.NoError(t, err)
			require.Equal(t, text(want.Value), text(got.Value), "%s of pieces of %v", query, sizes)
		}
	}
}
