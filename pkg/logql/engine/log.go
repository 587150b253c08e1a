package engine

import (
	"container/heap"
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// logItem is something that waits to be looked at: a piece to open, or a block to read.
type logItem struct {
	// edge is the best time that it may hold.
	edge   int64
	stream *stream
	piece  piece
	block  *chunk.Block // nil for a piece
	// outline and numbers are set for some blocks of a piece that are to be read together.
	outline logql.Outline
	numbers []int
	// lines is how many entries these blocks have, or the block.
	lines int
	// more says that better blocks of the piece are read before these.
	more bool
}

// logQueue is a heap of items, the best edge on top.
type logQueue struct {
	order order
	items []logItem
}

func (q *logQueue) Len() int           { return len(q.items) }
func (q *logQueue) Less(i, j int) bool { return q.order.better(q.items[i].edge, q.items[j].edge) }
func (q *logQueue) Swap(i, j int)      { q.items[i], q.items[j] = q.items[j], q.items[i] }
func (q *logQueue) Push(x any)         { q.items = append(q.items, x.(logItem)) }
func (q *logQueue) Pop() any {
	last := len(q.items) - 1
	item := q.items[last]
	q.items[last] = logItem{}
	q.items = q.items[:last]
	return item
}

// edge returns the best edge in the queue.
func (q *logQueue) edge() int64 {
	if len(q.items) == 0 {
		return q.order.worst()
	}
	return q.items[0].edge
}

// logRun is a log query under way.
type logRun struct {
	q         *query
	order     order
	span      model.Interval
	pipe      *pipeline.Pipeline
	collector collector
	// eager says that blocks are read although pieces with a better edge are not open yet: most lines will be dropped, so
	// the result will not be complete soon and waiting would be idle.
	eager bool

	pieces, blocks logQueue
	opening        []logItem // what is being opened
	reading        []logItem // the blocks being read
	seen, passed   int       // lines that were looked at, and those of them that passed
	outcomes       chan logOutcome
	idle           []*logReader
	stop           context.CancelFunc
}

// logOutcome is what a goroutine found.
type logOutcome struct {
	item    logItem
	chunk   *chunk.Chunk
	outline logql.Outline
	reader  *logReader
	entries []entry
	seen    int // how many entries of the block were looked at
	err     error
}

func (q *query) runLog(ctx context.Context, expr *syntax.LogQuery) (Value, error) {
	pipe, err := pipeline.Build(expr.Stages)
	if err != nil {
		return nil, buildError(err)
	}
	span := model.Interval{Start: q.p.Start, End: q.p.End}
	if span.Start == span.End && span.End < math.MaxInt64 {
		span.End++
	}
	streams, err := q.selectStreams(ctx, expr.Matchers, span, func(int64, int64) bool { return true })
	if err != nil {
		return nil, err
	}
	limit := q.p.Limit
	if limit <= 0 {
		limit = math.MaxInt
	}
	o := order(q.p.Direction)
	r := &logRun{
		q: q, order: o, span: span, pipe: pipe, eager: filters(expr.Stages),
		pieces: logQueue{order: o}, blocks: logQueue{order: o}, outcomes: make(chan logOutcome),
	}
	r.collector = newBest(o, limit, &q.acct)
	if q.p.Interval > 0 {
		r.collector = newThinned(o, limit, q.p.Interval, &q.acct)
	}
	for range q.workers {
		r.idle = append(r.idle, newLogReader(r))
	}
	for _, s := range streams {
		for _, p := range s.pieces {
			r.pieces.items = append(r.pieces.items, logItem{edge: r.edgeOf(p.first, p.last), stream: s, piece: p})
		}
	}
	heap.Init(&r.pieces)
	ctx, r.stop = context.WithCancel(ctx)
	defer r.stop()
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	return r.value(), nil
}

// filters reports whether some stage may drop lines.
func filters(stages []syntax.Stage) bool {
	return slices.ContainsFunc(stages, func(s syntax.Stage) bool {
		switch s.(type) {
		case *syntax.LineFilter, *syntax.LabelFilterStage:
			return true
		}
		return false
	})
}

// edgeOf is the best time of a span.
func (r *logRun) edgeOf(first, last int64) int64 {
	if model.Direction(r.order) == model.Forward {
		return first
	}
	return last
}

// run hands out work until the result is complete. It returns when all goroutines have ended.
func (r *logRun) run(ctx context.Context) error {
	var failed error
	for {
		if failed == nil {
			failed = ctx.Err()
		}
		if failed == nil {
			r.dispatch(ctx)
		}
		if len(r.opening)+len(r.reading) == 0 {
			return failed
		}
		o := <-r.outcomes
		if err := r.take(o); err != nil && failed == nil {
			failed = err
			r.stop()
		}
	}
}

// dispatch starts goroutines for the best items as long as there is room.
func (r *logRun) dispatch(ctx context.Context) {
	for len(r.opening) < r.q.openers && r.pieces.Len() > 0 && !r.collector.settled(r.edge()) && r.wanted(r.pieces.edge()) {
		if !r.mayOpen() {
			break
		}
		item := heap.Pop(&r.pieces).(logItem)
		if r.remembered(item) {
			continue
		}
		r.opening = append(r.opening, item)
		go func() {
			r.outcomes <- r.open(ctx, item)
		}()
	}
	for len(r.idle) > 0 && r.blocks.Len() > 0 && !r.collector.settled(r.edge()) && r.wanted(r.blocks.edge()) {
		if !r.eager && r.order.better(r.waiting(), r.blocks.edge()) {
			return
		}
		item := heap.Pop(&r.blocks).(logItem)
		r.reading = append(r.reading, item)
		reader := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		go func() {
			entries, err := reader.read(ctx, item)
			r.outcomes <- logOutcome{item: item, reader: reader, entries: entries, seen: reader.seen, err: err}
		}()
	}
}

// readAhead is how many blocks may wait for each worker before more pieces are opened.
const readAhead = 32

// mayOpen reports whether the next piece should be opened now: not while enough blocks wait, whose bytes are in memory,
// unless order demands it.
func (r *logRun) mayOpen() bool {
	if r.pieces.items[0].more && !r.eager {
		// Most likely they are not needed.
		return len(r.reading)+len(r.opening) == 0 && !r.order.better(r.blocks.edge(), r.pieces.edge())
	}
	if r.eager {
		if r.pieces.items[0].more && r.sufficient(r.pieces.edge()) {
			return false
		}
		return r.blocks.Len() < readAhead*r.q.workers || !r.wanted(r.blocks.edge())
	}
	return r.blocks.Len() < 2*r.q.workers || !r.order.better(r.blocks.edge(), r.pieces.edge())
}

// wanted reports whether something of that edge can still add to the result.
func (r *logRun) wanted(edge int64) bool { return !r.order.better(r.collector.threshold(), edge) }

// waiting is the best edge of the pieces that are not open.
func (r *logRun) waiting() int64 {
	edge := r.pieces.edge()
	for i := range r.opening {
		if e := r.opening[i].edge; r.order.better(e, edge) {
			edge = e
		}
	}
	return edge
}

// edge is the best time that anything still to come may have.
func (r *logRun) edge() int64 {
	edge := r.waiting()
	if r.order.better(r.blocks.edge(), edge) {
		edge = r.blocks.edge()
	}
	for i := range r.reading {
		if e := r.reading[i].edge; r.order.better(e, edge) {
			edge = e
		}
	}
	return edge
}

// take handles what a goroutine found.
func (r *logRun) take(o logOutcome) error {
	if o.reader == nil {
		r.opening = drop(r.opening, &o.item)
		if o.err != nil {
			return o.err
		}
		if o.item.outline == nil {
			r.q.acct.chunks.Add(1)
		}
		if o.outline != nil {
			r.takeOutline(&o)
			return nil
		}
		for i := range o.chunk.Blocks {
			b := &o.chunk.Blocks[i]
			edge := r.edgeOf(b.MinTime, b.MaxTime)
			if b.Entries > 0 && r.span.Overlaps(b.MinTime, b.MaxTime) && r.wanted(edge) {
				heap.Push(&r.blocks, logItem{edge: edge, stream: o.item.stream, block: b, lines: b.Entries})
			}
		}
		return nil
	}
	r.reading = drop(r.reading, &o.item)
	r.seen += o.seen
	r.passed += len(o.entries)
	err := o.err
	if err == nil {
		err = r.collector.add(o.entries)
	}
	clear(o.entries)
	r.idle = append(r.idle, o.reader)
	return err
}

// drop removes the item from the list, or one that counts the same.
func drop(items []logItem, item *logItem) []logItem {
	i := slices.IndexFunc(items, func(x logItem) bool { return x.edge == item.edge && x.lines == item.lines })
	last := len(items) - 1
	items[i] = items[last]
	items[last] = logItem{}
	return items[:last]
}

// value groups the entries by their labels.
func (r *logRun) value() Streams {
	type groupKey struct {
		res    *pipeline.Result
		tenant string
	}
	entries := r.collector.result()
	byResult := map[groupKey]int{}
	byHash := map[uint64][]int{}
	streams := Streams{}
	find := func(e *entry) int {
		key := groupKey{e.res, e.stream.tenant}
		if i, ok := byResult[key]; ok {
			return i
		}
		l := e.res.Labels
		if r.q.p.Categorize {
			l = e.res.Stream
		}
		l = e.stream.withTenant(l)
		hash := l.Hash()
		for _, i := range byHash[hash] {
			if labels.Equal(streams[i].Labels, l) {
				byResult[key] = i
				return i
			}
		}
		i := len(streams)
		streams = append(streams, LogStream{Labels: l})
		byHash[hash] = append(byHash[hash], i)
		byResult[key] = i
		return i
	}
	for i := range entries {
		e := &entries[i]
		s := &streams[find(e)]
		out := LogEntry{Timestamp: e.ts, Line: e.line}
		if r.q.p.Categorize {
			out.Metadata, out.Parsed = e.res.Metadata, e.res.Parsed
		}
		if r.q.p.Origins {
			out.Origin = Origin{Stream: e.stream.labels, Tenant: e.stream.tenant, Rank: i}
		}
		s.Entries = append(s.Entries, out)
	}
	r.q.acct.returned = int64(len(entries))
	slices.SortFunc(streams, func(a, b LogStream) int { return labels.Compare(a.Labels, b.Labels) })
	return streams
}
