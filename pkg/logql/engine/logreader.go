package engine

import (
	"context"
	"slices"
	"sort"

	"logstore/pkg/chunk"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/model"
)

// logReader reads blocks for a log query, one at a time.
type logReader struct {
	run     *logRun
	batch   *chunk.Batch
	bound   bindings[*pipeline.Stream]
	dupes   deduper
	sel     []int32
	meta    []model.Pair
	entries []entry
	// seen is how many entries of the last block were looked at. The one at which reading stopped does not count: it may not have been
	// refused by the query.
	seen int
}

func newLogReader(run *logRun) *logReader { return &logReader{run: run} }

// firstRun is how many entries are filtered at once at first, and maxRun later: a query of few entries should not filter
// a whole block for its newest lines.
const (
	firstRun = 256
	maxRun   = 8192
)

// read returns the entries of the block that pass, in order, as far as they may be wanted. The slice is the reader's own.
func (r *logReader) read(ctx context.Context, item logItem) ([]entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.seen = 0
	r.batch = chunk.GetBatch()
	defer func() {
		chunk.PutBatch(r.batch)
		r.batch = nil
	}()
	acct := &r.run.q.acct
	if err := acct.load(r.batch, item.block); err != nil {
		return nil, err
	}
	if !r.run.pipe.MayMatch(r.batch) {
		acct.lines.Add(int64(item.block.Entries))
		r.seen = item.block.Entries
		return nil, nil
	}
	if err := r.batch.Walk(); err != nil {
		return nil, err
	}
	from, to := r.bounds(r.batch.Ts)
	acct.lines.Add(int64(to - from))
	r.entries = r.entries[:0]
	r.dupes.reset()
	limit := r.run.collector.perBlock()
	backward := model.Direction(r.run.order) == model.Backward
	for n := firstRun; from < to && len(r.entries) < limit; n = min(2*n, maxRun) {
		low, high := from, min(from+n, to)
		if backward {
			low, high = max(to-n, from), to
		}
		r.sel = r.run.pipe.Select(r.batch, low, high, r.sel[:0])
		if backward {
			slices.Reverse(r.sel)
			to = low
		} else {
			from = high
		}
		if stopped := r.take(item, limit); stopped >= 0 {
			if backward {
				low = stopped + 1
			} else {
				high = stopped
			}
			r.seen += high - low
			break
		}
		r.seen += high - low
	}
	acct.passed.Add(int64(len(r.entries)))
	return r.entries, nil
}

// bounds returns the entries [from, to) within the query's span and not behind the threshold.
func (r *logReader) bounds(ts []int64) (from, to int) {
	span, threshold := r.run.span, r.run.collector.threshold()
	from = sort.Search(len(ts), func(i int) bool { return ts[i] >= span.Start })
	to = sort.Search(len(ts), func(i int) bool { return ts[i] >= span.End })
	if model.Direction(r.run.order) == model.Forward {
		to = min(to, sort.Search(len(ts), func(i int) bool { return ts[i] > threshold }))
	} else {
		from = max(from, sort.Search(len(ts), func(i int) bool { return ts[i] >= threshold }))
	}
	return from, to
}

// take runs the pipeline on the selected entries. It returns the index of the one at which it stopped, as no more are wanted, or -1.
func (r *logReader) take(item logItem, limit int) (stopped int) {
	if len(r.sel) == 0 {
		return -1
	}
	bound := r.bound.get(item.stream, func() *pipeline.Stream { return r.run.pipe.ForStream(item.stream.labels) })
	threshold := r.run.collector.threshold()
	for _, index := range r.sel {
		i := int(index)
		ts := r.batch.Ts[i]
		if r.run.order.better(threshold, ts) {
			return i
		}
		if r.dupes.repeated(r.batch, i) {
			continue
		}
		r.meta = r.meta[:0]
		if r.batch.Meta != nil {
			r.meta = r.batch.Metadata(i, r.meta)
			r.run.q.acct.pairs.Add(metaBytes(r.meta))
		}
		line, res, ok := bound.Process(ts, r.batch.Line(i), r.meta)
		if !ok {
			continue
		}
		r.entries = append(r.entries, entry{
			stream: item.stream, ts: ts, place: place{item.block.MinTime, i},
			hash: r.dupes.hash(entryRef{r.batch, i}), line: string(line), res: res,
		})
		if len(r.entries) == limit {
			return i
		}
	}
	return -1
}
