package engine

import (
	"context"
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/model"
)

// worker adds the entries of tasks to its own series.
type worker struct {
	*scan
	series seriesSet
	// keyed is plan.keyed.
	keyed bool
	// scarce says that the query's memory is: stores that can do with less of it do.
	scarce  bool
	bound   *binding // of the stream of the task at hand, the tasks of which come one after the other
	groups  *grouper
	batch   *chunk.Batch
	dupes   deduper
	sel     []int32
	meta    []model.Pair
	columns columnReader
	totals  []total
	// grown is memory that was taken and not yet counted; passed and pairs likewise.
	grown, passed, pairs int64
}

func newWorker(s *scan) *worker {
	return &worker{scan: s, groups: newGrouper(s.plan.group), keyed: s.plan.keyed()}
}

func (w *worker) run(ctx context.Context, tasks <-chan []task) error {
	w.batch = chunk.GetBatch()
	defer func() {
		chunk.PutBatch(w.batch)
		w.batch = nil
	}()
	for batch := range tasks {
		for _, t := range batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := w.do(ctx, t); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// flush counts what was taken since the last time.
func (w *worker) flush() error {
	w.q.acct.passed.Add(w.passed)
	w.q.acct.pairs.Add(w.pairs)
	if !w.scarce && w.q.acct.scarce(w.grown) {
		w.scarce = true
		w.shrink()
	}
	grown := w.grown
	w.grown, w.passed, w.pairs = 0, 0, 0
	return w.q.acct.hold(grown)
}

// newStore makes the store of a new series.
func (w *worker) newStore() store {
	s := w.plan.newStore(w.buckets)
	if q, ok := s.(*quantileStore); ok && w.scarce {
		w.grown += q.shrink()
	}
	return s
}

// shrink has all stores that can do with less memory do so.
func (w *worker) shrink() {
	for _, list := range [][]*rangeSeries{w.series.list, w.series.byKey.list()} {
		for _, r := range list {
			if q, ok := r.store.(*quantileStore); ok {
				w.grown += q.shrink()
			}
		}
	}
}

func (w *worker) do(ctx context.Context, t task) error {
	if w.bound == nil || w.bound.stream != t.stream {
		w.bound = &binding{stream: t.stream}
	}
	b := w.bound
	if len(t.blocks) > 1 {
		for i := range t.blocks {
			if err := t.blocks[i].read(ctx); err != nil {
				return err
			}
		}
		return w.merge(b, t)
	}
	s := t.blocks[0]
	if s.block == nil {
		if t.low < s.first && t.high >= s.last {
			if done, err := w.addDescribed(b, &s); done || err != nil {
				w.q.acct.described.Add(1)
				return err
			}
		}
		if err := s.read(ctx); err != nil {
			return err
		}
	}
	fixed := w.plan.fixed(t.stream.labels, s.block.Symbols != nil)
	whole := t.low < s.first && t.high >= s.last
	if fixed && whole && w.addUnread(b, s) {
		return nil
	}
	if ok, err := w.load(w.batch, s.block); !ok || err != nil {
		return err
	}
	from, to := clip(w.batch.Ts, t.low, t.high)
	w.q.acct.lines.Add(int64(to - from))
	w.dupes.reset()
	if fixed {
		return w.addFixed(b, from, to)
	}
	return w.addEach(b, from, to)
}

// load reads a block into the batch. It reports whether some line may pass; if not, the batch is not walked.
func (w *worker) load(batch *chunk.Batch, blk *chunk.Block) (bool, error) {
	if err := w.q.acct.load(batch, blk); err != nil {
		return false, err
	}
	if w.plan.pipe.NeedsLines() && !w.plan.pipe.MayMatch(batch) {
		w.q.acct.lines.Add(int64(blk.Entries))
		return false, nil
	}
	return true, batch.Walk()
}

// clip returns the entries with low < ts <= high.
func clip(ts []int64, low, high int64) (from, to int) {
	from, to = 0, len(ts)
	if to > 0 && low >= ts[0] {
		from = sort.Search(len(ts), func(i int) bool { return ts[i] > low })
	}
	if to > 0 && high < ts[to-1] {
		to = sort.Search(len(ts), func(i int) bool { return ts[i] > high })
	}
	return from, max(from, to)
}

// addUnread adds a block by its numbers alone, if all its entries count, fall into one bucket and cannot be stored
// twice. Live blocks are read, since they may hold repeats.
func (w *worker) addUnread(b *binding, s span) bool {
	if w.plan.pipe.NeedsLines() || !s.block.Compressed() {
		return false
	}
	j := w.buckets.index(s.first)
	if j != w.buckets.index(s.last) {
		return false
	}
	sum := float64(s.block.Entries)
	if w.plan.pipe.ValueIsLength() {
		if s.block.Size <= 0 || s.block.Symbols != nil {
			return false
		}
		sum = float64(s.block.Size)
	}
	if w.buckets.wanted(j) {
		w.passed += int64(s.block.Entries)
		w.grown += w.fixedSeries(b).sum.addCell(j, sum)
	}
	return true
}

// fixedSeries returns the series of a stream all entries of which have the same labels: what the grouping leaves of the
// stream's own.
func (w *worker) fixedSeries(b *binding) *rangeSeries {
	if b.fixed == nil {
		l := b.stream.labels
		if w.plan.group != nil {
			l = w.groups.group(l)
		}
		b.fixed = w.seriesOf(b.stream, l)
	}
	return b.fixed
}

// addFixed adds entries [from, to) of the batch, all of which have the same labels: none is run through the pipeline.
func (w *worker) addFixed(b *binding, from, to int) error {
	ts := w.batch.Ts
	filtered := w.plan.pipe.NeedsLines()
	n := to - from
	if filtered {
		w.sel = w.plan.pipe.Select(w.batch, from, to, w.sel[:0])
		n = len(w.sel)
	}
	if n == 0 {
		return nil
	}
	series := w.fixedSeries(b)
	lengths := w.plan.pipe.ValueIsLength()
	j, high := -1, int64(math.MinInt64) // the bucket, and its last instant
	sum, has := 0.0, false
	flush := func() {
		if has && w.buckets.wanted(j) {
			w.grown += series.sum.addCell(j, sum)
		}
		sum, has = 0, false
	}
	for k := range n {
		i := from + k
		if filtered {
			i = int(w.sel[k])
		}
		if ts[i] > high {
			flush()
			j, high = w.bucketAt(ts[i])
		}
		if w.dupes.repeated(w.batch, i) {
			continue
		}
		has = true
		if lengths {
			sum += float64(w.batch.End[i] - w.batch.Start[i])
		} else {
			sum++
		}
	}
	flush()
	w.passed += int64(n)
	return nil
}

// bucketAt returns the bucket of an instant and the last instant of that bucket.
func (w *worker) bucketAt(ts int64) (j int, high int64) {
	j = w.buckets.index(ts)
	if j >= w.buckets.len() {
		return j, math.MaxInt64
	}
	return j, w.buckets.bounds[j+1]
}

// addEach runs entries [from, to) of the batch through the pipeline.
func (w *worker) addEach(b *binding, from, to int) error {
	w.sel = w.plan.pipe.Select(w.batch, from, to, w.sel[:0])
	j, high := -1, int64(math.MinInt64)
	wanted := false
	for _, index := range w.sel {
		i := int(index)
		if ts := w.batch.Ts[i]; ts > high {
			j, high = w.bucketAt(ts)
			wanted = w.buckets.wanted(j)
		}
		if !wanted || w.dupes.repeated(w.batch, i) {
			continue
		}
		if err := w.addEntry(b, w.batch, i, j); err != nil {
			return err
		}
	}
	return nil
}

// addEntry runs one entry through the pipeline and adds its sample to bucket j.
func (w *worker) addEntry(b *binding, batch *chunk.Batch, i, j int) error {
	w.meta = w.meta[:0]
	if batch.Meta != nil {
		w.meta = batch.Metadata(i, w.meta)
		w.pairs += metaBytes(w.meta)
	}
	if b.pipe == nil {
		b.pipe = w.plan.pipe.ForStream(b.stream.labels)
		b.byResult = map[*pipeline.Result]*rangeSeries{}
	}
	v, series, ok, err := w.sample(b, batch.Ts[i], batch.Line(i))
	if !ok {
		return nil
	}
	if err != nil && !w.plan.absent {
		return entryError(err)
	}
	w.passed++
	if sum := series.sum; sum != nil {
		w.grown += sum.add(j, batch.Ts[i], v)
	} else {
		w.grown += series.store.add(j, batch.Ts[i], v)
	}
	return nil
}

// sample runs one entry through the pipeline and finds its series.
func (w *worker) sample(b *binding, ts int64, line []byte) (v float64, series *rangeSeries, ok bool, err error) {
	if w.keyed {
		v, key, ok, err := b.pipe.SampleKey(ts, line, w.meta)
		if !ok || err != nil {
			return 0, nil, ok, err
		}
		if b.lastKeyed == nil || string(key) != string(b.lastKey) {
			b.lastKey = append(b.lastKey[:0], key...)
			b.lastKeyed = w.seriesOfKey(key)
		}
		return v, b.lastKeyed, true, nil
	}
	v, res, ok, err := b.pipe.Sample(ts, line, w.meta)
	if !ok || err != nil && !w.plan.absent {
		return 0, nil, ok, err
	}
	if res != b.last {
		b.last, b.lastSeries = res, w.seriesOfResult(b, res)
	}
	return v, b.lastSeries, true, err
}

// seriesOfKey returns the series of a group's key.
func (w *worker) seriesOfKey(key []byte) *rangeSeries {
	series, grown := w.series.byKey.get(key, w.newStore)
	w.grown += grown
	return series
}

// seriesOfResult returns the series of a Result of the stream.
func (w *worker) seriesOfResult(b *binding, res *pipeline.Result) *rangeSeries {
	series, ok := b.byResult[res]
	if !ok {
		if len(b.byResult) >= maxRemembered {
			clear(b.byResult)
		}
		series = w.seriesOf(b.stream, res.Labels)
		b.byResult[res] = series
	}
	return series
}

// seriesOf returns the series that entries of the stream with the labels belong to.
func (w *worker) seriesOf(s *stream, l labels.Labels) *rangeSeries {
	if w.plan.keepsTenant() {
		l = s.withTenant(l)
	}
	series, grown := w.series.get(l, w.newStore)
	w.grown += grown
	return series
}
