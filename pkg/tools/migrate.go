package tools

import (
	"context"
	"flag"
	"fmt"

	"logstore/pkg/audit"
	"logstore/pkg/command"
	"logstore/pkg/schema"
)

// Migrate returns the command `migrate`.
func Migrate() *command.Command {
	var t target
	var to string
	var write, verify bool
	return &command.Command{
		Name: "migrate", Summary: "copy days to another bucket or index them under another schema",
		Help: `
Reads the chunks that the index of -config.file names and indexes them under -to.config.file: in another bucket, another
schema, or tables of store boltdb-shipper for days that store tsdb has. The objects are copied if the other
configuration looks for them elsewhere; those that are there already are not copied again, so that a run that was
interrupted can be repeated. The old bucket is never changed.

Without -write it only says what it would do. -verify then compares chunks and entries of each day and tenant by
reading everything back through both indexes; with -verify and without -write it compares what is there.

  logstore migrate -config.file=old.yaml -to.config.file=new.yaml -from 2026-01-01 -to 2026-01-31 -write -verify

To index days of store tsdb anew in the same bucket, let the new file have a period with store boltdb-shipper and
another index prefix for these days.`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			t.dayFlags(set)
			set.StringVar(&to, "to.config.file", "", "configuration `file` of the new place")
			set.BoolVar(&write, "write", false, "copy and upload")
			set.BoolVar(&verify, "verify", false, "compare the counts of each day afterwards")
		},
		Run: func(ctx context.Context, o *command.IO, _ []string) error {
			days, err := t.days()
			switch {
			case err != nil:
				return err
			case to == "":
				return command.Usagef("-to.config.file is missing")
			}
			from, err := t.open(o)
			if err != nil {
				return err
			}
			defer from.Close()
			cfg, err := load(o, to, t.expandEnv)
			if err != nil {
				return err
			}
			there, err := openConfig(cfg)
			if err != nil {
				return err
			}
			defer there.Close()
			r, err := migrate(ctx, o, from, there, days, &t, write, verify)
			if err != nil {
				return err
			}
			return r.write(o, t.json)
		},
	}
}

func migrate(ctx context.Context, o *command.IO, from, to *opened, days audit.Days, t *target, write, verify bool) (*rebuilt, error) {
	show, end := progress(o, "reading the index")
	chunks, err := from.Indexed(ctx, days, show)
	end()
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		if !writable(to.Periods, c) {
			return nil, command.Usagef("chunk %s lies in a period with store tsdb of the new configuration, which is read and not written", c.Key())
		}
	}
	if err := differentTables(from.Bucket, to.Bucket, chunks); err != nil {
		return nil, err
	}
	out := &rebuilt{Written: write}
	show, end = progress(o, "migrating")
	copier := audit.Copy{From: from.Bucket, To: to.Bucket, Write: write, Parallel: t.parallel, Progress: show}
	err = withIndex(ctx, to, "migrated", write, func(ix audit.Index) error {
		copier.Index = ix
		out.Indexed, err = copier.Run(ctx, chunks)
		return err
	})
	end()
	if err != nil || !verify {
		return out, err
	}
	show, end = progress(o, "verifying")
	defer end()
	counts, err := to.Count(ctx, days, t.parallel, show)
	if err != nil {
		return out, fmt.Errorf("cannot verify: %w", err)
	}
	out.Verified, out.Differences = true, audit.Compare(out.Counts, counts)
	return out, nil
}

// differentTables refuses to write tables where the old ones are: nothing would be gained, and readers of the old
// configuration would meet them.
func differentTables(from, to *audit.Bucket, chunks []schema.ChunkName) error {
	for _, c := range chunks {
		i, j := from.Periods.At(c.From), to.Periods.At(c.From)
		p, q := &from.Periods[i], &to.Periods[j]
		day := schema.Day(c.From)
		if from.Index[i].Name() == to.Index[j].Name() && p.TableKey(p.Table(day)) == q.TableKey(q.Table(day)) && p.Store == q.Store {
			return command.Usagef("both configurations have the table %s in %s: nothing to migrate (logstore rebuild-index makes it anew)",
				p.Table(day), from.Index[i].Name())
		}
	}
	return nil
}
