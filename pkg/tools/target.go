package tools

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"logstore/pkg/audit"
	"logstore/pkg/buckets"
	"logstore/pkg/command"
	"logstore/pkg/config"
	"logstore/pkg/schema"
)

// target are the flags that say where a command works.
type target struct {
	file      string
	expandEnv bool
	from, to  string
	parallel  int
	json      bool
}

func (t *target) flags(set *flag.FlagSet) {
	set.StringVar(&t.file, "config.file", "", "configuration `file` of the store, which names the bucket; without it the store's defaults hold (./data)")
	set.BoolVar(&t.expandEnv, "config.expand-env", false, "replace ${VAR} and ${VAR:default} in the file by environment variables")
	set.BoolVar(&t.json, "json", false, "write one JSON document instead of text")
}

func (t *target) dayFlags(set *flag.FlagSet) {
	set.StringVar(&t.from, "from", "", "first `day`, such as 2026-01-10 (UTC); without it the first that there is")
	set.StringVar(&t.to, "to", "", "last `day`; without it the last that there is")
	set.IntVar(&t.parallel, "parallel", 16, "chunks that are read at a time")
}

// load reads a configuration file.
func load(o *command.IO, file string, expandEnv bool) (*config.Config, error) {
	var args []string
	if file != "" {
		args = append(args, "-config.file="+file)
	}
	if expandEnv {
		args = append(args, "-config.expand-env=true")
	}
	setup, err := config.Load(args, o.LookupEnv)
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	return setup.Config, nil
}

// opened is a bucket that a command works on.
type opened struct {
	*audit.Bucket
	cfg     *config.Config
	buckets *buckets.Buckets
}

// open opens the bucket of the configuration. Close removes what was written to the disk for it.
func (t *target) open(o *command.IO) (*opened, error) {
	cfg, err := load(o, t.file, t.expandEnv)
	if err != nil {
		return nil, err
	}
	return openConfig(cfg)
}

func openConfig(cfg *config.Config) (*opened, error) {
	// The registry is nobody's: a command has no /metrics. Logs would disturb its output; errors say the same.
	bs, err := buckets.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	if err := foldersExist(cfg, bs.Periods); err != nil {
		return nil, err
	}
	chunks, err := bs.Chunks()
	if err != nil {
		return nil, err
	}
	index, err := bs.Index()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "logstore-tool-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for index files: %w", err)
	}
	return &opened{Bucket: &audit.Bucket{Periods: bs.Periods, Index: index, Chunks: chunks, Dir: dir}, cfg: cfg, buckets: bs}, nil
}

// foldersExist refuses a folder that is not there: opening it would make an empty one, in which all is well.
func foldersExist(cfg *config.Config, periods schema.Periods) error {
	for _, p := range periods {
		where, err := cfg.ObjectStore(p.ObjectStore)
		if err != nil || where.Kind != config.KindFilesystem {
			continue
		}
		if _, err := os.Stat(where.Directory); err != nil {
			return command.Usagef("cannot open the bucket (is it the right configuration?): %w", err)
		}
	}
	return nil
}

// Close ends the work on a bucket. What it cannot close or remove does not matter to the result.
func (b *opened) Close() {
	_ = b.buckets.Close()
	_ = os.RemoveAll(b.Dir)
}

// days returns the days of the flags.
func (t *target) days() (audit.Days, error) {
	days := audit.AllDays
	for _, d := range []struct {
		text string
		day  *int64
	}{{t.from, &days.From}, {t.to, &days.Through}} {
		if d.text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, d.text)
		if err != nil {
			return days, command.Usagef("%q is no day such as 2026-01-10", d.text)
		}
		*d.day = schema.Day(at.UnixMilli())
	}
	if days.From > days.Through {
		return days, command.Usagef("-from is after -to")
	}
	return days, nil
}

// progress shows how far a work is.
func progress(o *command.IO, what string) (fn func(more, done int64), end func()) {
	p := o.Progress(what, 0)
	return func(more, done int64) {
		if more > 0 {
			p.Grow(more)
		}
		if done > 0 {
			p.Add(done)
		}
	}, p.End
}

// dateOf writes the number of a day.
func dateOf(day int64) string {
	return time.UnixMilli(day * schema.MillisPerDay).UTC().Format(time.DateOnly)
}

// sizeOf writes a number of bytes for a human.
func sizeOf(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// localFile reports whether an argument is a file on this disk rather than a key of the bucket.
func localFile(arg string) bool {
	info, err := os.Stat(filepath.Clean(arg))
	return err == nil && !info.IsDir()
}

// timeOf writes an instant in nanoseconds.
func timeOf(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "y"); ok && !strings.HasSuffix(stem, "a") {
		return fmt.Sprintf("%d %sies", n, stem) // entries, and days
	}
	return fmt.Sprintf("%d %ss", n, what)
}
