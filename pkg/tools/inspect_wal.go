package tools

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"

	"logstore/pkg/command"
	"logstore/pkg/ingester"
)

func inspectWAL() *command.Command {
	var t target
	var records bool
	return &command.Command{
		Name: "wal", Args: "[DIR]", Summary: "show what is in a write-ahead log",
		Help: `
DIR is the folder of the log; without it, ingester.wal.dir of the configuration. Nothing is changed, not even a torn tail.
The counts of a tenant are what was pushed and is still in the log, flushed or not.

  logstore inspect wal ./data/wal
  logstore inspect wal -config.file=loki.yaml -records`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			set.BoolVar(&records, "records", false, "show each record")
		},
		Run: func(ctx context.Context, o *command.IO, args []string) error {
			dir := ""
			switch len(args) {
			case 0:
				cfg, err := load(o, t.file, t.expandEnv)
				if err != nil {
					return err
				}
				dir = cfg.Ingester.WAL.Dir
			case 1:
				dir = args[0]
			default:
				return command.Usagef("one folder is enough")
			}
			var each func(log string, segment uint64, offset int64, text string)
			if records && !t.json {
				each = func(log string, segment uint64, offset int64, text string) {
					fmt.Fprintf(o.Stdout, "%s segment %d offset %d: %s\n", log, segment, offset, text)
				}
			}
			r, err := ingester.InspectLog(ctx, dir, each)
			if err != nil {
				return err
			}
			return writeLog(o, r, t.json)
		},
	}
}

func writeLog(o *command.IO, r *ingester.LogReport, asJSON bool) error {
	damages := int64(0)
	for _, l := range r.Logs {
		damages += int64(len(l.Damages))
	}
	var err error
	if asJSON {
		err = o.JSON(r)
	} else {
		err = writeLogText(o, r)
	}
	if err == nil && damages > 0 {
		err = fmt.Errorf("%s: %w", plural(damages, "damage"), command.ErrFindings)
	}
	return err
}

func writeLogText(o *command.IO, r *ingester.LogReport) error {
	rows := [][]string{{"log", "segments", "records", "bytes", "damages"}}
	for _, l := range r.Logs {
		rows = append(rows, []string{l.Name, fmt.Sprintf("%d-%d", l.First, l.Last), fmt.Sprint(l.Records), fmt.Sprint(l.Bytes), fmt.Sprint(len(l.Damages))})
	}
	if err := o.Table(rows...); err != nil {
		return err
	}
	rows = [][]string{{"tenant", "streams", "entries", "bytes", "oldest", "newest"}}
	for _, name := range slices.Sorted(maps.Keys(r.Tenants)) {
		n := r.Tenants[name]
		oldest, newest := "-", "-"
		if n.Entries > 0 {
			oldest, newest = timeOf(n.Oldest), timeOf(n.Newest)
		}
		rows = append(rows, []string{name, fmt.Sprint(n.Streams), fmt.Sprint(n.Entries), fmt.Sprint(n.Bytes), oldest, newest})
	}
	err := o.Table(rows...)
	for _, l := range r.Logs {
		for _, d := range l.Damages {
			if err == nil {
				_, err = fmt.Fprintf(o.Stdout, "damaged: %s %s\n", l.Name, d)
			}
		}
	}
	return err
}
