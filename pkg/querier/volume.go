package querier

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
	"logstore/pkg/model"
)

// ErrVolumeDisabled is returned where the limit volume_enabled is false.
var ErrVolumeDisabled = errors.New("not found")

// VolumeRequest asks how many bytes of logs there are, by series or by label.
type VolumeRequest struct {
	Matchers []*labels.Matcher
	Interval model.Interval
	// Step divides the interval; zero means one step.
	Step int64
	// Limit bounds the elements of the answer: the largest are kept.
	Limit int
	// TargetLabels name the labels to group by; none means those of the matchers.
	TargetLabels []string
	// ByLabel adds up per label name instead of per series.
	ByLabel bool
}

// Volume is the size of one series or label.
type Volume struct {
	Labels labels.Labels
	// Bytes are lines and structured metadata, per step.
	Bytes []int64
}

// Total adds up the steps.
func (v *Volume) Total() int64 {
	n := int64(0)
	for _, b := range v.Bytes {
		n += b
	}
	return n
}

// IndexStats counts what a selector matches.
type IndexStats struct {
	Streams int64 `json:"streams"`
	Chunks  int64 `json:"chunks"`
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
}

// kibibytes rounds a stream's size to whole KiB, as Loki's index counts them; smaller sizes stay as they are, lest a small
// stream vanish.
func kibibytes(n int64) int64 {
	if n < 1024 {
		return n
	}
	return (n + 512) / 1024 * 1024
}

// count tallies every stream that matches and hands it to fn, one at a time.
func (q *Querier) count(ctx context.Context, r VolumeRequest, fn func(s *logql.Stream, t *tally)) error {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return err
	}
	lim := q.strictest(ids)
	if err := checkInterval(&r.Interval, lim, q.now()); err != nil {
		return err
	}
	// Other members keep what may still be asked of them until the context ends.
	return within(ctx, lim, func(ctx context.Context) error {
		req := &request{q: q, ctx: ctx, ids: ids, lim: lim, engine: q.engineLimits(lim)}
		req.engine.Budget = &engine.Budget{}
		release, err := req.turn(ctx)
		if err != nil {
			return err
		}
		defer release()
		streams, err := q.sourceOf(ids).Select(ctx, logql.Selection{Matchers: r.Matchers, Interval: r.Interval})
		if err != nil {
			return err
		}
		return req.tally(ctx, r, streams, fn)
	})
}

func (r *request) tally(ctx context.Context, v VolumeRequest, streams []logql.Stream, fn func(s *logql.Stream, t *tally)) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.q.cfg.MaxConcurrent)
	for i := range streams {
		g.Go(func() error {
			t := newTally(v.Interval, v.Step)
			t.limits = r.engine
			if err := t.stream(ctx, &streams[i]); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			fn(&streams[i], t)
			return nil
		})
	}
	return g.Wait()
}

// IndexStats counts streams, chunks, bytes and entries of a selector.
func (q *Querier) IndexStats(ctx context.Context, matchers []*labels.Matcher, interval model.Interval) (IndexStats, error) {
	from, err := q.recall(ctx, q.deps.Caches.Stats, "stats", matchersText(matchers))
	if err != nil {
		return IndexStats{}, err
	}
	from.freshness = from.lim.MaxStatsCacheFreshness
	return recallOf(ctx, from, interval, statsCodec, func(ctx context.Context, span model.Interval) (IndexStats, error) {
		return q.indexStats(ctx, matchers, span)
	})
}

func (q *Querier) indexStats(ctx context.Context, matchers []*labels.Matcher, interval model.Interval) (IndexStats, error) {
	var out IndexStats
	err := q.count(ctx, VolumeRequest{Matchers: matchers, Interval: interval}, func(s *logql.Stream, t *tally) {
		if t.empty() {
			return
		}
		out.Streams += t.streams()
		out.Chunks += t.opened + t.sized
		out.Entries += t.entries
		out.Bytes += kibibytes(t.bytes[0])
	})
	return out, err
}

// Volume returns sizes, the largest first.
func (q *Querier) Volume(ctx context.Context, r VolumeRequest) ([]Volume, error) {
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return nil, err
	}
	lim := q.strictest(ids)
	if !lim.VolumeEnabled {
		return nil, ErrVolumeDisabled
	}
	r.Limit = smaller(r.Limit, lim.VolumeMaxSeries)
	from, err := q.recall(ctx, q.deps.Caches.Volume, "volume", matchersText(r.Matchers), number(r.Step), number(int64(r.Limit)),
		strings.Join(r.TargetLabels, "\x00"), strconv.FormatBool(r.ByLabel))
	if err != nil {
		return nil, err
	}
	from.freshness = lim.MaxCacheFreshnessPerQuery
	return recallOf(ctx, from, r.Interval, volumeCodec, func(ctx context.Context, span model.Interval) ([]Volume, error) {
		r.Interval = span
		return q.volume(ctx, r)
	})
}

// volume returns sizes without asking a cache.
func (q *Querier) volume(ctx context.Context, r VolumeRequest) ([]Volume, error) {
	names := volumeNames(r)
	sums := map[string]*Volume{}
	err := q.count(ctx, r, func(s *logql.Stream, t *tally) {
		if t.empty() {
			return
		}
		lbs := s.Labels
		if s.Tenant != "" {
			b := labels.NewBuilder(lbs)
			b.Set(engine.TenantLabel, s.Tenant)
			lbs = b.Labels()
		}
		for _, key := range volumeKeys(lbs, names, r.ByLabel) {
			sum := sums[string(key.Bytes(nil))]
			if sum == nil {
				sum = &Volume{Labels: key, Bytes: make([]int64, len(t.bytes))}
				sums[string(key.Bytes(nil))] = sum
			}
			for i, n := range t.bytes {
				sum.Bytes[i] += kibibytes(n)
			}
		}
	})
	out := make([]Volume, 0, len(sums))
	for _, v := range sums {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b Volume) int {
		if d := cmp.Compare(b.Total(), a.Total()); d != 0 {
			return d
		}
		return labels.Compare(a.Labels, b.Labels)
	})
	if r.Limit > 0 && len(out) > r.Limit {
		out = out[:r.Limit]
	}
	return out, err
}

// volumeNames returns the labels to group by: the targets, or by series those that the selector names.
func volumeNames(r VolumeRequest) map[string]bool {
	names := map[string]bool{}
	for _, name := range r.TargetLabels {
		names[name] = true
	}
	if len(names) == 0 && !r.ByLabel {
		for _, m := range r.Matchers {
			names[m.Name] = true
		}
	}
	return names
}

// volumeKeys returns the label sets under which a stream is counted: none if it lacks one of the names. By series it is one
// set of the names; by label it is one set per name, with an empty value. No names means all labels.
func volumeKeys(lbs labels.Labels, names map[string]bool, byLabel bool) []labels.Labels {
	if !byLabel && len(names) == 0 {
		return []labels.Labels{lbs}
	}
	if !byLabel {
		b := labels.NewScratchBuilder(len(names))
		found := 0
		lbs.Range(func(l labels.Label) {
			if names[l.Name] {
				b.Add(l.Name, l.Value)
				found++
			}
		})
		if found < len(names) {
			return nil
		}
		return []labels.Labels{b.Labels()}
	}
	var keys []labels.Labels
	lbs.Range(func(l labels.Label) {
		if len(names) == 0 || names[l.Name] {
			b := labels.NewScratchBuilder(1)
			b.Add(l.Name, "")
			keys = append(keys, b.Labels())
		}
	})
	if len(names) > 0 && len(keys) < len(names) {
		return nil
	}
	return keys
}
