package querier

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"logstore/pkg/logql"
	"logstore/pkg/logql/engine"
)

// Peers are the other members, which run parts of large queries. Any of them can run any part, as each asks all members for their
// recent logs and the bucket for the rest.
type Peers struct {
	// List returns those that are up; nil means that there never are any.
	List func() []string
	// Call has a member run a part: its querier's Serve answers.
	Call func(ctx context.Context, member string, req []byte) ([]byte, error)
	// Recent and Stored tell how much there is to read, without a call to anyone: the own memory, and the bucket's index.
	Recent, Stored logql.Source
	// Copies is how many members have each recent entry.
	Copies int
	// TSDB reports whether the index of an instant is of that kind, to which tsdb_max_query_parallelism applies.
	TSDB func(at int64) bool
}

// own is the seat of this process.
const own = ""

// spread is where the parts of one query run: a seat is a member that runs one part at a time, and takes the next when it is done.
// One that fails leaves; this process never does.
type spread struct {
	seats chan string
	// size is how many seats there were at first, and sharded says whether shards may be made.
	size    int
	sharded bool
}

// openSpread returns where the query's parts may run, or nil if that is only here.
func (r *request) openSpread() *spread {
	if r.q.deps.Peers.List == nil {
		return nil
	}
	members := r.q.deps.Peers.List()
	lim := r.lim
	if size := len(members) + 1; lim.MaxQueriersPerTenant > 0 || lim.MaxQueryCapacity > 0 {
		most := smaller(lim.MaxQueriersPerTenant, int(math.Ceil(lim.MaxQueryCapacity*float64(size))))
		members = nearest(strings.Join(r.ids, "|"), members, most-1)
	} else {
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	parallel := lim.MaxQueryParallelism
	if tsdb := r.q.deps.Peers.TSDB; tsdb != nil && tsdb(r.p.End) {
		parallel = lim.TSDBMaxQueryParallelism
	}
	if parallel > 0 {
		members = members[:min(len(members), parallel-1)]
	}
	if len(members) == 0 {
		return nil
	}
	s := &spread{size: len(members) + 1, seats: make(chan string, len(members)+1), sharded: r.q.cfg.Shards}
	if back := lim.MinShardingLookback; back > 0 && r.p.End > r.q.now().Add(-back).UnixNano() {
		s.sharded = false
	}
	s.seats <- own
	for _, m := range members {
		s.seats <- m
	}
	return s
}

// nearest returns n of the members, as the same tenant finds them each time.
func nearest(tenant string, members []string, n int) []string {
	distance := func(member string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(tenant + "\x00" + member)) // never fails
		return h.Sum64()
	}
	slices.SortFunc(members, func(a, b string) int { return cmp.Compare(distance(a), distance(b)) })
	return members[:max(0, min(n, len(members)))]
}

// part runs a part of the query where there is a seat. A part that fails elsewhere is run again on another member, and at last
// here; parts change nothing, so that it does not matter how far it came.
func (r *request) part(ctx context.Context, p engine.Params, lim engine.Limits) (engine.Result, error) {
	if r.spread == nil {
		return r.run(ctx, p, lim)
	}
	for {
		if err := ctx.Err(); err != nil {
			return engine.Result{}, err
		}
		var seat string
		select {
		case seat = <-r.spread.seats:
		case <-ctx.Done():
			return engine.Result{}, ctx.Err()
		}
		if seat == own {
			res, err := r.run(ctx, p, lim)
			r.spread.seats <- own
			return res, err
		}
		res, err := r.callOut(ctx, seat, p, lim)
		if err == nil || ctx.Err() != nil || engine.IsBadQuery(err) {
			r.spread.seats <- seat
			return res, err
		}
		r.q.metrics.subqueries.WithLabelValues("failed").Inc()
		r.q.logger.LogAttrs(ctx, slog.LevelWarn, "a member did not run its part of a query; another one does", slog.String("member", seat), slog.Any("err", err))
	}
}

// errAnswer is wrapped by the error for an answer that cannot be read.
var errAnswer = errors.New("cannot read the answer to a part of a query")

// callOut has a member run a part.
func (r *request) callOut(ctx context.Context, member string, p engine.Params, lim engine.Limits) (engine.Result, error) {
	if lim.MaxBytesRead > 0 {
		lim.MaxBytesRead = max(1, lim.MaxBytesRead-r.engine.Budget.BytesRead())
	}
	answer, err := r.q.deps.Peers.Call(ctx, member, appendSubquery(nil, &p, lim))
	if err != nil {
		return engine.Result{}, err
	}
	a, err := decodeAnswer(answer)
	if err != nil {
		return engine.Result{}, err
	}
	r.q.metrics.subqueries.WithLabelValues("remote").Inc()
	r.mu.Lock()
	r.stats.Add(a.result.Stats)
	r.incomplete = r.incomplete || a.incomplete
	r.mu.Unlock()
	if a.failed != nil {
		return engine.Result{}, a.failed
	}
	return a.result, r.engine.Budget.Read(a.result.Stats.BytesProcessed, r.engine)
}

// Serve runs a part of a query of another member, for the tenant or tenants of the context, when it is its turn here.
func (q *Querier) Serve(ctx context.Context, req []byte) ([]byte, error) {
	p, lim, err := decodeSubquery(req)
	if err != nil {
		return nil, err
	}
	ids, err := q.tenantIDs(ctx)
	if err != nil {
		return nil, err
	}
	r := &request{q: q, ctx: ctx, ids: ids, lim: q.strictest(ids), p: p, src: q.sourceOf(ids), noCache: true}
	r.engine = q.engineLimits(r.lim)
	r.engine.MaxSeries, r.engine.MaxBytesRead, r.engine.Budget = lim.MaxSeries, lim.MaxBytesRead, &engine.Budget{}
	res, err := r.run(ctx, p, r.engine)
	q.metrics.subqueries.WithLabelValues("served").Inc()
	res.Stats = r.stats
	if err != nil && !engine.IsBadQuery(err) {
		return nil, err
	}
	return appendAnswer(nil, &answer{result: res, incomplete: r.incomplete, failed: err}), nil
}

// parallel is how many runs of the query may be under way, not counting their shards: with nobody to share the work, one after the
// other, so that other queries have their turn in between.
func (s *spread) parallel() int {
	if s == nil {
		return 1
	}
	return 2 * s.size
}
