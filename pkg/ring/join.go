package ring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// lookTime bounds the resolution of one name.
	lookTime = 5 * time.Second
	// maxRejoin is the longest time between two tries to reach members that should be there.
	maxRejoin  = 15 * time.Second
	joinAtOnce = 8
)

// round is the outcome of one try to reach the members to join.
type round struct {
	reached bool     // another member was
	self    bool     // this member is among those to join
	away    []string // those that are not there: no such name, or nothing listens
	mute    []string // those of which it is not known
	last    error
}

// join finds the other members. It returns when one of them was reached, or when nobody is there, twice in a row: then this
// is the first. It waits for those that do not answer, as they may be there, for no longer than JoinAfter. With
// AbortIfJoinFails it is the first only if it is itself among those to join: then somebody has to be.
func (g *gossip) join(ctx context.Context) error {
	if len(g.cfg.Join) == 0 {
		return nil
	}
	begin, backoff := time.Now(), g.cfg.MinBackoff
	for n := 1; ; n++ {
		r := g.tryJoin(ctx, g.cfg.Join)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case r.reached:
			g.log.Info("joined the cluster", "members", g.nodes.Load(), "tries", n)
			return nil
		case len(r.mute) == 0 && n > 1 && (r.self || !g.cfg.AbortIfJoinFails):
			g.log.Info("no other member is there: this is the first", "away", strings.Join(r.away, ","))
			return nil
		case g.cfg.AbortIfJoinFails:
			if g.cfg.MaxJoinRetries > 0 && n > g.cfg.MaxJoinRetries {
				return fmt.Errorf("cannot join any of the members %s (memberlist.join_members, abort_if_cluster_join_fails is set): %w",
					strings.Join(g.cfg.Join, ", "), r.last)
			}
		case n > 1 && time.Since(begin) >= g.ring.cfg.JoinAfter:
			g.log.Warn("no other member could be reached; going on without", "mute", strings.Join(r.mute, ","), "err", r.last)
			return nil
		}
		g.log.Debug("no other member was reached", "try", n, "away", r.away, "mute", r.mute, "err", r.last)
		if !sleep(ctx, backoff) {
			return ctx.Err()
		}
		backoff = min(2*backoff, max(g.cfg.MaxBackoff, g.cfg.MinBackoff))
	}
}

// tryJoin tries all names at once.
func (g *gossip) tryJoin(ctx context.Context, names []string) (r round) {
	addrs, err := resolveAll(ctx, names, g.cfg.BindPort)
	for name, e := range err {
		r.away, r.last = append(r.away, name), e
	}
	others := slices.DeleteFunc(addrs, func(addr string) bool { return addr == g.self })
	failed := g.connect(others)
	for addr, e := range failed {
		// memberlist keeps no more than the text of an error.
		if r.last = e; strings.Contains(e.Error(), syscall.ECONNREFUSED.Error()) {
			r.away = append(r.away, addr)
		} else {
			r.mute = append(r.mute, addr)
		}
	}
	if r.last == nil {
		r.last = errors.New("the names stand for no other member")
	}
	r.reached, r.self = !g.alone(), len(addrs) > len(failed) // who answers and is nobody else is this member, by another address
	return r
}

// connect exchanges the state with the nodes at addrs and returns why with some of them it could not.
func (g *gossip) connect(addrs []string) map[string]error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed = map[string]error{}
		slots  = make(chan struct{}, joinAtOnce)
	)
	for _, addr := range addrs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if _, err := g.list.Join([]string{addr}); err != nil {
				mu.Lock()
				failed[addr] = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

// rejoin tries to reach the members that should be there and are not, so that a split heals; at the interval that is
// configured, if any is, it exchanges the state with all seeds, missing or not.
func (g *gossip) rejoin(ctx context.Context) {
	seeds := g.cfg.Seeds
	if len(seeds) == 0 {
		seeds = g.cfg.Join
	}
	wait, every := g.cfg.MinBackoff, g.cfg.RejoinInterval
	due := time.Now().Add(jitter(every))
	for {
		pause := jitter(wait)
		if every > 0 {
			pause = min(pause, time.Until(due))
		}
		if !sleep(ctx, pause) {
			return
		}
		addrs, _ := resolveAll(ctx, seeds, g.cfg.BindPort) // a name that is gone is no member to look for
		missing := g.missing(slices.Clone(addrs))
		others := missing
		if every > 0 && !time.Now().Before(due) {
			due = time.Now().Add(jitter(every))
			others = append(slices.DeleteFunc(addrs, g.isSelf), missing...)
			slices.Sort(others)
			others = slices.Compact(others)
		}
		failed := g.connect(others)
		if back := slices.DeleteFunc(missing, func(addr string) bool { return failed[addr] != nil }); len(back) > 0 {
			g.log.Info("rejoined members that were out of reach", "members", len(back))
		}
		if wait = min(2*wait, maxRejoin, max(g.cfg.MaxBackoff, g.cfg.MinBackoff)); len(missing) == 0 {
			wait = maxRejoin
		}
	}
}

// missing returns which addresses no live node has, and those of dead nodes whose members have not left.
func (g *gossip) missing(addrs []string) []string {
	remembered := map[uint64]bool{}
	g.ring.mu.Lock()
	for _, e := range g.ring.state {
		if e.Body.State != Left {
			remembered[e.Body.Incarnation] = true
		}
	}
	g.ring.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for incarnation, d := range g.dead {
		if remembered[incarnation] {
			addrs = append(addrs, d.addr)
		}
	}
	there := map[string]bool{g.self: true}
	for _, n := range g.alive {
		there[n.Address()] = true
	}
	slices.Sort(addrs)
	return slices.DeleteFunc(slices.Compact(addrs), func(a string) bool { return there[a] || g.isSelf(a) })
}

// isSelf is whether an address is one of this machine's at the own port, under which members find themselves.
func (g *gossip) isSelf(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	_, own, _ := net.SplitHostPort(g.self)
	if err != nil || port != own || len(g.cfg.BindAddrs) > 0 && !slices.Contains(g.cfg.BindAddrs, "0.0.0.0") {
		return addr == g.self
	}
	ip := net.ParseIP(host)
	local, err := net.InterfaceAddrs()
	if err != nil || ip == nil {
		return false
	}
	return slices.ContainsFunc(local, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// jitter keeps members that start together from acting together.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }
