package querier

import (
	"time"

	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// grid is the steps of a metric range query: start, start+step, ..., n of them, in nanoseconds.
type grid struct {
	start, step int64
	n           int
}

func (g grid) at(k int) int64 { return g.start + int64(k)*g.step }

// phase is where between two multiples of the step the steps stand.
func (g grid) phase() int64 { return mod(g.start, g.step) }

// stepSplit is the steps [from, to) of a grid that lie in one split of time.
type stepSplit struct {
	number   int64
	from, to int
}

// minSteps is how many steps a split has at least: with fewer, finding them in a cache would cost more than it saves.
const minSteps = 12

// stepInterval returns the length of the splits of a metric query: interval, or so many of it that a split has enough steps.
func stepInterval(interval, step int64) int64 {
	if need := step * minSteps; need > interval {
		return (need + interval - 1) / interval * interval
	}
	return interval
}

// split cuts the grid at the multiples of the interval.
func (g grid) split(interval int64) []stepSplit {
	var out []stepSplit
	for k := 0; k < g.n; {
		number := floorDiv(g.at(k), interval)
		end := (number + 1) * interval
		next := k + int((end-g.at(k)+g.step-1)/g.step)
		next = min(next, g.n)
		out = append(out, stepSplit{number: number, from: k, to: next})
		k = next
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// reach returns how far before and behind a step a metric query looks: the entries at (t-before, t+ahead]. reads is false
// for a query that reads nothing, such as vector(1).
func reach(e syntax.Expr) (before, ahead time.Duration, reads bool) {
	syntax.Walk(e, func(e syntax.Expr) {
		if r, ok := e.(*syntax.RangeAggregation); ok {
			reads = true
			before = max(before, r.Range+r.Offset)
			ahead = max(ahead, -r.Offset)
		}
	})
	return before, ahead, reads
}

// maxSplits bounds the splits of a log query: over many years they are longer.
const maxSplits = 1024

// logInterval returns the length of the splits of a log query over a span.
func logInterval(interval int64, span model.Interval) int64 {
	for (span.End/interval - span.Start/interval) > maxSplits {
		interval *= 2
	}
	return interval
}

// timeSplit is a part [from, to) of the interval of a log query.
type timeSplit struct {
	number   int64
	from, to int64
}

// splitInterval cuts an interval at the multiples of a length, in the order of the direction.
func splitInterval(span model.Interval, length int64, d model.Direction) []timeSplit {
	var out []timeSplit
	for at := span.Start; at < span.End; {
		number := floorDiv(at, length)
		end := min((number+1)*length, span.End)
		if end <= at { // the end of time
			end = span.End
		}
		out = append(out, timeSplit{number: number, from: at, to: end})
		at = end
	}
	if d == model.Backward {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}
