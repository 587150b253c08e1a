package distributor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/limits"
	"logstore/pkg/tenant"
	"logstore/pkg/trace"
	"logstore/pkg/wire"
)

// Ingester stores streams. When Push returns nil or a *wire.RefusedError, everything that is not refused is safe; it keeps
// nothing of the entries, whose bytes belong to the request. Streams of the same labels may come several times in a push.
type Ingester interface {
	Push(ctx context.Context, tenant string, streams []wire.Stream) error
}

// Members tells how many members share a tenant's pushes.
type Members interface {
	Healthy() int
}

// Distributor takes pushes. It is safe for concurrent use.
type Distributor struct {
	cfg      Config
	limits   *limits.Overrides
	members  Members
	ingester Ingester
	metrics  *metrics
	log      *slog.Logger
	// schema is Config.Oldest in nanoseconds.
	schema   int64
	readOnly []ReadOnly

	checkers sync.Pool
	tenants  tenants
}

// Deps are what a distributor works with.
type Deps struct {
	Limits  *limits.Overrides
	Members Members
	// Ingester is the own one, ID its name in metrics.
	Ingester Ingester
	ID       string
	// Ring and Peers are those of a member among others; nil: the own ingester takes everything.
	Ring  Ring
	Peers Peers
	// Transfer calls the same members as Peers, which then refuse nothing for its age or for limits.
	Transfer   Peers
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// New returns a distributor that hands good streams to the ingesters.
func New(cfg Config, deps Deps) (*Distributor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("distributor: %w", err)
	}
	d := &Distributor{
		cfg:      cfg,
		limits:   deps.Limits,
		members:  deps.Members,
		metrics:  newMetrics(deps.Registerer),
		log:      deps.Log,
		schema:   cfg.schema(),
		readOnly: cfg.ReadOnly,
		checkers: sync.Pool{New: func() any { return new(checker) }},
		tenants:  tenants{byID: map[string]*tenantState{}},
	}
	d.ingester = &single{Ingester: deps.Ingester, id: deps.ID, metrics: d.metrics}
	if deps.Ring != nil {
		d.ingester = &replicas{
			factor: cfg.ReplicationFactor, timeout: cfg.RemoteTimeout, ring: deps.Ring, peers: deps.Peers, transfer: deps.Transfer, local: deps.Ingester,
			metrics: d.metrics, log: deps.Log, writes: newWrites(),
		}
	}
	return d, nil
}

// Push checks a request of the context's tenant and stores what is good of it. The request is changed and stays the
// caller's, who releases it afterwards. The error, if any, is a *PushError; what it does not name is stored.
func (d *Distributor) Push(ctx context.Context, req *wire.PushRequest) error {
	ctx, span := trace.Start(ctx, "distributor push")
	err := d.push(ctx, req, span)
	span.End(err)
	return err
}

func (d *Distributor) push(ctx context.Context, req *wire.PushRequest, span *trace.Span) error {
	id, err := tenant.ID(ctx)
	if err != nil {
		return tenantError(err)
	}
	if len(req.Streams) == 0 {
		return &PushError{Status: statusNoStreams, Text: "error at least one valid stream is required for ingestion"}
	}
	now := time.Now()
	lim := d.limits.For(id)
	t := d.tenantState(id, lim, now)
	c := d.checkers.Get().(*checker)
	defer d.putChecker(c)
	c.reset(t.id, lim, d.metrics, d.schema, d.readOnly, now)
	if c.infos, c.fields, err = d.find(t, lim, req.Streams, c.infos, now); err != nil {
		return &PushError{Status: statusBadRequest, Text: err.Error(), cause: err}
	}
	for i := range req.Streams {
		c.stream(c.infos[i], req.Streams[i].Entries)
	}
	span.Int("logstore.streams", int64(len(req.Streams)))
	span.Int("logstore.lines", int64(c.lines))
	span.Int("logstore.bytes", int64(c.bytes))
	t.lines.Add(float64(c.lines))
	t.bytes.Add(float64(c.bytes))
	if len(c.streams) == 0 {
		return c.problems.answer()
	}
	if refused, err := d.refuseAll(t, c, now); refused {
		return err
	}
	return d.store(ctx, t, c)
}

// maxPooledMeta bounds the arenas that go back to the pool.
const maxPooledMeta = 1 << 18

func (d *Distributor) putChecker(c *checker) {
	if cap(c.meta) <= maxPooledMeta {
		d.checkers.Put(c)
	}
}

// refuseAll tells whether the whole request is refused: ingestion is blocked, or too fast.
func (d *Distributor) refuseAll(t *tenantState, c *checker, now time.Time) (bool, error) {
	lim := c.limits
	if until := lim.BlockIngestionUntil; now.Before(until) {
		d.metrics.discard(t.id, reasonBlocked, c.keptLines, c.keptBytes)
		status := lim.BlockIngestionStatusCode
		if status == 200 {
			return true, nil
		}
		return true, &PushError{Status: status, Text: fmt.Sprintf("ingestion blocked for user '%s' until '%s' with status code '%d'", t.id, until.Format(time.RFC3339), status)}
	}
	ok, limit, wait := t.allow(lim, d.members.Healthy(), c.keptBytes, now)
	if ok {
		return false, nil
	}
	d.metrics.discard(t.id, reasonRateLimited, c.keptLines, c.keptBytes)
	return true, &PushError{Status: statusTooMany, RetryAfter: wait, Text: fmt.Sprintf(
		"ingestion rate limit exceeded for user %s (limit: %d bytes/sec) while attempting to ingest '%d' lines totaling '%d' bytes,"+
			" reduce log volume or contact your Loki administrator to see if the limit can be increased", t.id, limit, c.keptLines, c.keptBytes)}
}

// store hands the good streams to the ingester and merges what it refuses with what was refused before.
func (d *Distributor) store(ctx context.Context, t *tenantState, c *checker) error {
	err := d.ingester.Push(ctx, t.id, c.streams)
	var refused *wire.RefusedError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		for i := range refused.Refusals {
			r := &refused.Refusals[i]
			d.metrics.discard(t.id, r.Kind.Reason(), r.Entries, r.Bytes)
		}
		c.problems.refused(refused, t.id)
	default:
		d.log.WarnContext(ctx, "push not stored", "tenant", t.id, "streams", len(c.streams), "lines", c.keptLines, "err", err)
		return ingesterError(ctx, err)
	}
	return c.problems.answer()
}
