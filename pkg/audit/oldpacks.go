package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/sidecar"
	"logstore/pkg/store"
)

// packObject is a pack as it was listed.
type packObject struct {
	store.PackName
	key string
}

// packTable is a table as far as packs name it.
type packTable struct {
	bucket objstore.Bucket
	name   string
}

// oldPacks are the packs of a table that are there before it is packed, by tenant: its sidecars are taken from them.
type oldPacks struct {
	bucket   objstore.Bucket
	byTenant map[string][]*oldPack
}

// oldPack is a pack whose directory was read.
type oldPack struct {
	packObject
	directory *sidecar.Pack
	// data is the whole pack, from the first sidecar that is taken from it to the last; lost is set if it is of no use.
	data []byte
	lost bool
}

// openPacks reads the directories of packs in a bucket. Those of another version, and those that are damaged or gone, are not there.
func openPacks(ctx context.Context, b objstore.Bucket, packs []packObject) (*oldPacks, error) {
	out := &oldPacks{bucket: b, byTenant: map[string][]*oldPack{}}
	for _, o := range packs {
		if !currentState(o.State) {
			continue
		}
		data, err := b.GetRange(ctx, o.key, int64(o.Middle.From), int64(o.Middle.Len()))
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read a pack of sidecars: %w", err)
		}
		directory, err := sidecar.OpenPack(data, o.Tenant)
		if err != nil {
			continue // what it held is made anew
		}
		out.byTenant[o.Tenant] = append(out.byTenant[o.Tenant], &oldPack{packObject: o, directory: directory})
	}
	for _, list := range out.byTenant {
		// Packs of one state hold each chunk once. What one of them has is taken from it, so that another state's are read for the rest alone.
		slices.SortFunc(list, func(x, y *oldPack) int { return cmp.Or(cmp.Compare(x.State, y.State), cmp.Compare(x.Part, y.Part)) })
	}
	return out, nil
}

// has reports whether a pack has the sidecar of a chunk, as far as its directory says.
func (o *oldPacks) has(ref model.ChunkRef) bool {
	return slices.ContainsFunc(o.byTenant[ref.Tenant], func(p *oldPack) bool { return p.has(ref) })
}

func (p *oldPack) has(ref model.ChunkRef) bool {
	if p.lost || ref.From < p.First || ref.From > p.Last {
		return false
	}
	_, ok := p.directory.Find(ref)
	return ok
}

// take returns the bytes of a chunk's sidecar, nil if no pack has a sound one. Chunks are asked for in the order of packs, so that each pack
// is read once and few are in memory at a time.
func (o *oldPacks) take(ctx context.Context, ref model.ChunkRef) ([]byte, error) {
	for _, p := range o.byTenant[ref.Tenant] {
		if ref.From > p.Last {
			p.data = nil
		}
		if !p.has(ref) {
			continue
		}
		if err := p.load(ctx, o.bucket); err != nil {
			return nil, err
		}
		if object := p.cut(ref); object != nil {
			return object, nil
		}
	}
	return nil, nil
}

// load reads the whole pack, if it is not in memory.
func (p *oldPack) load(ctx context.Context, b objstore.Bucket) error {
	if p.data != nil {
		return nil
	}
	data, err := b.Get(ctx, p.key)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("cannot read a pack of sidecars: %w", err)
	}
	p.data, p.lost = data, len(data) != p.directory.Size()
	return nil
}

// cut returns the bytes of a chunk's sidecar in the pack, nil if they are not sound.
func (p *oldPack) cut(ref model.ChunkRef) []byte {
	if p.lost {
		return nil
	}
	object := p.directory.Object(p.data, ref)
	if _, layout, err := sidecar.Open(object, ref); err != nil || layout.Filters != len(object) {
		return nil
	}
	return object
}

// packsOf lists all packs, by table. What is below their prefix and is none is in strays, by bucket.
func (s *SidecarBuilder) packsOf(ctx context.Context) (packs map[packTable][]packObject, strays map[objstore.Bucket][]string, err error) {
	packs, strays = map[packTable][]packObject{}, map[objstore.Bucket][]string{}
	for _, b := range s.packBuckets() {
		err := b.List(ctx, store.PackPrefix, func(o objstore.ObjectInfo) error {
			if name, ok := store.ParsePackKey(o.Key); ok {
				t := packTable{b, name.Table}
				packs[t] = append(packs[t], packObject{name, o.Key})
			} else {
				strays[b] = append(strays[b], o.Key)
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("cannot list packs of sidecars in %s: %w", b.Name(), err)
		}
	}
	return packs, strays, nil
}

// versions begins the state of each table: of which version the sidecars and packs are that are made now.
var versions = fmt.Sprintf("%02x%02x", sidecar.Version, sidecar.PackVersion)

// stateSize is the length of a state.
const stateSize = 4 + 32

// currentState reports whether packs of a state, and the sidecars in them, are of the versions that are made now.
func currentState(state string) bool {
	return len(state) == stateSize && strings.HasPrefix(state, versions)
}

// sidecars counts what there is beside chunks. there are the hashes of the keys of all chunks of the listing.
func (c *checker) sidecars(ctx context.Context, l *Listing, there map[uint64]struct{}) error {
	r := &c.report
	r.Others, r.Own, r.Sidecars, r.SidecarBytes, r.Packs, r.PackBytes = l.Others, l.Own, l.Sidecars, l.SidecarBytes, l.Packs, l.PackBytes
	for _, hash := range l.described {
		if _, ok := there[hash]; !ok {
			r.Strays++
		}
	}
	slices.Sort(l.described)
	byTable := map[packTable][]int{}
	for i := range l.Objects {
		o := &l.Objects[i]
		if has(l.described, hashOf("", o.Key())) {
			r.Described++
			continue
		}
		own := c.b.ownTable(o.ChunkRef)
		t := packTable{c.b.StoreOf(o.ChunkName).Bucket, c.b.Periods[own.period].Table(own.day)}
		byTable[t] = append(byTable[t], i)
	}
	for t, objects := range byTable {
		packs, err := openPacks(ctx, t.bucket, l.packs[t])
		if err != nil {
			return err
		}
		for _, i := range objects {
			if packs.has(l.Objects[i].ChunkRef) {
				r.Described++
			}
		}
	}
	return nil
}
