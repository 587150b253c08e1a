package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/engine/enginetest"
	"logstore/pkg/model"
)

// filled returns a source of 100 blocks of 100 lines, one every second, with a needle in the line of one second.
func filled(opts enginetest.Options, needleAt int) *enginetest.Source {
	opts.BlockEntries, opts.PieceEntries = 100, 2000
	src := enginetest.New(opts)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		line := fmt.Sprintf("level=info msg=done id=%016x%016x", r.Uint64(), r.Uint64())
		if i == needleAt {
			line += " Quetzalcoatlus"
		}
		src.Add(labels.FromStrings("app", "a"), model.Entry{
			Timestamp: int64(i) * 1e9, Line: line, Metadata: []model.Pair{{Name: "level", Value: []string{"info", "warn"}[i/10%2]}, {Name: "trace", Value: fmt.Sprint(i)}},
		})
	}
	return src
}

// TestDescribedBlocksAreNotRead counts what is read of pieces that describe their blocks, and compares the answers with those of pieces
// that do not.
func TestDescribedBlocksAreNotRead(t *testing.T) {
	for _, c := range []struct {
		query string
		most  int64 // blocks that are read at most
	}{
		{`{app="a"} |= "Quetzalcoatlus"`, 4},
		{`{app="a"} |= "uetzalcoatl"`, 4},
		{`{app="a"} |~ "(?i)QUETZAL.*" | level="warn"`, 4},
		{`{app="a"} |~ "quetz|Quetzalcoat(lus|l)"`, 4},
		{`{app="a"} |= "absentword" or "Quetzalcoatlus"`, 4},
		{`{app="a"} |> "<_>id=<_> Quetzalcoatlus"`, 4},
		{`{app="a"} | trace="777"`, 16},
		{`{app="a"} | trace=~"777|4000"`, 24},
		{`{app="a"} |= "absentword"`, 8},
		{`sum(count_over_time({app="a"} |= "absentword" [10000s]))`, 8},
		{`sum(count_over_time({app="a"}[10000s]))`, 0},
		{`sum(count_over_time({app="a"}[7s]))`, 0},
		{`sum by (level) (count_over_time({app="a"}[60s]))`, 0},
		{`sum by (level, detected_level) (count_over_time({app="a"} | drop __error__ [60s]))`, 0},
		{`sum by (level) (bytes_rate({app="a"} | level="warn" [60s]))`, 0},
		{`sum by (app) (bytes_over_time({app="a"}[60s]))`, 0},
		{`max by (app) (rate({app="a"}[1m]))`, 100}, // the series differ by trace, which is no column
		{`topk(1, sum by (app, level) (rate({app="a"}[1m])))`, 0},
		{`sum(rate({app="a"} | json [1m]))`, 100},
	} {
		plain, described := filled(enginetest.Options{}, 4321), filled(enginetest.Options{Described: described}, 4321)
		p := engine.Params{Start: 0, End: 10000e9, Step: 45 * time.Second, Limit: 100}
		want, got := run(t, plain, c.query, p), run(t, described, c.query, p)
		require.Equal(t, text(want.Value), text(got.Value), c.query)
		require.LessOrEqual(t, described.Read.Load(), c.most, c.query)
		if c.most < 100 {
			require.Zero(t, described.Opened.Load(), c.query)
		}
	}
}

// TestTailOfDescribed reads the newest blocks only: of each of the five pieces at most the first run, however slowly blocks are read
// and however many at a time.
func TestTailOfDescribed(t *testing.T) {
	for query, most := range map[string]int64{`{app="a"}`: 8, `{app="a"} |= "done"`: 20} {
		src := filled(enginetest.Options{Described: described}, -1)
		res := run(t, src, query, engine.Params{Start: 0, End: 10000e9, Limit: 50})
		require.EqualValues(t, 50, res.Stats.EntriesReturned)
		require.LessOrEqual(t, src.Read.Load(), most, query)
	}
}
