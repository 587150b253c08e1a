package distributor

import (
	"bytes"
	"fmt"
	"time"

	"logstore/pkg/limits"
	"logstore/pkg/model"
	"logstore/pkg/wire"
)

// checker checks and completes the entries of one request. It is pooled: its arenas are those of the request before.
type checker struct {
	tenant  string
	limits  *limits.Limits
	fields  *levelFields
	metrics *metrics
	// generic are the fields to be discovered, by order of their names.
	generic []string
	now     time.Time
	// oldest and newest bound the timestamps; before schema there is no period of the schema to store an entry in.
	oldest, newest, schema int64
	readOnly               []ReadOnly

	problems problems
	// lines and bytes count what came, keptLines and keptBytes what is good.
	lines, bytes, keptLines, keptBytes int

	infos   []*streamInfo
	streams []wire.Stream
	// meta and names are arenas for metadata that had to be completed or cleaned.
	meta  []model.Pair
	names []byte
}

const noOldest = -1 << 63

func (c *checker) reset(tenantID string, lim *limits.Limits, m *metrics, schema int64, readOnly []ReadOnly, now time.Time) {
	c.tenant, c.limits, c.metrics = tenantID, lim, m
	c.schema, c.readOnly, c.now = schema, readOnly, now
	c.generic = nil
	if len(lim.DiscoverGenericFields) > 0 {
		c.generic = genericFields(lim.DiscoverGenericFields)
	}
	c.oldest, c.newest = schema, now.Add(lim.CreationGracePeriod).UnixNano()
	if lim.RejectOldSamples {
		c.oldest = max(c.oldest, now.Add(-lim.RejectOldSamplesMaxAge).UnixNano())
	}
	c.problems = nil
	c.lines, c.bytes, c.keptLines, c.keptBytes = 0, 0, 0, 0
	clear(c.infos)
	clear(c.streams)
	clear(c.meta)
	c.infos, c.streams, c.meta, c.names = c.infos[:0], c.streams[:0], c.meta[:0], c.names[:0]
}

// stream checks one stream and keeps what is good of it.
func (c *checker) stream(info *streamInfo, entries []wire.PushEntry) {
	if len(entries) == 0 {
		return
	}
	if info.reason != "" {
		size := 0
		for i := range entries {
			size += entries[i].Size()
		}
		c.lines, c.bytes = c.lines+len(entries), c.bytes+size
		if p := c.problems.add(info.reason, statusBadRequest); p.text == "" {
			p.text = info.refusal
		}
		c.metrics.discard(c.tenant, info.reason, len(entries), size)
		return
	}
	if c.now.Before(info.blocked) {
		c.blocked(info, entries)
		return
	}
	kept := c.entries(info, entries)
	if c.limits.IncrementDuplicateTimestamp {
		moveDuplicates(kept)
	}
	if len(kept) > 0 {
		c.streams = append(c.streams, wire.Stream{Labels: info.labels, Text: info.text, Hash: info.hash, Entries: kept})
	}
}

// blocked refuses the entries of a stream whose policy is blocked, in silence if the limits say so.
func (c *checker) blocked(info *streamInfo, entries []wire.PushEntry) {
	size := 0
	for i := range entries {
		size += entries[i].Size()
	}
	c.lines, c.bytes = c.lines+len(entries), c.bytes+size
	c.metrics.discard(c.tenant, reasonBlockedPolicy, len(entries), size)
	status := c.limits.BlockIngestionStatusCode
	if status == 200 {
		return
	}
	if p := c.problems.add(reasonBlockedPolicy, status); p.text == "" {
		p.text = fmt.Sprintf("ingestion blocked for user '%s' (policy: '%s') until '%s' with status code '%d'",
			c.tenant, info.policy, info.blocked.Format(time.RFC3339), status)
	}
}

// entries checks the entries of a stream and returns the good ones, at the front of the same slice.
func (c *checker) entries(info *streamInfo, entries []wire.PushEntry) []wire.PushEntry {
	lim, kept := c.limits, 0
	c.lines += len(entries)
	before := c.keptBytes
	for i := range entries {
		e := &entries[i]
		size := len(e.Line)
		if e.Timestamp < c.oldest || e.Timestamp > c.newest {
			c.badTime(info, e)
			continue
		}
		if len(c.readOnly) > 0 && c.inReadOnly(info, e) {
			continue
		}
		if size > lim.MaxLineSize && lim.MaxLineSize > 0 {
			if !c.truncated(e) {
				c.tooLong(info, e)
				continue
			}
			size = len(e.Line)
		}
		if len(e.Metadata) > 0 {
			size = e.Size()
			if !c.metadata(info, e) {
				continue
			}
		}
		if len(c.generic) > 0 {
			c.addGenericFields(info, e)
		}
		if lim.DiscoverLogLevels {
			c.addLevel(info, e)
		}
		c.keptBytes += size
		if kept != i {
			entries[kept] = *e
		}
		kept++
	}
	c.keptLines += kept
	c.bytes += c.keptBytes - before
	return entries[:kept:kept]
}

// refuse counts an entry that is refused. text is called for the first of its reason only.
func (c *checker) refuse(e *wire.PushEntry, reason string, text func() string) {
	c.refuseWith(e, reason, statusBadRequest, text)
}

func (c *checker) refuseWith(e *wire.PushEntry, reason string, status int, text func() string) {
	size := e.Size()
	c.bytes += size
	if p := c.problems.add(reason, status); p.text == "" {
		p.text = text()
	}
	c.metrics.discard(c.tenant, reason, 1, size)
}

func (c *checker) badTime(info *streamInfo, e *wire.PushEntry) {
	if e.Timestamp < c.schema {
		c.refuse(e, wire.NoSchema.Reason(), func() string {
			return fmt.Sprintf("no schema config found for time %s of an entry for stream '%s': the first period of schema_config begins at %s",
				rfc3339(e.Timestamp), info.text, rfc3339(c.schema))
		})
		return
	}
	if e.Timestamp < c.oldest {
		c.refuse(e, reasonTooOld, func() string {
			return fmt.Sprintf("entry for stream '%s' has timestamp too old: %s, oldest acceptable timestamp is: %s", info.text, rfc3339(e.Timestamp), rfc3339(c.oldest))
		})
		return
	}
	c.refuse(e, reasonTooNew, func() string {
		return fmt.Sprintf("entry for stream '%s' has timestamp too new: %s", info.text, rfc3339(e.Timestamp))
	})
}

// inReadOnly refuses an entry of days that cannot be written. While such a span is in force the client shall try again: nothing
// is wrong with its entries, and the configuration may be mended before it gives up.
func (c *checker) inReadOnly(info *streamInfo, e *wire.PushEntry) bool {
	for i := range c.readOnly {
		r := &c.readOnly[i]
		if !r.Interval.Contains(e.Timestamp) {
			continue
		}
		status := statusBadRequest
		if r.Interval.Contains(c.now.UnixNano()) {
			status = statusUnavailable
		}
		c.refuseWith(e, reasonReadOnly, status, func() string {
			return fmt.Sprintf("cannot store an entry for stream '%s' at %s: %s", info.text, rfc3339(e.Timestamp), r.Why)
		})
		return true
	}
	return false
}

func rfc3339(ts int64) string { return time.Unix(0, ts).UTC().Format(time.RFC3339) }

func (c *checker) tooLong(info *streamInfo, e *wire.PushEntry) {
	c.refuse(e, reasonLineTooLong, func() string {
		return fmt.Sprintf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", c.limits.MaxLineSize, info.text, len(e.Line))
	})
}

// truncated cuts a line that is too long, if the limits say so: in place, for the line belongs to the request.
func (c *checker) truncated(e *wire.PushEntry) bool {
	lim := c.limits
	if !lim.MaxLineSizeTruncate {
		return false
	}
	mark := lim.MaxLineSizeTruncateIdentifier
	if len(mark) > lim.MaxLineSize {
		mark = ""
	}
	cut := len(e.Line) - lim.MaxLineSize
	e.Line = append(e.Line[:lim.MaxLineSize-len(mark)], mark...)
	c.metrics.mutated.WithLabelValues(reasonLineTooLong, c.tenant).Inc()
	c.metrics.mutatedBytes.WithLabelValues(reasonLineTooLong, c.tenant).Add(float64(cut))
	return true
}

// addLevel adds the entry's level to its metadata, unless it is there.
func (c *checker) addLevel(info *streamInfo, e *wire.PushEntry) {
	found := info.level
	if len(e.Metadata) == 0 {
		if found == levelNone {
			found = c.fields.ofLine(e.Line)
		}
		e.Metadata = levelMetadata[found]
		return
	}
	at := len(e.Metadata)
	for i := range e.Metadata {
		if name := e.Metadata[i].Name; name >= detectedLevel {
			if name == detectedLevel {
				return
			}
			at = i
			break
		}
	}
	if found == levelNone {
		found = c.fields.ofMetadata(e.Metadata)
	}
	if found == levelNone {
		found = c.fields.ofLine(e.Line)
	}
	from := len(c.meta)
	c.meta = append(c.meta, e.Metadata[:at]...)
	c.meta = append(c.meta, levelMetadata[found][0])
	c.meta = append(c.meta, e.Metadata[at:]...)
	e.Metadata = c.meta[from:len(c.meta):len(c.meta)]
}

// moveDuplicates moves an entry that has the time of the one before it, but another line, on by a nanosecond, so that
// the order is kept; also one whose time was reached by moving others. A true duplicate stays one.
func moveDuplicates(entries []wire.PushEntry) {
	if len(entries) == 0 {
		return
	}
	// first is the time that a run of moved entries began with, pushed and moved the times of the entry before.
	first := entries[0].Timestamp
	pushed, moved := first, first
	for i := 1; i < len(entries); i++ {
		e := &entries[i]
		ts := e.Timestamp
		switch {
		case ts < first || ts > moved:
			first, moved = ts, ts
		case ts != pushed || !bytes.Equal(e.Line, entries[i-1].Line):
			moved++
		}
		pushed, e.Timestamp = ts, moved
	}
}
