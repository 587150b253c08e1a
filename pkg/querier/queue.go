package querier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrQueued is returned when a query waited for its turn until its time was over.
	ErrQueued = errors.New("too many queries are running: the query waited for its turn until its time was over")
	// ErrOutstanding is returned when more queries of a tenant wait than may.
	ErrOutstanding = errors.New("too many outstanding requests")
)

// errWaited is wrapped by the error of a run whose time was over while it waited.
var errWaited = errors.New("no turn in time")

// queue lets a number of runs at a time use the process. Tenants are served by what they have used: the one that has used the
// least of the time so far comes first, so that one who asks for much waits for himself. Waiting is the rule and not an
// error.
type queue struct {
	slots int
	// maxWaiting bounds the queries of one tenant that wait; zero means no bound.
	maxWaiting int
	metrics    *metrics

	mu      sync.Mutex
	running int
	tenants map[string]*tenantQueue
}

// tenantQueue is a tenant that waits or runs. It is forgotten when it does neither, and comes back at the level of the others.
type tenantQueue struct {
	// used is the seconds that the tenant has used, as far as that matters between those who are there.
	used    float64
	running int
	waiting []*waiter
}

type waiter struct {
	// ready is closed when it is this one's turn.
	ready chan struct{}
}

// guess is what a run is charged until it is known how long it took.
const guess = 0.05

func newQueue(slots, maxWaiting int, m *metrics) *queue {
	return &queue{slots: slots, maxWaiting: maxWaiting, metrics: m, tenants: map[string]*tenantQueue{}}
}

// acquire waits for a turn. The caller calls release when its run has ended.
func (q *queue) acquire(ctx context.Context, tenant string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	t := q.tenantLocked(tenant)
	if q.running < q.slots {
		q.startLocked(t)
		q.mu.Unlock()
		return q.releaser(tenant), nil
	}
	if q.maxWaiting > 0 && len(t.waiting) >= q.maxWaiting {
		n := len(t.waiting)
		q.mu.Unlock()
		return nil, fmt.Errorf("%w: %d queries of the tenant wait already (max_outstanding_per_tenant)", ErrOutstanding, n)
	}
	w := &waiter{ready: make(chan struct{})}
	t.waiting = append(t.waiting, w)
	q.metrics.waiting.Inc()
	q.mu.Unlock()
	defer q.metrics.waiting.Dec()
	select {
	case <-w.ready:
		return q.releaser(tenant), nil
	case <-ctx.Done():
		q.leave(tenant, w)
		return nil, fmt.Errorf("%w: %w", errWaited, ctx.Err())
	}
}

// tenantLocked returns the tenant's queue; a new one begins where the least served of the others is.
func (q *queue) tenantLocked(id string) *tenantQueue {
	t := q.tenants[id]
	if t != nil {
		return t
	}
	t = &tenantQueue{}
	first := true
	for _, o := range q.tenants {
		if first || o.used < t.used {
			t.used, first = o.used, false
		}
	}
	q.tenants[id] = t
	return t
}

func (q *queue) startLocked(t *tenantQueue) {
	q.running++
	t.running++
	t.used += guess
}

// leave takes a waiter out whose time is over. If its turn came at the same moment, the turn goes on to the next.
func (q *queue) leave(tenant string, w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tenants[tenant]
	for i, o := range t.waiting {
		if o == w {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			q.forgetLocked(tenant, t)
			return
		}
	}
	q.endLocked(tenant, 0)
}

func (q *queue) releaser(tenant string) func() {
	begin := time.Now()
	return sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.endLocked(tenant, time.Since(begin).Seconds())
	})
}

// endLocked charges the tenant for a run and gives its slot to whoever is next.
func (q *queue) endLocked(tenant string, seconds float64) {
	t := q.tenants[tenant]
	t.used += seconds - guess
	t.running--
	q.running--
	q.forgetLocked(tenant, t)
	for q.running < q.slots {
		next := q.nextLocked()
		if next == nil {
			return
		}
		w := next.waiting[0]
		next.waiting = next.waiting[1:]
		q.startLocked(next)
		close(w.ready)
	}
}

func (q *queue) forgetLocked(id string, t *tenantQueue) {
	if t.running == 0 && len(t.waiting) == 0 {
		delete(q.tenants, id)
	}
}

// nextLocked returns the tenant that has used the least of those that wait.
func (q *queue) nextLocked() *tenantQueue {
	var next *tenantQueue
	for _, t := range q.tenants {
		if len(t.waiting) > 0 && (next == nil || t.used < next.used) {
			next = t
		}
	}
	return next
}
