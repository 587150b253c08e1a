package tools

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"logstore/pkg/audit"
	"logstore/pkg/command"
	"logstore/pkg/schema"
)

// indexView is what is shown of an index file.
type indexView struct {
	File    string           `json:"file"`
	Store   string           `json:"store"`
	Rows    int64            `json:"rows"`
	BadRows int64            `json:"bad_rows"`
	Chunks  int64            `json:"chunks"`
	Series  int              `json:"series"`
	Tenants map[string]int64 `json:"chunks_by_tenant"`
	Kinds   map[string]int64 `json:"rows_by_kind"`
	From    string           `json:"from,omitempty"`
	Through string           `json:"through,omitempty"`
	Error   string           `json:"error,omitempty"`
}

var kindNames = map[schema.Kind]string{
	schema.KindChunk: "chunk", schema.KindSeries: "series", schema.KindLabel: "label", schema.KindLabelNames: "label names",
}

func inspectIndex() *command.Command {
	var t target
	var rows bool
	return &command.Command{
		Name: "index", Args: "TABLE|FILE...", Summary: "show what is in index tables or index files",
		Help: `
TABLE is a table of the bucket of -config.file, such as index_20463, or a day, such as 2026-01-10: all of its files are
shown. FILE is an index file on the disk, compressed or not, of store boltdb-shipper or tsdb (by its name: *.tsdb).

  logstore inspect index -config.file=loki.yaml 2026-01-10
  logstore inspect index -rows ./data/index-cache/index_20463/compactor-1768179600`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			set.BoolVar(&rows, "rows", false, "show each row, or each chunk of a TSDB file")
		},
		Run: func(ctx context.Context, o *command.IO, args []string) error {
			if len(args) == 0 {
				return command.Usagef("name a table or a file")
			}
			in := &indexInspector{o: o, rows: rows && !t.json}
			var b *opened
			for _, arg := range args {
				if localFile(arg) {
					if err := in.local(arg); err != nil {
						return err
					}
					continue
				}
				if b == nil {
					var err error
					if b, err = t.open(o); err != nil {
						return err
					}
					defer b.Close()
				}
				if err := in.table(ctx, b, arg); err != nil {
					return err
				}
			}
			return in.write(t.json)
		},
	}
}

// indexInspector collects what is in files.
type indexInspector struct {
	o     *command.IO
	rows  bool
	views []*indexView
}

// visitor returns what fills a view.
func (in *indexInspector) visitor(v *indexView) audit.Visitor {
	series := map[string]bool{}
	from, through := int64(0), int64(0)
	return audit.Visitor{
		Row: func(bucket string, key, value []byte, row schema.ParsedRow, err error) error {
			v.Rows++
			kind := kindNames[row.Kind]
			if err != nil {
				v.BadRows++
				kind = "bad"
			}
			v.Kinds[kind]++
			if !in.rows {
				return nil
			}
			_, err = fmt.Fprintf(in.o.Stdout, "%s %s %q = %q\n", bucket, kind, key, value)
			return err
		},
		Chunk: func(n audit.Named) error {
			v.Chunks++
			v.Tenants[n.Tenant]++
			series[n.Tenant+string(n.Series[:])] = true
			v.Series = len(series)
			if v.Chunks == 1 {
				from, through = n.From, n.Through
			}
			from, through = min(from, n.From), max(through, n.Through)
			v.From, v.Through = timeOf(from*1e6), timeOf(through*1e6)
			if !in.rows || v.Store != schema.StoreTSDB {
				return nil
			}
			_, err := fmt.Fprintf(in.o.Stdout, "%s %s\n", n.Key(), n.Labels)
			return err
		},
	}
}

func (in *indexInspector) view(file string, tsdb bool) *indexView {
	v := &indexView{File: file, Store: schema.StoreBoltDB, Tenants: map[string]int64{}, Kinds: map[string]int64{}}
	if tsdb {
		v.Store = schema.StoreTSDB
	}
	in.views = append(in.views, v)
	return v
}

// local reads a file on the disk. Rows of all schemas look alike but for the shards, which are tried.
func (in *indexInspector) local(path string) error {
	base := strings.TrimSuffix(filepath.Base(path), ".gz")
	isTSDB := strings.HasSuffix(base, ".tsdb")
	v := in.view(path, isTSDB)
	temp, err := os.CreateTemp("", "logstore-index-")
	if err != nil {
		return fmt.Errorf("cannot make room for an index file: %w", err)
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read index file: %w", err)
	}
	defer f.Close()
	var magic [2]byte
	n, err := io.ReadFull(f, magic[:])
	if err != nil && n < len(magic) {
		v.Error = "the file is empty"
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("cannot read index file: %w", err)
	}
	err = audit.Unpack(temp.Name(), f, magic == [2]byte{0x1f, 0x8b}, isTSDB)
	if err == nil {
		tenant := ""
		if isTSDB && !strings.Contains(base, "ingester") {
			tenant = filepath.Base(filepath.Dir(path))
		}
		p := schema.DefaultPeriod
		err = audit.ScanFile(temp.Name(), isTSDB, tenant, &p, schema.Periods{p}, in.visitor(v))
	}
	return in.damaged(v, err)
}

// damaged notes that a file is damaged; other errors end the command.
func (in *indexInspector) damaged(v *indexView, err error) error {
	if errors.Is(err, audit.ErrDamaged) {
		v.Error = err.Error()
		return nil
	}
	return err
}

// table reads all files of a table.
func (in *indexInspector) table(ctx context.Context, b *opened, arg string) error {
	day := target{from: arg, to: arg}
	days, err := day.days()
	if err != nil {
		_, n, ok := b.Periods.FindTable(arg)
		if !ok {
			return command.Usagef("%q is no file, no day and no table of a period", arg)
		}
		days = audit.Days{From: n, Through: n}
	}
	tables, err := b.Tables(ctx, days)
	if err != nil {
		return err
	}
	found := false
	for i := range tables {
		for j := range tables[i].Files {
			f := &tables[i].Files[j]
			found = true
			v := in.view(f.Key, f.TSDB())
			if err := in.damaged(v, b.Scan(ctx, &tables[i], f, in.visitor(v))); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("there is no index of %s in the bucket", arg)
	}
	return nil
}

func (in *indexInspector) write(asJSON bool) error {
	bad := int64(0)
	for _, v := range in.views {
		if v.Error != "" || v.BadRows > 0 {
			bad++
		}
	}
	var err error
	if asJSON {
		err = in.o.JSON(in.views)
	} else {
		rows := [][]string{{"file", "store", "rows", "series", "chunks", "tenants", "from", "through", "state"}}
		for _, v := range in.views {
			state := "ok"
			switch {
			case v.Error != "":
				state = v.Error
			case v.BadRows > 0:
				state = plural(v.BadRows, "bad row")
			}
			rows = append(rows, []string{
				v.File, v.Store, fmt.Sprint(v.Rows), fmt.Sprint(v.Series), fmt.Sprint(v.Chunks), fmt.Sprint(len(v.Tenants)), v.From, v.Through, state,
			})
		}
		err = in.o.Table(rows...)
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%s damaged: %w", plural(bad, "file"), command.ErrFindings)
	}
	return err
}
