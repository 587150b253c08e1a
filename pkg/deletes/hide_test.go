package deletes

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
)

func filterOf(t *testing.T, query string, start, end int64) *Filter {
	t.Helper()
	f, err := NewFilter(Part{Tenant: "acme", ID: "1", Start: start, End: end, Query: query})
	require.NoError(t, err)
	return f
}

// visible returns the entries that a source shows, as "app ts line".
func visible(t *testing.T, src logql.Source) map[string]bool {
	t.Helper()
	streams, err := src.Select(tenant.Inject(t.Context(), "acme"), logql.Selection{Interval: model.Interval{Start: 0, End: 1 << 60}})
	require.NoError(t, err)
	got := map[string]bool{}
	for _, s := range streams {
		for _, p := range s.Pieces {
			c, err := p.Open(t.Context())
			require.NoError(t, err)
			it := chunk.Iterate(c)
			for it.Next() {
				got[fmt.Sprintf("%s %d %s", s.Labels.Get("app"), it.Timestamp(), it.Line())] = true
			}
			require.NoError(t, it.Err())
		}
	}
	return got
}

// TestHide compares with a model: each entry by itself.
func TestHide(t *testing.T) {
	const ms = 1_000_000
	for _, live := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(1, 2))
		src := enginetest.New(enginetest.Options{BlockEntries: 7, PieceEntries: 40, Live: live})
		type line struct {
			app  string
			ts   int64
			text string
		}
		var lines []line
		for i := range 600 {
			l := line{fmt.Sprintf("a%d", rng.IntN(3)), int64(i) * ms / 2, fmt.Sprintf("level=%s n=%d", []string{"info", "warn"}[rng.IntN(2)], i)}
			lines = append(lines, l)
			src.Add(labels.FromStrings("app", l.app), model.Entry{Timestamp: l.ts, Line: l.text})
		}
		filters := []*Filter{
			filterOf(t, `{app="a0"}`, 20, 60),
			filterOf(t, `{app=~"a[01]"} |= "warn"`, 50, 200),
			filterOf(t, `{app="a2"} | logfmt | n > 300 | level="info"`, 0, 260),
			filterOf(t, `{app="none"}`, 0, 300),
		}
		gone := func(l line) bool {
			at := float64(l.ts) / ms
			switch l.app {
			case "a0":
				return at >= 20 && at <= 60 || at >= 50 && at <= 200 && l.text[6] == 'w'
			case "a1":
				return at >= 50 && at <= 200 && l.text[6] == 'w'
			}
			return at <= 260 && l.ts > 300*ms/2 && l.text[6] == 'i'
		}
		want := map[string]bool{}
		for _, l := range lines {
			if !gone(l) {
				want[fmt.Sprintf("%s %d %s", l.app, l.ts, l.text)] = true
			}
		}
		hidden := Hide(src, func(id string) []*Filter {
			require.Equal(t, "acme", id)
			return filters
		})
		require.Equal(t, want, visible(t, hidden))
		require.Len(t, visible(t, Hide(src, func(string) []*Filter { return nil })), len(lines))
	}
}

// TestHideKeys wants that nobody can take what is left of a chunk for the chunk.
func TestHideKeys(t *testing.T) {
	p := pieceStub{}
	stream := logql.Stream{Labels: labels.FromStrings("app", "x"), Pieces: []logql.Piece{p}}
	require.Empty(t, hidePieces(stream, []*Filter{filterOf(t, `{app="x"} |= "a"`, 0, 10)})[0].Key())
	require.Equal(t, "key", hidePieces(stream, []*Filter{filterOf(t, `{app="y"} |= "a"`, 0, 10)})[0].Key())
	require.Equal(t, "key", hidePieces(stream, []*Filter{filterOf(t, `{app="x"} |= "a"`, 11, 12)})[0].Key())
	require.Empty(t, hidePieces(stream, []*Filter{filterOf(t, `{app="x"}`, 0, 10)}), "nothing is left")
}

type pieceStub struct{ logql.Piece }

func (pieceStub) Key() string                 { return "key" }
func (pieceStub) Bounds() (first, last int64) { return 1_000_000, 10_000_000 }
