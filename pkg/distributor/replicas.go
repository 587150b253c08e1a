package distributor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"logstore/pkg/ring"
	"logstore/pkg/rpc"
	"logstore/pkg/wire"
)

// Ring tells which members hold what.
type Ring interface {
	// Replicas appends the replica set of a token: as many members that take pushes as there are to be copies, if there are.
	Replicas(dst []ring.Member, token uint32) []ring.Member
	// Walk yields the members that take pushes, each once: the replica set of a token first, then those that stand in.
	Walk(token uint32) iter.Seq[ring.Member]
}

// Peers are the other members' ingesters, by address.
type Peers interface {
	// Send stores the streams of a message of rpc.EncodePush on a member, as Ingester.Push does, and keeps the message. It does not
	// wait: done is called once with the outcome, after the time-out at the latest, and must not block.
	Send(ctx context.Context, member, tenant string, message []byte, timeout time.Duration, done func(error))
	// Standing tells how likely the member answers.
	Standing(member string) rpc.Standing
	// Patience is how long a push of so many bytes to the member may take before another one is worth a try.
	Patience(member string, size int) time.Duration
	// Late says that the member's patience has run out.
	Late(member string)
}

// replicas writes streams to as many members as there are to be copies.
type replicas struct {
	factor  int
	timeout time.Duration
	ring    Ring
	peers   Peers
	// transfer calls the same members, which then refuse nothing; nil if there are none.
	transfer Peers
	local    Ingester
	metrics  *metrics
	log      *slog.Logger
	// writes keeps the memory of pushes.
	writes *sync.Pool
}

// Push stores the streams on their replicas. A member that fails, or is slow, is replaced by the next one of the ring. If
// there are fewer that take them, at least one copy is stored.
func (r *replicas) Push(ctx context.Context, tenant string, streams []wire.Stream) error {
	w := newWrite(ctx, r, tenant, streams)
	defer w.release()
	w.advance()
	for w.open > 0 {
		if err := w.wait(); err != nil {
			return err
		}
		w.advance()
	}
	return w.outcome()
}

// outcome tells what became of a push of which nothing is awaited any more.
func (w *write) outcome() error {
	missing, degraded := 0, 0
	for i := range w.state {
		switch copies := w.state[i].copies; {
		case copies == 0:
			missing++
		case copies < w.r.factor:
			degraded++
		}
	}
	w.r.metrics.degraded.Add(float64(degraded))
	if missing > 0 {
		if w.failure == nil {
			return fmt.Errorf("%w: no member of the ring takes pushes", wire.ErrUnavailable)
		}
		return fmt.Errorf("cannot store %d of %d streams: %w", missing, len(w.state), w.failure)
	}
	if len(w.refusals) > 0 {
		return &wire.RefusedError{Refusals: w.refusals}
	}
	return nil
}

// single hands everything to the own ingester.
type single struct {
	Ingester
	id      string
	metrics *metrics
}

// Push stores the streams.
func (s *single) Push(ctx context.Context, tenant string, streams []wire.Stream) error {
	err := s.Ingester.Push(ctx, tenant, streams)
	var refused *wire.RefusedError
	s.metrics.append(s.id, err == nil || errors.As(err, &refused))
	return err
}

// HandOver stores what the own ingester could not flush on another member, the first of the ring that takes it. The streams may
// be used again when it returns.
func (d *Distributor) HandOver(ctx context.Context, tenant string, streams []wire.Stream) error {
	r, ok := d.ingester.(*replicas)
	if !ok || r.transfer == nil {
		return fmt.Errorf("%w: there is no other member", wire.ErrUnavailable)
	}
	others := *r
	others.factor, others.peers, others.local = 1, r.transfer, nobody{}
	return others.Push(ctx, tenant, streams)
}

// nobody takes nothing.
type nobody struct{}

// Push fails.
func (nobody) Push(context.Context, string, []wire.Stream) error {
	return fmt.Errorf("%w: this member is leaving", wire.ErrUnavailable)
}
