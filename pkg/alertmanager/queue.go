package alertmanager

import "sync"

// queue holds the alerts that wait for one Alertmanager, each once, oldest first.
type queue struct {
	capacity int
	ready    chan struct{} // has an element when the queue may not be empty

	mu    sync.Mutex
	order []uint64 // hashes of labels; those that are not in items were taken or dropped
	items map[uint64]*Alert
}

func newQueue(capacity int) *queue {
	return &queue{capacity: capacity, ready: make(chan struct{}, 1), items: map[uint64]*Alert{}}
}

// put adds alerts. It returns how many were dropped because the queue is full.
func (q *queue) put(alerts []*Alert) (dropped int) {
	q.mu.Lock()
	for _, a := range alerts {
		h := a.Labels.Hash()
		if _, ok := q.items[h]; !ok {
			q.order = append(q.order, h)
		}
		q.items[h] = a
	}
	for len(q.items) > q.capacity {
		delete(q.items, q.order[0])
		q.order = q.order[1:]
		dropped++
	}
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return dropped
}

// take removes up to n alerts.
func (q *queue) take(n int) []*Alert {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.order))
	out := make([]*Alert, 0, n)
	for _, h := range q.order[:n] {
		out = append(out, q.items[h])
		delete(q.items, h)
	}
	if q.order = q.order[n:]; len(q.order) == 0 {
		q.order = nil
	}
	return out
}

// putBack returns alerts that were not delivered to the front, unless there is newer word of them.
func (q *queue) putBack(alerts []*Alert) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var front []uint64
	for _, a := range alerts {
		h := a.Labels.Hash()
		if _, ok := q.items[h]; ok {
			continue
		}
		if len(q.items) >= q.capacity {
			dropped++
			continue
		}
		q.items[h] = a
		front = append(front, h)
	}
	q.order = append(front, q.order...)
	return dropped
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
