package ring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// tick is how often members are looked at.
	tick = time.Second
	// turnPatience is how long a newcomer waits for those before it to take their tokens, from the last that did.
	turnPatience = 3 * time.Second
	// settle is how long a change may be on its way to all members.
	settle = 400 * time.Millisecond
	// maxObservations bounds how often tokens are chosen anew.
	maxObservations = 5
)

// live is the life of a member among others: it joins, takes its tokens, is ACTIVE, and leaves when ctx ends.
func (r *Ring) live(ctx context.Context) error {
	if err := r.gossip.start(); err != nil {
		return err
	}
	defer r.gossip.close()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan error, 1)
	go func() { kept <- r.keep(run) }()
	rejoined := make(chan struct{})
	go func() { defer close(rejoined); r.gossip.rejoin(run) }()
	evened := make(chan struct{})
	go func() { defer close(evened); r.even(run) }()
	entered := make(chan error, 1)
	enter, abandon := context.WithCancel(ctx)
	go func() { entered <- r.enter(enter) }()

	err := r.attend(ctx, entered, kept)
	abandon()
	if !errors.Is(err, ErrTaken) {
		r.depart()
	}
	stop()
	<-rejoined
	<-evened
	return err
}

// attend waits for the end of the member, or for a reason to end.
func (r *Ring) attend(ctx context.Context, entered, kept <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-kept:
			return err
		case err := <-entered:
			if err != nil && ctx.Err() == nil {
				return err
			}
			entered = nil
		}
	}
}

// enter makes the member ACTIVE.
func (r *Ring) enter(ctx context.Context) error {
	if err := r.gossip.join(ctx); err != nil {
		return err
	}
	if err := r.claim(ctx); err != nil {
		return err
	}
	select {
	case <-r.activated:
	case <-ctx.Done():
		return ctx.Err()
	}
	tokens, complete := r.keptTokens()
	if complete {
		r.activeWith(tokens)
		return nil
	}
	r.awaitTurn(ctx)
	for range maxObservations {
		chosen := r.chooseTokens(tokens)
		if ctx.Err() != nil || !r.moveTo(Joining, chosen) {
			return ctx.Err()
		}
		if !sleep(ctx, r.cfg.ObservePeriod) {
			return ctx.Err()
		}
		if tokens, complete = r.keptTokens(); complete {
			break
		}
		r.log.Warn("tokens are taken by another member and are chosen anew", "id", r.cfg.ID, "lost", len(chosen)-len(tokens))
	}
	r.activeWith(tokens)
	return nil
}

// activeWith keeps the tokens for the next run and makes the member ACTIVE.
func (r *Ring) activeWith(tokens []uint32) {
	if err := storeTokens(r.cfg.TokensFile, tokens); err != nil {
		r.log.Error("the member's tokens cannot be kept: after a restart its streams may move", "err", err)
	}
	if !r.moveTo(Active, tokens) || !r.cfg.WarnUnhealthy {
		return
	}
	for _, m := range r.Members() {
		if !m.Healthy || m.State != Active {
			r.log.Warn("another member of the ring does not take pushes", "member", m.ID, "state", m.State, "healthy", m.Healthy)
		}
	}
}

// claim makes the member known to others, unless another process lives under its ID.
func (r *Ring) claim(ctx context.Context) error {
	r.mu.Lock()
	rival := r.rival
	r.mu.Unlock()
	if rival.Body.Version > 0 && rival.Body.State != Left {
		if where := r.gossip.answers(ctx, rival.Body.Incarnation); where != "" {
			return r.taken(rival, where)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.self.Body
	if r.rival.Body.Version > 0 {
		r.log.Info("the ring remembers the member", "id", r.cfg.ID, "state", r.rival.Body.State, "tokens", len(r.rival.Body.Tokens))
		b.Version = max(b.Version, r.rival.Body.Version)
		b.Registered = r.rival.Body.Registered
		r.self.Beat = max(r.self.Beat, r.rival.Beat)
		if len(b.Tokens) == 0 {
			b.Tokens = r.rival.Body.Tokens
		}
	}
	r.claimed = true
	r.announceLocked()
	r.publishLocked()
	return nil
}

func (r *Ring) taken(rival entry, where string) error {
	return fmt.Errorf("%w: a process with the instance ID %q lives already, its gRPC server at %s, its gossip at %s: "+
		"give this member an ID of its own (ingester.lifecycler.id)", ErrTaken, r.cfg.ID, rival.Body.Addr, where)
}

// othersLocked returns the tokens of the other members that have any: those that have not left, and besides, if asked for,
// those that have and are remembered.
func (r *Ring) othersLocked() [][]uint32 {
	var out [][]uint32
	for _, e := range r.state.entries() {
		if e.ID != r.cfg.ID && e.Body.State != Left && len(e.Body.Tokens) > 0 {
			out = append(out, e.Body.Tokens)
		}
	}
	return out
}

// keptTokens returns the member's tokens without those that belong to another, and whether they are as many as they should be.
// Of two members that are JOINING the one whose ID is less keeps a token; else the one that had it first.
func (r *Ring) keptTokens() (tokens []uint32, complete bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tokens = r.self.Body.Tokens
	if len(tokens) > r.cfg.NumTokens {
		tokens = thinTokens(tokens, r.cfg.NumTokens)
	}
	taken := map[uint32]bool{}
	for id, e := range r.state {
		if id == r.cfg.ID || e.Body.State == Left || e.Body.State <= Joining && r.cfg.ID < id {
			continue
		}
		for _, t := range e.Body.Tokens {
			taken[t] = true
		}
	}
	tokens = slices.DeleteFunc(slices.Clone(tokens), func(t uint32) bool { return taken[t] })
	return tokens, len(tokens) == r.cfg.NumTokens
}

// chooseTokens returns the tokens of the member: the own ones and as many more as are missing, spread over the ring.
func (r *Ring) chooseTokens(own []uint32) []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := spreadTokens(r.othersLocked(), own, r.cfg.NumTokens-len(own), newRand())
	out := slices.Concat(own, more)
	slices.Sort(out)
	return slices.Compact(out)
}

// awaitTurn waits until the newcomers before this one have their tokens, for who chooses without seeing them would take the
// same share as they. It gives up on those that do not get on.
func (r *Ring) awaitTurn(ctx context.Context) {
	if r.gossip.alone() {
		return
	}
	sleep(ctx, settle) // let others that begin at the same time be heard of
	last, since := -1, time.Now()
	for ctx.Err() == nil {
		changed := r.Changed()
		before := r.before()
		if before == 0 {
			return
		}
		if before != last {
			last, since = before, time.Now()
		}
		wait := time.Until(since.Add(turnPatience))
		if wait <= 0 {
			return
		}
		select {
		case <-changed:
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// before is how many newcomers without tokens come before this member.
func (r *Ring) before() int {
	n, self := 0, r.Self()
	for _, m := range r.Members() {
		if !m.Self && m.Healthy && m.State == Pending && len(m.Tokens) == 0 &&
			(m.Registered.Before(self.Registered) || m.Registered.Equal(self.Registered) && m.ID < self.ID) {
			n++
		}
	}
	return n
}

// depart tells the others that the member has left and gives the word time to spread.
func (r *Ring) depart() {
	r.Leave()
	if r.cfg.Unregister {
		r.moveTo(Left, nil)
	}
	r.gossip.drain()
	time.Sleep(r.cfg.FinalSleep)
	r.gossip.leave()
}

// sleep waits and returns whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
