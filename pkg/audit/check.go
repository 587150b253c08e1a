package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sync/errgroup"

	"logstore/pkg/chunk"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// Kind says what is wrong.
type Kind string

// The kinds of problems.
const (
	// MissingObject: the index names a chunk that is not in the bucket. Queries of its time fail.
	MissingObject Kind = "missing-object"
	// NotIndexed: no file of a day names a chunk that is in the bucket. Queries do not see it.
	NotIndexed Kind = "not-indexed"
	// MissingRows: a chunk is named, but rows that lead to it are missing. Some selectors do not see it.
	MissingRows Kind = "missing-rows"
	// DamagedChunk: the object is not what its key says.
	DamagedChunk Kind = "damaged-chunk"
	// DamagedIndex: an index file cannot be read.
	DamagedIndex Kind = "damaged-index"
	// BadRow: a row of an index file cannot be read.
	BadRow Kind = "bad-row"
)

// Problem is one thing that is wrong.
type Problem struct {
	Kind Kind `json:"kind"`
	// Key is the object's key, of a chunk in the form of the bucket's index.
	Key string `json:"key"`
	// Table is set where the problem is in one.
	Table  string `json:"table,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// String is a line for a human.
func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s", p.Kind, p.Key)
	if p.Table != "" {
		s += " in table " + p.Table
	}
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	return s
}

// maxProblems bounds the problems that a report holds.
const maxProblems = 10_000

// Report is what a check found.
type Report struct {
	Tables     int   `json:"tables"`
	IndexFiles int   `json:"index_files"`
	IndexBytes int64 `json:"index_bytes"`
	Rows       int64 `json:"rows"`
	ChunkRefs  int64 `json:"chunk_refs"`
	Chunks     int   `json:"chunks"`
	ChunkBytes int64 `json:"chunk_bytes"`
	Entries    int64 `json:"entries"`
	// Young counts chunks that are not indexed yet, Redundant those that need not be: their entries, if any, are in others.
	Young     int `json:"young"`
	Redundant int `json:"redundant"`
	Others    int `json:"other_objects"`
	// Sidecars counts those that lie alone, Packs the packs of others, Described the chunks that have one, here or there. Strays are
	// sidecars that lie alone and whose chunk is gone: they are never read. Own counts locks, manifests and the like.
	Sidecars     int   `json:"sidecars"`
	SidecarBytes int64 `json:"sidecar_bytes"`
	Packs        int   `json:"sidecar_packs"`
	PackBytes    int64 `json:"sidecar_pack_bytes"`
	Described    int   `json:"described_chunks"`
	Strays       int   `json:"stray_sidecars"`
	Own          int   `json:"own_objects"`
	ProblemsAll  int   `json:"problems_total"`
	// ByKind counts all problems; Problems holds the first of them.
	ByKind   map[Kind]int `json:"problems_by_kind"`
	Problems []Problem    `json:"problems"`
}

// Options say what is checked.
type Options struct {
	Days Days
	// Quick checks that the names agree and opens no chunk.
	Quick bool
	// Grace is the age up to which a chunk need not be indexed: its rows may still be on their way.
	Grace time.Duration
	// Parallel bounds the objects that are read at a time.
	Parallel int
	// Progress is told how much more there is to do, and how much was done. It may be nil.
	Progress func(more, done int64)
}

// checker holds what the index says as sorted hashes, for one text a row would be too much.
type checker struct {
	b      *Bucket
	opts   Options
	hashes struct{ named, rows []uint64 }

	mu        sync.Mutex
	report    Report
	unindexed []orphan
}

// Check compares the index with the chunks, both ways.
func Check(ctx context.Context, b *Bucket, opts Options) (*Report, error) {
	opts.Parallel = max(1, opts.Parallel)
	if opts.Progress == nil {
		opts.Progress = func(int64, int64) {}
	}
	c := &checker{b: b, opts: opts, report: Report{ByKind: map[Kind]int{}}}
	began := time.Now()
	tables, err := b.Tables(ctx, opts.Days)
	if err != nil {
		return nil, err
	}
	// Objects are listed after the tables: what a table names was put before it.
	listing, err := b.List(ctx, opts.Days, func(int64) {})
	if err != nil {
		return nil, err
	}
	there := make(map[uint64]struct{}, len(listing.Objects))
	for i := range listing.Objects {
		there[hashOf("", listing.Objects[i].Key())] = struct{}{}
	}
	for i := range tables {
		opts.Progress(int64(len(tables[i].Files)), 0)
	}
	opts.Progress(int64(len(listing.Objects)), 0)
	for i := range tables {
		if err := c.table(ctx, &tables[i], there); err != nil {
			return nil, err
		}
	}
	slices.Sort(c.hashes.named)
	slices.Sort(c.hashes.rows)
	if err := c.sidecars(ctx, listing, there); err != nil {
		return nil, err
	}
	if err := c.chunks(ctx, listing.Objects, began); err != nil {
		return nil, err
	}
	if err := c.orphans(ctx, listing.Objects); err != nil {
		return nil, err
	}
	slices.SortFunc(c.report.Problems, func(x, y Problem) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Table, y.Table), cmp.Compare(x.Key, y.Key))
	})
	return &c.report, nil
}

// hashOf hashes a key within a table.
func hashOf(table, key string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(table)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(key)
	return d.Sum64()
}

func (c *checker) problem(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.ProblemsAll++
	c.report.ByKind[p.Kind]++
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, p)
	}
}

// table reads all files of a table.
func (c *checker) table(ctx context.Context, t *Table, there map[uint64]struct{}) error {
	c.report.Tables++
	for i := range t.Files {
		f := &t.Files[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		c.report.IndexFiles++
		c.report.IndexBytes += f.Size
		err := c.b.Scan(ctx, t, f, Visitor{
			Row:   func(_ string, key, _ []byte, _ schema.ParsedRow, err error) error { return c.row(t, f, key, err) },
			Chunk: func(n Named) error { return c.named(ctx, t, n, there) },
		})
		switch {
		case errors.Is(err, ErrDamaged):
			c.problem(Problem{Kind: DamagedIndex, Key: f.Key, Table: t.Name, Detail: err.Error()})
		case errors.Is(err, objstore.ErrNotFound):
			// It was compacted since it was listed. Its rows are in a file that the next check sees.
		case err != nil:
			return err
		}
		c.opts.Progress(0, 1)
	}
	return nil
}

func (c *checker) row(t *Table, f *File, key []byte, err error) error {
	if err != nil {
		c.problem(Problem{Kind: BadRow, Key: f.Key, Table: t.Name, Detail: fmt.Sprintf("row %q: %v", key, err)})
		return nil
	}
	c.report.Rows++
	if !c.opts.Quick {
		c.hashes.rows = append(c.hashes.rows, hashOf(t.Name, string(key)))
	}
	return nil
}

// named looks at a chunk that a table names.
func (c *checker) named(ctx context.Context, t *Table, n Named, there map[uint64]struct{}) error {
	c.report.ChunkRefs++
	key := n.Key()
	c.hashes.named = append(c.hashes.named, hashOf(t.Name, key))
	if c.b.Periods[t.Period].Store == schema.StoreTSDB && !c.opts.Quick {
		c.hashes.rows = append(c.hashes.rows, hashOf(t.Name, tsdbRow(n.Series, key)))
	}
	if _, ok := there[hashOf("", key)]; ok {
		return nil
	}
	// It may have been put after the listing began, or a chunk that two tables name is out of the days' bounds.
	ok, err := c.b.has(ctx, n.ChunkName)
	if err == nil && !ok {
		c.problem(Problem{Kind: MissingObject, Key: key, Table: t.Name})
	}
	return err
}

func tsdbRow(id schema.SeriesID, key string) string { return string(id[:]) + "\x00" + key }

func has(sorted []uint64, h uint64) bool {
	_, ok := slices.BinarySearch(sorted, h)
	return ok
}

// chunks looks at all objects.
func (c *checker) chunks(ctx context.Context, objects []Object, began time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	for i := range objects {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return c.chunk(ctx, &objects[i], began) })
	}
	return group.Wait()
}

func (c *checker) chunk(ctx context.Context, o *Object, began time.Time) error {
	defer c.opts.Progress(0, 1)
	young := c.opts.Grace > 0 && began.Sub(o.ModTime) < c.opts.Grace
	indexed := c.indexed(o, young)
	c.mu.Lock()
	c.report.Chunks++
	c.report.ChunkBytes += o.Size
	c.mu.Unlock()
	if c.opts.Quick {
		return nil
	}
	opened, _, err := c.b.Open(ctx, o.ChunkName)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil // it was removed since it was listed
	case errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, chunk.ErrForeign):
		c.problem(Problem{Kind: DamagedChunk, Key: o.Key(), Detail: err.Error()})
		return nil
	case err != nil:
		return fmt.Errorf("cannot read chunk %s: %w", o.Key(), err)
	}
	entries, err := verifyBlocks(opened)
	if err != nil {
		c.problem(Problem{Kind: DamagedChunk, Key: o.Key(), Detail: err.Error()})
	}
	c.mu.Lock()
	c.report.Entries += entries
	c.mu.Unlock()
	for _, span := range indexed {
		c.rowsOf(o.ChunkName, opened.Labels, span)
	}
	return nil
}

// verifyBlocks tests the checksum of each block and counts the entries.
func verifyBlocks(c *chunk.Chunk) (entries int64, err error) {
	b := chunk.GetBatch()
	defer chunk.PutBatch(b)
	for i := range c.Blocks {
		if err := b.Load(&c.Blocks[i]); err != nil {
			return entries, fmt.Errorf("block %d: %w", i, err)
		}
		entries += int64(c.Blocks[i].Entries)
	}
	return entries, nil
}

// indexed returns the days in which a chunk is named, and notes it if there are days in which it is not.
func (c *checker) indexed(o *Object, young bool) []schema.Span {
	var out []schema.Span
	missing := ""
	for _, span := range c.b.Periods.Spans(o.From, o.Through) {
		table := c.b.Periods[span.Period].Table(span.Day)
		switch {
		case !c.opts.Days.Contains(span.Day):
		case has(c.hashes.named, hashOf(table, o.Key())):
			out = append(out, span)
		default:
			missing = table
		}
	}
	switch {
	case missing == "":
	case young:
		c.mu.Lock()
		c.report.Young++
		c.mu.Unlock()
	default:
		c.mu.Lock()
		c.unindexed = append(c.unindexed, orphan{o, missing})
		c.mu.Unlock()
	}
	return out
}

// rowsOf wants all rows that lead to a chunk in a day where it is named.
func (c *checker) rowsOf(name schema.ChunkName, lbls labels.Labels, span schema.Span) {
	p := &c.b.Periods[span.Period]
	table, id := p.Table(span.Day), schema.SeriesIDOf(lbls)
	if p.Store == schema.StoreTSDB {
		if !has(c.hashes.rows, hashOf(table, tsdbRow(id, name.Key()))) {
			c.problem(Problem{Kind: MissingRows, Key: name.Key(), Table: table, Detail: "it is named for other labels than the chunk's, " + lbls.String()})
		}
		return
	}
	var rows schema.RowBuffer
	p.AppendSeries(&rows, name.Tenant, span.Day, id, lbls)
	p.AppendChunk(&rows, span, id, name)
	missing, example := 0, ""
	for _, r := range rows.Rows {
		if !has(c.hashes.rows, hashOf(table, string(r.Key))) {
			missing++
			example = string(r.Key)
		}
	}
	if missing > 0 {
		c.problem(Problem{
			Kind: MissingRows, Key: name.Key(), Table: table,
			Detail: fmt.Sprintf("%d of %d rows, such as %q", missing, len(rows.Rows), example),
		})
	}
}
