package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"logstore/pkg/chunk"
	"logstore/pkg/schema"
)

// TenantDay is a day of a tenant.
type TenantDay struct {
	Tenant string
	Day    int64
}

// Count is what there is of a tenant on a day. A chunk counts on each day that it touches, with all of its entries.
type Count struct {
	Chunks  int64 `json:"chunks"`
	Entries int64 `json:"entries"`
}

// Counts are those of all tenants and days.
type Counts map[TenantDay]Count

func (c Counts) add(name schema.ChunkName, opened *chunk.Chunk) {
	entries := int64(0)
	for i := range opened.Blocks {
		entries += int64(opened.Blocks[i].Entries)
	}
	for day := schema.Day(name.From); day <= schema.Day(name.Through); day++ {
		n := c[TenantDay{name.Tenant, day}]
		n.Chunks++
		n.Entries += entries
		c[TenantDay{name.Tenant, day}] = n
	}
}

// Keys returns the days in order, then the tenants.
func (c Counts) Keys() []TenantDay {
	return slices.SortedFunc(maps.Keys(c), func(a, b TenantDay) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Tenant, b.Tenant))
	})
}

// Count reads all chunks that the index of the days names, and counts what is in them.
func (b *Bucket) Count(ctx context.Context, days Days, parallel int, progress func(more, done int64)) (Counts, error) {
	chunks, err := b.Indexed(ctx, days, progress)
	if err != nil {
		return nil, err
	}
	reader := Copy{From: b, Parallel: parallel, Progress: progress}
	out, err := reader.Run(ctx, chunks)
	if err != nil {
		return nil, err
	}
	return out.Counts, nil
}

// Difference is a day of a tenant of which two buckets do not have the same.
type Difference struct {
	Tenant string `json:"tenant"`
	Day    int64  `json:"day"`
	From   Count  `json:"from"`
	To     Count  `json:"to"`
}

// Compare returns where two counts differ.
func Compare(from, to Counts) []Difference {
	all := maps.Clone(from)
	maps.Copy(all, to)
	out := []Difference{}
	for _, k := range all.Keys() {
		if from[k] != to[k] {
			out = append(out, Difference{Tenant: k.Tenant, Day: k.Day, From: from[k], To: to[k]})
		}
	}
	return out
}
