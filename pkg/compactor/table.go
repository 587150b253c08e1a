package compactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// filePrefix begins the names of compacted files; no writer's file begins so.
const filePrefix = "compactor"

// mergedMark stands in the name of a file whose small chunks were merged.
const mergedMark = ".m"

// maxOpen is how many files are merged at a time; more are merged in steps.
const maxOpen = 256

// table is the index of one day in the bucket.
type table struct {
	period int
	day    int64
	name   string
	p      *schema.PeriodConfig
	bucket objstore.Bucket
	// files are those that count: nothing stands for them.
	files []schema.IndexFile
	// pending tells that readers may still use files for which others stand.
	pending bool
	// stamp is the latest time in the name of a compacted file, one that is about to go too.
	stamp int64
}

// listTables returns the tables of all boltdb periods, newest first.
func (c *Compactor) listTables(ctx context.Context) ([]*table, error) {
	var out []*table
	for i := range c.periods {
		p := &c.periods[i]
		if p.Store != schema.StoreBoltDB {
			continue
		}
		b := c.deps.Bucket(i)
		err := b.ListDirs(ctx, p.PathPrefix, func(dir string) error {
			name := strings.TrimSuffix(strings.TrimPrefix(dir, p.PathPrefix), "/")
			// A table's name says its day, and that says which of the periods with this prefix it belongs to.
			if period, day, ok := c.periods.FindTable(name); ok && period == i {
				out = append(out, &table{period: i, day: day, name: name, p: p, bucket: b})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list index tables in %s: %w", b.Name(), err)
		}
	}
	slices.SortFunc(out, func(a, b *table) int { return int(b.day - a.day) })
	return out, nil
}

// list reads the names of the table's files.
func (t *table) list(ctx context.Context, ms manifests) error {
	gone := ms.of(t.p, t.name)
	prefix := t.p.TableKey(t.name)
	t.files, t.pending = nil, ms.pending(t.p, t.name)
	err := t.bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		f, ok := schema.ParseIndexKey(prefix, o.Key)
		if ok && isCompacted(f) {
			t.stamp = max(t.stamp, stampOf(f.Name))
		}
		switch {
		case !ok:
		case gone[o.Key]: // It is about to go.
		default:
			t.files = append(t.files, f)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list index table %s: %w", t.name, err)
	}
	return nil
}

// state names the files that count: a table with an equal one has not changed.
func (t *table) state() string {
	names := make([]string, 0, len(t.files))
	for _, f := range t.files {
		names = append(names, f.Tenant+"/"+f.Name)
	}
	slices.Sort(names)
	return strings.Join(names, "\n")
}

func isCompacted(f schema.IndexFile) bool { return strings.HasPrefix(f.Name, filePrefix) }

// isMerged reports whether the small chunks of a file's streams were merged.
func isMerged(f schema.IndexFile) bool {
	return isCompacted(f) && strings.HasSuffix(strings.TrimSuffix(f.Name, ".gz"), mergedMark)
}

// uncompacted reports whether the table has more files than it should.
func (t *table) uncompacted() bool {
	count := map[string]int{}
	for _, f := range t.files {
		count[f.Tenant]++
		if !isCompacted(f) || count[f.Tenant] > 1 {
			return true
		}
	}
	return false
}

// merged reports whether all files have their small chunks merged.
func (t *table) merged() bool {
	return !slices.ContainsFunc(t.files, func(f schema.IndexFile) bool { return !isMerged(f) })
}

// newName returns the name of a file that is made now. It is later than every compacted file that the table has or had when it
// was listed, whatever the clock says: readers fetch a name once, and a file must not supersede itself.
func (c *Compactor) newName(t *table, merged bool) string {
	name := filePrefix + "-" + strconv.FormatInt(max(c.now().UnixNano(), t.stamp+1), 10)
	if merged {
		name += mergedMark
	}
	return name + ".gz"
}

// stampOf returns the time in the name of a compacted file, 0 if there is none.
func stampOf(name string) int64 {
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, filePrefix+"-"), ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// openTable is a table whose files are on the own disk.
type openTable struct {
	*table
	dir    string
	copies []fileCopy
	units  []*unit
	// bytes is the size of what was fetched, compressed.
	bytes int64
}

// fileCopy is a file on the own disk: the copy of an object, or what several were merged into.
type fileCopy struct {
	tenant    string
	compacted bool
	file      *index.File
}

// unit is what becomes one file.
type unit struct {
	// tenant is empty for the file in which all tenants are.
	tenant  string
	sources []index.Source
	// dirty tells that the unit must be written even if nothing is removed: it has more than one source, or not a compacted one.
	dirty bool
}

// workPrefix begins the names of folders that are of no use after a restart.
const workPrefix = "work-"

// downloads bounds the files that are fetched at a time.
const downloads = 8

// open fetches the table's files.
func (c *Compactor) open(ctx context.Context, t *table) (_ *openTable, err error) {
	o := &openTable{table: t}
	if err := os.MkdirAll(c.cfg.Directory, 0o777); err != nil {
		return nil, fmt.Errorf("cannot open table %s: %w", t.name, err)
	}
	if o.dir, err = os.MkdirTemp(c.cfg.Directory, workPrefix+t.name+"-"); err != nil {
		return nil, fmt.Errorf("cannot open table %s: %w", t.name, err)
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	byTenant := map[string][]schema.IndexFile{}
	for _, f := range t.files {
		byTenant[f.Tenant] = append(byTenant[f.Tenant], f)
	}
	for _, tenant := range slices.Sorted(maps.Keys(byTenant)) {
		for batch := range slices.Chunk(byTenant[tenant], maxOpen) {
			copies, err := o.fetchAll(ctx, batch)
			o.copies = append(o.copies, copies...)
			if err == nil && len(batch) < len(byTenant[tenant]) {
				err = o.mergeCopies(len(batch))
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if err := o.findUnits(); err != nil {
		return nil, err
	}
	return o, nil
}

// fetchAll fetches and opens files.
func (o *openTable) fetchAll(ctx context.Context, files []schema.IndexFile) ([]fileCopy, error) {
	paths := make([]string, len(files))
	sizes := make([]int64, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for i, f := range files {
		paths[i] = filepath.Join(o.dir, f.Tenant+strconv.Itoa(len(o.copies))+"-"+strconv.Itoa(i))
		group.Go(func() error {
			var err error
			sizes[i], err = fetch(ctx, o.table, f, paths[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []fileCopy
	for i, f := range files {
		file, err := index.Open(paths[i])
		if err != nil {
			return out, err
		}
		out = append(out, fileCopy{f.Tenant, isCompacted(f), file})
		o.bytes += sizes[i]
	}
	return out, nil
}

// mergeCopies makes one copy of the last n, so that the number of open files is bounded.
func (o *openTable) mergeCopies(n int) error {
	at := len(o.copies) - n
	files := make([]*index.File, 0, n)
	for _, c := range o.copies[at:] {
		files = append(files, c.file)
	}
	path := filepath.Join(o.dir, "merged-"+strconv.Itoa(at))
	if err := index.Merge(path, files...); err != nil {
		return err
	}
	for _, f := range files {
		if err := errors.Join(f.Close(), os.Remove(f.Path())); err != nil {
			return err
		}
	}
	file, err := index.Open(path)
	if err != nil {
		o.copies = o.copies[:at]
		return err
	}
	o.copies = append(o.copies[:at], fileCopy{tenant: o.copies[at].tenant, file: file})
	return nil
}

// fetch copies an object to the disk and returns its size.
func fetch(ctx context.Context, t *table, f schema.IndexFile, path string) (int64, error) {
	key := f.Key(t.p.TableKey(t.name))
	r, err := t.bucket.GetReader(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("cannot fetch index file %s: %w", key, err)
	}
	counted := &countingReader{r: r}
	err = errors.Join(index.Unpack(path, counted, f.Compressed()), r.Close())
	if err != nil {
		return 0, fmt.Errorf("cannot fetch index file %s: %w", key, err)
	}
	return counted.n, nil
}

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// findUnits sorts the buckets of all files to the files that they become.
func (o *openTable) findUnits() error {
	byTenant := map[string]*unit{}
	get := func(tenant string) *unit {
		u := byTenant[tenant]
		if u == nil {
			u = &unit{tenant: tenant}
			byTenant[tenant] = u
			o.units = append(o.units, u)
		}
		return u
	}
	for _, c := range o.copies {
		names, err := c.file.Buckets()
		if err != nil {
			return err
		}
		own := get(c.tenant)
		for _, bucket := range names {
			u := own
			if c.tenant == "" && bucket != index.SharedBucket {
				u = get(bucket)
				u.dirty = true
			}
			u.sources = append(u.sources, index.Source{File: c.file, Bucket: bucket})
			u.dirty = u.dirty || len(u.sources) > 1
			own.dirty = own.dirty || u != own
		}
		own.dirty = own.dirty || !c.compacted || len(names) == 0
	}
	for _, u := range o.units {
		u.dirty = u.dirty || (u.tenant == "" && len(u.sources) > 1)
	}
	return nil
}

// superseded returns the files of a unit that is written anew.
func (o *openTable) superseded(u *unit) []string {
	var keys []string
	for _, f := range o.files {
		if f.Tenant == u.tenant {
			keys = append(keys, f.Key(o.p.TableKey(o.name)))
		}
	}
	return keys
}

// close forgets the copies. What cannot be removed is at the next start.
func (o *openTable) close() {
	for _, c := range o.copies {
		_ = c.file.Close()
	}
	_ = os.RemoveAll(o.dir)
}
