package querier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/logql/engine"
	"logstore/pkg/logql/pipeline"
	"logstore/pkg/logql/syntax"
	"logstore/pkg/model"
	"logstore/pkg/tenant"
	"logstore/pkg/wire"
)

const (
	// tailFrame is how many entries one frame holds.
	tailFrame = 100
	// tailQueue is how many bytes of entries may wait for a slow reader. It is far more than a reader that keeps up ever has
	// waiting, even where a single push brings many thousand lines.
	tailQueue = 8 << 20
	// waitingBytes is about what a waiting entry takes besides its line and metadata.
	waitingBytes = 160
	// maxDropped is how many dropped entries a frame names.
	maxDropped = 1000
	// tailTick is how often waiting entries are looked at: those that come together are put into the order of their times.
	tailTick = 50 * time.Millisecond
)

// ErrTailMetric is returned for a tail of a metric query.
var ErrTailMetric = errors.New("only log queries can be tailed: a metric query has no lines")

// TailRequest asks for the newest past entries of a query and for those that come in from now on.
type TailRequest struct {
	Text string
	Expr syntax.Expr
	// Start and Limit bound the past entries; live ones are not bounded.
	Start int64
	Limit int
	// Delay holds entries back so long, that late ones find their place.
	Delay time.Duration
	// Categorize keeps metadata and parsed labels apart.
	Categorize bool
}

// DroppedEntry is an entry that a slow reader missed.
type DroppedEntry struct {
	Labels    labels.Labels
	Timestamp int64
}

// TailFrame is a part of a tail: entries in the order of their times.
type TailFrame struct {
	Streams engine.Streams
	Dropped []DroppedEntry
}

// Observe has fn called for the pushes of a tenant that were stored, on any member, until cancel is called. Streams that the
// matchers do not accept may be among them, and a push comes once from each replica. fn must not block and keep nothing; it may
// be called by several goroutines.
type Observe func(tenant string, matchers []*labels.Matcher, fn func(streams []wire.Stream)) (cancel func())

// tails counts the tails of each tenant.
type tails struct {
	mu    sync.Mutex
	count map[string]int
}

func (t *tails) add(id string, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.count[id] + 1; limit > 0 && n > limit {
		return limitError("max concurrent tail requests limit exceeded, count > limit (%d > %d)", n, limit)
	}
	if t.count == nil {
		t.count = map[string]int{}
	}
	t.count[id]++
	return nil
}

func (t *tails) done(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count[id]--; t.count[id] <= 0 {
		delete(t.count, id)
	}
}

// tail is one reader.
type tail struct {
	tenant   string
	matchers []*labels.Matcher
	pipe     *pipeline.Pipeline
	request  TailRequest

	// Owned by the goroutine of Tail.
	streams map[string]*pipeline.Stream
	past    map[uint64]struct{}
	seed    maphash.Seed

	mu      sync.Mutex
	waiting []waitingEntry
	dropped []DroppedEntry
	// bytes is what the waiting entries take.
	bytes int
	// recent and older remember, in two generations, the entries that came, since each comes from all its replicas.
	recent, older map[uint64]struct{}
	// wanted remembers by a stream's text whether the selector matches it.
	wanted map[string]bool
}

// waitingEntry is a copy of a pushed entry that has yet to go through the pipeline.
type waitingEntry struct {
	labels   labels.Labels
	text     string
	ts       int64
	line     []byte
	metadata []model.Pair
	arrived  time.Time
	bytes    int
}

// Tail sends past entries and then live ones to send, one frame after the other, until ctx ends, send fails or
// querier.tail_max_duration passes. It never returns nil.
func (q *Querier) Tail(ctx context.Context, r TailRequest, send func(*TailFrame) error) error {
	id, err := tenant.ID(ctx)
	if err != nil {
		return err
	}
	query, ok := r.Expr.(*syntax.LogQuery)
	if !ok {
		return ErrTailMetric
	}
	if err := q.tails.add(id, q.limits.For(id).MaxConcurrentTailRequests); err != nil {
		return err
	}
	defer q.tails.done(id)
	pipe, err := pipeline.Build(query.Stages)
	if err != nil {
		return err
	}
	t := &tail{
		tenant: id, matchers: query.Matchers, pipe: pipe, request: r,
		streams: map[string]*pipeline.Stream{}, past: map[uint64]struct{}{}, seed: maphash.MakeSeed(), wanted: map[string]bool{},
	}
	// Live entries are gathered before the past is asked for, so that none falls between; those seen twice are dropped.
	defer q.pushes(t.tenant, t.matchers, t.observe)()
	if err := q.sendPast(ctx, t, send); err != nil {
		return err
	}
	return q.sendLive(ctx, t, send)
}

// sendPast sends the newest entries from start on, oldest first.
func (q *Querier) sendPast(ctx context.Context, t *tail, send func(*TailFrame) error) error {
	now := q.now()
	if t.request.Delay > 0 {
		now = now.Add(-t.request.Delay)
	}
	res, err := q.Query(ctx, engine.Params{
		Text: t.request.Text, Expr: t.request.Expr, Start: t.request.Start, End: max(now.UnixNano()+1, t.request.Start+1),
		Step: time.Minute, Direction: model.Backward, Limit: t.request.Limit, Categorize: t.request.Categorize,
	})
	if err != nil {
		return err
	}
	streams, _ := res.Value.(engine.Streams)
	var entries []tailEntry
	for _, s := range streams {
		for _, e := range s.Entries {
			entries = append(entries, tailEntry{labels: s.Labels, entry: e})
			t.past[t.hash(s.Labels, &e)] = struct{}{}
		}
	}
	slices.SortStableFunc(entries, func(a, b tailEntry) int { return cmp.Compare(a.entry.Timestamp, b.entry.Timestamp) })
	return sendEntries(entries, nil, send)
}

// tailEntry is an entry of the result.
type tailEntry struct {
	labels labels.Labels
	entry  engine.LogEntry
}

func (t *tail) hash(lbs labels.Labels, e *engine.LogEntry) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.Write(lbs.Bytes(nil)) // never fails
	_, _ = h.WriteString(e.Line)
	_, _ = fmt.Fprint(&h, e.Timestamp)
	for _, extra := range []labels.Labels{e.Metadata, e.Parsed} {
		_, _ = h.Write(extra.Bytes(nil))
	}
	return h.Sum64()
}

// sendEntries cuts entries into frames; the first one names what was dropped.
func sendEntries(entries []tailEntry, dropped []DroppedEntry, send func(*TailFrame) error) error {
	for len(entries) > 0 || len(dropped) > 0 {
		n := min(tailFrame, len(entries))
		f := &TailFrame{Dropped: dropped}
		for _, e := range entries[:n] {
			last := len(f.Streams) - 1
			if last >= 0 && labels.Equal(f.Streams[last].Labels, e.labels) {
				f.Streams[last].Entries = append(f.Streams[last].Entries, e.entry)
				continue
			}
			f.Streams = append(f.Streams, engine.LogStream{Labels: e.labels, Entries: []engine.LogEntry{e.entry}})
		}
		if err := send(f); err != nil {
			return err
		}
		entries, dropped = entries[n:], nil
	}
	return nil
}

// sendLive sends what has waited for long enough, again and again.
func (q *Querier) sendLive(ctx context.Context, t *tail, send func(*TailFrame) error) error {
	tick := time.NewTicker(tailTick)
	defer tick.Stop()
	var end <-chan time.Time
	if q.cfg.TailMaxDuration > 0 {
		timer := time.NewTimer(q.cfg.TailMaxDuration)
		defer timer.Stop()
		end = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return limitError("reached tail max duration limit")
		case <-tick.C:
		}
		due, dropped := t.take(time.Now().Add(-t.request.Delay))
		if err := sendEntries(t.process(due), dropped, send); err != nil {
			return err
		}
	}
}

// observe gathers the entries of matching streams. It copies them, since the request's memory is used again.
func (t *tail) observe(streams []wire.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i := range streams {
		s := &streams[i]
		if !t.wantsLocked(s) {
			continue
		}
		for j := range s.Entries {
			e := &s.Entries[j]
			if !t.pipe.MatchLine(e.Line) || t.repeatedLocked(s.Text, e) {
				continue
			}
			size := waitingBytes + len(e.Line) + pairBytes(e.Metadata)
			if t.bytes+size > tailQueue {
				if len(t.dropped) < maxDropped {
					t.dropped = append(t.dropped, DroppedEntry{Labels: s.Labels, Timestamp: e.Timestamp})
				}
				continue
			}
			t.bytes += size
			t.waiting = append(t.waiting, waitingEntry{
				labels: s.Labels, text: s.Text, ts: e.Timestamp, line: slices.Clone(e.Line), metadata: clonePairs(e.Metadata), arrived: now,
				bytes: size,
			})
		}
	}
}

func pairBytes(pairs []model.Pair) int {
	n := 0
	for _, p := range pairs {
		n += len(p.Name) + len(p.Value)
	}
	return n
}

// maxRecent is how many entries a generation remembers.
const maxRecent = 20_000

// repeatedLocked reports whether an entry came before, and remembers it.
func (t *tail) repeatedLocked(text string, e *wire.PushEntry) bool {
	var h maphash.Hash
	h.SetSeed(t.seed)
	maphash.WriteComparable(&h, e.Timestamp)
	maphash.WriteComparable(&h, text)
	maphash.WriteComparable(&h, len(e.Line))
	_, _ = h.Write(e.Line) // never fails
	for i := range e.Metadata {
		maphash.WriteComparable(&h, e.Metadata[i])
	}
	sum := h.Sum64()
	if _, ok := t.recent[sum]; ok {
		return true
	}
	if _, ok := t.older[sum]; ok {
		return true
	}
	if t.recent == nil || len(t.recent) >= maxRecent {
		t.older, t.recent = t.recent, map[uint64]struct{}{}
	}
	t.recent[sum] = struct{}{}
	return false
}

func clonePairs(pairs []model.Pair) []model.Pair {
	out := make([]model.Pair, len(pairs))
	for i, p := range pairs {
		out[i] = model.Pair{Name: string([]byte(p.Name)), Value: string([]byte(p.Value))}
	}
	return out
}

// maxWanted bounds the streams whose match is remembered.
const maxWanted = 100_000

func (t *tail) wantsLocked(s *wire.Stream) bool {
	if want, ok := t.wanted[s.Text]; ok {
		return want
	}
	want := true
	for _, m := range t.matchers {
		want = want && m.Matches(s.Labels.Get(m.Name))
	}
	if len(t.wanted) >= maxWanted {
		clear(t.wanted)
	}
	t.wanted[s.Text] = want
	return want
}

// take removes the entries that arrived before a time, in the order of their own times.
func (t *tail) take(before time.Time) ([]waitingEntry, []DroppedEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.waiting) && !t.waiting[n].arrived.After(before) {
		t.bytes -= t.waiting[n].bytes
		n++
	}
	due := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	dropped := t.dropped
	t.dropped = nil
	slices.SortStableFunc(due, func(a, b waitingEntry) int { return cmp.Compare(a.ts, b.ts) })
	return due, dropped
}

// process runs entries through the pipeline and drops those that were among the past ones.
func (t *tail) process(due []waitingEntry) []tailEntry {
	var out []tailEntry
	for i := range due {
		w := &due[i]
		s := t.streams[w.text]
		if s == nil {
			s = t.pipe.ForStream(w.labels)
			t.streams[w.text] = s
		}
		line, res, ok := s.Process(w.ts, w.line, w.metadata)
		if !ok {
			continue
		}
		e := tailEntry{labels: res.Labels, entry: engine.LogEntry{Timestamp: w.ts, Line: string(line)}}
		if t.request.Categorize {
			e.labels, e.entry.Metadata, e.entry.Parsed = res.Stream, res.Metadata, res.Parsed
		}
		if len(t.past) > 0 {
			if _, seen := t.past[t.hash(e.labels, &e.entry)]; seen {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}
