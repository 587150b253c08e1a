package engine

import "hash/maphash"

// keyTable finds series by their keys. It is a hash table of its own because queries that group by a parsed label may make
// a series of every other line: series come in slabs, hashes are kept, so that growing and merging touch no key, and a
// look-up without a find costs one hash.
type keyTable struct {
	// slots are a power of two, at most half of them filled; a series stands in the first free slot from its hash on.
	slots []*rangeSeries
	all   []*rangeSeries
	slab  []rangeSeries
}

// keySeed is the same for all tables, so that their hashes agree.
var keySeed = maphash.MakeSeed()

const (
	minSlots = 64
	maxSlab  = 256
)

// list returns the series in the order in which they came.
func (t *keyTable) list() []*rangeSeries { return t.all }

// get returns the series of the key, or makes it with newStore. grown is the memory that this took.
func (t *keyTable) get(key []byte, newStore func() store) (series *rangeSeries, grown int64) {
	hash := maphash.Bytes(keySeed, key)
	if len(t.slots) > 0 {
		mask := uint64(len(t.slots) - 1)
		for i := hash & mask; t.slots[i] != nil; i = (i + 1) & mask {
			if r := t.slots[i]; r.hash == hash && r.key == string(key) {
				return r, 0
			}
		}
	}
	if len(t.slab) == 0 {
		t.slab = make([]rangeSeries, min(maxSlab, len(t.all)+1))
	}
	r := &t.slab[0]
	t.slab = t.slab[1:]
	*r = rangeSeries{key: string(key), hash: hash, store: newStore()}
	r.sum, _ = r.store.(*cellStore[float64])
	t.insert(r)
	return r, int64(len(key)) + seriesBytes
}

// find returns the series of the key, or nil.
func (t *keyTable) find(hash uint64, key string) *rangeSeries {
	if len(t.slots) == 0 {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; t.slots[i] != nil; i = (i + 1) & mask {
		if r := t.slots[i]; r.hash == hash && r.key == key {
			return r
		}
	}
	return nil
}

// insert adds a series whose key is not in the table.
func (t *keyTable) insert(r *rangeSeries) {
	t.all = append(t.all, r)
	if 2*len(t.all) > len(t.slots) {
		t.slots = make([]*rangeSeries, max(minSlots, 2*len(t.slots)))
		for _, r := range t.all {
			t.place(r)
		}
		return
	}
	t.place(r)
}

func (t *keyTable) place(r *rangeSeries) {
	mask := uint64(len(t.slots) - 1)
	i := r.hash & mask
	for t.slots[i] != nil {
		i = (i + 1) & mask
	}
	t.slots[i] = r
}
