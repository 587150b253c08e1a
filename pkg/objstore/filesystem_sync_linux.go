package objstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFilesystem brings everything on the file system that holds dir to the disk.
func syncFilesystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return firstError(unix.Syncfs(int(d.Fd())), d.Close())
}
