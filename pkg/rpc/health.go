package rpc

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"syscall"
	"time"
)

// pingName is the call that only tells that the member answers.
const pingName = "ping"

// ping calls a member and takes note of whether it answers in time.
func (p *Pool) ping(ctx context.Context, m *peer) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Client.PingTimeout)
	defer cancel()
	if m.isDown() {
		m.lanes[lanePush].ResetConnectBackoff() // it is asked now, not when gRPC would try again
	}
	_, err := p.exchange(ctx, m, lanePush, pingName, nil, false)
	switch {
	case err == nil:
		m.silent.Store(0)
		p.up(m)
	case errors.Is(err, context.Canceled):
	case !errors.Is(err, ErrUnreachable) && m.silent.Add(1) < maxSilent:
		// A busy machine may miss one.
	default:
		p.fail(m, err)
	}
}

// maxSilent is how many pings in a row a member may leave without an answer.
const maxSilent = 2

// bind returns a context that ends when the member goes down, so that nobody waits for one that has fallen silent. A call of one
// that is down already is a try that is not ended.
func (m *peer) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	m.mu.Lock()
	alive, down := m.alive, m.down
	m.mu.Unlock()
	stop := func() bool { return true }
	if !down {
		stop = context.AfterFunc(alive, func() { cancel(ErrUnreachable) })
	}
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (m *peer) isDown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

// Answers tells whether a member answers, as far as is known. One that is down is asked again, for a ping's time at most: it
// may be back, and have what nobody else has.
func (p *Pool) Answers(ctx context.Context, addr string) bool {
	if p.Standing(addr) != Down {
		return true
	}
	m, err := p.peer(addr)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Client.PingTimeout)
	defer cancel()
	for {
		for _, c := range m.lanes {
			c.ResetConnectBackoff()
		}
		_, err := p.exchange(ctx, m, lanePush, pingName, nil, false)
		if err == nil {
			p.up(m)
			return true
		}
		if refused(err) {
			return false // its machine is there, and it is not
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(p.cfg.Client.PingTimeout / 20):
		}
	}
}

// refused is whether nothing listens at a member's address. gRPC keeps no more than the text of an error.
func refused(err error) bool { return strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) }

// dial opens a connection to a member. One that is down is given little time: where packets were lost until a moment ago the system
// would wait for seconds before it sends the next.
func (p *Pool) dial(ctx context.Context, addr string) (net.Conn, error) {
	if p.Standing(addr) == Down {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.Client.PingTimeout/2)
		defer cancel()
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

func (p *Pool) fail(m *peer, why error) {
	m.mu.Lock()
	was := m.down
	m.down = true
	m.kill()
	m.mu.Unlock()
	m.line.abort()
	if !was {
		p.metrics.downs.Inc()
		p.log.Warn("a member does not answer; others take its place until it does", "member", m.addr, "err", why)
	}
}

func (p *Pool) up(m *peer) {
	m.mu.Lock()
	was := m.down
	m.down = false
	if was {
		m.alive, m.kill = context.WithCancel(context.Background())
	}
	m.mu.Unlock()
	if was {
		for _, c := range m.lanes {
			c.ResetConnectBackoff()
		}
		p.log.Info("a member answers again", "member", m.addr)
	}
}

// Standing is what is known of a member.
type Standing uint8

// The standings, the better ones first.
const (
	// Good members answer, as far as is known.
	Good Standing = iota
	// Slow members did not answer a push in time: others are better, if there are.
	Slow
	// Down members could not be reached, or did not answer a ping.
	Down
)

// Standing returns that of a member. One that was never called is good.
func (p *Pool) Standing(addr string) Standing {
	if addr == p.self {
		return Good
	}
	p.mu.Lock()
	m := p.peers[addr]
	p.mu.Unlock()
	if m == nil {
		return Good
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.down:
		return Down
	case time.Now().Before(m.slowUntil):
		return Slow
	}
	return Good
}

// The bounds of how long a member is held for slow: twice as long each time, until it answers a push in time.
const (
	minSlow = time.Second
	maxSlow = 30 * time.Second
)

// Late takes note that a member did not answer a push in time, and asks it whether it lives.
func (p *Pool) Late(addr string) {
	m, err := p.peer(addr)
	if err != nil || addr == p.self {
		return
	}
	m.mu.Lock()
	if now := time.Now(); now.After(m.slowUntil) {
		m.slowHold = min(max(2*m.slowHold, minSlow), maxSlow)
		m.slowUntil = now.Add(m.slowHold)
		p.metrics.lates.Inc()
	}
	m.mu.Unlock()
	p.check(m)
}

// check pings a member unless that is being done.
func (p *Pool) check(m *peer) {
	if !m.pinging.CompareAndSwap(false, true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		m.pinging.Store(false)
		return
	}
	p.pings.Go(func() {
		defer m.pinging.Store(false)
		p.ping(context.Background(), m)
	})
}

// The bounds of Patience. The lower one grows by a second for each slowestPush bytes: what a busy member takes to store a large push
// is no reason to have a third one store it too.
const (
	minPatience = 100 * time.Millisecond
	maxPatience = time.Second
	slowestPush = 4 << 20
)

// Patience returns how long a push of so many bytes to a member may take before it is worth to try another one as well: the time that few
// of the last pushes took, as TCP finds its time-out.
func (p *Pool) Patience(addr string, size int) time.Duration {
	p.mu.Lock()
	m := p.peers[addr]
	p.mu.Unlock()
	if m == nil {
		return maxPatience
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mean == 0 {
		return maxPatience
	}
	least := minPatience + time.Duration(size)*time.Second/slowestPush
	return min(max(time.Duration(m.mean+4*m.deviation), least), maxPatience)
}

// took takes note of the time of a push.
func (m *peer) took(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d < maxPatience {
		m.slowHold, m.slowUntil = 0, time.Time{}
	}
	if m.mean == 0 {
		m.mean, m.deviation = float64(d), float64(d)/2
		return
	}
	diff := float64(d) - m.mean
	m.mean += diff / 8
	m.deviation += (math.Abs(diff) - m.deviation) / 4
}
