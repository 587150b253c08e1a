package shipper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"logstore/pkg/objstore"
	"logstore/pkg/schema"
)

// TableInfo describes an index table as it lies in the bucket.
type TableInfo struct {
	Name string
	// Day is the first instant of the table's day.
	Day time.Time
	// Store is the index store of the table's period.
	Store string
	// Files counts the objects and Bytes sums their sizes.
	Files int
	Bytes int64
	// Tenants are those that have files of their own, sorted.
	Tenants []string
}

// Compacted reports whether no place of the table has more than one file: the common one, or one for each tenant.
func (t TableInfo) Compacted() bool { return t.Files <= max(1, len(t.Tenants)) }

// Tables lists the newest tables of the periods in their buckets, newest first, at most most of them. It asks the buckets.
func Tables(ctx context.Context, periods schema.Periods, bucket func(period int) objstore.Bucket, most int) ([]TableInfo, error) {
	var out []TableInfo
	for i := len(periods) - 1; i >= 0 && len(out) < most; i-- {
		var found []TableInfo
		prefix := periods[i].PathPrefix
		err := bucket(i).ListDirs(ctx, prefix, func(dir string) error {
			name := strings.TrimSuffix(strings.TrimPrefix(dir, prefix), "/")
			if day, ok := dayOf(periods, i, name); ok {
				found = append(found, TableInfo{Name: name, Day: day, Store: periods[i].Store})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list index tables in %s: %w", bucket(i).Name(), err)
		}
		slices.SortFunc(found, func(a, b TableInfo) int { return b.Day.Compare(a.Day) })
		for _, t := range found[:min(len(found), most-len(out))] {
			if err := measure(ctx, bucket(i), periods[i].TableKey(t.Name), &t); err != nil {
				return nil, err
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// dayOf reads the day off a table's name, which must be one that the period has.
func dayOf(periods schema.Periods, period int, name string) (time.Time, bool) {
	var day int64
	p := periods[period]
	if _, err := fmt.Sscanf(strings.TrimPrefix(name, p.IndexPrefix), "%d", &day); err != nil || p.Table(day) != name {
		return time.Time{}, false
	}
	start := time.UnixMilli(day * schema.MillisPerDay).UTC()
	if start.Before(p.From) || period+1 < len(periods) && !start.Before(periods[period+1].From) {
		return time.Time{}, false
	}
	return start, true
}

// measure counts the objects of a table, all of whose keys begin with prefix.
func measure(ctx context.Context, bucket objstore.Bucket, prefix string, t *TableInfo) error {
	tenants := map[string]bool{}
	err := bucket.List(ctx, prefix, func(o objstore.ObjectInfo) error {
		t.Files++
		t.Bytes += o.Size
		if tenant, _, ok := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/"); ok && !tenants[tenant] {
			tenants[tenant] = true
			t.Tenants = append(t.Tenants, tenant)
		}
		return nil
	})
	slices.Sort(t.Tenants)
	if err != nil {
		return fmt.Errorf("cannot list index table %s in %s: %w", t.Name, bucket.Name(), err)
	}
	return nil
}
