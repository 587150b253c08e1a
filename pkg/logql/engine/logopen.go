package engine

import (
	"container/heap"
	"context"
	"slices"

	"logstore/pkg/logql"
	"logstore/pkg/sidecar"
)

// parts returns what is wanted of the descriptions of blocks.
func (r *logRun) parts() sidecar.Parts {
	if r.pipe.Demanding() {
		return sidecar.Filters
	}
	return 0
}

// open opens what a piece holds: its outline if it has one, else the piece; or the blocks of an outline.
func (r *logRun) open(ctx context.Context, item logItem) logOutcome {
	o := logOutcome{item: item}
	if item.outline != nil {
		o.chunk, o.err = item.outline.Read(ctx, item.numbers)
		return o
	}
	if p, ok := item.piece.Piece.(logql.Outliner); ok {
		if o.outline, o.err = p.Outline(ctx, r.parts()); o.outline != nil || o.err != nil {
			return o
		}
	}
	o.chunk, o.err = item.piece.Open(ctx)
	return o
}

// remembered takes the outline of a piece if it is at hand, which needs no goroutine.
func (r *logRun) remembered(item logItem) bool {
	if item.outline != nil {
		return false
	}
	p, ok := item.piece.Piece.(logql.Rememberer)
	if !ok {
		return false
	}
	o := logOutcome{item: item}
	if o.outline = p.Remembered(r.parts()); o.outline == nil {
		return false
	}
	r.q.acct.chunks.Add(1)
	r.takeOutline(&o)
	return true
}

// A piece is read in runs of blocks, the best ones first, each longer than the one before: a query that finds enough in the first
// one has not read the rest. A query that drops lines begins with firstFiltered blocks, others with as many as have the lines.
const (
	firstFiltered = 4
	moreBlocks    = 4
)

// takeOutline queues the blocks of a piece that may hold what is wanted.
func (r *logRun) takeOutline(o *logOutcome) {
	blocks := o.outline.Blocks()
	demands := r.pipe.Demands(o.item.stream.labels)
	edge := func(i int) int64 { return r.edgeOf(blocks[i].MinTime, blocks[i].MaxTime) }
	var numbers []int
	for i := range blocks {
		b := &blocks[i]
		switch {
		case b.Entries == 0 || !r.span.Overlaps(b.MinTime, b.MaxTime) || !r.wanted(edge(i)):
		case !b.MayMeet(demands):
			r.q.acct.skipped.Add(1)
		default:
			numbers = append(numbers, i)
		}
	}
	slices.SortStableFunc(numbers, func(a, b int) int {
		if x, y := edge(a), edge(b); x != y {
			if r.order.better(x, y) {
				return -1
			}
			return 1
		}
		return 0
	})
	n := firstFiltered
	if !r.eager {
		n = 0
		for entries := 0; n < len(numbers) && entries < r.collector.perBlock(); n++ {
			entries += blocks[numbers[n]].Entries
		}
		n = max(n, 1)
	}
	for more := false; len(numbers) > 0; n, more = n*moreBlocks, true {
		run := numbers[:min(n, len(numbers))]
		numbers = numbers[len(run):]
		best := edge(run[0])
		run = slices.Sorted(slices.Values(run))
		lines := 0
		for _, i := range run {
			lines += blocks[i].Entries
		}
		heap.Push(&r.pieces, logItem{
			edge: best, stream: o.item.stream, piece: o.item.piece, outline: o.outline, numbers: run, lines: lines, more: more,
		})
	}
}

// sufficient reports whether what is at hand and not behind the edge probably completes the result, going by the share of lines that passed
// so far. Until something was read nothing is known, and what is at hand has to tell first: how many blocks of a query that drops few
// lines are read must not depend on how fast they come.
func (r *logRun) sufficient(edge int64) bool {
	lines := 0
	for _, items := range [][]logItem{r.opening, r.reading, r.blocks.items} {
		for i := range items {
			if !r.order.better(edge, items[i].edge) {
				lines += items[i].lines
			}
		}
	}
	if r.seen == 0 {
		return lines > 0
	}
	return lines > 0 && float64(lines)*float64(r.passed)/float64(r.seen) >= float64(r.collector.perBlock())
}
