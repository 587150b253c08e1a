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
	// order has the cohort used last in front.
	order list.List
	odds  map[string]*odds
}

// cachedSidecar is nil for a chunk without.
type cachedSidecar struct {
	ref    model.ChunkRef
	object *sidecar.Object
	// parts are those of it that were read.
	parts sidecar.Parts
	at    time.Time
	// totals are those of the object's blocks, if counted.
	totals  sidecar.Totals
	counted bool
	// bytes is what it takes beside what its cohort shares.
	bytes  int64
	cohort *cohort
}

// cohort are sidecars that point into the same bytes, which stay in memory as long as one of the sidecars does: so they are forgotten
// together. Most are one.
type cohort struct {
	refs []model.ChunkRef
	// left is how many of them are still there, shared the size of the bytes.
	left   int
	shared int64
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
		c.order.MoveToFront(s.cohort.place)
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
	shared := int64(0)
	if o == nil {
		parts = sidecar.Whole
	} else {
		for i := range o.Blocks {
			shared += int64(o.Blocks[i].Bytes())
		}
	}
	all := map[model.ChunkRef]foundSidecar{ref: {o, parts}}
	c.putAll(all, shared)
	return all[ref].object, all[ref].parts
}

// putAll is put for sidecars that share so many bytes. It changes found to what it keeps.
func (c *sidecars) putAll(found map[model.ChunkRef]foundSidecar, shared int64) {
	if len(found) == 0 {
		return
	}
	co := &cohort{refs: make([]model.ChunkRef, 0, len(found)), shared: shared}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	co.place = c.order.PushFront(co)
	c.bytes += shared
	for ref, f := range found {
		s := &cachedSidecar{ref: ref, object: f.object, parts: f.parts, at: now, bytes: slotBytes, cohort: co}
		if before := c.byRef[ref]; before != nil {
			s.join(before)
			found[ref] = foundSidecar{s.object, s.parts}
			c.dropLocked(ref)
		}
		s.count()
		c.byRef[ref] = s
		co.refs, co.left = append(co.refs, ref), co.left+1
		c.bytes += s.bytes
	}
	for c.bytes > c.cfg.CacheBytes && c.order.Len() > 0 {
		last := c.order.Back().Value.(*cohort)
		for _, ref := range last.refs {
			if s := c.byRef[ref]; s != nil && s.cohort == last {
				c.dropLocked(ref)
			}
		}
	}
}

// join adds the parts that were known of a sidecar before.
func (s *cachedSidecar) join(before *cachedSidecar) {
	if s.object == nil || before.object == nil || s.parts.Has(before.parts) {
		return
	}
	if both := s.object.With(before.object); both != nil {
		for i := range both.Blocks {
			s.bytes += int64(both.Blocks[i].Bytes() - s.object.Blocks[i].Bytes())
		}
		s.object, s.parts = both, s.parts|before.parts
	}
}

// count adds up what the object says, and what its rows take.
func (s *cachedSidecar) count() {
	if s.object != nil {
		s.totals, s.counted = sidecar.TotalsOf(s.object.Blocks)
		s.bytes += int64(rowMemory * len(s.object.Blocks))
	}
}

func (c *sidecars) drop(ref model.ChunkRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(ref)
}

func (c *sidecars) dropLocked(ref model.ChunkRef) {
	s := c.byRef[ref]
	if s == nil {
		return
	}
	delete(c.byRef, ref)
	c.bytes -= s.bytes
	if s.cohort.left--; s.cohort.left == 0 {
		c.bytes -= s.cohort.shared
		c.order.Remove(s.cohort.place)
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
