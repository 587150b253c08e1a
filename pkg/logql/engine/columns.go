package engine

import (
	"math"
	"sort"

	"logstore/pkg/logql/pipeline"
	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// columnReader is the memory of a worker for the descriptions of blocks.
type columnReader struct {
	times   sidecar.Times
	lengths []uint64
	groups  []uint32
	series  []columnSeries
	byGroup map[uint64]uint32
}

// columnSeries is the series of the entries with the same metadata, as far as it matters; nil if they are dropped.
type columnSeries struct {
	series *rangeSeries
}

// addDescribed adds a block by its description. It reports false, having added nothing, if that cannot be decoded.
func (w *worker) addDescribed(b *binding, s *span) (bool, error) {
	aside := s.aside
	fixed := w.plan.fixed(b.stream.labels, aside.MetaBytes > 0)
	j := w.buckets.index(s.first)
	if fixed && j == w.buckets.index(s.last) {
		if w.buckets.wanted(j) {
			sum := float64(aside.Entries)
			if w.skip.lengths {
				sum = float64(aside.LineBytes)
			}
			w.passed += int64(aside.Entries)
			w.grown += w.fixedSeries(b).sum.addCell(j, sum)
		}
		return true, nil
	}
	r := &w.columns
	if !aside.Times(&r.times) {
		return false, nil
	}
	if w.skip.lengths {
		var ok bool
		if r.lengths, ok = aside.Lengths(r.lengths[:0]); !ok {
			return false, nil
		}
	}
	if fixed {
		w.addRuns(w.fixedSeries(b))
		return true, nil
	}
	ok, err := w.group(b, aside)
	if !ok || err != nil {
		return ok, err
	}
	if len(r.series) == 1 {
		if r.series[0].series != nil {
			w.addRuns(r.series[0].series)
		}
		return true, nil
	}
	w.addGroups()
	return true, nil
}

// lastTick returns the last tick at or before an instant.
func lastTick(t *sidecar.Times, instant int64) int64 { return floorDiv(instant, t.Unit) }

// addRuns adds all entries of the described block to one series, bucket by bucket.
func (w *worker) addRuns(series *rangeSeries) {
	r := &w.columns
	ticks := r.times.Ticks
	for i := 0; i < len(ticks); {
		j, end := w.tickBucket(ticks[i])
		n := len(ticks)
		if end < ticks[n-1] {
			n = i + sort.Search(n-i, func(k int) bool { return ticks[i+k] > end })
		}
		if w.buckets.wanted(j) {
			sum := float64(n - i)
			if w.skip.lengths {
				bytes := uint64(0)
				for _, l := range r.lengths[i:n] {
					bytes += l
				}
				sum = float64(bytes)
			}
			w.passed += int64(n - i)
			w.grown += series.sum.addCell(j, sum)
		}
		i = n
	}
}

// tickBucket returns the bucket of a tick and the last tick of that bucket.
func (w *worker) tickBucket(tick int64) (j int, end int64) {
	t := &w.columns.times
	j = w.buckets.index(tick * t.Unit)
	if j >= w.buckets.len() {
		return j, math.MaxInt64
	}
	return j, lastTick(t, w.buckets.bounds[j+1])
}

// addGroups adds the entries of the described block to the series of their groups.
func (w *worker) addGroups() {
	r := &w.columns
	j, end, wanted := -1, int64(math.MinInt64), false
	for i, tick := range r.times.Ticks {
		if tick > end {
			j, end = w.tickBucket(tick)
			wanted = w.buckets.wanted(j)
		}
		series := r.series[r.groups[i]].series
		if !wanted || series == nil {
			continue
		}
		v := 1.0
		if w.skip.lengths {
			v = float64(r.lengths[i])
		}
		w.passed++
		w.grown += series.sum.add(j, tick*r.times.Unit, v)
	}
}

// group finds the series of all entries of a described block: entries with the same metadata, as far as it matters, are a group. It
// reports false if the metadata is not there.
func (w *worker) group(b *binding, aside *sidecar.Block) (bool, error) {
	columns, ok := aside.Columns(w.plan.pipe.WantsMetadata)
	if !ok {
		return false, nil
	}
	r := &w.columns
	r.series, r.groups = r.series[:0], r.groups[:0]
	if len(columns) == 0 {
		s, err := w.seriesOfMetadata(b)
		r.series = append(r.series, columnSeries{s})
		return true, err
	}
	different := 1.0
	for k := range columns {
		different *= float64(len(columns[k].Values) + 1)
	}
	if different > 1<<62 {
		return false, nil
	}
	if r.byGroup == nil {
		r.byGroup = map[uint64]uint32{}
	}
	clear(r.byGroup)
	last, lastGroup := uint64(math.MaxUint64), uint32(0)
	for i := range aside.Entries {
		id := uint64(0)
		for k := range columns {
			id = id*uint64(len(columns[k].Values)+1) + columns[k].Index[i]
		}
		if id != last || i == 0 {
			g, known := r.byGroup[id]
			if !known {
				w.meta = metadataOf(w.meta[:0], columns, i)
				s, err := w.seriesOfMetadata(b, w.meta...)
				if err != nil {
					return true, err
				}
				g = uint32(len(r.series))
				r.series = append(r.series, columnSeries{s})
				r.byGroup[id] = g
			}
			last, lastGroup = id, g
		}
		r.groups = append(r.groups, lastGroup)
	}
	return true, nil
}

// metadataOf appends the metadata of entry i, by name.
func metadataOf(dst []model.Pair, columns []sidecar.Column, i int) []model.Pair {
	for k := range columns {
		if c := &columns[k]; c.Index[i] > 0 {
			dst = append(dst, model.Pair{Name: c.Name, Value: c.Values[c.Index[i]-1]})
		}
	}
	return dst
}

// seriesOfMetadata returns the series of an entry of the stream with the metadata; nil if the pipeline drops it.
func (w *worker) seriesOfMetadata(b *binding, meta ...model.Pair) (*rangeSeries, error) {
	if b.pipe == nil {
		b.pipe = w.plan.pipe.ForStream(b.stream.labels)
		b.byResult = map[*pipeline.Result]*rangeSeries{}
	}
	w.meta = meta
	_, series, ok, err := w.sample(b, 0, nil)
	if !ok {
		return nil, nil
	}
	if err != nil && !w.plan.absent {
		return nil, entryError(err)
	}
	return series, nil
}
