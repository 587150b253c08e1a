package objstore

import (
	"errors"
	"fmt"
)

// DiskUsage returns how many bytes of the disk under a filesystem bucket are used, by whatever, and how many it has. Other
// buckets have no disk.
func DiskUsage(b Bucket) (used, size int64, err error) {
	err = eachInner(b, func(inner Bucket) error {
		f, ok := inner.(*Filesystem)
		if !ok {
			return errors.New("it is no folder")
		}
		var err error
		used, size, err = DiskSpace(f.root)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("cannot see how full the disk of %s is: %w", b.Name(), err)
	}
	return used, size, nil
}
