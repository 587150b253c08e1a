package querier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/chunk"
	"logstore/pkg/logql"
	"logstore/pkg/ring"
	"logstore/pkg/rpc"
)

// ErrIncomplete is returned by queries to which so many members did not answer that entries may be missing.
var ErrIncomplete = errors.New("too many members did not answer")

// judgement bounds the wait for the ring to find out whether members that do not answer are dead. A query is tried again
// until then: it is answered by those that are left, or by all.
const judgement = 25 * time.Second

// Members is the recent logs of all members as one source. A query is answered as long as no more members fail than there are
// copies to spare: each entry is on as many members as the replication factor says.
type Members struct {
	deps    MembersDeps
	failed  prometheus.Counter
	missing prometheus.Counter
}

// MembersDeps are what Members work with.
type MembersDeps struct {
	// Readable appends all members that a read must ask.
	Readable func(dst []ring.Member) []ring.Member
	// Own is the source of this process, Remote that of another member.
	Own    logql.Source
	Remote func(ring.Member) logql.Source
	// Answers tells whether the member at an address answers. It waits for a moment for one that did not lately. nil: all do.
	Answers func(ctx context.Context, addr string) bool
	// ReplicationFactor is the number of members that have each entry.
	ReplicationFactor int
	Logger            *slog.Logger
	Registerer        prometheus.Registerer
}

var _ logql.Source = (*Members)(nil)

// warnIncomplete goes with the result of a query that could not ask all who may hold something.
const warnIncomplete = "more members are dead than there are copies to spare: lines that are not in the object store yet may be missing"

// NewMembers returns the source.
func NewMembers(deps MembersDeps) *Members {
	f := promauto.With(deps.Registerer)
	return &Members{
		deps: deps,
		failed: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_querier_member_failures_total", Help: "Answers that members owed to queries, which went on without them.",
		}),
		missing: f.NewCounter(prometheus.CounterOpts{
			Name: "logstore_querier_incomplete_reads_total", Help: "Queries while more members were dead than there are copies to spare.",
		}),
	}
}

// read is one query's dealings with the members.
type read struct {
	m *Members
	// spare is how many members may fail.
	spare int
	// fetches is told that the answer may not be what it would be with all members.
	fetches *logql.Fetches

	mu     sync.Mutex
	failed map[string]error
}

// fail takes note that a member failed the query. It returns an error if that is one too many.
func (r *read) fail(member string, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.failed[member]; !known {
		r.failed[member] = err
		r.fetches.Missing.Add(1)
		r.m.failed.Inc()
		r.m.deps.Logger.Warn("a member did not answer a query", "member", member, "err", err)
	}
	if len(r.failed) <= r.spare {
		return nil
	}
	return fmt.Errorf("%w: %d of them, and %d may; member %s: %w", ErrIncomplete, len(r.failed), r.spare, member, err)
}

// ask calls fn for each living member at the same time.
func (m *Members) ask(ctx context.Context, fn func(ctx context.Context, r *read, member ring.Member, src logql.Source) error) error {
	r := &read{m: m, spare: max(0, m.deps.ReplicationFactor-1), failed: map[string]error{}, fetches: logql.FetchesOf(ctx)}
	members := r.living()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, member := range members {
		src := m.deps.Own
		if !member.Self {
			src = m.deps.Remote(member)
		}
		wg.Go(func() {
			err := rpc.ErrUnreachable
			if member.Self || m.deps.Answers == nil || m.deps.Answers(ctx, member.Addr) {
				err = fn(ctx, r, member, src)
			}
			if err == nil || ctx.Err() != nil {
				return
			}
			if err := r.fail(member.ID, err); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// living returns the members to ask. Those that are dead, as the ring knows, are left out: their entries are on others, or in the
// bucket, or nowhere; but nobody else may fail then who has the only other copy.
func (r *read) living() []ring.Member {
	members := r.m.deps.Readable(nil)
	all := len(members)
	members = slices.DeleteFunc(members, func(m ring.Member) bool { return !m.Self && !m.Healthy })
	dead := all - len(members)
	if dead > r.spare {
		r.fetches.Missing.Add(1)
		r.fetches.Incomplete.Store(true)
		r.m.missing.Inc()
	}
	r.spare = max(0, r.spare-dead)
	return members
}

// Select returns the streams of all members. Pieces of equal keys are one, which is opened where it can be.
func (m *Members) Select(ctx context.Context, sel logql.Selection) ([]logql.Stream, error) {
	var mu sync.Mutex
	var lists [][]logql.Stream
	// The pieces of other members are open as long as the context of the query.
	query := ctx
	err := m.ask(ctx, func(ctx context.Context, r *read, member ring.Member, src logql.Source) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		streams, err := src.Select(query, sel)
		if err != nil {
			return err
		}
		for i := range streams {
			for k, p := range streams[i].Pieces {
				// What is in the bucket, and in this process, is not the member's to fail.
				if _, ok := p.(rpc.RefPiece); !ok && !member.Self {
					streams[i].Pieces[k] = &memberPiece{Piece: p, read: r, member: member.ID}
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		lists = append(lists, streams)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return joinStreams(lists), nil
}

// memberPiece is a piece of a member, and the same of others.
type memberPiece struct {
	logql.Piece
	read   *read
	member string
	others []logql.Piece
}

// AddOther tells where else the same entries are.
func (p *memberPiece) AddOther(other logql.Piece) { p.others = append(p.others, other) }

// Open opens the piece where it can be. If its member fails, the piece is empty as long as there are copies on others.
func (p *memberPiece) Open(ctx context.Context) (*chunk.Chunk, error) {
	c, err := p.Piece.Open(ctx)
	if err == nil || ctx.Err() != nil {
		return c, err
	}
	for _, other := range p.others {
		if c, err := other.Open(ctx); err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	if err := p.read.fail(p.member, err); err != nil {
		return nil, err
	}
	return &chunk.Chunk{}, nil
}

// LabelNames returns the names that any member knows.
func (m *Members) LabelNames(ctx context.Context, sel logql.Selection) ([]string, error) {
	return m.names(ctx, func(ctx context.Context, src logql.Source) ([]string, error) { return src.LabelNames(ctx, sel) })
}

// LabelValues returns the values that any member knows.
func (m *Members) LabelValues(ctx context.Context, name string, sel logql.Selection) ([]string, error) {
	return m.names(ctx, func(ctx context.Context, src logql.Source) ([]string, error) { return src.LabelValues(ctx, name, sel) })
}

func (m *Members) names(ctx context.Context, ask func(context.Context, logql.Source) ([]string, error)) ([]string, error) {
	var mu sync.Mutex
	all := map[string]struct{}{}
	err := m.ask(ctx, func(ctx context.Context, _ *read, _ ring.Member, src logql.Source) error {
		names, err := ask(ctx, src)
		mu.Lock()
		defer mu.Unlock()
		for _, name := range names {
			all[name] = struct{}{}
		}
		return err
	})
	return slices.Sorted(maps.Keys(all)), err
}

// Series returns the label sets that any member knows.
func (m *Members) Series(ctx context.Context, sel logql.Selection) ([]labels.Labels, error) {
	var mu sync.Mutex
	var all []labels.Labels
	err := m.ask(ctx, func(ctx context.Context, _ *read, _ ring.Member, src logql.Source) error {
		series, err := src.Series(ctx, sel)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, series...)
		return err
	})
	return distinct(all), err
}
