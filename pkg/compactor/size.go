package compactor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"logstore/pkg/schema"
)

// sizeCutoff returns the end, in milliseconds, of the days that must go so that the folder is within its bounds; forever if
// it is. The days are counted by the end of their chunks, as rows are removed. The current day is never among them.
//
// Chunks that were taken out of the index are still counted until they are removed. They belong to the oldest days, which are
// chosen first: so the same days are chosen until their chunks are gone, and none besides.
func (c *Compactor) sizeCutoff(ctx context.Context) (int64, error) {
	if c.cfg.MaxBytes == 0 && c.cfg.MaxDiskPercent == 0 {
		return forever, nil
	}
	days := map[int64]int64{}
	total := int64(0)
	err := c.deps.Chunks.EachChunk(ctx, func(name schema.ChunkName, size int64) error {
		days[schema.Day(name.Through)] += size
		total += size
		return nil
	})
	if err != nil {
		return forever, err
	}
	c.metrics.storeBytes.Set(float64(total))
	excess := int64(0)
	if c.cfg.MaxBytes > 0 {
		excess = total - c.cfg.MaxBytes
	}
	if c.cfg.MaxDiskPercent > 0 {
		used, size, err := c.deps.Disk()
		if err != nil {
			return forever, fmt.Errorf("cannot see how full the disk is: %w", err)
		}
		excess = max(excess, used-int64(c.cfg.MaxDiskPercent/100*float64(size)))
	}
	cutoff := oldestDays(days, excess, schema.Day(c.now().UnixMilli()))
	if excess > 0 && cutoff == forever {
		c.logger.Warn("the store is larger than its bounds, and there is no day before today to remove", "bytes", total, "excess", excess)
	} else if cutoff != forever {
		c.logger.Warn("the store is larger than its bounds: the oldest days are removed", "bytes", total, "excess", excess,
			"before", dayText(schema.Day(cutoff)))
	}
	return cutoff, nil
}

// oldestDays returns the end of the oldest days that have excess bytes together.
func oldestDays(days map[int64]int64, excess, today int64) int64 {
	cutoff := int64(forever)
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if excess <= 0 || day >= today {
			break
		}
		excess -= days[day]
		cutoff = (day + 1) * schema.MillisPerDay
	}
	return cutoff
}
