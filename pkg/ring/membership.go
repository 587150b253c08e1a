package ring

import (
	"net"
	"slices"
	"time"
)

// watched is what this process has seen of another member. Clocks of machines differ, so that ages are measured by the own
// one, from the moment that a sign of life came.
type watched struct {
	seen time.Time // when its heartbeat last advanced
	left time.Time // when it was first seen as LEFT; zero: it has not left
	ill  bool      // as the log last said
}

// receive takes in what another member knows and returns what of it was new here, to be passed on.
func (r *Ring) receive(entries []entry) (news []entry) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	visible := false
	for _, e := range entries {
		if e.ID == r.cfg.ID {
			r.receiveOwnLocked(e)
			continue
		}
		if r.obsoleteLocked(e, now) {
			continue
		}
		_, known := r.state[e.ID]
		for _, c := range r.state.merge([]entry{e}) {
			r.watchLocked(c, known, now)
			visible = visible || c.newBody
			news = append(news, r.newsOf(c))
		}
	}
	if visible {
		r.touch()
	}
	return news
}

// newsOf returns as much of a change as others may not know.
func (r *Ring) newsOf(c change) entry {
	if c.newBody {
		return c.entry
	}
	return entry{ID: c.entry.ID, Beat: c.entry.Beat}
}

// obsoleteLocked is whether an entry tells of a member that is forgotten here: a late beat, or a tombstone from long ago.
func (r *Ring) obsoleteLocked(e entry, now time.Time) bool {
	if _, known := r.state[e.ID]; known {
		return false
	}
	if e.Body.Version == 0 {
		return true
	}
	age := now.Sub(time.UnixMilli(int64(e.Body.Version)))
	return e.Body.State == Left && age > r.cfg.Gossip.LeftTimeout+r.cfg.Gossip.ObsoleteTimeout
}

// watchLocked notes a sign of life, or the end of one.
func (r *Ring) watchLocked(c change, known bool, now time.Time) {
	w := r.watch[c.entry.ID]
	if w == nil {
		w = &watched{seen: now}
		r.watch[c.entry.ID] = w
	}
	if !known && !r.gossip.lives(c.entry.Body.Incarnation) {
		// Nobody knows yet whether it lives: its last heartbeat may be from long ago.
		if beat := time.UnixMilli(int64(c.entry.Beat)); beat.Before(now) {
			w.seen = beat
		}
	} else if c.newBeat {
		w.seen = now
	}
	switch {
	case c.entry.Body.State != Left:
		w.left = time.Time{}
	case w.left.IsZero():
		w.left = now
		if said := time.UnixMilli(int64(c.entry.Body.Version)); !known && said.Before(now) {
			w.left = said // others remember it, some for long: it is not remembered for longer by passing from one to the next
		}
	}
}

// receiveOwnLocked compares what others say of this member with what it says itself.
func (r *Ring) receiveOwnLocked(e entry) {
	if !r.claimed {
		r.rival, _, _ = r.rival.merged(e)
		return
	}
	if e.Body.compare(r.self.Body) <= 0 {
		return
	}
	if e.Body.Incarnation > r.incarnation && e.Body.State != Left {
		select {
		case r.contested <- e:
		default: // it is looked into
		}
		return
	}
	// It was forgotten, or an earlier run is remembered: it lives, and says so.
	r.self.Body.Version = max(e.Body.Version, r.self.Body.Version)
	r.announceLocked()
}

// announceLocked makes the own entry newer than any before and tells it to the others.
func (r *Ring) announceLocked() {
	r.self.Body.Version = max(uint64(time.Now().UnixMilli()), r.self.Body.Version+1)
	r.self.Beat = max(uint64(time.Now().UnixMilli()), r.self.Beat+1)
	if r.claimed {
		r.state[r.cfg.ID] = r.self
		r.gossip.broadcast(r.self)
	}
}

// beat tells the others that this member lives.
func (r *Ring) beat() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.claimed {
		return
	}
	r.self.Beat = max(uint64(time.Now().UnixMilli()), r.self.Beat+1)
	r.state[r.cfg.ID] = r.self
	r.gossip.broadcast(entry{ID: r.cfg.ID, Beat: r.self.Beat})
	r.metrics.heartbeats.Inc()
}

// moveTo moves the own member to another state, with other tokens unless they are nil. A member that is leaving only leaves.
func (r *Ring) moveTo(s State, tokens []uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving && s < Leaving || r.self.Body.State >= Leaving && s <= r.self.Body.State {
		return false
	}
	if s == Active && r.self.Body.State != Active {
		r.ready = time.Now()
	}
	r.log.Info("the member changes its state in the ring", "id", r.cfg.ID, "from", r.self.Body.State, "to", s)
	r.self.Body.State = s
	if tokens != nil {
		r.self.Body.Tokens = tokens
	}
	r.announceLocked()
	r.publishLocked()
	return true
}

// forgetLocked lets a dead member leave.
func (r *Ring) forgetLocked(e entry) {
	r.log.Warn("a dead member is forgotten", "member", e.ID, "state", e.Body.State, "addr", e.Body.Addr)
	e.Body.State = Left
	e.Body.Version = max(uint64(time.Now().UnixMilli()), e.Body.Version+1)
	for _, c := range r.state.merge([]entry{e}) {
		r.watchLocked(c, true, time.Now())
	}
	r.gossip.broadcast(e)
	r.metrics.forgotten.Inc()
}

// healthyLocked is whether a member lives as far as one can see from here.
func (r *Ring) healthyLocked(e entry, now time.Time) bool {
	if e.ID == r.cfg.ID {
		return true
	}
	if r.gossip.died(e.Body.Incarnation) {
		return false
	}
	w := r.watch[e.ID]
	return w != nil && (r.cfg.HeartbeatTimeout <= 0 || now.Sub(w.seen) <= r.cfg.HeartbeatTimeout)
}

// memberLocked shows an entry.
func (r *Ring) memberLocked(e entry, now time.Time) Member {
	b := e.Body
	m := Member{
		ID: e.ID, Addr: b.Addr, HTTPAddr: b.HTTPAddr, Zone: b.Zone, Version: b.Build, State: b.State, Tokens: b.Tokens,
		Registered: time.UnixMilli(int64(b.Registered)), Self: e.ID == r.cfg.ID, Heartbeat: now,
		Healthy: r.healthyLocked(e, now),
	}
	if w := r.watch[e.ID]; w != nil && !m.Self {
		m.Heartbeat = w.seen
	}
	return m
}

// membersLocked returns the members that have not left, and those that have and are still remembered. The own member is among
// the first even if nobody else knows of it yet.
func (r *Ring) membersLocked(now time.Time) (members, left []Member) {
	add := func(e entry) {
		if m := r.memberLocked(e, now); m.State == Left {
			left = append(left, m)
		} else {
			members = append(members, m)
		}
	}
	for _, e := range r.state.entries() {
		if e.Body.Version > 0 && e.ID != r.cfg.ID {
			add(e)
		}
	}
	add(r.self)
	slices.SortFunc(members, byID)
	slices.SortFunc(left, byID)
	return members, left
}

// publishLocked makes what has changed visible.
func (r *Ring) publishLocked() {
	members, left := r.membersLocked(time.Now())
	r.view.Store(newView(members, left, viewConfig{
		factor: r.cfg.ReplicationFactor, zoneAware: r.cfg.ZoneAware, excluded: r.cfg.ExcludedZones, alone: r.gossip == nil,
	}))
	close(r.changed)
	r.changed = make(chan struct{})
}

// touch has the view made anew soon.
func (r *Ring) touch() {
	select {
	case r.dirty <- struct{}{}:
	default: // it will be, anyway
	}
}

// setHost completes the addresses of the own member that have no host. It is called before anybody else knows of the ring.
func (r *Ring) setHost(host string) {
	for _, addr := range []*string{&r.self.Body.Addr, &r.self.Body.HTTPAddr} {
		if h, port, err := net.SplitHostPort(*addr); err == nil && h == "" {
			*addr = net.JoinHostPort(host, port)
		}
	}
}
