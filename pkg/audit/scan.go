package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/tsdb"
)

// ErrDamaged is wrapped by errors that say that an index file is not sound.
var ErrDamaged = errors.New("damaged index file")

// Named is a chunk as an index file names it.
type Named struct {
	schema.ChunkName
	Series schema.SeriesID
	// Labels are those of the stream, where the file has them beside the chunk; a TSDB has.
	Labels labels.Labels
}

// Visitor takes what is in an index file. Functions that are nil are not called.
type Visitor struct {
	// Chunk takes each chunk that is named. A chunk may come more than once.
	Chunk func(n Named) error
	// Row takes each row of a table of store boltdb-shipper, with the name of its bucket in the file and what it says; err
	// tells why it cannot be read.
	Row func(bucket string, key, value []byte, row schema.ParsedRow, err error) error
}

// Scan reads an index file of a table from the bucket.
func (b *Bucket) Scan(ctx context.Context, t *Table, f *File, v Visitor) error {
	path, err := b.temp(f.Name)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	if err := b.fetch(ctx, t, f, path); err != nil {
		return fmt.Errorf("cannot read index file %s: %w", f.Key, err)
	}
	if err := ScanFile(path, f.TSDB(), f.Tenant, &b.Periods[t.Period], b.Periods, v); err != nil {
		return fmt.Errorf("cannot read index file %s: %w", f.Key, err)
	}
	return nil
}

// attempts is how often an object is fetched that arrives damaged: the way to the bucket may be to blame.
const attempts = 6

func (b *Bucket) fetch(ctx context.Context, t *Table, f *File, path string) error {
	var err error
	for range attempts {
		if err = b.fetchOnce(ctx, t, f, path); err == nil || errors.Is(err, objstore.ErrNotFound) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (b *Bucket) fetchOnce(ctx context.Context, t *Table, f *File, path string) error {
	r, err := b.Index[t.Period].GetReader(ctx, f.Key)
	if err != nil {
		return err
	}
	defer r.Close()
	return Unpack(path, r, f.Compressed(), f.TSDB())
}

// Unpack writes an index object to a file and checks it.
func Unpack(path string, object io.Reader, compressed, isTSDB bool) error {
	check := index.Check
	if isTSDB {
		check = func(path string) error { return withTSDB(path, (*tsdb.Index).Check) }
	}
	err := index.UnpackWith(path, object, compressed, check)
	if errors.Is(err, index.ErrCorrupt) || errors.Is(err, tsdb.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// ScanFile reads an index file on the disk. tenant is that of the folder it came from, empty for a file of all tenants.
func ScanFile(path string, isTSDB bool, tenant string, p *schema.PeriodConfig, periods schema.Periods, v Visitor) error {
	if isTSDB {
		return withTSDB(path, func(x *tsdb.Index) error { return scanTSDB(x, tenant, periods, v) })
	}
	f, err := index.Open(path)
	if err != nil {
		return err
	}
	err = f.ViewBuckets(func(bucket string, c *index.Cursor) error {
		for k, value := c.First(); k != nil; k, value = c.Next() {
			if err := visitRow(p, bucket, k, value, v); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, f.Close())
}

func visitRow(p *schema.PeriodConfig, bucket string, key, value []byte, v Visitor) error {
	row, err := p.ParseRow(key, value)
	if v.Row != nil {
		if err := v.Row(bucket, key, value, row, err); err != nil {
			return err
		}
	}
	if err != nil || row.Kind != schema.KindChunk || v.Chunk == nil {
		return nil //nolint:nilerr // Row was told
	}
	name, err := schema.ParseChunkKey(string(row.Chunk))
	if err != nil {
		if v.Row != nil {
			return v.Row(bucket, key, value, row, err)
		}
		return nil
	}
	return v.Chunk(Named{ChunkName: name, Series: row.Series})
}

func withTSDB(path string, fn func(x *tsdb.Index) error) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read TSDB index file: %w", err)
	}
	x, err := tsdb.Open(b)
	if err != nil {
		return err
	}
	return fn(x)
}

func scanTSDB(x *tsdb.Index, tenant string, periods schema.Periods, v Visitor) error {
	if v.Chunk == nil {
		return nil
	}
	refs, err := x.Select(tsdb.Query{})
	if err != nil {
		return err
	}
	r := x.NewReader()
	for _, ref := range refs {
		var s tsdb.Series
		if err := r.Series(ref, &s); err != nil {
			return err
		}
		lbls, owner, err := s.Labels()
		if err != nil {
			return err
		}
		if tenant != "" {
			owner = tenant
		}
		n := Named{Series: schema.SeriesIDOf(lbls), Labels: lbls}
		n.Tenant, n.Fingerprint = owner, s.Fingerprint
		err = s.Chunks(math.MinInt64, math.MaxInt64, func(c tsdb.Chunk) error {
			n.From, n.Through, n.Checksum, n.Layout = c.From, c.Through, c.Checksum, periods.LayoutOf(c.From)
			return v.Chunk(n)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
