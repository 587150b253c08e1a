package ingester

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"logstore/pkg/chunk"
	"logstore/pkg/wal"
)

// LogReport is what stands in the folder of a write-ahead log.
type LogReport struct {
	Logs []LogContent `json:"logs"`
	// Tenants are counted over the data log: what was pushed and not yet dropped, flushed or not.
	Tenants map[string]*TenantContent `json:"tenants"`
}

// LogContent is one of the logs: data (pushes), parts (what was spilled or checkpointed) or marks (what was flushed).
type LogContent struct {
	Name    string   `json:"name"`
	Records int64    `json:"records"`
	Bytes   int64    `json:"bytes"`
	First   uint64   `json:"first_segment"`
	Last    uint64   `json:"last_segment"`
	Damages []string `json:"damages"`
}

// TenantContent counts what is there of a tenant.
type TenantContent struct {
	Streams int64 `json:"streams"`
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`
	// Oldest and Newest are in nanoseconds.
	Oldest int64 `json:"oldest_ns"`
	Newest int64 `json:"newest_ns"`
}

func (t *TenantContent) add(r *run, bytes int) {
	if t.Entries == 0 {
		t.Oldest, t.Newest = r.oldest, r.newest
	}
	t.Entries += int64(r.entries)
	t.Bytes += int64(bytes)
	t.Oldest, t.Newest = min(t.Oldest, r.oldest), max(t.Newest, r.newest)
}

// InspectLog reads the write-ahead log in a folder and changes nothing. each, if it is not nil, is called for every record
// with the log's name, its place and a short text.
func InspectLog(ctx context.Context, dir string, each func(log string, segment uint64, offset int64, text string)) (*LogReport, error) {
	report := &LogReport{Tenants: map[string]*TenantContent{}}
	v := &logViewer{report: report, streams: map[uint64]string{}}
	found := false
	for _, name := range []string{"parts", "data", "marks"} {
		sub := filepath.Join(dir, name)
		if _, err := os.Stat(sub); err != nil {
			continue
		}
		found = true
		r, err := wal.Inspect(sub, wal.OS)
		if err != nil {
			return nil, err
		}
		c := LogContent{Name: name, Damages: []string{}}
		for r.Next() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			seg, offset := r.Position()
			if c.Records == 0 {
				c.First = seg
			}
			c.Records++
			c.Bytes += int64(len(r.Record()))
			c.Last = seg
			text, err := v.record(r.Record())
			if err != nil {
				c.Damages = append(c.Damages, fmt.Sprintf("segment %d, offset %d: %v", seg, offset, err))
			}
			if each != nil {
				each(name, seg, offset, text)
			}
		}
		for _, d := range r.Damages() {
			c.Damages = append(c.Damages, d.Error())
		}
		if err := r.Err(); err != nil {
			return nil, err
		}
		report.Logs = append(report.Logs, c)
	}
	if !found {
		return nil, fmt.Errorf("cannot read a write-ahead log in %s: there is none of data, parts, marks", dir)
	}
	return report, nil
}

// logViewer reads records for a report.
type logViewer struct {
	report  *LogReport
	streams map[uint64]string // tenants by number of a stream
}

func (v *logViewer) define(def definition) {
	if _, ok := v.streams[def.id]; ok {
		return
	}
	v.streams[def.id] = def.tenant
	v.tenant(def.tenant).Streams++
}

func (v *logViewer) tenant(name string) *TenantContent {
	t := v.report.Tenants[name]
	if t == nil {
		t = &TenantContent{}
		v.report.Tenants[name] = t
	}
	return t
}

// record counts a record and says in a few words what it is.
func (v *logViewer) record(b []byte) (string, error) {
	if len(b) == 0 {
		return "empty", errRecord
	}
	kind, b := b[0], b[1:]
	switch kind {
	case recordPush:
		return v.push(b)
	case recordPart:
		def, _, object, err := readPart(b)
		if err != nil {
			return "part", err
		}
		v.define(def)
		_, err = chunk.OpenHeader(object)
		return fmt.Sprintf("part of a chunk of %s of tenant %s, %d bytes", def.labels, def.tenant, len(object)), err
	case recordPage:
		fragments, entries := 0, 0
		size, _, err := readPage(b, func(def definition, _ seqSet, f fragment) {
			v.define(def)
			fragments++
			entries += int(f.entries)
		})
		return fmt.Sprintf("page of %d bytes with %d entries in pieces of %d streams", size, entries, fragments), err
	case recordMark:
		n := 0
		err := readMarks(b, func(uint64, seqSet) { n++ })
		return fmt.Sprintf("%d chunks were flushed", n), err
	}
	return "unknown", fmt.Errorf("%w: type %d", errRecord, kind)
}

func (v *logViewer) push(b []byte) (string, error) {
	runs, entries := 0, 0
	var bad error
	err := readPush(b, v.define, func(id uint64, r run) {
		data := b[r.lo:r.hi]
		if err := r.scan(data); err != nil {
			bad = err
			return
		}
		runs++
		entries += r.entries
		v.tenant(v.streams[id]).add(&r, len(data))
	})
	return fmt.Sprintf("push of %d entries in %d runs", entries, runs), errors.Join(err, bad)
}
