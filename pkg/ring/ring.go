package ring

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of Forget.
var (
	// ErrUnknown is a member that the ring does not have.
	ErrUnknown = errors.New("no such member")
	// ErrAlive is a member that cannot be forgotten because it lives: it would come back at once.
	ErrAlive = errors.New("the member is alive")
)

// Ring is the view that one process has of all members. It is safe for concurrent use.
type Ring struct {
	now  func() time.Time
	view atomic.Pointer[view]

	mu      sync.Mutex
	self    Member
	changed chan struct{} // closed when the view changes
}

// New returns a ring whose only member is self, in state Pending.
func New(self Member) *Ring {
	r := &Ring{now: time.Now, changed: make(chan struct{}), self: self}
	r.self.State, r.self.Registered, r.self.Self, r.self.Healthy = Pending, r.now(), true, true
	if len(self.Tokens) == 0 {
		r.self.Tokens = randomTokens(defaultTokens)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publishLocked()
	return r
}

// publishLocked makes what has changed visible.
func (r *Ring) publishLocked() {
	r.view.Store(newView([]Member{r.self}, 1, false, true, nil))
	close(r.changed)
	r.changed = make(chan struct{})
}

// Activate says that the process takes pushes from now on: the member becomes ACTIVE as soon as its life cycle allows.
func (r *Ring) Activate() { r.setState(Active) }

// Leave says that the process takes no more pushes: the member is LEAVING. It is asked by reads until it has left.
func (r *Ring) Leave() { r.setState(Leaving) }

func (r *Ring) setState(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self.State = s
	r.publishLocked()
}

// Self returns the own member.
func (r *Ring) Self() Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.self
	m.Heartbeat = r.now()
	return m
}

// Members returns all members that have not left, by ID.
func (r *Ring) Members() []Member { return r.Readable(nil) }

// Readable appends all members that a read must ask to dst, by ID: those in any state but LEFT, the own one among them. One
// that is not Healthy will probably not answer; a read that misses no more than RF-1 of them is still whole.
func (r *Ring) Readable(dst []Member) []Member {
	n := len(dst)
	dst = append(dst, r.view.Load().members...)
	for i := n; i < len(dst); i++ {
		if dst[i].Self {
			dst[i].Heartbeat = r.now()
		}
	}
	return dst
}

// Healthy is the number of members that take pushes, at least 1: the one that asks.
func (r *Ring) Healthy() int { return max(1, r.view.Load().writers) }

// Replicas appends the replica set of a token to dst: the members, as many as the replication factor says, that take pushes
// and come next on the ring, in different zones when zones matter. They are fewer if not so many members take pushes, and
// none if no member does. The first is the token's owner.
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
	v := r.view.Load()
	if len(v.points) == 0 {
		return Member{}, false
	}
	return v.members[v.points[v.start(token)].owner], true
}

// Changed returns a channel that is closed at the next change of the ring.
func (r *Ring) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Forget removes a dead member. Its streams have passed to the next members already; reads no longer miss it.
func (r *Ring) Forget(id string) error {
	i := slices.IndexFunc(r.view.Load().members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return fmt.Errorf("cannot forget %q: %w", id, ErrUnknown)
	}
	return fmt.Errorf("cannot forget %q: %w", id, ErrAlive)
}
