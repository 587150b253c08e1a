package querier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"logstore/pkg/cache"
	"logstore/pkg/changes"
	"logstore/pkg/decbuf"
	"logstore/pkg/limits"
	"logstore/pkg/logql/engine"
	"logstore/pkg/model"
	"logstore/pkg/trace"
)

// extent is what is known of a stretch of time of one query: the series of a metric query at the steps from first to last, or
// that a log query has no line in [first, last]. It holds as long as digest is that of the data it was made of.
type extent struct {
	first, last int64
	digest      uint64
	series      engine.Matrix
}

// maxExtents bounds the extents of one key; beyond it the oldest are given up.
const maxExtents = 16

// extentsVersion is the first byte of encoded extents.
const extentsVersion = 1

// appendExtents encodes extents; empty ones of log queries have no series.
func appendExtents(b []byte, list []extent) []byte {
	b = append(b, extentsVersion)
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		e := &list[i]
		b = binary.AppendVarint(b, e.first)
		b = binary.AppendVarint(b, e.last-e.first)
		b = binary.LittleEndian.AppendUint64(b, e.digest)
		b = appendSeries(b, e.series)
	}
	return b
}

// decodeExtents returns nothing for what is not encoded extents.
func decodeExtents(b []byte) []extent {
	if len(b) == 0 || b[0] != extentsVersion {
		return nil
	}
	d := decoderOf(b[1:])
	n := d.Count(11)
	list := make([]extent, 0, n)
	for range n {
		e := extent{first: d.Varint()}
		e.last = e.first + d.Varint()
		e.digest = d.Le64()
		e.series = d.series()
		list = append(list, e)
	}
	if !d.Whole() {
		return nil
	}
	return list
}

// kept is the cache of results as one query sees it. A nil kept has nothing and keeps nothing.
type kept struct {
	cache cache.Cache
	stats *engine.CacheStats
	view  *changes.View
	// before and ahead are how far behind and before an extent the data of it lie.
	before, ahead int64
	// key identifies everything that the result depends on besides the data and the time.
	key []byte
	// oldest and newest bound the data that results may be kept of: what retention may remove, and what is too fresh.
	oldest, newest int64
}

// openKept prepares the use of the cache for a query over data in span. It returns nil if results cannot be kept: there is
// no cache, or not everybody says what was written.
func (r *request) openKept(c cache.Cache, span model.Interval, freshness time.Duration, parts ...string) *kept {
	if c == nil || r.q.deps.Changes == nil || r.noCache || span.End <= span.Start {
		return nil
	}
	if _, nothing := c.(cache.Nothing); nothing {
		return nil
	}
	var states []changes.State
	for _, id := range r.ids {
		of, err := r.q.deps.Changes(r.ctx, id, span)
		if err != nil {
			return nil
		}
		states = append(states, of...)
	}
	h := sha256.New()
	add := func(s string) { _, _ = h.Write(decbuf.AppendString(nil, s)) } // a hash takes everything
	for _, id := range r.ids {
		add(id)
		if r.q.deps.Generation != nil {
			add(r.q.deps.Generation(id))
		}
	}
	add(limitsKey(r.lim))
	for _, p := range parts {
		add(p)
	}
	now := r.q.now()
	k := &kept{
		cache: c, stats: &r.stats.Results, view: changes.NewView(states...), key: h.Sum(nil),
		oldest: minInt, newest: now.Add(-freshness).UnixNano(),
	}
	if period := shortestRetention(r.lim); period > 0 {
		// An hour more: the compactor's clock, and the time between its rounds.
		k.oldest = now.Add(time.Hour - period).UnixNano()
	}
	return k
}

const minInt = -1 << 63

// limitsKey is different for limits under which a query may have another answer.
func limitsKey(l *limits.Limits) string {
	b := binary.AppendVarint(nil, int64(l.MaxQuerySeries))
	b = binary.AppendVarint(b, int64(l.MaxEntriesLimitPerQuery))
	b = binary.AppendVarint(b, int64(l.MaxQueryLookback))
	b = binary.AppendVarint(b, int64(l.VolumeMaxSeries))
	return string(b)
}

// shortestRetention returns the least of a tenant's retention periods; zero if nothing is removed.
func shortestRetention(l *limits.Limits) time.Duration {
	least := l.RetentionPeriod
	for _, s := range l.RetentionStream {
		least = smaller(least, s.Period)
	}
	return least
}

// keyOf returns the key of a split in the cache.
func (k *kept) keyOf(number int64) string {
	return string(binary.BigEndian.AppendUint64(slices.Clone(k.key), uint64(number)))
}

// digest returns that of the data that an extent is made of.
func (k *kept) digest(first, last int64) uint64 { return k.view.Digest(first-k.before, last+k.ahead) }

// load returns the extents of each split that still hold, ascending in time.
func (k *kept) load(ctx context.Context, numbers []int64) [][]extent {
	out := make([][]extent, len(numbers))
	if k == nil || len(numbers) == 0 {
		return out
	}
	keys := make([]string, len(numbers))
	for i, n := range numbers {
		keys[i] = k.keyOf(n)
	}
	ctx, span := trace.Start(ctx, "results cache")
	k.stats.Requests++
	k.stats.Requested += int64(len(keys))
	found := k.stats.Found
	for i, v := range k.cache.Get(ctx, keys...) {
		if v == nil {
			continue
		}
		k.stats.BytesReceived += int64(len(v))
		out[i] = slices.DeleteFunc(decodeExtents(v), func(e extent) bool {
			return e.last < e.first || k.digest(e.first, e.last) != e.digest
		})
		if len(out[i]) > 0 {
			k.stats.Found++
		}
	}
	span.Int("logstore.keys", int64(len(keys)))
	span.Int("logstore.hits", k.stats.Found-found)
	span.End(nil)
	return out
}

// store keeps the extents of a split.
func (k *kept) store(number int64, list []extent) {
	if len(list) > maxExtents {
		list = list[len(list)-maxExtents:]
	}
	value := appendExtents(nil, list)
	k.stats.Stored++
	k.stats.BytesSent += int64(len(value))
	k.cache.Put(k.keyOf(number), value)
}

// clip returns the part of an extent that may be kept: from the first to the last of the instants first, first+step, ...
// whose data are neither too old nor too fresh.
func (k *kept) clip(first, last, step int64) (from, to int64, ok bool) {
	if lack := k.oldest - (first - k.before); k.oldest != minInt && lack > 0 {
		first += (lack + step - 1) / step * step
	}
	if over := last + k.ahead - k.newest; over > 0 {
		last -= (over + step - 1) / step * step
	}
	return first, last, first <= last
}

// joinExtents sorts extents that do not overlap and joins those that are at most step apart.
func (k *kept) joinExtents(list []extent, step int64) []extent {
	slices.SortFunc(list, func(a, b extent) int { return cmp.Compare(a.first, b.first) })
	var out []extent
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) && list[j].first-list[j-1].last <= step {
			j++
		}
		e := list[i]
		if j > i+1 {
			parts := make([]matrixPart, 0, j-i)
			for _, p := range list[i:j] {
				parts = append(parts, matrixPart{first: p.first, last: p.last, series: p.series})
			}
			e = extent{first: e.first, last: list[j-1].last, series: joinMatrix(parts)}
			e.digest = k.digest(e.first, e.last)
		}
		out = append(out, e)
		i = j
	}
	return out
}
