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

	"logstore/pkg/chunk"
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

// tally counts the entries of one stream per step.
type tally struct {
	interval model.Interval
	step     int64
	bytes    []int64
	entries  int64
	pairs    []model.Pair
	// limits bound what all tallies of a request read.
	limits engine.Limits
	// sized counts the pieces that were taken from the index, opened those that were read; seen are the windows in which
	// pieces of the first kind were met.
	sized, opened int64
	seen          map[int64]bool
}

// streams returns how often the stream counts: once, and in what an index says once a window.
func (t *tally) streams() int64 {
	n := int64(len(t.seen))
	if t.opened > 0 || n == 0 {
		n++
	}
	return n
}

func newTally(interval model.Interval, step int64) *tally {
	n := int64(1)
	if step > 0 {
		n = max(1, (interval.End-interval.Start+step-1)/step)
	}
	return &tally{interval: interval, step: step, bytes: make([]int64, n)}
}

// at returns the step of an instant within the interval.
func (t *tally) at(ts int64) int64 {
	if t.step <= 0 {
		return 0
	}
	return (ts - t.interval.Start) / t.step
}

func (t *tally) add(ts int64, size int) {
	if t.interval.Contains(ts) {
		t.bytes[t.at(ts)] += int64(size)
		t.entries++
	}
}

// block counts a block whose entries stand in no other. If it lies in one step and has no metadata, its table of contents
// is enough.
func (t *tally) block(blk *chunk.Block) error {
	if !t.interval.Overlaps(blk.MinTime, blk.MaxTime) {
		return nil
	}
	if blk.Symbols == nil && t.interval.Contains(blk.MinTime) && t.interval.Contains(blk.MaxTime) && t.at(blk.MinTime) == t.at(blk.MaxTime) && blk.Size > 0 {
		t.bytes[t.at(blk.MinTime)] += int64(blk.Size)
		t.entries += int64(blk.Entries)
		return nil
	}
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	if err := b.Load(blk); err != nil {
		return err
	}
	if err := t.read(len(b.Buf)); err != nil {
		return err
	}
	if err := b.Walk(); err != nil {
		return err
	}
	for i, ts := range b.Ts {
		size := int(b.End[i] - b.Start[i])
		if b.Meta != nil {
			t.pairs = b.Metadata(i, t.pairs[:0])
			size += pairsSize(t.pairs)
		}
		t.add(ts, size)
	}
	return nil
}

// read counts bytes that were decompressed.
func (t *tally) read(n int) error {
	if t.limits.Budget == nil {
		return nil
	}
	return t.limits.Budget.Read(int64(n), t.limits)
}

func pairsSize(pairs []model.Pair) int {
	n := 0
	for _, p := range pairs {
		n += len(p.Name) + len(p.Value)
	}
	return n
}

// empty reports whether nothing of the stream is in the interval.
func (t *tally) empty() bool { return t.entries == 0 && t.sized == 0 }

// stream counts a stream, each entry once.
func (t *tally) stream(ctx context.Context, s *logql.Stream) error {
	pieces := make([]logql.Piece, 0, len(s.Pieces))
	for _, p := range s.Pieces {
		if !t.takeSized(p) {
			pieces = append(pieces, p)
		}
	}
	t.opened = int64(len(pieces))
	slices.SortStableFunc(pieces, func(a, b logql.Piece) int {
		x, _ := a.Bounds()
		y, _ := b.Bounds()
		return cmp.Compare(x, y)
	})
	for len(pieces) > 0 {
		n := overlapping(pieces)
		if err := t.run(ctx, pieces[:n]); err != nil {
			return err
		}
		pieces = pieces[n:]
	}
	return nil
}

// kibibytes rounds a stream's size to whole KiB, as Loki's index counts them; smaller sizes stay as they are, lest a small
// stream vanish.
func kibibytes(n int64) int64 {
	if n < 1024 {
		return n
	}
	return (n + 512) / 1024 * 1024
}

// overlapping returns how many pieces, from the first on, hang together in time.
func overlapping(pieces []logql.Piece) int {
	_, last := pieces[0].Bounds()
	for n := 1; n < len(pieces); n++ {
		first, through := pieces[n].Bounds()
		if first > last {
			return n
		}
		last = max(last, through)
	}
	return len(pieces)
}

// run counts pieces that may share entries. Alone, a piece is counted block by block.
func (t *tally) run(ctx context.Context, pieces []logql.Piece) error {
	chunks := make([]*chunk.Chunk, 0, len(pieces))
	for _, p := range pieces {
		if first, last := p.Bounds(); !t.interval.Overlaps(first, last) {
			continue
		}
		c, err := p.Open(ctx)
		if err != nil {
			return err
		}
		chunks = append(chunks, c)
	}
	if len(chunks) == 1 && chunks[0].Ordered() {
		for i := range chunks[0].Blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := t.block(&chunks[0].Blocks[i]); err != nil {
				return err
			}
		}
		return nil
	}
	it := chunk.Iterate(chunks...)
	defer it.Close()
	for it.Next() {
		size := len(it.Line()) + pairsSize(it.Metadata())
		if err := t.read(size); err != nil {
			return err
		}
		t.add(it.Timestamp(), size)
	}
	return it.Err()
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if lim.QueryTimeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, lim.QueryTimeout, ErrTimeout)
		defer cancel()
	}
	req := &request{q: q, ctx: ctx, ids: ids, lim: lim, engine: q.engineLimits(lim)}
	req.engine.Budget = &engine.Budget{}
	release, err := req.turn(ctx)
	if err != nil {
		return explain(ctx, err, lim)
	}
	defer release()
	streams, err := q.sourceOf(ids).Select(ctx, logql.Selection{Matchers: r.Matchers, Interval: r.Interval})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(q.cfg.MaxConcurrent)
	for i := range streams {
		g.Go(func() error {
			t := newTally(r.Interval, r.Step)
			t.limits = req.engine
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
