package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"logstore/pkg/chunk"
	"logstore/pkg/model"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/store"
)

// Bucket is what is looked at.
type Bucket struct {
	Periods schema.Periods
	// Index is where the tables of each period are.
	Index []objstore.Bucket
	// Chunks is where the chunks of each object_store are.
	Chunks map[string]store.ObjectStore
	// Dir is a folder for index files while they are read.
	Dir string
}

// Days bounds the work: numbers of days since 1970, both inclusive.
type Days struct{ From, Through int64 }

// AllDays is no bound.
var AllDays = Days{math.MinInt64, math.MaxInt64}

// Contains reports whether a day is within the bounds.
func (d Days) Contains(day int64) bool { return d.From <= day && day <= d.Through }

// Table is a day's index.
type Table struct {
	Period int
	Day    int64
	Name   string
	Files  []File
}

// File is an object of a table.
type File struct {
	schema.IndexFile
	Key  string
	Size int64
}

// TSDB reports whether the file is one of store tsdb.
func (f *File) TSDB() bool { return strings.HasSuffix(strings.TrimSuffix(f.Name, ".gz"), ".tsdb") }

// Tables lists the tables of the days, oldest first, with the files that are of their period's store.
func (b *Bucket) Tables(ctx context.Context, days Days) ([]Table, error) {
	var out []Table
	for i := range b.Periods {
		p := &b.Periods[i]
		err := b.Index[i].ListDirs(ctx, p.PathPrefix, func(dir string) error {
			name := strings.TrimSuffix(strings.TrimPrefix(dir, p.PathPrefix), "/")
			day, ok := p.ParseTable(name)
			if ok && b.Periods.At(day*schema.MillisPerDay) == i && days.Contains(day) {
				out = append(out, Table{Period: i, Day: day, Name: name})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list index tables in %s: %w", b.Index[i].Name(), err)
		}
	}
	for i := range out {
		if err := b.listFiles(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(x, y Table) int { return int(x.Day - y.Day) })
	return out, nil
}

func (b *Bucket) listFiles(ctx context.Context, t *Table) error {
	p := &b.Periods[t.Period]
	prefix := p.TableKey(t.Name)
	err := b.Index[t.Period].List(ctx, prefix, func(o objstore.ObjectInfo) error {
		f, ok := schema.ParseIndexKey(prefix, o.Key)
		file := File{IndexFile: f, Key: o.Key, Size: o.Size}
		if ok && file.TSDB() == (p.Store == schema.StoreTSDB) {
			t.Files = append(t.Files, file)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list index table %s: %w", t.Name, err)
	}
	return nil
}

// Object is a chunk's object as it was listed.
type Object struct {
	schema.ChunkName
	Size    int64
	ModTime time.Time
}

// Listing is all that is in the buckets of the chunks.
type Listing struct {
	// Objects are the chunks that touch the days.
	Objects []Object
	// Sidecars counts the sidecars of chunks that lie alone, Packs the packs of others, and SidecarBytes and PackBytes are their sizes.
	Sidecars, Packs         int
	SidecarBytes, PackBytes int64
	// described are the hashes of the keys of chunks that touch the days and have a sidecar that lies alone; packs are all packs, by table.
	described []uint64
	packs     map[packTable][]packObject
	// Own counts other objects that logstore keeps for itself: locks, manifests, delete requests.
	Own int
	// Others counts objects that are none of these, and Example is one of them.
	Others  int
	Example string
}

// List lists the chunks that touch the days.
func (b *Bucket) List(ctx context.Context, days Days, progress func(n int64)) (*Listing, error) {
	l := &Listing{packs: map[packTable][]packObject{}}
	for name, o := range b.Chunks {
		err := o.Bucket.List(ctx, "", func(info objstore.ObjectInfo) error {
			if b.isIndex(info.Key) || b.takeOwn(l, o.Bucket, info, days) {
				return nil
			}
			chunk, err := o.ParseChunkKey(info.Key)
			if err != nil {
				l.Others++
				l.Example = info.Key
				return nil //nolint:nilerr // it is counted
			}
			progress(1)
			if b.Periods[b.Periods.At(chunk.From)].ObjectStore == name && b.touches(chunk, days) {
				l.Objects = append(l.Objects, Object{ChunkName: chunk, Size: info.Size, ModTime: info.ModTime})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list chunks in %s: %w", o.Bucket.Name(), err)
		}
	}
	return l, nil
}

// ownPrefix is that of what logstore keeps in a bucket beside what Loki knows, but for sidecars.
const ownPrefix = "__logstore__/"

// takeOwn counts an object if it is one that only logstore writes.
func (b *Bucket) takeOwn(l *Listing, in objstore.Bucket, info objstore.ObjectInfo, days Days) bool {
	if name, ok := store.ParsePackKey(info.Key); ok {
		l.Packs++
		l.PackBytes += info.Size
		t := packTable{in, name.Table}
		l.packs[t] = append(l.packs[t], packObject{name, info.Key})
		return true
	}
	if strings.HasPrefix(info.Key, ownPrefix) || strings.HasPrefix(info.Key, store.PackPrefix) {
		l.Own++
		return true
	}
	ref, ok := store.ParseSidecarKey(info.Key)
	if !ok {
		return false
	}
	l.Sidecars++
	l.SidecarBytes += info.Size
	if name := b.nameOf(ref); b.touches(name, days) {
		l.described = append(l.described, hashOf("", name.Key()))
	}
	return true
}

// nameOf returns a chunk with the layout of its key.
func (b *Bucket) nameOf(ref model.ChunkRef) schema.ChunkName {
	return schema.ChunkName{ChunkRef: ref, Layout: b.Periods.LayoutOf(ref.From)}
}

// tableDay names a table by its period and day.
type tableDay struct {
	period int
	day    int64
}

// ownTable returns the table of the day on which a chunk begins; those of other days that it touches name it too.
func (b *Bucket) ownTable(ref model.ChunkRef) tableDay {
	return tableDay{b.Periods.At(ref.From), schema.Day(ref.From)}
}

func (b *Bucket) isIndex(key string) bool {
	for i := range b.Periods {
		if p := b.Periods[i].PathPrefix; p != "" && strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// touches reports whether a chunk is indexed in one of the days.
func (b *Bucket) touches(c schema.ChunkName, days Days) bool {
	return schema.Day(c.From) <= days.Through && schema.Day(c.Through) >= days.From
}

// StoreOf returns where a chunk's object is.
func (b *Bucket) StoreOf(c schema.ChunkName) store.ObjectStore {
	return b.Chunks[b.Periods[b.Periods.At(c.From)].ObjectStore]
}

// Get fetches a chunk's object.
func (b *Bucket) Get(ctx context.Context, c schema.ChunkName) ([]byte, error) {
	o := b.StoreOf(c)
	return o.Bucket.Get(ctx, o.ChunkKey(c))
}

// Open fetches and opens a chunk, again if it arrives damaged. A chunk that is not what its key says is a chunk.ErrCorrupt or
// chunk.ErrForeign.
func (b *Bucket) Open(ctx context.Context, c schema.ChunkName) (opened *chunk.Chunk, body []byte, err error) {
	for range attempts {
		if body, err = b.Get(ctx, c); err != nil {
			return nil, nil, err
		}
		if opened, err = chunk.OpenRef(body, c.ChunkRef); !errors.Is(err, chunk.ErrChecksum) {
			break
		}
	}
	return opened, body, err
}

// has asks whether a chunk's object is there.
func (b *Bucket) has(ctx context.Context, c schema.ChunkName) (bool, error) {
	o := b.StoreOf(c)
	_, err := o.Bucket.Stat(ctx, o.ChunkKey(c))
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// temp returns a path for an index file.
func (b *Bucket) temp(pattern string) (string, error) {
	f, err := os.CreateTemp(b.Dir, strings.ReplaceAll(pattern, "/", "-")+"-*")
	if err != nil {
		return "", fmt.Errorf("cannot make room for an index file: %w", err)
	}
	return filepath.Clean(f.Name()), f.Close()
}
