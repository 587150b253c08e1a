package shipper

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// decodeSeries reads the streams of a tenant from the series and label rows of a file.
func decodeSeries(f *index.File, p *schema.PeriodConfig, tenant string, day int64) (*seriesSet, error) {
	var d decoder
	err := f.View(tenant, func(c *index.Cursor) error {
		for _, prefix := range p.SeriesPrefixes(tenant, day) {
			if err := d.shard(c, p, prefix); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read series of %s in %s: %w", tenant, f.Path(), err)
	}
	return d.finish(), nil
}

// decoder collects the streams of a file. The rows of a shard come by label name and value, so that each stream gets its
// labels in the order of their names.
type decoder struct {
	ids    []schema.SeriesID
	labels []labels.Labels

	// Of the shard that is being read:
	numbers map[schema.SeriesID]uint32
	from    int
	pairs   []labelPair
	names   []string
	values  []string
	scratch labels.ScratchBuilder
}

// labelPair says that a stream has a label; numbers refer to names and values of the decoder.
type labelPair struct{ series, name, value uint32 }

func (d *decoder) shard(c *index.Cursor, p *schema.PeriodConfig, prefix []byte) error {
	d.numbers = make(map[schema.SeriesID]uint32)
	d.from = len(d.ids)
	d.pairs, d.names, d.values = d.pairs[:0], d.names[:0], d.values[:0]
	err := c.Scan(append(bytes.Clone(prefix), 0), func(key, value []byte) error {
		row, err := p.ParseRow(key, value)
		if err == nil && row.Kind == schema.KindSeries {
			d.number(row.Series)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = c.Scan(append(bytes.Clone(prefix), ':'), func(key, value []byte) error {
		row, err := p.ParseRow(key, value)
		if err == nil && row.Kind == schema.KindLabel {
			d.label(row)
		}
		return err
	})
	if err != nil {
		return err
	}
	d.build()
	return nil
}

// number returns the number of a stream in the shard.
func (d *decoder) number(id schema.SeriesID) uint32 {
	n, ok := d.numbers[id]
	if !ok {
		n = uint32(len(d.ids) - d.from)
		d.numbers[id] = n
		d.ids = append(d.ids, id)
	}
	return n
}

func (d *decoder) label(row schema.ParsedRow) {
	if n := len(d.names); n == 0 || d.names[n-1] != string(row.Label) {
		d.names = append(d.names, string(row.Label))
		d.values = append(d.values, string(row.Value))
	}
	if n := len(d.values); d.values[n-1] != string(row.Value) {
		d.values = append(d.values, string(row.Value))
	}
	d.pairs = append(d.pairs, labelPair{d.number(row.Series), uint32(len(d.names) - 1), uint32(len(d.values) - 1)})
}

// build makes the label sets of the shard's streams.
func (d *decoder) build() {
	n := len(d.ids) - d.from
	starts := make([]uint32, n+1)
	for _, p := range d.pairs {
		starts[p.series+1]++
	}
	for i := range n {
		starts[i+1] += starts[i]
	}
	sorted := make([]labelPair, len(d.pairs))
	next := slices.Clone(starts)
	for _, p := range d.pairs {
		sorted[next[p.series]] = p
		next[p.series]++
	}
	for i := range n {
		d.scratch.Reset()
		for _, p := range sorted[starts[i]:starts[i+1]] {
			d.scratch.Add(d.names[p.name], d.values[p.value])
		}
		d.scratch.Sort()
		d.labels = append(d.labels, d.scratch.Labels())
	}
}

// finish returns the streams of all shards in the order of their ids.
func (d *decoder) finish() *seriesSet {
	order := make([]uint32, len(d.ids))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return d.ids[a].Compare(&d.ids[b]) })
	ids := make([]schema.SeriesID, len(order))
	lbls := make([]labels.Labels, len(order))
	for i, n := range order {
		ids[i], lbls[i] = d.ids[n], d.labels[n]
	}
	return newSeriesSet(ids, lbls)
}

// lookupChunks adds to series, ascending by id, the chunks that a file names for them and that touch the milliseconds
// [from, through]. Both the wanted ids and the rows ascend, so that the two are joined: rows that lie near are stepped over,
// others are sought.
func lookupChunks(f *index.File, tenant string, day, from, through int64, series []schema.Series) error {
	if len(series) == 0 {
		return nil
	}
	err := f.View(tenant, func(c *index.Cursor) error {
		j := chunkJoin{c: c, tenant: tenant, day: day, from: from, through: through}
		return j.run(series)
	})
	if err != nil {
		return fmt.Errorf("cannot read chunks of %s in %s: %w", tenant, f.Path(), err)
	}
	return nil
}

type chunkJoin struct {
	c             *index.Cursor
	tenant        string
	day           int64
	from, through int64
	seek          []byte
	// found are the chunks of the stream at hand; slab is room for the lists of streams.
	found, slab []schema.ChunkName
}

// stepsBeforeSeek is how many rows are stepped over before the cursor seeks: a step costs a tenth of a seek.
const stepsBeforeSeek = 4

func (j *chunkJoin) run(series []schema.Series) error {
	const idLen = len(schema.SeriesID{})
	j.seekTo(series[0].ID)
	// All rows of the tenant and day share the beginning up to the id.
	shared := len(schema.AppendChunkPrefix(nil, j.tenant, j.day, schema.SeriesID{})) - idLen - 1
	begin := bytes.Clone(j.seek[:shared])
	key, _ := j.c.Seek(j.seek)
	i := 0
	for steps := 0; i < len(series) && bytes.HasPrefix(key, begin); {
		order := -1
		if len(key) > shared+idLen {
			order = bytes.Compare(key[shared:shared+idLen], series[i].ID[:])
		}
		switch {
		case order > 0:
			j.give(series, i)
			i, steps = i+1, 0
			continue
		case order == 0:
			if err := j.take(key[shared+idLen+1:]); err != nil {
				return fmt.Errorf("row %q: %w", key, err)
			}
		case steps < stepsBeforeSeek:
			steps++
		default:
			steps = 0
			j.seekTo(series[i].ID)
			key, _ = j.c.Seek(j.seek)
			continue
		}
		key, _ = j.c.Next()
	}
	j.give(series, i)
	return nil
}

// give hands the chunks that were found to stream i. Lists are cut from common pieces of memory: most are short, and there are many.
func (j *chunkJoin) give(series []schema.Series, i int) {
	n := len(j.found)
	if n == 0 {
		return
	}
	s := &series[i]
	if len(s.Chunks) > 0 { // another file has some too
		s.Chunks = append(s.Chunks, j.found...)
	} else {
		if n > cap(j.slab)-len(j.slab) {
			const most = 256
			j.slab = make([]schema.ChunkName, 0, max(n, min(n*(len(series)-i), most)))
		}
		from := len(j.slab)
		j.slab = append(j.slab, j.found...)
		s.Chunks = j.slab[from:len(j.slab):len(j.slab)]
	}
	j.found = j.found[:0]
}

func (j *chunkJoin) seekTo(id schema.SeriesID) {
	j.seek = schema.AppendChunkPrefix(j.seek[:0], j.tenant, j.day, id)
	j.seek = schema.AppendChunkSeek(j.seek, j.day, j.from)
}

// take reads the range of a chunk row: end, two empty parts around the key, kind.
func (j *chunkJoin) take(rng []byte) error {
	chunk, ok := schema.ChunkKeyOfRange(rng)
	if !ok {
		return nil
	}
	name, err := schema.ParseChunkKeyOf(j.tenant, chunk)
	if err != nil {
		return err
	}
	if name.Through < j.from || name.From > j.through || name.Tenant != j.tenant {
		return nil
	}
	j.found = append(j.found, name)
	return nil
}
