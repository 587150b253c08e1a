package store

import (
	"container/list"
	"sync"
	"time"

	"logstore/pkg/model"
	"logstore/pkg/sidecar"
)

// sidecars keeps the sidecars that were read last, and remembers which chunks have none.
type sidecars struct {
	cfg SidecarConfig
	now func() time.Time
	// listings and packs have locks of their own.
	listings listings
	packs    packs

	mu    sync.Mutex
	bytes int64
	byRef map[model.ChunkRef]*cachedSidecar
	// order has the one used last in front.
	order list.List
	odds  map[string]*odds
}

// cachedSidecar is nil for a chunk without.
type cachedSidecar struct {
	ref    model.ChunkRef
	object *sidecar.Object
	// parts are those of it that were read.
	parts sidecar.Parts
	bytes int64
	at    time.Time
	// totals are those of the object's blocks, if counted.
	totals  sidecar.Totals
	counted bool
	// place is that in the order.
	place *list.Element
}

// odds count the tries to read sidecars of a tenant.
type odds struct{ tries, hits, skipped int }

const (
	// oddsWindow is the number of tries after which the counts are halved.
	oddsWindow = 64
	// probeEvery is how often a sidecar is tried for where hardly any were found.
	probeEvery = 16
	// slotBytes is about what an entry takes beside its sidecar, rowMemory what a row does.
	slotBytes = 300
	rowMemory = 160
)

func newSidecars(cfg SidecarConfig) *sidecars {
	return &sidecars{
		cfg: cfg, now: time.Now, listings: listings{now: time.Now, byStream: map[streamKey]*listing{}},
		byRef: map[model.ChunkRef]*cachedSidecar{}, odds: map[string]*odds{},
	}
}

// get returns the sidecar of a chunk if the wanted parts of it were read. A known nil means that there is none.
func (c *sidecars) get(ref model.ChunkRef, want sidecar.Parts) (o *sidecar.Object, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byRef[ref]
	if s == nil || !s.parts.Has(want) || s.object == nil && c.now().Sub(s.at) > negativeFor {
		return nil, false
	}
	c.touchLocked(s)
	return s.object, true
}

// lacks returns which of the wanted parts of a chunk's sidecar are to be read. known is true if none is, or it is known that there is no
// sidecar.
func (c *sidecars) lacks(ref model.ChunkRef, want sidecar.Parts) (parts sidecar.Parts, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byRef[ref]
	if s == nil || s.object == nil && c.now().Sub(s.at) > negativeFor {
		return want, false
	}
	return want &^ s.parts, s.parts.Has(want)
}

// touchLocked takes note that a sidecar was used. While there is room for as many again, that matters to none of them, and for the
// thousands that a query may use it takes time.
func (c *sidecars) touchLocked(s *cachedSidecar) {
	if c.bytes > c.cfg.CacheBytes/2 {
		c.order.MoveToFront(s.place)
	}
}

// totals returns the numbers of all entries of a chunk, if its sidecar was read and they can be told from it.
func (c *sidecars) totals(ref *model.ChunkRef) (t sidecar.Totals, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byRef[*ref]
	if s == nil {
		return t, false
	}
	c.touchLocked(s)
	return s.totals, s.counted
}

// put keeps what was read of a sidecar, nil if there is none, beside what was read of it before. It returns the object with all of that, and
// which parts these are. A nil object has all parts.
func (c *sidecars) put(ref model.ChunkRef, o *sidecar.Object, parts sidecar.Parts) (*sidecar.Object, sidecar.Parts) {
	s := &cachedSidecar{ref: ref, object: o, parts: parts, bytes: slotBytes, at: c.now()}
	if o == nil {
		s.parts = sidecar.Whole
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.byRef[ref]; before != nil && before.object != nil && o != nil && !parts.Has(before.parts) {
		if both := o.With(before.object); both != nil {
			s.object, s.parts = both, parts|before.parts
		}
	}
	s.count()
	c.dropLocked(ref)
	c.byRef[ref], s.place = s, c.order.PushFront(s)
	c.bytes += s.bytes
	for c.bytes > c.cfg.CacheBytes && c.order.Len() > 0 {
		c.dropLocked(c.order.Back().Value.(*cachedSidecar).ref)
	}
	return s.object, s.parts
}

// count adds up what the object takes and what it says.
func (s *cachedSidecar) count() {
	if s.object == nil {
		return
	}
	s.totals, s.counted = sidecar.TotalsOf(s.object.Blocks)
	s.bytes += int64(rowMemory * len(s.object.Blocks))
	for i := range s.object.Blocks {
		s.bytes += int64(s.object.Blocks[i].Bytes())
	}
}

func (c *sidecars) drop(ref model.ChunkRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(ref)
}

func (c *sidecars) dropLocked(ref model.ChunkRef) {
	if s := c.byRef[ref]; s != nil {
		c.bytes -= s.bytes
		c.order.Remove(s.place)
		delete(c.byRef, ref)
	}
}

// worthTrying is false for most chunks of a tenant hardly any of whose chunks have sidecars: those of small streams, or of a bucket
// that others write.
func (c *sidecars) worthTrying(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.odds[tenant]
	if o == nil || o.tries < oddsWindow/4 || 10*o.hits >= o.tries {
		return true
	}
	o.skipped++
	return o.skipped%probeEvery == 0
}

func (c *sidecars) tried(tenant string, hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.odds[tenant]
	if o == nil {
		o = &odds{}
		c.odds[tenant] = o
	}
	o.tries++
	if hit {
		o.hits++
	}
	if o.tries >= oddsWindow {
		o.tries, o.hits = o.tries/2, o.hits/2
	}
}
