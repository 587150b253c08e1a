package tools

import (
	"context"
	"flag"
	"fmt"
	"time"

	"logstore/pkg/audit"
	"logstore/pkg/command"
)

// Check returns the command `check`.
func Check() *command.Command {
	var t target
	var quick bool
	var grace time.Duration
	return &command.Command{
		Name: "check", Summary: "compare the index with the chunks, both ways",
		Help: `
Reads every index table and every chunk of the days and reports

  missing-object  the index names a chunk that is not in the bucket
  not-indexed     a chunk is in the bucket and no table of a day that it touches names it, unless all of its
                  entries are in others
  missing-rows    a chunk is named, but rows that lead to it are missing
  damaged-chunk   a chunk is not what its key and its checksums say
  damaged-index   an index file cannot be read
  bad-row         a row of an index file cannot be read

It changes nothing. Chunks younger than -grace may lack their rows: a running store uploads these up to a quarter of
an hour after the chunks. Chunks that retention or a delete request has taken out of the index, and whose objects
wait for their removal, are reported as not-indexed until they are gone.

  logstore check -config.file=loki.yaml -from 2026-01-10 -to 2026-01-12
  logstore check -config.file=loki.yaml -quick -json`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			t.dayFlags(set)
			set.BoolVar(&quick, "quick", false, "compare names alone and open no chunk")
			set.DurationVar(&grace, "grace", 30*time.Minute, "`age` up to which a chunk need not be indexed")
		},
		Run: func(ctx context.Context, o *command.IO, _ []string) error {
			days, err := t.days()
			if err != nil {
				return err
			}
			b, err := t.open(o)
			if err != nil {
				return err
			}
			defer b.Close()
			show, end := progress(o, "checking")
			report, err := audit.Check(ctx, b.Bucket, audit.Options{Days: days, Quick: quick, Grace: grace, Parallel: t.parallel, Progress: show})
			end()
			if err != nil {
				return err
			}
			return writeReport(o, report, t.json)
		},
	}
}

func writeReport(o *command.IO, r *audit.Report, asJSON bool) error {
	if r.Problems == nil {
		r.Problems = []audit.Problem{}
	}
	var err error
	if asJSON {
		err = o.JSON(r)
	} else {
		err = writeReportText(o, r)
	}
	if err == nil && r.ProblemsAll > 0 {
		return fmt.Errorf("%s: %w", plural(int64(r.ProblemsAll), "problem"), command.ErrFindings)
	}
	return err
}

func writeReportText(o *command.IO, r *audit.Report) error {
	for _, p := range r.Problems {
		if _, err := fmt.Fprintln(o.Stdout, p); err != nil {
			return err
		}
	}
	if n := r.ProblemsAll - len(r.Problems); n > 0 {
		if _, err := fmt.Fprintf(o.Stdout, "... and %d more\n", n); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(o.Stdout, "%s, %s (%s) naming %s; %s (%s) with %d entries\n",
		plural(int64(r.Tables), "table"), plural(int64(r.IndexFiles), "file"), sizeOf(r.IndexBytes), plural(r.ChunkRefs, "chunk"),
		plural(int64(r.Chunks), "object"), sizeOf(r.ChunkBytes), r.Entries)
	if err == nil && r.Young > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s not indexed yet, younger than -grace\n", plural(int64(r.Young), "chunk"))
	}
	if err == nil && r.Redundant > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s not indexed, whose entries are all in others: left by a crash, and harmless\n", plural(int64(r.Redundant), "chunk"))
	}
	if err == nil && r.Sidecars+r.Packs > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s with a sidecar: %s alone (%s), the others in %s (%s)\n", plural(int64(r.Described), "chunk"),
			plural(int64(r.Sidecars), "sidecar"), sizeOf(r.SidecarBytes), plural(int64(r.Packs), "pack"), sizeOf(r.PackBytes))
	}
	if err == nil && r.Strays > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s of chunks that are gone: never read, and harmless\n", plural(int64(r.Strays), "sidecar"))
	}
	if err == nil && r.Own > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s of logstore's own: locks, manifests, delete requests\n", plural(int64(r.Own), "object"))
	}
	if err == nil && r.Others > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s no part of the store's data\n", plural(int64(r.Others), "other object"))
	}
	if err == nil && r.ProblemsAll == 0 {
		_, err = fmt.Fprintln(o.Stdout, "no problem found")
	}
	return err
}
