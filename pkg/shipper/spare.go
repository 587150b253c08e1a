package shipper

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"
)

// isFull reports whether an error says that a disk has no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// spares returns folders on other disks in which copies are kept while that of the cache location is full: queries go on then.
// The first is that of temporary files, the second memory, where the system shows it as a folder.
func (c *copies[F]) spares() []string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.format.store + c.cfg.CacheLocation)) // it never fails
	var out []string
	for _, dir := range []string{os.TempDir(), "/dev/shm"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			out = append(out, filepath.Join(dir, fmt.Sprintf("logstore-index-%x", h.Sum64())))
		}
	}
	return out
}

// dropSpares removes the copies on other disks. Nobody reads them.
func (c *copies[F]) dropSpares() {
	for _, dir := range c.spares() {
		if err := os.RemoveAll(dir); err != nil {
			c.logger.Warn("cannot remove copies of index files", "dir", dir, "err", err)
		}
	}
}
