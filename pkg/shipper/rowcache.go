package shipper

import (
	"container/list"
	"sync"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// rowCache keeps the chunk rows that lookups read from files that do not change, bounded in bytes; the file that was not used for longest
// goes first. What it returns is shared and is not changed by anybody.
type rowCache struct {
	limit   int64
	metrics *metrics

	mu    sync.Mutex
	bytes int64
	files map[setKey]*fileRows
	// order holds the files, least recently used first.
	order *list.List
}

// fileRows are the rows of a tenant in a file that were read.
type fileRows struct {
	key setKey

	// Guarded by the cache's mutex:
	counted int64
	elem    *list.Element

	mu      sync.RWMutex
	bytes   int64
	streams map[schema.SeriesID]streamRows
}

// streamRows are all rows of a stream that name chunks which end at or after an instant, in milliseconds. Chunks are as
// schema.SortChunks leaves them. There are none if the file does not know the stream: that is remembered too.
type streamRows struct {
	since  int64
	chunks []schema.ChunkName
}

// What a file takes in memory beside its streams, a stream beside its chunks, and a chunk.
const (
	fileRowsBytes   = 256
	streamRowsBytes = 112
	chunkNameBytes  = 64
)

func (r streamRows) bytes() int64 { return streamRowsBytes + chunkNameBytes*int64(len(r.chunks)) }

func newRowCache(limit int64, m *metrics) *rowCache {
	return &rowCache{limit: limit, metrics: m, files: make(map[setKey]*fileRows), order: list.New()}
}

// lookup does what lookupChunks does for a file that does not change.
func (c *rowCache) lookup(f *index.File, key setKey, day, from, through int64, series []schema.Series) error {
	if len(series) == 0 {
		return nil
	}
	since := sinceOf(day, from)
	e := c.file(key)
	missing := e.give(series, since, from, through)
	c.metrics.rowStreams.WithLabelValues("cached").Add(float64(len(series) - len(missing)))
	if len(missing) == 0 {
		return nil
	}
	c.metrics.rowStreams.WithLabelValues("read").Add(float64(len(missing)))
	read := make([]schema.Series, len(missing))
	for k, i := range missing {
		read[k].ID = series[i].ID
	}
	const always = 1<<63 - 1
	if err := lookupChunks(f, key.tenant, day, since, always, read); err != nil {
		return err
	}
	for k, i := range missing {
		read[k].Chunks = schema.SortChunks(read[k].Chunks)
		addChunks(&series[i], touching(read[k].Chunks, from, through))
	}
	c.add(e, read, since)
	return nil
}

// rowsStep is in what steps of milliseconds rows are read. Queries that begin about the same time, some of them a little earlier than
// those before them, find what they want, and the first reads few rows in vain: a stream has a chunk or so in an hour.
const rowsStep = schema.MillisPerDay / 24

// sinceOf returns from when on the rows of a table are read for a query from an instant on.
func sinceOf(day, from int64) int64 {
	if from <= day*schema.MillisPerDay {
		return 0 // all rows of the day, however early the query begins
	}
	return from - from%rowsStep
}

// addChunks adds chunks to those of a stream, which may be shared.
func addChunks(s *schema.Series, chunks []schema.ChunkName) {
	if len(s.Chunks) == 0 {
		s.Chunks = chunks
		return
	}
	s.Chunks = append(s.Chunks[:len(s.Chunks):len(s.Chunks)], chunks...)
}

// touching returns the chunks that touch the milliseconds [from, through]: a part of the list where they follow one another, else
// a new one.
func touching(chunks []schema.ChunkName, from, through int64) []schema.ChunkName {
	for len(chunks) > 0 && chunks[0].Through < from {
		chunks = chunks[1:]
	}
	for len(chunks) > 0 && chunks[len(chunks)-1].From > through {
		chunks = chunks[:len(chunks)-1]
	}
	for i := range chunks {
		if chunks[i].Through >= from {
			continue
		}
		out := append(make([]schema.ChunkName, 0, len(chunks)-1), chunks[:i]...)
		for _, chunk := range chunks[i+1:] {
			if chunk.Through >= from {
				out = append(out, chunk)
			}
		}
		return out
	}
	return chunks[:len(chunks):len(chunks)]
}

// file returns what is kept of a file.
func (c *rowCache) file(key setKey) *fileRows {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.files[key]
	if e == nil {
		e = &fileRows{key: key, streams: make(map[schema.SeriesID]streamRows)}
		e.elem = c.order.PushBack(e)
		c.files[key] = e
		c.countLocked(e, fileRowsBytes)
		return e
	}
	c.order.MoveToBack(e.elem)
	return e
}

// give adds to series the chunks that are known, and returns the numbers of those of which too little is.
func (e *fileRows) give(series []schema.Series, since, from, through int64) (missing []int) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for i := range series {
		if known, ok := e.streams[series[i].ID]; ok && known.since <= since {
			addChunks(&series[i], touching(known.chunks, from, through))
		} else {
			missing = append(missing, i)
		}
	}
	return missing
}

// add keeps what was read, if the file is still among those that are kept. No file gets more than half of the room, lest one that is
// larger than all of it were read again and again only to be dropped.
func (c *rowCache) add(e *fileRows, read []schema.Series, since int64) {
	e.mu.Lock()
	before := e.bytes
	for i := range read {
		known, ok := e.streams[read[i].ID]
		if ok && known.since <= since {
			continue // somebody else read it meanwhile
		}
		next := streamRows{since, read[i].Chunks}
		grown := next.bytes()
		if ok {
			grown -= known.bytes()
		}
		if e.bytes+grown > c.limit/2 {
			continue
		}
		e.streams[read[i].ID] = next
		e.bytes += grown
	}
	grown := e.bytes - before
	e.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[e.key] != e {
		return
	}
	c.countLocked(e, grown)
}

// countLocked takes note that a file takes more memory, and makes room.
func (c *rowCache) countLocked(e *fileRows, grown int64) {
	e.counted += grown
	c.bytes += grown
	for c.bytes > c.limit && c.order.Len() > 0 {
		c.dropLocked(c.order.Front().Value.(*fileRows))
	}
	c.metrics.rowBytes.Set(float64(c.bytes))
}

func (c *rowCache) dropLocked(e *fileRows) {
	delete(c.files, e.key)
	c.order.Remove(e.elem)
	c.bytes -= e.counted
}

// forget drops what is kept of a file.
func (c *rowCache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.files {
		if key.path == path {
			c.dropLocked(e)
		}
	}
	c.metrics.rowBytes.Set(float64(c.bytes))
}
