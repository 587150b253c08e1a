package querier

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/cache"
	"logstore/pkg/decbuf"
	"logstore/pkg/limits"
	"logstore/pkg/logql"
	"logstore/pkg/model"
)

const day = 24 * hour

// recall is a request whose answer may be in a cache: labels, series, sizes.
type recall struct {
	q    *Querier
	ids  []string
	lim  *limits.Limits
	from cache.Cache
	// freshness is how old data must be for their answer to be kept.
	freshness time.Duration
	// what says all of the request but its interval.
	what []string
}

// recall prepares the use of a cache of labels, series, statistics or volumes.
func (q *Querier) recall(ctx context.Context, c cache.Cache, what ...string) (recall, error) {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return recall{}, err
	}
	lim := q.strictest(ids)
	return recall{q: q, ids: ids, lim: lim, from: c, freshness: lim.MaxMetadataCacheFreshness, what: what}, nil
}

// recallOf answers from the cache if the answer holds, and by ask if not. Indexes know streams by the day, so an answer holds as long
// as nothing is written on its days.
func recallOf[T any](ctx context.Context, r recall, span model.Interval, c codec[T], ask func(context.Context, model.Interval) (T, error)) (T, error) {
	first, last := floorDiv(span.Start, day)*day, (floorDiv(span.End-1, day)+1)*day-1
	req := &request{q: r.q, ctx: ctx, ids: r.ids, lim: r.lim}
	k := req.openKept(r.from, model.Interval{Start: first, End: last + 1}, r.freshness, append(r.what, number(span.Start), number(span.End))...)
	if k == nil || last > k.newest || first < k.oldest {
		return ask(ctx, span)
	}
	key, digest := k.keyOf(0), k.digest(first, last)
	if v := r.from.Get(ctx, key)[0]; len(v) > 8 && binary.LittleEndian.Uint64(v) == digest {
		d := decoderOf(v[8:])
		if answer := c.decode(d); d.Whole() {
			return answer, nil
		}
	}
	fetches := &logql.Fetches{}
	answer, err := ask(logql.WithFetches(ctx, fetches), span)
	if err == nil && fetches.Missing.Load() == 0 {
		r.from.Put(key, c.append(binary.LittleEndian.AppendUint64(nil, digest), answer))
	}
	return answer, err
}

// maxPieces bounds the parts that a request for labels or series is asked in.
const maxPieces = 64

// recallParts asks for parts of the interval, so that those of the past are answered from the cache; join puts the answers
// together.
func recallParts[T any](ctx context.Context, r recall, span model.Interval, c codec[T], ask func(context.Context, model.Interval) (T, error), join func([]T) T) (T, error) {
	_, nothing := r.from.(cache.Nothing)
	if r.from == nil || nothing {
		return recallOf(ctx, r, span, c, ask)
	}
	newest := floorDiv(r.q.now().Add(-r.freshness).UnixNano(), day) * day
	parts, ok := r.metadataSplits(span)
	if !ok {
		return recallOf(ctx, r, span, c, ask)
	}
	var answers []T
	for _, s := range parts {
		// What is fresh is asked for at once, and so is a rest that only the rounding of the request's end made.
		if s.from >= newest && s.from > span.Start || span.End-s.to < int64(time.Second) {
			s.to = span.End
		}
		answer, err := recallOf(ctx, r, model.Interval{Start: s.from, End: s.to}, c, ask)
		if err != nil {
			return answer, err
		}
		answers = append(answers, answer)
		if s.to == span.End {
			break
		}
	}
	return join(answers), nil
}

// metadataSplits cuts the interval of a request for labels or series: what lies in the recent window by the interval for that, and all
// before by the other one. ok is false if it is not to be cut, or would be in too many parts.
func (r *recall) metadataSplits(span model.Interval) (parts []timeSplit, ok bool) {
	length, recent := int64(r.lim.SplitMetadataQueriesByInterval), int64(r.lim.SplitRecentMetadataQueriesByInterval)
	old, young := span, model.Interval{Start: span.End, End: span.End}
	if window := int64(r.lim.RecentMetadataQueryWindow); window > 0 && recent > 0 {
		at := floorDiv(r.q.now().UnixNano()-window, recent) * recent
		at = min(max(at, span.Start), span.End)
		old.End, young.Start = at, at
	}
	for _, part := range []struct {
		span   model.Interval
		length int64
	}{{old, length}, {young, recent}} {
		switch {
		case part.span.Empty():
		case part.length <= 0 || (part.span.End-part.span.Start)/part.length >= maxPieces:
			return nil, false
		default:
			parts = append(parts, splitInterval(part.span, part.length, model.Forward)...)
		}
	}
	return parts, len(parts) > 0
}

// codec encodes one kind of answer.
type codec[T any] struct {
	append func(b []byte, v T) []byte
	decode func(d *decoder) T
}

var stringsCodec = codec[[]string]{
	append: func(b []byte, list []string) []byte {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = decbuf.AppendString(b, s)
		}
		return b
	},
	decode: func(d *decoder) []string {
		list := make([]string, 0, d.Count(1))
		for range cap(list) {
			list = append(list, d.Text())
		}
		return list
	},
}

var seriesCodec = codec[[]labels.Labels]{
	append: func(b []byte, list []labels.Labels) []byte {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, l := range list {
			b = appendLabels(b, l)
		}
		return b
	},
	decode: func(d *decoder) []labels.Labels {
		list := make([]labels.Labels, 0, d.Count(1))
		for range cap(list) {
			list = append(list, d.labels())
		}
		return list
	},
}

var statsCodec = codec[IndexStats]{
	append: func(b []byte, s IndexStats) []byte {
		for _, n := range []int64{s.Streams, s.Chunks, s.Bytes, s.Entries} {
			b = binary.AppendVarint(b, n)
		}
		return b
	},
	decode: func(d *decoder) IndexStats {
		return IndexStats{Streams: d.Varint(), Chunks: d.Varint(), Bytes: d.Varint(), Entries: d.Varint()}
	},
}

var volumeCodec = codec[[]Volume]{
	append: func(b []byte, list []Volume) []byte {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for i := range list {
			b = appendLabels(b, list[i].Labels)
			b = binary.AppendUvarint(b, uint64(len(list[i].Bytes)))
			for _, n := range list[i].Bytes {
				b = binary.AppendVarint(b, n)
			}
		}
		return b
	},
	decode: func(d *decoder) []Volume {
		list := make([]Volume, 0, d.Count(2))
		for range cap(list) {
			v := Volume{Labels: d.labels()}
			v.Bytes = make([]int64, 0, d.Count(1))
			for range cap(v.Bytes) {
				v.Bytes = append(v.Bytes, d.Varint())
			}
			list = append(list, v)
		}
		return list
	},
}

// matchersText is equal for equal selectors.
func matchersText(matchers []*labels.Matcher) string {
	var b strings.Builder
	for _, m := range matchers {
		b.WriteString(m.String())
		b.WriteByte(0)
	}
	return b.String()
}
