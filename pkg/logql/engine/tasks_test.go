package engine

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"logstore/pkg/chunk"
)

// testPiece is a piece and the first instant that its bounds give.
type testPiece struct {
	first int64
	chunk chunk.Chunk
}

func randomPieces(r *rand.Rand) []testPiece {
	var pieces []testPiece
	length := 1 + r.Int64N(30)
	for range 1 + r.IntN(8) {
		p := testPiece{first: r.Int64N(300)}
		at := p.first
		for range 1 + r.IntN(20) {
			b := chunk.Block{MinTime: at, MaxTime: at + r.Int64N(length), Entries: 1}
			at = max(p.first, at+r.Int64N(length)-length/4)
			p.chunk.Blocks = append(p.chunk.Blocks, b)
		}
		pieces = append(pieces, p)
	}
	slices.SortFunc(pieces, func(a, b testPiece) int { return cmp.Compare(a.first, b.first) })
	return pieces
}

// assembleAll returns the tasks of the pieces, and all blocks.
func assembleAll(t *testing.T, pieces []testPiece) (tasks []task, blocks []*chunk.Block) {
	a := &assembler{stream: &stream{}, low: math.MinInt64}
	for i := range pieces {
		for j := range pieces[i].chunk.Blocks {
			blocks = append(blocks, &pieces[i].chunk.Blocks[j])
		}
		frontier := int64(math.MaxInt64)
		if i+1 < len(pieces) {
			frontier = pieces[i+1].first
		}
		a.add(blockSpans(nil, &pieces[i].chunk, func(int64, int64) bool { return true }))
		require.NoError(t, a.advance(frontier, func(t task) error {
			tasks = append(tasks, t)
			return nil
		}))
	}
	require.Empty(t, a.pending)
	return tasks, blocks
}

// owners returns the numbers of the tasks that read the block at the instant.
func owners(tasks []task, b *chunk.Block, ts int64) (list []int) {
	for n, task := range tasks {
		if ts <= task.low || ts > task.high {
			continue
		}
		for _, s := range task.blocks {
			if s.block == b {
				list = append(list, n)
			}
		}
	}
	return list
}

// TestAssembler gives an assembler pieces of random blocks and wants each instant of each block in exactly one task, and
// blocks that share an instant in the same one.
func TestAssembler(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for round := range 300 {
		tasks, blocks := assembleAll(t, randomPieces(r))
		for ts := int64(0); ts < 1200; ts++ {
			owner := -1
			for _, b := range blocks {
				if ts < b.MinTime || ts > b.MaxTime {
					continue
				}
				list := owners(tasks, b, ts)
				require.Len(t, list, 1, "round %d: instant %d of block [%d, %d]", round, ts, b.MinTime, b.MaxTime)
				require.True(t, owner < 0 || owner == list[0], "round %d: instant %d is in tasks %d and %d", round, ts, owner, list[0])
				owner = list[0]
			}
		}
	}
}

// TestAssemblerCutsChains wants long chains of overlapping blocks in tasks of bounded size, before the last piece is open.
func TestAssemblerCutsChains(t *testing.T) {
	var c chunk.Chunk
	for i := range int64(1000) {
		c.Blocks = append(c.Blocks, chunk.Block{MinTime: 10 * i, MaxTime: 10*i + 10, Entries: 1})
	}
	a := &assembler{stream: &stream{}, low: math.MinInt64}
	a.add(blockSpans(nil, &c, func(int64, int64) bool { return true }))
	largest := 0
	require.NoError(t, a.advance(9995, func(t task) error {
		largest = max(largest, len(t.blocks))
		return nil
	}))
	require.LessOrEqual(t, largest, maxTogether+1)
	require.LessOrEqual(t, len(a.pending), maxTogether+1)
}
