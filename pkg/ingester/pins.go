package ingester

import "sync"

// pins counts the pushes between logging and appending by the segment that they are or will be in, so that no segment is
// removed whose entries are not in memory yet.
type pins struct {
	mu     sync.Mutex
	by     map[uint64]int
	closed bool
	empty  sync.Cond
}

func (p *pins) init() {
	p.by = map[uint64]int{}
	p.empty.L = &p.mu
}

// pin counts a push; it fails once the pins are closed.
func (p *pins) pin(seg uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrNotReady
	}
	p.by[seg]++
	return nil
}

func (p *pins) release(seg uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[seg]--; p.by[seg] == 0 {
		delete(p.by, seg)
		if len(p.by) == 0 {
			p.empty.Broadcast()
		}
	}
}

// lowest returns the lowest pinned segment, or above if none is lower.
func (p *pins) lowest(above uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for seg := range p.by {
		if seg != 0 {
			above = min(above, seg)
		}
	}
	return above
}

// idle reports whether no push is under way.
func (p *pins) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.by) == 0
}

// close lets no more pushes in and waits for those that are.
func (p *pins) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for len(p.by) > 0 {
		p.empty.Wait()
	}
}
