package ring

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Errors of Forget and Run.
var (
	// ErrUnknown is a member that the ring does not have.
	ErrUnknown = errors.New("no such member")
	// ErrAlive is a member that cannot be forgotten because it lives: it would come back at once.
	ErrAlive = errors.New("the member is alive")
	// ErrTaken is an ID under which another process lives.
	ErrTaken = errors.New("the ID is taken")
)

// Ring is the view that one process has of all members, and its own membership. It is safe for concurrent use.
type Ring struct {
	cfg         Config
	log         *slog.Logger
	metrics     *metrics
	incarnation uint64
	gossip      *gossip // nil: alone
	dirty       chan struct{}
	activated   chan struct{} // closed by Activate
	activate    func()
	contested   chan entry // own entries by another process

	view atomic.Pointer[view]

	mu      sync.Mutex
	state   state // of all members, the own one when it is claimed
	self    entry
	claimed bool      // the own entry is known to others
	leaving bool      // the own member goes no way but out
	ready   time.Time // when the own member became ACTIVE
	rival   entry     // who lived under the own ID before; its Body.Version is 0 if nobody did
	watch   map[string]*watched
	few     time.Time // since when there are fewer members than copies; zero: there are enough
	fewSaid bool
	changed chan struct{} // closed when the view changes
}

// Deps is what a ring needs.
type Deps struct {
	Registerer prometheus.Registerer // nil: no metrics
	Log        *slog.Logger          // nil: none
}

// New returns the ring of a process in state PENDING. Nothing runs, and nobody knows of the member, before Run. With gossip it
// looks up the members to join, for at most a few seconds, to find out the address by which they reach this one.
func New(cfg Config, deps Deps) (*Ring, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make the ring: %w", err)
	}
	r := &Ring{
		cfg: cfg, log: deps.Log, dirty: make(chan struct{}, 1), activated: make(chan struct{}), contested: make(chan entry, 1),
		state: state{}, watch: map[string]*watched{}, changed: make(chan struct{}),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.activate = sync.OnceFunc(func() { close(r.activated) })
	now := time.Now()
	r.incarnation = uint64(now.UnixMilli())<<20 | newRand().Uint64N(1<<20)
	tokens, err := loadTokens(cfg.TokensFile)
	if err != nil {
		return nil, err
	}
	r.self = entry{ID: cfg.ID, Body: body{
		Version: uint64(now.UnixMilli()), Incarnation: r.incarnation, Registered: uint64(now.UnixMilli()), Addr: cfg.Addr,
		HTTPAddr: cfg.HTTPAddr, Zone: cfg.Zone, Build: cfg.Build, Tokens: tokens,
	}, Beat: uint64(now.UnixMilli())}
	if cfg.Gossip != nil {
		r.gossip = newGossip(*cfg.Gossip, r)
		if r.gossip.host, err = r.gossip.advertised(context.Background()); err != nil {
			return nil, err
		}
		r.setHost(r.gossip.host.String())
	} else if len(tokens) == 0 {
		r.self.Body.Tokens = spreadTokens(nil, nil, cfg.NumTokens, newRand())
	}
	r.mu.Lock()
	r.publishLocked()
	r.mu.Unlock()
	r.metrics = newMetrics(deps.Registerer, r)
	return r, nil
}

// Activate says that the process takes pushes from now on: the member becomes ACTIVE as soon as its life cycle allows.
func (r *Ring) Activate() {
	r.activate()
	if r.gossip == nil {
		r.moveTo(Active, nil)
	}
}

// Leave says that the process takes no more pushes: the member is LEAVING. It is asked by reads until it has left.
func (r *Ring) Leave() {
	r.mu.Lock()
	r.leaving = true
	r.mu.Unlock()
	r.moveTo(Leaving, nil)
}

// Run keeps the member among the others until ctx ends; it then leaves, and its end is known to them when Run returns. It
// fails with ErrTaken if another process lives under the member's ID.
func (r *Ring) Run(ctx context.Context) error {
	if r.gossip == nil {
		<-ctx.Done()
		r.Leave()
		return nil
	}
	return r.live(ctx)
}

// Self returns the own member.
func (r *Ring) Self() Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memberLocked(r.self, time.Now())
}

// Members returns all members that have not left, by ID.
func (r *Ring) Members() []Member { return r.Readable(nil) }

// Readable appends all members that a read must ask to dst, by ID: those in any state but LEFT, the own one among them. One
// that is not Healthy will probably not answer; a read that misses no more than RF-1 of them is still whole.
func (r *Ring) Readable(dst []Member) []Member {
	n := len(dst)
	dst = append(dst, r.view.Load().members...)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := n; i < len(dst); i++ {
		if m := &dst[i]; m.Self {
			m.Heartbeat = time.Now()
		} else if w := r.watch[m.ID]; w != nil {
			m.Heartbeat = w.seen
		}
	}
	return dst
}

// Healthy is the number of members that take pushes, at least 1: the one that asks.
func (r *Ring) Healthy() int { return max(1, r.view.Load().writers) }

// Replicas appends the replica set of a token to dst: the members, as many as the replication factor says, that take pushes
// and come first for it, in different zones when zones matter. They are fewer if not so many members take pushes, and none if
// no member does. The first is the token's owner.
func (r *Ring) Replicas(dst []Member, token uint32) []Member {
	return r.view.Load().replicas(dst, token)
}

// Walk yields every member that takes pushes once, the replica set of the token first, then those that stand in for a
// replica that fails, in their order.
func (r *Ring) Walk(token uint32) iter.Seq[Member] {
	v := r.view.Load()
	return func(yield func(Member) bool) {
		for m := range v.walk(token) {
			if !yield(*m) {
				return
			}
		}
	}
}

// Owner returns the one member that does what must be done once; false if no member takes work.
func (r *Ring) Owner(token uint32) (Member, bool) {
	if m := r.view.Load().owner(token); m != nil {
		return *m, true
	}
	return Member{}, false
}

// Changed returns a channel that is closed at the next change of the ring.
func (r *Ring) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Ready returns why the member does not take pushes, or nil. It depends on the own member alone: that others are ill is no
// reason to be taken out of service, too.
func (r *Ring) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gossip == nil {
		return nil
	}
	if s := r.self.Body.State; s != Active {
		return fmt.Errorf("the member %s is %s in the ring", r.cfg.ID, s)
	}
	if wait := r.cfg.MinReady - time.Since(r.ready); wait > 0 {
		return fmt.Errorf("waiting for %s after being ready", r.cfg.MinReady)
	}
	return nil
}

// Forget removes a dead member. Its streams have passed to others already; reads no longer miss it.
func (r *Ring) Forget(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.state[id]
	if id == r.cfg.ID {
		return fmt.Errorf("cannot forget %q: %w", id, ErrAlive)
	}
	if !ok || e.Body.Version == 0 || e.Body.State == Left {
		return fmt.Errorf("cannot forget %q: %w", id, ErrUnknown)
	}
	if r.memberLocked(e, time.Now()).Healthy {
		return fmt.Errorf("cannot forget %q: %w", id, ErrAlive)
	}
	r.forgetLocked(e)
	r.publishLocked()
	return nil
}
