package compactor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"logstore/pkg/index"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

const marksPrefix = "__logstore__/compactor/marks/"

// maxMarks is how many chunks one object of marks has.
const maxMarks = 100_000

// marksWriter writes down the chunks of a table that lost their rows: lines of a stream's id, a blank and a chunk's key, gzipped,
// under a name that begins with the time from which on the chunks may go, in milliseconds as 16 hex digits.
type marksWriter struct {
	c      *Compactor
	bucket objstore.Bucket
	table  string
	due    int64

	buf    bytes.Buffer
	zip    *gzip.Writer
	count  int
	number int
	// full are the objects that wait to be written: marks are stored behind the new files.
	full [][]byte
}

func (c *Compactor) newMarks(o *openTable) *marksWriter {
	return &marksWriter{c: c, bucket: o.bucket, table: o.name, due: c.now().Add(c.cfg.chunkDelay()).UnixMilli()}
}

// add marks a chunk.
func (w *marksWriter) add(series schema.SeriesID, key []byte) error {
	if w.zip == nil {
		w.zip = gzip.NewWriter(&w.buf)
	}
	if _, err := fmt.Fprintf(w.zip, "%s %s\n", series[:], key); err != nil {
		return err
	}
	if w.count++; w.count >= maxMarks {
		return w.cut()
	}
	return nil
}

func (w *marksWriter) cut() error {
	if w.count == 0 {
		return nil
	}
	if err := w.zip.Close(); err != nil {
		return err
	}
	w.full = append(w.full, bytes.Clone(w.buf.Bytes()))
	w.buf.Reset()
	w.zip, w.count = nil, 0
	return nil
}

// finish stores the marks.
func (w *marksWriter) finish(ctx context.Context) error {
	if err := w.cut(); err != nil {
		return err
	}
	for _, body := range w.full {
		key := fmt.Sprintf("%s%016x-%s-%d.gz", marksPrefix, w.due, w.table, w.c.now().UnixNano()+int64(w.number))
		w.number++
		if err := w.bucket.Put(ctx, key, body); err != nil {
			return fmt.Errorf("cannot write marks: %w", err)
		}
	}
	w.full = nil
	return objstore.Sync(ctx, w.bucket)
}

// mark is a chunk that may go.
type mark struct {
	series schema.SeriesID
	name   schema.ChunkName
}

func readMarks(ctx context.Context, b objstore.Bucket, key string) ([]mark, error) {
	body, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot read marks %s: %w", key, err)
	}
	var out []mark
	sc := bufio.NewScanner(zr)
	for sc.Scan() {
		series, chunkKey, _ := strings.Cut(sc.Text(), " ")
		id, ok := schema.ParseSeriesID([]byte(series))
		name, err := schema.ParseChunkKey(chunkKey)
		if !ok || err != nil {
			return nil, fmt.Errorf("cannot read marks %s: line %q", key, sc.Text())
		}
		out = append(out, mark{id, name})
	}
	if err := sc.Err(); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read marks %s: %w", key, err)
	}
	return out, nil
}

// sweep removes the chunks of marks whose time has come, unless a table names them. It returns when the next marks are due, 0 if
// there are none.
func (c *Compactor) sweep(ctx context.Context, b objstore.Bucket, ms manifests) (next int64, err error) {
	var keys []string
	now := c.now().UnixMilli()
	err = b.List(ctx, marksPrefix, func(o objstore.ObjectInfo) error {
		text, _, _ := strings.Cut(strings.TrimPrefix(o.Key, marksPrefix), "-")
		due, err := strconv.ParseInt(text, 16, 64)
		switch {
		case err != nil:
			c.logger.Warn("an object among the marks is none", "key", o.Key)
		case due <= now:
			keys = append(keys, o.Key)
		case next == 0 || due < next:
			next = due
		}
		return nil
	})
	if err != nil {
		return next, fmt.Errorf("cannot list marks: %w", err)
	}
	s := &sweeper{c: c, manifests: ms}
	defer s.close()
	for _, key := range keys {
		again, err := s.object(ctx, b, key)
		if err != nil {
			return next, err
		}
		if again && (next == 0 || next > now+c.cfg.Grace.Milliseconds()) {
			next = now + max(c.cfg.Grace.Milliseconds(), 1000)
		}
	}
	return next, nil
}

// sweeper holds the tables that a sweep has looked at.
type sweeper struct {
	c         *Compactor
	manifests manifests
	tables    map[tableID]*openTable
}

type tableID struct {
	period int
	day    int64
}

func (s *sweeper) close() {
	for _, o := range s.tables {
		o.close()
	}
	s.tables = nil
}

// object removes the chunks of one object of marks. again tells that some wait for files to go that still name them.
func (s *sweeper) object(ctx context.Context, b objstore.Bucket, key string) (again bool, err error) {
	marks, err := readMarks(ctx, b, key)
	if err != nil {
		return false, err
	}
	free, waiting, err := s.unnamed(ctx, marks)
	if err != nil {
		return false, err
	}
	if err := s.remove(ctx, free); err != nil {
		return false, err
	}
	if waiting > 0 {
		return true, nil
	}
	if err := pointChunksRemoved.Hit(); err != nil {
		return false, err
	}
	return false, b.Delete(ctx, key)
}

// unnamed returns the marks that no file names. Those that a file names for which another one stands wait; those that a file
// names that counts are in use again, or never went, and stay.
func (s *sweeper) unnamed(ctx context.Context, marks []mark) (free []mark, waiting int, err error) {
	byTable := map[tableID][]int{}
	for i, m := range marks {
		for _, span := range s.c.periods.Spans(m.name.From, m.name.Through) {
			id := tableID{span.Period, span.Day}
			byTable[id] = append(byTable[id], i)
		}
	}
	named, later := make([]bool, len(marks)), make([]bool, len(marks))
	for _, id := range slices.SortedFunc(maps.Keys(byTable), func(a, b tableID) int { return int(a.day - b.day) }) {
		o, err := s.table(ctx, id)
		if err != nil {
			return nil, 0, err
		}
		if o == nil {
			continue
		}
		for _, i := range byTable[id] {
			found, err := o.names(s.c.periods, marks[i])
			if err != nil {
				return nil, 0, err
			}
			named[i] = named[i] || found
			later[i] = later[i] || o.pending
		}
	}
	for i, m := range marks {
		switch {
		case named[i]:
		case later[i]:
			waiting++
		default:
			free = append(free, m)
		}
	}
	return free, waiting, nil
}

// table opens a table; nil if it has no files.
func (s *sweeper) table(ctx context.Context, id tableID) (*openTable, error) {
	if o, ok := s.tables[id]; ok {
		return o, nil
	}
	p := &s.c.periods[id.period]
	if p.Store != schema.StoreBoltDB {
		return nil, fmt.Errorf("a marked chunk belongs to a table of store %s", p.Store)
	}
	t := &table{period: id.period, day: id.day, name: p.Table(id.day), p: p, bucket: s.c.deps.Bucket(id.period)}
	if err := t.list(ctx, s.manifests); err != nil {
		return nil, err
	}
	o, err := s.c.open(ctx, t)
	if err != nil {
		return nil, err
	}
	if len(s.tables) >= maxSwept {
		s.close()
	}
	if s.tables == nil {
		s.tables = map[tableID]*openTable{}
	}
	s.tables[id] = o
	return o, nil
}

// maxSwept bounds the tables that a sweep holds open.
const maxSwept = 8

// names reports whether a file of the table has a row for the chunk.
func (o *openTable) names(ps schema.Periods, m mark) (bool, error) {
	var rows schema.RowBuffer
	for _, span := range ps.Spans(m.name.From, m.name.Through) {
		if span.Period == o.period && span.Day == o.day {
			o.p.AppendChunk(&rows, span, m.series, m.name)
		}
	}
	for _, row := range rows.Rows {
		for _, c := range o.copies {
			found := false
			err := c.file.ViewBuckets(func(_ string, cur *index.Cursor) error {
				k, _ := cur.Seek(row.Key)
				found = found || bytes.Equal(k, row.Key)
				return nil
			})
			if err != nil || found {
				return found, err
			}
		}
	}
	return false, nil
}

// remove removes chunk objects.
func (s *sweeper) remove(ctx context.Context, marks []mark) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.c.cfg.DeleteWorkers)
	var mu sync.Mutex
	days := map[int64]int{}
	for _, m := range marks {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := s.c.lock.mine(); err != nil {
				return err
			}
			if err := s.c.deps.Chunks.DeleteChunk(ctx, m.name); err != nil {
				return err
			}
			if s.c.deps.OnChunkDeleted != nil {
				if err := s.c.deps.OnChunkDeleted(ctx, m.name); err != nil {
					return err
				}
			}
			s.c.metrics.chunksDeleted.Inc()
			mu.Lock()
			days[schema.Day(m.name.Through)]++
			mu.Unlock()
			return pointChunkRemoved.Hit()
		})
	}
	err := group.Wait()
	for day, n := range days {
		s.c.status.deleted(dayText(day), n)
		s.c.logger.Info("removed chunks that nothing names any more", "day", dayText(day), "chunks", n)
	}
	return err
}
