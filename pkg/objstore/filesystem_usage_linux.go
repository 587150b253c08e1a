package objstore

import "syscall"

// DiskSpace returns how many bytes of the file system that holds path are used, and how many it has for its users: used and
// free ones, as df counts.
func DiskSpace(path string) (used, size int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	block := s.Bsize
	used = int64(s.Blocks-s.Bfree) * block
	return used, used + int64(s.Bavail)*block, nil
}
