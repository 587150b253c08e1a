package rpc

import (
	"context"
	"errors"
	"math"
	"time"
)

// pingName is the call that only tells that the member answers.
const pingName = "ping"

// ping calls a member and takes note of whether it answers in time.
func (p *Pool) ping(ctx context.Context, m *peer) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Client.PingTimeout)
	defer cancel()
	_, err := p.exchange(ctx, m, lanePush, pingName, nil)
	switch {
	case err == nil:
		p.up(m)
	case !errors.Is(err, context.Canceled):
		p.fail(m, err)
	}
}

func (m *peer) isDown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

func (p *Pool) fail(m *peer, why error) {
	m.mu.Lock()
	was := m.down
	m.down = true
	m.mu.Unlock()
	if !was {
		p.metrics.downs.Inc()
		p.log.Warn("a member does not answer; others take its place until it does", "member", m.addr, "err", why)
	}
}

func (p *Pool) up(m *peer) {
	m.mu.Lock()
	was := m.down
	m.down = false
	m.mu.Unlock()
	if was {
		for _, c := range m.lanes {
			c.ResetConnectBackoff()
		}
		p.log.Info("a member answers again", "member", m.addr)
	}
}

// Available reports whether a member answered when it was last heard of. One that was never called is.
func (p *Pool) Available(addr string) bool {
	if addr == p.self {
		return true
	}
	p.mu.Lock()
	m := p.peers[addr]
	p.mu.Unlock()
	return m == nil || !m.isDown()
}

// errSlow is why a member is down that a caller gave up on.
var errSlow = errors.New("it is too slow")

// Slow takes note that a member does not answer in reasonable time. It is not available until it answers a ping.
func (p *Pool) Slow(addr string) {
	if m, err := p.peer(addr); err == nil && addr != p.self {
		p.fail(m, errSlow)
	}
}

// The bounds of Patience.
const (
	minPatience = 100 * time.Millisecond
	maxPatience = time.Second
)

// Patience returns how long a push to a member may take before it is worth to try another one as well: the time that few of
// the last pushes took, as TCP finds its time-out.
func (p *Pool) Patience(addr string) time.Duration {
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
	return min(max(time.Duration(m.mean+4*m.deviation), minPatience), maxPatience)
}

// took takes note of the time of a push.
func (m *peer) took(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mean == 0 {
		m.mean, m.deviation = float64(d), float64(d)/2
		return
	}
	diff := float64(d) - m.mean
	m.mean += diff / 8
	m.deviation += (math.Abs(diff) - m.deviation) / 4
}
