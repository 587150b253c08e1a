package ingester

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"logstore/pkg/wal"
)

// diskCheck is the time between two looks at the disk of the logs. What comes meanwhile has to fit into what is kept free.
const diskCheck = time.Second

// diskCheckFull is the least time between two looks while the disk is full: a push looks, so that none is refused for long
// after there is space again.
const diskCheckFull = 50 * time.Millisecond

// disk watches how full the disk of the logs is. Pushes are refused before nothing is left of it, as what is in the logs needs
// some space to get away: checkpoints, index files, and the bucket if it is a folder.
type disk struct {
	used atomic.Uint64 // the share in use, as the bits of a float64
	free atomic.Int64  // bytes
	full atomic.Bool   // pushes are refused
	at   atomic.Int64  // when it was last looked at, in nanoseconds

	looking sync.Mutex // held by the one that looks, over the system's answer
}

func (d *disk) usedShare() float64 { return math.Float64frombits(d.used.Load()) }

// isFull is whether so much of a disk is used that pushes are refused. One that is full has to get some percent better before
// it is not, so that it does not change with every segment.
func (c *Config) isFull(was bool, used float64, free int64) bool {
	limit, spare := c.DiskFull, c.DiskSpare
	if was {
		limit, spare = limit*0.98, spare+spare/8
	}
	return c.DiskFull > 0 && used > limit && (c.DiskSpare == 0 || free < spare)
}

// runDisk watches the disk until ctx ends.
func (i *Ingester) runDisk(ctx context.Context) {
	ticker := time.NewTicker(diskCheck)
	defer ticker.Stop()
	for ctx.Err() == nil && i.lookAtDisk() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// lookAtDisk returns false if the system does not tell how full a disk is.
func (i *Ingester) lookAtDisk() bool {
	i.disk.looking.Lock()
	defer i.disk.looking.Unlock()
	i.disk.at.Store(time.Now().UnixNano())
	used, size, err := i.diskUsage(i.cfg.WALDir)
	if err != nil || size <= 0 {
		i.log.Debug("it is not known how full the disk of the write-ahead log is; pushes are refused when it takes no more", "err", err)
		i.disk.full.Store(false)
		return false
	}
	share, free := float64(used)/float64(size), size-used
	i.disk.used.Store(math.Float64bits(share))
	i.disk.free.Store(free)
	was := i.disk.full.Load()
	full := i.cfg.isFull(was, share, free)
	i.disk.full.Store(full)
	switch {
	case full && !was:
		i.log.Error("the write-ahead log cannot be written as its disk is nearly full: pushes are refused here, and other members take them if there are any",
			"dir", i.cfg.WALDir, "used", percent(share), "free_mb", free>>20, "disk_full_threshold", i.cfg.DiskFull)
	case was && !full:
		i.log.Info("there is space on the disk of the write-ahead log again: pushes are taken", "dir", i.cfg.WALDir,
			"used", percent(share), "free_mb", free>>20)
	}
	return true
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// checkDisk refuses a push while the disk is nearly full.
func (i *Ingester) checkDisk() error {
	if !i.disk.full.Load() {
		return nil
	}
	if last := i.disk.at.Load(); time.Now().UnixNano()-last > int64(diskCheckFull) && i.disk.at.CompareAndSwap(last, time.Now().UnixNano()) {
		i.lookAtDisk()
		if !i.disk.full.Load() {
			return nil
		}
	}
	i.metrics.diskFull.Inc()
	return fmt.Errorf("%w: %w: %s of the disk are used and %d MB are free; pushes are refused before there is no space left on device, "+
		"ingester.wal.disk_full_threshold is %g", ErrLog, wal.ErrNoSpace, percent(i.disk.usedShare()), i.disk.free.Load()>>20, i.cfg.DiskFull)
}
