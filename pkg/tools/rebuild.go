package tools

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"logstore/pkg/audit"
	"logstore/pkg/command"
	"logstore/pkg/objstore"
	"logstore/pkg/schema"
	"logstore/pkg/shipper"
)

// Rebuild returns the command `rebuild-index`.
func Rebuild() *command.Command {
	var t target
	var write, replace bool
	return &command.Command{
		Name: "rebuild-index", Summary: "make index tables from the chunks that are in the bucket",
		Help: `
Reads the chunks of the days and uploads tables that name all of them, beside the tables that are there: rows that come
twice are merged when they are read and by the next compaction. A chunk that reaches into other days is indexed there too.

Without -write it only says what it would do. With -replace the files that were there before are deleted once the new
ones are uploaded. Stop the store first if you use it: what it uploads meanwhile is not touched, and not replaced either.

Chunks that retention or a delete request took out of the index, and whose objects still wait for their removal, come
back by this. Days of a period with store tsdb are left out; logstore migrate indexes them anew.

  logstore rebuild-index -config.file=loki.yaml -from 2026-01-10 -to 2026-01-10
  logstore rebuild-index -config.file=loki.yaml -from 2026-01-10 -to 2026-01-10 -write`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			t.dayFlags(set)
			set.BoolVar(&write, "write", false, "upload the tables")
			set.BoolVar(&replace, "replace", false, "delete the files that the tables had before; needs -write")
		},
		Run: func(ctx context.Context, o *command.IO, _ []string) error {
			days, err := t.days()
			switch {
			case err != nil:
				return err
			case replace && !write:
				return command.Usagef("-replace needs -write")
			}
			b, err := t.open(o)
			if err != nil {
				return err
			}
			defer b.Close()
			r, err := rebuild(ctx, o, b, days, &t, write, replace)
			if err != nil {
				return err
			}
			return r.write(o, t.json)
		},
	}
}

// rebuilt is the result of rebuild-index and migrate.
type rebuilt struct {
	*audit.Indexed
	Written bool       `json:"written"`
	Days    []dayCount `json:"days"`
	// Replaced are the files that were deleted.
	Replaced []string `json:"replaced,omitempty"`
	// Verified and Differences are set by migrate -verify.
	Verified    bool               `json:"verified,omitempty"`
	Differences []audit.Difference `json:"differences,omitempty"`
}

// dayCount is what was indexed of a tenant's day.
type dayCount struct {
	Day    string `json:"day"`
	Tenant string `json:"tenant"`
	audit.Count
}

func rebuild(ctx context.Context, o *command.IO, b *opened, days audit.Days, t *target, write, replace bool) (*rebuilt, error) {
	old, err := b.Tables(ctx, days)
	if err != nil {
		return nil, err
	}
	show, end := progress(o, "indexing")
	defer end()
	listing, err := b.List(ctx, days, func(int64) {})
	if err != nil {
		return nil, err
	}
	chunks := make([]schema.ChunkName, 0, len(listing.Objects))
	for i := range listing.Objects {
		if c := listing.Objects[i].ChunkName; writable(b.Periods, c) {
			chunks = append(chunks, c)
		}
	}
	out := &rebuilt{Written: write}
	copier := audit.Copy{From: b.Bucket, Write: write, Parallel: t.parallel, Progress: show}
	err = withIndex(ctx, b, "rebuilt", write, func(ix audit.Index) error {
		copier.Index = ix
		out.Indexed, err = copier.Run(ctx, chunks)
		return err
	})
	if err != nil || !replace {
		return out, err
	}
	if len(out.Skipped) > 0 {
		return out, fmt.Errorf("%s could not be read: the old files are kept", plural(int64(len(out.Skipped)), "chunk"))
	}
	for i := range old {
		for _, f := range old[i].Files {
			if f.TSDB() {
				continue
			}
			if err := b.Index[old[i].Period].Delete(ctx, f.Key); err != nil {
				return out, fmt.Errorf("cannot delete index file %s: %w", f.Key, err)
			}
			out.Replaced = append(out.Replaced, f.Key)
		}
	}
	return out, nil
}

// writable reports whether all days that a chunk touches are indexed by tables that can be written.
func writable(ps schema.Periods, c schema.ChunkName) bool {
	for i := ps.At(c.From); i <= ps.At(c.Through); i++ {
		if from, _ := ps.Bounds(i); ps[i].Store != schema.StoreBoltDB && (from != c.Through || c.From == from) {
			return false
		}
	}
	return true
}

// withIndex runs fn with an index whose tables are uploaded afterwards under names that begin with a word and the time.
func withIndex(ctx context.Context, b *opened, name string, write bool, fn func(ix audit.Index) error) error {
	if !write {
		return fn(nil)
	}
	cfg := shipper.DefaultConfig
	cfg.ActiveIndexDirectory, cfg.CacheLocation = filepath.Join(b.Dir, "active"), filepath.Join(b.Dir, "cache")
	cfg.IngesterID = name
	cfg.BuildPerTenantIndex = b.cfg.Storage.BoltDBShipper.BuildPerTenantIndex
	ship, err := shipper.New(cfg, shipper.Deps{
		Periods: b.Periods, Bucket: func(i int) objstore.Bucket { return b.Index[i] }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	// What was not uploaded is of no use to anybody: a next run begins anew.
	defer os.RemoveAll(cfg.ActiveIndexDirectory)
	if err := fn(ship); err != nil {
		return err
	}
	if err := ship.Flush(ctx); err != nil {
		return fmt.Errorf("cannot upload index tables: %w", err)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	cancel()
	return errors.Join(ship.Run(stop))
}

func (r *rebuilt) write(o *command.IO, asJSON bool) error {
	r.Days = []dayCount{}
	for _, k := range r.Counts.Keys() {
		r.Days = append(r.Days, dayCount{dateOf(k.Day), k.Tenant, r.Counts[k]})
	}
	var err error
	if asJSON {
		err = o.JSON(r)
	} else {
		err = r.writeText(o)
	}
	switch {
	case err != nil:
		return err
	case len(r.Differences) > 0:
		return fmt.Errorf("%s with differences: %w", plural(int64(len(r.Differences)), "day"), command.ErrFindings)
	case len(r.Skipped) > 0:
		return fmt.Errorf("%s could not be read: %w", plural(int64(len(r.Skipped)), "chunk"), command.ErrFindings)
	}
	return nil
}

func (r *rebuilt) writeText(o *command.IO) error {
	rows := [][]string{{"day", "tenant", "chunks", "entries"}}
	for _, n := range r.Days {
		rows = append(rows, []string{n.Day, n.Tenant, fmt.Sprint(n.Chunks), fmt.Sprint(n.Entries)})
	}
	if err := o.Table(rows...); err != nil {
		return err
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(o.Stdout, "skipped %s: %s\n", s.Key, s.Error)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(o.Stdout, "differs: %s of %s: %d chunks with %d entries before, %d with %d now\n",
			dateOf(d.Day), d.Tenant, d.From.Chunks, d.From.Entries, d.To.Chunks, d.To.Entries)
	}
	for _, key := range r.Replaced {
		fmt.Fprintf(o.Stdout, "deleted %s\n", key)
	}
	did := "would be indexed; -write does it"
	if r.Written {
		did = "indexed"
	}
	_, err := fmt.Fprintf(o.Stdout, "%s (%s) %s, %d copied, %d skipped\n", plural(r.Chunks, "chunk"), sizeOf(r.Bytes), did, r.Copied, len(r.Skipped))
	if err == nil && r.Verified && len(r.Differences) == 0 {
		_, err = fmt.Fprintln(o.Stdout, "verified: all days have the same chunks and entries on both sides")
	}
	return err
}
