package compactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// output is a unit's new file on the own disk.
type output struct {
	unit *unit
	path string
	rows int
}

// writeUnit writes the rows of a unit as the plan wants them, and the chunks that lose their rows to the marks. A nil plan keeps
// all rows.
func (c *Compactor) writeUnit(o *openTable, u *unit, p *plan, number int, marks *marksWriter) (out *output, err error) {
	out = &output{unit: u, path: filepath.Join(o.dir, fmt.Sprintf("out-%d", number))}
	b, err := index.NewBuilder(out.path)
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if err != nil && !closed {
			b.Abort()
		}
	}()
	if err := b.Bucket(index.SharedBucket); err != nil {
		return nil, err
	}
	w := &unitWriter{c: c, o: o, p: p, b: b, marks: marks, out: out}
	if p != nil {
		w.added = p.added
	}
	if err := index.MergeRows(u.sources, w.row); err != nil {
		return nil, fmt.Errorf("cannot merge index table %s: %w", o.name, err)
	}
	if err := w.addBefore(nil); err != nil {
		return nil, err
	}
	out.rows = b.Rows()
	closed = true
	return out, b.Close()
}

// unitWriter copies rows from the sources to the builder.
type unitWriter struct {
	c     *Compactor
	o     *openTable
	p     *plan
	b     *index.Builder
	marks *marksWriter
	out   *output
	added []schema.Row
}

// row takes the next row.
func (w *unitWriter) row(row schema.Row) error {
	if w.p == nil {
		return w.b.Add(row)
	}
	if err := w.addBefore(row.Key); err != nil {
		return err
	}
	r, err := w.o.p.ParseRow(row.Key, row.Value)
	if err != nil {
		return w.b.Add(row) // What we do not know we do not remove.
	}
	keep := true
	switch r.Kind {
	case schema.KindChunk:
		keep, err = w.keepChunk(&r)
	case schema.KindLabelNames:
		if len(w.p.dead) > 0 {
			keep, err = w.p.keepsNames(r.Series, w.hasSeries)
		}
	default:
		keep = !w.p.dead[streamID{string(r.Tenant), r.Series}]
	}
	if err != nil || !keep {
		return err
	}
	return w.b.Add(row)
}

// keepChunk reports whether a chunk's row stays. If not, the chunk is marked.
func (w *unitWriter) keepChunk(r *schema.ParsedRow) (bool, error) {
	name, err := schema.ParseChunkKey(string(r.Chunk))
	if err != nil {
		return true, nil
	}
	id := streamID{string(r.Tenant), r.Series}
	if _, goes := w.p.goes(id, r.Chunk, name); goes {
		return false, w.marks.add(r.Series, r.Chunk)
	}
	return true, nil
}

// addBefore adds the rows of new chunks that come before a key; nil means all.
func (w *unitWriter) addBefore(key []byte) error {
	for len(w.added) > 0 && (key == nil || bytes.Compare(w.added[0].Key, key) < 0) {
		if err := w.b.Add(w.added[0]); err != nil {
			return err
		}
		w.added = w.added[1:]
	}
	return nil
}

// hasSeries reports whether a tenant has a row for a stream.
func (w *unitWriter) hasSeries(id streamID) (bool, error) {
	prefix := w.o.p.SeriesPrefixes(id.tenant, w.o.day)
	shard := 0
	if len(prefix) > 1 {
		shard = int(id.series.Shard(uint32(len(prefix))))
	}
	key := append(append(bytes.Clone(prefix[shard]), 0), id.series[:]...)
	found := false
	for _, s := range w.p.u.sources {
		err := s.File.ViewBuckets(func(bucket string, cur *index.Cursor) error {
			if bucket == s.Bucket && !found {
				k, _ := cur.Seek(key)
				found = bytes.HasPrefix(k, key)
			}
			return nil
		})
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// publish uploads new files and the manifest that makes those before them go.
func (c *Compactor) publish(ctx context.Context, o *openTable, outputs []*output, merged bool, marks *marksWriter) error {
	name := c.newName(o.table, merged)
	m := &manifest{PathPrefix: o.p.PathPrefix, Table: o.name, Created: c.now().UnixMilli()}
	m.Due = m.Created + c.cfg.Grace.Milliseconds()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.UploadParallelism)
	for _, out := range outputs {
		m.Superseded = append(m.Superseded, o.superseded(out.unit)...)
		if out.rows == 0 {
			continue // Nothing is left: no file stands for those that go.
		}
		key := schema.IndexFile{Tenant: out.unit.tenant, Name: name}.Key(o.p.TableKey(o.name))
		m.Published = append(m.Published, key)
		group.Go(func() error { return c.uploadFile(groupCtx, o, key, out) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := objstore.Sync(ctx, o.bucket); err != nil {
		return err
	}
	if err := pointPublished.Hit(); err != nil {
		return err
	}
	if err := marks.finish(ctx); err != nil {
		return err
	}
	if err := pointMarked.Hit(); err != nil {
		return err
	}
	if err := c.lock.mine(); err != nil {
		return err
	}
	if err := m.write(ctx, o.bucket); err != nil {
		return err
	}
	o.replace(outputs, name)
	return pointManifest.Hit()
}

// replace brings what is known of the table up to date with what was published.
func (o *openTable) replace(outputs []*output, name string) {
	for _, out := range outputs {
		o.files = slices.DeleteFunc(o.files, func(f schema.IndexFile) bool { return f.Tenant == out.unit.tenant })
		if out.rows > 0 {
			o.files = append(o.files, schema.IndexFile{Tenant: out.unit.tenant, Name: name})
		}
	}
	o.pending = true
}

func (c *Compactor) uploadFile(ctx context.Context, o *openTable, key string, out *output) error {
	object, err := index.Compress(out.path)
	if err != nil {
		return err
	}
	if err := c.lock.mine(); err != nil {
		return err
	}
	if err := o.bucket.Put(ctx, key, object); err != nil {
		return fmt.Errorf("cannot upload %s: %w", key, err)
	}
	c.metrics.bytesUploaded.Add(float64(len(object)))
	return errors.Join(os.Remove(out.path), pointUploaded.Hit())
}

// logTable tells what became of a table: what goes is counted for the day.
func (c *Compactor) logTable(o *openTable, outputs []*output, plans map[*unit]*plan, began time.Time) {
	day := time.UnixMilli(o.day * schema.MillisPerDay).UTC().Format(time.DateOnly)
	count := map[reason]int{}
	for _, p := range plans {
		for why, n := range p.count {
			count[why] += n
			c.metrics.chunksMarked.WithLabelValues(string(why)).Add(float64(n))
		}
	}
	rows := 0
	for _, out := range outputs {
		rows += out.rows
	}
	args := []any{"table", o.name, "day", day, "files_before", len(o.copies), "files", len(o.files), "rows", rows,
		"bytes_fetched", o.bytes, "duration", c.now().Sub(began)}
	for _, why := range []reason{reasonRetention, reasonSize, reasonDelete, reasonMerge} {
		if n := count[why]; n > 0 {
			args = append(args, "chunks_"+string(why), n)
			c.status.marked(day, why, n)
		}
	}
	c.logger.Info("compacted an index table", args...)
}
