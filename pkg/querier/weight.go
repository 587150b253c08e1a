package querier

import (
	"context"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"logstore/pkg/cache"
	"logstore/pkg/decbuf"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
)

// perPiece is what a piece cost in queries so far: bytes, as a moving average. Zero means that it is not known yet.
type perPiece struct{ bytes atomic.Int64 }

// firstGuess is the bytes that a piece is taken for before anything is known.
const firstGuess = 1 << 20

func (p *perPiece) get() float64 {
	if n := p.bytes.Load(); n > 0 {
		return float64(n)
	}
	return firstGuess
}

// learn takes note of what pieces cost.
func (p *perPiece) learn(bytes int64, pieces float64) {
	if pieces < 1 {
		return
	}
	seen := float64(bytes) / pieces
	if old := p.bytes.Load(); old > 0 {
		seen = float64(old) + (seen-float64(old))/8
	}
	p.bytes.Store(max(1, int64(seen)))
}

// weight is about how much a query has to read.
type weight struct {
	bytes   int64
	pieces  float64
	streams int
	cost    *perPiece
}

// weigh estimates how much of some logs must be read, from what is known here: an answer that is far off costs time and nothing else.
func (r *request) weigh(ctx context.Context, sel logql.Selection, plain bool) weight {
	peers := &r.q.deps.Peers
	w := weight{cost: &r.q.costs[0]}
	if plain {
		w.cost = &r.q.costs[1]
	}
	if peers.Recent != nil {
		// Each of the others has as much.
		pieces, streams := r.countPieces(ctx, peers.Recent, sel)
		w.pieces = pieces * float64(r.spread.size) / float64(max(1, min(peers.Copies, r.spread.size)))
		w.streams = streams
	}
	if peers.Stored != nil {
		pieces, streams := r.storedPieces(ctx, sel)
		w.pieces += pieces
		w.streams = max(w.streams, streams)
	}
	w.bytes = int64(w.pieces * w.cost.get())
	return w
}

// countPieces returns how many pieces a source has, those that reach beyond the interval in part, and how many streams.
func (r *request) countPieces(ctx context.Context, src logql.Source, sel logql.Selection) (pieces float64, streams int) {
	if len(r.ids) > 1 {
		src = tenants{source: src, ids: r.ids}
	}
	found, err := src.Select(ctx, sel)
	if err != nil {
		return 0, 0 // the query will say so
	}
	for i := range found {
		for _, p := range found[i].Pieces {
			part, _ := share(p, sel.Interval)
			pieces += part
		}
	}
	return pieces, len(found)
}

// How long an estimate holds: one of a span that index rows may still be added to for a short time, another as long as the cache has it.
const (
	youngEstimate = 5 * time.Minute
	settledAfter  = 2 * time.Hour
)

// storedPieces is countPieces of the bucket, where the cache of index queries does not know it. Estimates are of whole hours, so that
// a query finds that of another one a little earlier.
func (r *request) storedPieces(ctx context.Context, sel logql.Selection) (pieces float64, streams int) {
	stored, c := r.q.deps.Peers.Stored, r.q.deps.Caches.Index
	if _, nothing := c.(cache.Nothing); c == nil || nothing {
		return r.countPieces(ctx, stored, sel)
	}
	wide := sel
	wide.Interval.Start, wide.Interval.End = floorDiv(sel.Interval.Start, hour)*hour, -floorDiv(-sel.Interval.End, hour)*hour
	part := float64(sel.Interval.End-sel.Interval.Start) / float64(max(1, wide.Interval.End-wide.Interval.Start))
	key := decbuf.AppendString(nil, strings.Join(r.ids, "|"))
	key = decbuf.AppendString(key, matchersText(sel.Matchers))
	key = binary.BigEndian.AppendUint64(key, uint64(wide.Interval.Start))
	key = binary.BigEndian.AppendUint64(key, uint64(wide.Interval.End))
	now := r.q.now()
	if older := r.q.cfg.KeepLookupsAfter; older > 0 && wide.Interval.End > now.Add(-older).UnixNano() {
		return r.countPieces(ctx, stored, sel)
	}
	d := decoderOf(c.Get(ctx, string(key))[0])
	at := time.Unix(d.Varint(), 0)
	pieces, streams = d.Float(), int(d.Uvarint())
	settled := at.Add(-settledAfter).UnixNano() > wide.Interval.End
	if d.Whole() && (settled || now.Sub(at) < youngEstimate) {
		return pieces * part, streams
	}
	pieces, streams = r.countPieces(ctx, stored, wide)
	value := appendFloat(binary.AppendVarint(nil, now.Unix()), pieces)
	c.Put(string(key), binary.AppendUvarint(value, uint64(streams)))
	return pieces * part, streams
}

// weighMetric estimates how much a metric query has to read for the steps from start to end.
func (r *request) weighMetric(ctx context.Context, expr syntax.SampleExpr, start, end int64) weight {
	var all weight
	seen := map[string]bool{}
	syntax.Walk(expr, func(e syntax.Expr) {
		agg, ok := e.(*syntax.RangeAggregation)
		if !ok || seen[agg.String()] {
			return
		}
		seen[agg.String()] = true
		sel := logql.Selection{Matchers: agg.Query.Matchers, Interval: model.Interval{
			Start: start - int64(agg.Range) - int64(agg.Offset) + 1, End: end - int64(agg.Offset) + 1,
		}}
		w := r.weigh(ctx, sel, len(agg.Query.Stages) == 0 && agg.Unwrap == nil)
		if len(seen) == 1 {
			all = w
			return
		}
		all.cost = nil // of several kinds
		all.bytes += w.bytes
		all.streams = max(all.streams, w.streams)
	})
	return all
}

// learn takes note of what was read in the end.
func (w *weight) learn(bytes int64) {
	if w.cost != nil {
		w.cost.learn(bytes, w.pieces)
	}
}

// payingBytes is how much a part must have to read, so that it is worth being sent to a member.
const payingBytes = 32 << 20

// maxParts bounds the parts of one query.
const maxParts = 128

// parts returns how many parts a query of that weight is best cut into: so many that all members have work till the end, as long as
// it pays, and none is larger than tsdb_max_bytes_per_shard.
func (q *Querier) parts(s *spread, lim *limits.Limits, w weight) int {
	if s == nil || w.bytes <= 0 {
		return 1
	}
	paying, most := int64(payingBytes), int64(lim.TSDBMaxBytesPerShard)
	if most > 0 {
		paying = min(paying, most)
	}
	n := min(w.bytes/paying, 2*int64(s.size))
	if most > 0 {
		n = max(n, (w.bytes+most-1)/most)
	}
	return int(max(1, min(n, maxParts)))
}

// shards returns how many shards each of some runs is best cut into, so that there are parts in all.
func (s *spread) shards(parts, runs, streams int) int {
	if s == nil || !s.sharded || runs == 0 {
		return 1
	}
	return max(1, min((parts+runs-1)/runs, streams))
}
