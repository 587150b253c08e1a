package engine

import (
	"context"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/model"
)

// scan is a range aggregation under way.
type scan struct {
	q       *query
	plan    *rangePlan
	buckets *buckets
	skip    skipping
}

// opened is a piece that is being opened.
type opened struct {
	stream *stream
	// next is the first instant of the stream's next piece; the largest one if there is none that may share an instant with those up to
	// this one.
	next  int64
	done  chan struct{}
	spans []span
	err   error
}

// maxBatched is how many entries of small blocks go to a worker at once.
const maxBatched = 4096

// run reads all that the plan needs and returns the series of all workers.
func (s *scan) run(ctx context.Context) (*seriesSet, error) {
	first, last := s.buckets.span()
	s.skip = newSkipping(s.plan, s.buckets)
	streams, err := s.q.selectStreams(ctx, s.plan.agg.Query.Matchers, model.Interval{Start: first, End: last + 1}, s.buckets.touches)
	if err != nil {
		return nil, err
	}
	counted := newWorker(s)
	if streams, err = s.count(ctx, counted, streams); err != nil || len(streams) == 0 {
		return &counted.series, err
	}
	set, err := s.read(ctx, streams)
	if err != nil {
		return nil, err
	}
	return set, s.q.acct.hold(set.merge(&counted.series))
}

// read reads the pieces of streams and returns the series of all workers.
func (s *scan) read(ctx context.Context, streams []*stream) (*seriesSet, error) {
	g, ctx := errgroup.WithContext(ctx)
	openings := make(chan *opened, s.q.openers)
	tasks := make(chan []task, 2*s.q.workers)
	workers := make([]*worker, s.q.workers)
	g.Go(func() error {
		defer close(openings)
		return s.open(ctx, g, streams, openings)
	})
	g.Go(func() error {
		defer close(tasks)
		return s.assemble(ctx, openings, tasks)
	})
	for i := range workers {
		w := newWorker(s)
		workers[i] = w
		g.Go(func() error { return w.run(ctx, tasks) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	set := &workers[0].series
	for _, w := range workers[1:] {
		if err := s.q.acct.hold(set.merge(&w.series)); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// atHand is the channel of pieces that were open at once.
var atHand = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// open begins to open pieces. The channel's length bounds those that are open and not yet assembled. Where outlines spare something, all
// streams' pieces of a day come before those of the next: what describes the pieces of a day may lie together, and is read once if memory
// holds that of a day or two.
func (s *scan) open(ctx context.Context, g *errgroup.Group, streams []*stream, openings chan<- *opened) error {
	const never = int64(math.MaxInt64)
	day, from := never, make([]int, len(streams))
	if s.skip.columns || s.skip.filters {
		day = math.MinInt64
	}
	for {
		upcoming := never
		for i, st := range streams {
			to := stretch(st.pieces, from[i], day)
			if err := s.openStretch(ctx, g, st, st.pieces[from[i]:to], openings); err != nil {
				return err
			}
			if from[i] = to; to < len(st.pieces) {
				upcoming = min(upcoming, dayOf(st.pieces[to].first))
			}
		}
		if upcoming == never {
			return nil
		}
		day = upcoming
	}
}

// dayOf returns a number of the day of an instant. Later days have larger ones.
func dayOf(ts int64) int64 { return ts / int64(24*time.Hour) }

// stretch returns the end of the pieces, in order and from one on, that begin on a day or before, and of those behind them that share an
// instant with such a one: the ones that are left have nothing in common with these.
func stretch(pieces []piece, from int, day int64) int {
	last := int64(math.MinInt64)
	to := from
	for ; to < len(pieces) && (dayOf(pieces[to].first) <= day || pieces[to].first <= last); to++ {
		last = max(last, pieces[to].last)
	}
	return to
}

// openStretch begins to open pieces of a stream that share no instant with its others. What memory answers gets no goroutine: in most
// queries of recent data that is nearly all.
func (s *scan) openStretch(ctx context.Context, g *errgroup.Group, st *stream, pieces []piece, openings chan<- *opened) error {
	shared := sharedSpans(pieces)
	for i := range pieces {
		o := &opened{stream: st, next: math.MaxInt64, done: atHand}
		if i+1 < len(pieces) {
			o.next = pieces[i+1].first
		}
		read := s.begin(o, &pieces[i], shared)
		if read != nil {
			o.done = make(chan struct{})
		}
		select {
		case openings <- o:
		case <-ctx.Done():
			return ctx.Err()
		}
		if read != nil {
			g.Go(func() error {
				defer close(o.done)
				o.spans, o.err = read(ctx)
				return o.err
			})
		}
	}
	return nil
}

// begin opens a piece if memory answers it. Else it returns what is left to do, which may fetch.
func (s *scan) begin(o *opened, p *piece, shared []closedSpan) func(context.Context) ([]span, error) {
	outline := s.remembered(p)
	if outline == nil {
		return func(ctx context.Context) ([]span, error) { return s.openPiece(ctx, o.stream, *p, shared) }
	}
	described, wanted := s.choose(o.stream, outline, shared)
	if len(wanted) == 0 {
		o.spans = described
		return nil
	}
	return func(ctx context.Context) ([]span, error) { return s.readBlocks(ctx, outline, described, wanted) }
}

// assemble makes tasks of what was opened.
func (s *scan) assemble(ctx context.Context, openings <-chan *opened, tasks chan<- []task) error {
	var batch []task
	entries := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		select {
		case tasks <- batch:
			batch, entries = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	emit := func(t task) error {
		batch = append(batch, t)
		for i := range t.blocks {
			entries += t.blocks[i].entries()
		}
		if entries >= maxBatched || len(batch) >= maxBatched/16 {
			return flush()
		}
		return nil
	}
	var a *assembler
	for o := range openings {
		select {
		case <-o.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if o.err != nil {
			return o.err
		}
		s.q.acct.chunks.Add(1)
		if a == nil || a.stream != o.stream {
			a = &assembler{stream: o.stream, low: math.MinInt64}
		}
		a.add(o.spans)
		if err := a.advance(o.next, emit); err != nil {
			return err
		}
	}
	return flush()
}

// evaluate makes a matrix of the windows of the series.
func (s *scan) evaluate(set *seriesSet) (*matrix, error) {
	all := set.list
	if keyed := set.byKey.list(); len(keyed) > 0 {
		all = slices.Concat(all, keyed)
	}
	m := newMatrix(len(s.buckets.from))
	cells := len(all) * m.steps
	if err := s.q.acct.hold(int64(cells) * columnBytes); err != nil {
		return nil, err
	}
	// One piece of memory for all columns: there may be very many of few steps.
	columns, values, has := make([]column, len(all)), make([]float64, cells), make([]bool, cells)
	m.columns = make([]*column, 0, len(all))
	for i, series := range all {
		c := &columns[i]
		c.values, values = values[:m.steps:m.steps], values[m.steps:]
		c.has, has = has[:m.steps:m.steps], has[m.steps:]
		series.store.evaluate(s.buckets, c.values, c.has)
		if !slices.Contains(c.has, true) {
			continue
		}
		if s.plan.scale != 1 {
			for k := range c.values {
				c.values[k] *= s.plan.scale
			}
		}
		c.labels = series.labels
		if series.key != "" {
			c.labels = s.plan.pipe.GroupLabels([]byte(series.key))
		}
		m.columns = append(m.columns, c)
	}
	return m, nil
}
