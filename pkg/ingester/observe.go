package ingester

import (
	"slices"
	"sync"
	"sync/atomic"

	"logstore/pkg/wire"
)

// Observer is told of the streams of a push after they were stored, refused entries included (they are few, and a tail is
// no promise). It must not block and may keep nothing of what it is given.
type Observer func(tenant string, streams []wire.Stream)

// observers is the list of those who watch pushes.
type observers struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Observer]
}

// Observe has fn called for each push until cancel is called.
func (i *Ingester) Observe(fn Observer) (cancel func()) {
	o := &i.tails
	entry := &fn
	o.change(func(list []*Observer) []*Observer { return append(list, entry) })
	return func() {
		o.change(func(list []*Observer) []*Observer {
			return slices.DeleteFunc(list, func(e *Observer) bool { return e == entry })
		})
	}
}

func (o *observers) change(fn func([]*Observer) []*Observer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*Observer
	if old := o.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = fn(list)
	o.list.Store(&list)
}

func (o *observers) notify(tenant string, streams []wire.Stream) {
	list := o.list.Load()
	if list == nil {
		return
	}
	for _, fn := range *list {
		(*fn)(tenant, streams)
	}
}
