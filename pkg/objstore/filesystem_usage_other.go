//go:build !linux

package objstore

import "errors"

// DiskSpace fails: it is known on Linux only.
func DiskSpace(string) (used, size int64, err error) {
	return 0, 0, errors.New("the system does not say how full a disk is")
}
