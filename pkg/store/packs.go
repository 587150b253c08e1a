package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/sidecar"
)

// PackPrefix is where the packs of sidecars of all tenants are in a bucket.
const PackPrefix = "logstore/sidecar-packs/"

const (
	// MaxPacked is the size above which a sidecar stays alone: a request for it costs little beside its bytes.
	MaxPacked = 128 << 10
	// MinPacked is how many chunks a tenant has in a table that is worth a pack.
	MinPacked = 4
	// Settled is how long after its end a day's chunks are looked at by who makes packs.
	Settled = time.Hour
	// PackGrace is how long packs, and sidecars that lie alone, stay once newer packs have what they hold: a query may use a list of packs
	// that was read so long before, and take some time.
	PackGrace = 2 * negativeFor
)

// PackName is what the key of a pack says.
type PackName struct {
	Tenant, Table string
	// State is the hash of the table's files of which the pack was made.
	State string
	// Part counts the packs of a table from 0.
	Part int
	// First and Last are the times in ms at which the first and the last of its chunks begin.
	First, Last int64
	// Middle is where the directory and the heads of the sidecars stand in the pack, between columns and filters.
	Middle sidecar.Extent
}

// Key returns the name of the pack in the bucket.
func (n PackName) Key() string {
	return fmt.Sprintf("%s%s/%s/%s-%x-%x-%x-%x-%x", PackPrefix, n.Tenant, n.Table, n.State, n.Part, n.First, n.Last, n.Middle.From, n.Middle.Len())
}

// ParsePackKey is the inverse of Key; ok is false for other objects.
func ParsePackKey(key string) (n PackName, ok bool) {
	rest, ok := strings.CutPrefix(key, PackPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return n, false
	}
	n.Tenant, n.Table = parts[0], parts[1]
	state, numbers, _ := strings.Cut(parts[2], "-")
	n.State = state
	size := 0
	k, err := fmt.Sscanf(strings.ReplaceAll(numbers, "-", " "), "%x %x %x %x %x", &n.Part, &n.First, &n.Last, &n.Middle.From, &size)
	n.Middle.To = n.Middle.From + size
	return n, err == nil && k == 5 && n.Key() == key
}

// fits reports whether the middle can be in a pack of a size.
func (n PackName) fits(size int64) bool {
	return n.Middle.From >= 0 && n.Middle.From <= n.Middle.To && int64(n.Middle.To) <= size
}

// SidecarToPack returns the bytes of a chunk's sidecar for a pack: those of the one that lies alone, if there says that there is one, or
// else a description of a chunk that is too small for one. It is nil if there is neither, or it is so large that it stays alone.
func (s *Store) SidecarToPack(ctx context.Context, name schema.ChunkName, there bool) ([]byte, error) {
	if there {
		data, err := s.storeOf(name).Bucket.Get(ctx, sidecarKey(name.ChunkRef))
		if err == nil {
			if _, err = openSidecar(data, name); err != nil || len(data) > MaxPacked {
				return nil, nil //nolint:nilerr // queries do without it too
			}
			return data, nil
		}
		if !errors.Is(err, objstore.ErrNotFound) {
			return nil, fmt.Errorf("cannot read the sidecar of chunk %s: %w", name.Key(), err)
		}
	}
	o := s.storeOf(name)
	object, err := o.Bucket.Get(ctx, o.ChunkKey(name))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read chunk %s: %w", name.Key(), err)
	}
	if len(object) >= s.sidecars.cfg.MinChunk {
		return nil, nil
	}
	c, err := chunk.OpenRef(object, name.ChunkRef)
	if err != nil {
		return nil, nil //nolint:nilerr // whoever reads the chunk will say so
	}
	d, err := describe(c, len(object), name.ChunkRef, s.sidecars.cfg.describeSmall, nil)
	if err != nil {
		return nil, nil //nolint:nilerr // the same
	}
	return d.Append(nil), nil
}

// packs remember which packs tenants have, and the directories of those that were read last.
type packs struct {
	mu sync.Mutex
	// lists are those of tenants, by their bucket's period; directories are by key, rows the number of their rows.
	lists       map[packOwner]*packList
	directories map[string]*sidecar.Pack
	rows        int
}

type packOwner struct {
	bucket objstore.Bucket
	tenant string
}

// packList are the packs of a tenant in a bucket, by table, as they were at an instant; zero if they were not listed yet.
type packList struct {
	flight[struct{}]
	at      time.Time
	byTable map[string][]*packPart
}

// packPart is a pack that is there.
type packPart struct {
	PackName
	key  string
	size int64
	// damaged is set once it was found to be; it is not asked again before the next listing.
	damaged atomic.Bool
	opening flight[openedPack]
}

// openedPack is a directory, with the middle of the pack as it was read.
type openedPack struct {
	directory *sidecar.Pack
	middle    []byte
}

// failedFor is how long packs are not asked for again after they could not be listed or one not be read: the bucket may be ill, or they are
// those of a table that changed.
const failedFor = 15 * time.Second

const (
	// maxPackLists bounds the tenants whose packs are remembered, maxPackParts the packs of one, maxPackRows the rows of directories, which
	// take 40 bytes each.
	maxPackLists, maxPackParts, maxPackRows = 1000, 50_000, 200_000
)

// listOf returns what is known of a tenant's packs.
func (p *packs) listOf(owner packOwner) *packList {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lists[owner]
	if l == nil {
		if p.lists == nil || len(p.lists) >= maxPackLists {
			p.lists = map[packOwner]*packList{}
		}
		l = &packList{}
		p.lists[owner] = l
	}
	return l
}

// known returns the packs of a table if the list is not too old.
func (p *packs) known(l *packList, table string, now time.Time) (parts []*packPart, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.at.IsZero() || now.Sub(l.at) > negativeFor {
		return nil, false
	}
	return l.byTable[table], true
}

func (p *packs) directory(key string) *sidecar.Pack {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.directories[key]
}

func (p *packs) keepDirectory(key string, d *sidecar.Pack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.directories == nil || p.rows+d.Len() > maxPackRows {
		p.directories, p.rows = map[string]*sidecar.Pack{}, 0
	}
	if p.directories[key] == nil && d.Len() <= maxPackRows {
		p.directories[key] = d
		p.rows += d.Len()
	}
}

// lookAgain has the packs of a tenant listed again soon: something is wrong with one of them.
func (p *packs) lookAgain(owner packOwner, now time.Time) {
	l := p.listOf(owner)
	p.mu.Lock()
	defer p.mu.Unlock()
	l.soonLocked(now)
}

// soonLocked has the packs listed again after failedFor, if they are not before.
func (l *packList) soonLocked(now time.Time) {
	if at := now.Add(failedFor - negativeFor); at.Before(l.at) {
		l.at = at
	}
}

// partsOf returns the packs of a tenant's table. When the list cannot be read, they are those of the last one that could be.
func (s *Store) partsOf(ctx context.Context, owner packOwner, table string) ([]*packPart, error) {
	p := &s.sidecars.packs
	l := p.listOf(owner)
	parts, ok := p.known(l, table, s.sidecars.now())
	if ok {
		return parts, nil
	}
	_, err := l.do(ctx, func() (struct{}, error) {
		if _, ok := p.known(l, table, s.sidecars.now()); ok {
			return struct{}{}, nil
		}
		byTable, err := s.listPacks(ctx, owner)
		if ctx.Err() != nil {
			return struct{}{}, ctx.Err()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		l.at = s.sidecars.now()
		if err != nil {
			l.soonLocked(l.at) // until then what was listed before is as good as can be
		} else {
			l.byTable = byTable
		}
		return struct{}{}, nil
	})
	parts, _ = p.known(l, table, s.sidecars.now())
	return parts, err
}

// listPacks lists the packs of a tenant, by table. Of very many the first ones are enough.
func (s *Store) listPacks(ctx context.Context, owner packOwner) (map[string][]*packPart, error) {
	byTable, n := map[string][]*packPart{}, 0
	s.metrics.packRequests.WithLabelValues("list").Inc()
	err := owner.bucket.List(ctx, PackPrefix+owner.tenant+"/", func(o objstore.ObjectInfo) error {
		name, ok := ParsePackKey(o.Key)
		if !ok || o.Size > math.MaxInt32 || !name.fits(o.Size) {
			return nil
		}
		if n++; n > maxPackParts {
			return errTooMany
		}
		byTable[name.Table] = append(byTable[name.Table], &packPart{PackName: name, key: o.Key, size: o.Size})
		return nil
	})
	if err != nil && !errors.Is(err, errTooMany) {
		return nil, err
	}
	return byTable, nil
}

// openPack reads the middle of a pack.
func (s *Store) openPack(ctx context.Context, b objstore.Bucket, part *packPart) (openedPack, error) {
	return part.opening.do(ctx, func() (openedPack, error) {
		data, err := s.readPack(ctx, b, part, part.Middle, "directory")
		if err != nil {
			return openedPack{}, err
		}
		d, err := s.takeDirectory(part, data)
		return openedPack{d, data}, err
	})
}

// takeDirectory decodes the directory of a pack from its bytes from there on, and remembers it.
func (s *Store) takeDirectory(part *packPart, middle []byte) (*sidecar.Pack, error) {
	d, err := sidecar.OpenPack(middle, part.Tenant)
	if err == nil && (int64(d.Size()) != part.size || d.Middle() != part.Middle) {
		err = fmt.Errorf("%w: pack of %d bytes instead of %d, or its middle is elsewhere", sidecar.ErrCorrupt, part.size, d.Size())
	}
	if err != nil {
		s.spoiled(part)
		return nil, err
	}
	s.sidecars.packs.keepDirectory(part.key, d)
	return d, nil
}

// readPack reads bytes of a pack; what says for the metrics which.
func (s *Store) readPack(ctx context.Context, b objstore.Bucket, part *packPart, e sidecar.Extent, what string) ([]byte, error) {
	s.metrics.packRequests.WithLabelValues(what).Inc()
	data, err := b.GetRange(ctx, part.key, int64(e.From), int64(e.Len()))
	if err == nil && len(data) != e.Len() {
		err = fmt.Errorf("%w: pack ends at byte %d", sidecar.ErrCorrupt, e.From+len(data))
	}
	if err != nil {
		if ctx.Err() == nil {
			s.spoiled(part)
			s.sidecars.packs.lookAgain(packOwner{b, part.Tenant}, s.sidecars.now())
		}
		return nil, err
	}
	s.metrics.packBytes.Add(float64(len(data)))
	return data, nil
}

// spoiled notes that a pack is of no use.
func (s *Store) spoiled(part *packPart) {
	if !part.damaged.Swap(true) {
		s.metrics.packsFailed.Inc()
	}
}

// sortRefs orders chunks as packs do, and drops repeats.
func sortRefs(refs []model.ChunkRef) []model.ChunkRef {
	slices.SortFunc(refs, sidecar.ComparePacked)
	return slices.Compact(refs)
}
