package ring

import (
	"context"
	"time"
)

// keep tells the others that the member lives, watches whether they do, and makes the view anew when something has changed.
func (r *Ring) keep(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	beat := time.NewTicker(r.cfg.HeartbeatPeriod)
	defer beat.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			r.beat()
		case rival := <-r.contested:
			if err := r.contest(ctx, rival); err != nil {
				return err
			}
		case <-ticker.C:
			now := time.Now()
			r.examine(now, now.Sub(last)-tick)
			r.countCopies(now)
			last = now
		case <-r.dirty:
			begin := time.Now()
			r.mu.Lock()
			r.publishLocked()
			r.mu.Unlock()
			// Many members change at once when a large ring comes up: the view then follows in strides.
			sleep(ctx, max(r.cfg.Gossip.NotifyInterval, 4*time.Since(begin)))
		}
	}
}

// contest looks whether another process lives under the member's ID. The later one keeps it, so that both agree.
func (r *Ring) contest(ctx context.Context, rival entry) error {
	if where := r.gossip.answers(ctx, rival.Body.Incarnation); where != "" {
		r.mu.Lock()
		r.claimed = false // nothing more is said in the name of that process
		r.mu.Unlock()
		return r.taken(rival, where)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self.Body.Version = max(r.self.Body.Version, rival.Body.Version)
	r.announceLocked()
	return nil
}

// examine forgets who has been away for long, and has the view made anew if a member has fallen ill or got well. Asleep is how
// long this process was stopped: others may have said that they live, and were not heard.
func (r *Ring) examine(now time.Time, asleep time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for id, e := range r.state {
		w := r.watch[id]
		if w == nil {
			continue
		}
		if asleep > 4*tick {
			w.seen = minTime(w.seen.Add(asleep), now)
		}
		if e.Body.State == Left {
			if !w.left.IsZero() && now.Sub(w.left) > r.cfg.Gossip.LeftTimeout {
				delete(r.state, id)
				delete(r.watch, id)
				changed = true
			}
			continue
		}
		ill := !r.healthyLocked(e, now)
		if ill != w.ill {
			w.ill, changed = ill, true
			r.log.Warn("a member's health has changed", "member", id, "healthy", !ill, "last_heartbeat", now.Sub(w.seen).Round(time.Second))
		}
		if after := r.cfg.ForgetAfter; ill && after > 0 && now.Sub(w.seen) > after && r.self.Body.State == Active {
			r.forgetLocked(e)
			changed = true
		}
	}
	if changed {
		r.touch()
	}
}

// fewPatience is how long there may be fewer members than copies before it is said: members that start come one after the other.
const fewPatience = 15 * time.Second

// countCopies says once that there are fewer members that take pushes than there are to be copies, and once that there are enough.
func (r *Ring) countCopies(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	writers := r.view.Load().writers
	switch {
	case r.self.Body.State != Active || writers >= r.cfg.ReplicationFactor:
		if r.fewSaid && writers >= r.cfg.ReplicationFactor {
			r.log.Info("there are as many members as copies again", "members", writers, "replication_factor", r.cfg.ReplicationFactor)
		}
		r.few, r.fewSaid = time.Time{}, false
	case r.few.IsZero():
		r.few = now
	case !r.fewSaid && now.Sub(r.few) >= fewPatience:
		r.fewSaid = true
		r.log.Warn("there are fewer members than copies: streams are stored on those that there are, and are lost with them",
			"members", writers, "replication_factor", r.cfg.ReplicationFactor)
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
