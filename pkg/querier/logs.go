package querier

import (
	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

const hour = int64(3600e9)

// maxBatch bounds the splits of one run of a log query.
const maxBatch = 64

// logs evaluates a log query split by split in the order of its direction, until the limit is reached: at first one split, then
// two, four, and so on. Splits that the cache knows to be empty are passed over.
func (r *request) logs() (engine.Result, error) {
	query, ok := r.p.Expr.(*syntax.LogQuery)
	if !ok || r.p.End <= r.p.Start {
		return r.run(r.ctx, r.p, r.engine)
	}
	interval := splitLength(int64(r.lim.SplitQueriesByInterval))
	if r.p.Interval > 0 {
		interval = (interval + hour - 1) / hour * hour // it counts anew at each whole hour, and there alone
	}
	span := model.Interval{Start: r.p.Start, End: r.p.End}
	interval = logInterval(interval, span)
	splits := splitInterval(span, interval, r.p.Direction)
	r.stats.Splits = int64(len(splits))
	l := &logRun{request: r, splits: splits, left: r.p.Limit}
	first, last := splits[0], splits[len(splits)-1]
	l.kept = r.openKept(r.q.deps.Caches.Results, model.Interval{
		Start: min(first.number, last.number) * interval, End: (max(first.number, last.number) + 1) * interval,
	}, r.lim.MaxCacheFreshnessPerQuery, "log", query.String(), number(interval))
	return l.result()
}

// logRun is a log query under way.
type logRun struct {
	*request
	kept   *kept
	splits []timeSplit
	// left is how many entries are still wanted; zero means all.
	left  int
	parts []engine.Streams
}

func (l *logRun) result() (engine.Result, error) {
	var warnings []string
	for size := 1; len(l.splits) > 0; size = min(2*size, maxBatch) {
		batch := l.splits[:min(size, len(l.splits))]
		l.splits = l.splits[len(batch):]
		done, warned, err := l.batch(batch)
		if err != nil {
			return engine.Result{}, err
		}
		warnings = append(warnings, warned...)
		if done {
			break
		}
	}
	streams := joinLogs(l.parts)
	return engine.Result{Value: streams, Warnings: warnings}, nil
}

// batch reads some splits, which lie one behind the other, and reports whether nothing more is wanted.
func (l *logRun) batch(splits []timeSplit) (done bool, warnings []string, err error) {
	numbers := make([]int64, len(splits))
	for i, s := range splits {
		numbers[i] = s.number
	}
	known := l.kept.load(l.ctx, numbers)
	for i := 0; i < len(splits); {
		if covered(known[i], splits[i]) {
			i++
			continue
		}
		j := i + 1
		for j < len(splits) && !covered(known[j], splits[j]) {
			j++
		}
		res, err := l.stretch(splits[i:j])
		if err != nil {
			return false, nil, err
		}
		warnings = append(warnings, res.Warnings...)
		streams, _ := res.Value.(engine.Streams)
		n, bytes := countEntries(streams)
		if err := l.engine.Budget.Hold(bytes, l.engine); err != nil {
			return false, nil, err
		}
		if n > 0 {
			l.parts = append(l.parts, streams)
		}
		if l.p.Limit > 0 {
			if l.left -= n; l.left <= 0 {
				return true, warnings, nil
			}
		}
		if len(res.Warnings) == 0 {
			l.keepEmpty(splits[i:j], known[i:j], streams)
		}
		i = j
	}
	return false, warnings, nil
}

// covered reports whether a split has no line for certain.
func covered(empty []extent, s timeSplit) bool {
	for _, e := range empty {
		if e.first <= s.from && s.to-1 <= e.last {
			return true
		}
	}
	return false
}

// stretch runs the query over splits that lie one behind the other.
func (l *logRun) stretch(splits []timeSplit) (engine.Result, error) {
	p := l.p
	first, last := splits[0], splits[len(splits)-1]
	p.Start, p.End = min(first.from, last.from), max(first.to, last.to)
	p.Limit = l.left
	return l.spreadLog(l.ctx, p)
}

// keepEmpty notes which of the splits have no line at all, after they were read to their end.
func (l *logRun) keepEmpty(splits []timeSplit, known [][]extent, streams engine.Streams) {
	if l.kept == nil || l.incomplete || l.p.Interval > 0 {
		return
	}
	for i, s := range splits {
		first, last, ok := l.kept.clip(s.from, s.to-1, 1)
		if !ok || hasEntry(streams, s) {
			continue
		}
		list := withoutOverlap(known[i], first, last)
		list = append(list, extent{first: first, last: last, digest: l.kept.digest(first, last)})
		l.kept.store(s.number, l.kept.joinExtents(list, 1))
	}
}

// withoutOverlap returns the extents that have nothing in [first, last].
func withoutOverlap(list []extent, first, last int64) []extent {
	var out []extent
	for _, e := range list {
		if e.last < first || e.first > last {
			out = append(out, e)
		}
	}
	return out
}

func hasEntry(streams engine.Streams, s timeSplit) bool {
	for i := range streams {
		for j := range streams[i].Entries {
			if ts := streams[i].Entries[j].Timestamp; ts >= s.from && ts < s.to {
				return true
			}
		}
	}
	return false
}
