package tools

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"

	"logstore/pkg/audit"
	"logstore/pkg/command"
	"logstore/pkg/schema"
)

// bucketView is what is shown of a bucket.
type bucketView struct {
	Days []dayView `json:"days"`
	// Sidecars are those of chunks that lie alone, Packs hold the others, Own are other objects that only logstore writes.
	Sidecars     int   `json:"sidecars"`
	SidecarBytes int64 `json:"sidecar_bytes"`
	Packs        int   `json:"sidecar_packs"`
	PackBytes    int64 `json:"sidecar_pack_bytes"`
	Own          int   `json:"own_objects"`
	// Others are objects that are none of these, such as rules.
	Others  int    `json:"other_objects"`
	Example string `json:"other_example,omitempty"`
}

type dayView struct {
	Day        string       `json:"day"`
	Store      string       `json:"store"`
	Schema     string       `json:"schema"`
	Table      string       `json:"table"`
	IndexFiles int          `json:"index_files"`
	IndexBytes int64        `json:"index_bytes"`
	Compacted  bool         `json:"compacted"`
	Tenants    []tenantView `json:"tenants"`
}

type tenantView struct {
	Tenant string `json:"tenant"`
	Chunks int64  `json:"chunks"`
	Bytes  int64  `json:"bytes"`
}

func inspectBucket() *command.Command {
	var t target
	return &command.Command{
		Name: "bucket", Summary: "show tables and chunks of each day and tenant",
		Help: `
Lists the bucket and opens nothing. A chunk counts on the day on which it begins.

  logstore inspect bucket -config.file=loki.yaml -from 2026-01-10`,
		Flags: func(set *flag.FlagSet) {
			t.flags(set)
			t.dayFlags(set)
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
			p := o.Progress("listing", 0)
			v, err := viewBucket(ctx, b.Bucket, days, p.Add)
			p.End()
			if err != nil {
				return err
			}
			if t.json {
				return o.JSON(v)
			}
			return v.write(o)
		},
	}
}

func viewBucket(ctx context.Context, b *audit.Bucket, days audit.Days, progress func(int64)) (*bucketView, error) {
	tables, err := b.Tables(ctx, days)
	if err != nil {
		return nil, err
	}
	listing, err := b.List(ctx, days, progress)
	if err != nil {
		return nil, err
	}
	byDay := map[int64]*dayView{}
	day := func(n int64) *dayView {
		v := byDay[n]
		if v == nil {
			p := &b.Periods[b.Periods.At(n*schema.MillisPerDay)]
			v = &dayView{Day: dateOf(n), Store: p.Store, Schema: p.Schema.String(), Table: p.Table(n), Tenants: []tenantView{}}
			byDay[n] = v
		}
		return v
	}
	for i := range tables {
		v := day(tables[i].Day)
		common := 0
		for _, f := range tables[i].Files {
			v.IndexFiles++
			v.IndexBytes += f.Size
			if f.Tenant == "" {
				common++
			}
		}
		v.Compacted = v.IndexFiles > 0 && (common == 0 || v.IndexFiles == 1 && len(tables[i].Files[0].Name) > 9 && tables[i].Files[0].Name[:9] == "compactor")
	}
	counts := map[audit.TenantDay]*tenantView{}
	for i := range listing.Objects {
		o := &listing.Objects[i]
		k := audit.TenantDay{Tenant: o.Tenant, Day: schema.Day(o.From)}
		if counts[k] == nil {
			counts[k] = &tenantView{Tenant: o.Tenant}
		}
		counts[k].Chunks++
		counts[k].Bytes += o.Size
	}
	for k, n := range counts {
		v := day(k.Day)
		v.Tenants = append(v.Tenants, *n)
	}
	out := &bucketView{
		Days: []dayView{}, Sidecars: listing.Sidecars, SidecarBytes: listing.SidecarBytes, Packs: listing.Packs, PackBytes: listing.PackBytes,
		Own: listing.Own, Others: listing.Others, Example: listing.Example,
	}
	for _, n := range slices.Sorted(maps.Keys(byDay)) {
		slices.SortFunc(byDay[n].Tenants, func(a, b tenantView) int { return cmp.Compare(a.Tenant, b.Tenant) })
		out.Days = append(out.Days, *byDay[n])
	}
	return out, nil
}

func (v *bucketView) write(o *command.IO) error {
	rows := [][]string{{"day", "table", "store", "schema", "files", "index", "tenant", "chunks", "size"}}
	chunks, bytes := int64(0), int64(0)
	for _, d := range v.Days {
		files := fmt.Sprint(d.IndexFiles)
		if d.Compacted {
			files += " compacted"
		}
		head := []string{d.Day, d.Table, d.Store, d.Schema, files, sizeOf(d.IndexBytes)}
		if len(d.Tenants) == 0 {
			rows = append(rows, append(head, "-", "0", "0 B"))
		}
		for _, t := range d.Tenants {
			rows = append(rows, append(slices.Clone(head), t.Tenant, fmt.Sprint(t.Chunks), sizeOf(t.Bytes)))
			chunks, bytes = chunks+t.Chunks, bytes+t.Bytes
		}
	}
	if err := o.Table(rows...); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.Stdout, "%s, %s (%s)\n", plural(int64(len(v.Days)), "day"), plural(chunks, "chunk"), sizeOf(bytes))
	if err == nil && v.Sidecars > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s (%s)\n", plural(int64(v.Sidecars), "sidecar"), sizeOf(v.SidecarBytes))
	}
	if err == nil && v.Packs > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s of sidecars (%s)\n", plural(int64(v.Packs), "pack"), sizeOf(v.PackBytes))
	}
	if err == nil && v.Own > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s of logstore's own\n", plural(int64(v.Own), "object"))
	}
	if err == nil && v.Others > 0 {
		_, err = fmt.Fprintf(o.Stdout, "%s, such as %s\n", plural(int64(v.Others), "other object"), v.Example)
	}
	return err
}
