//go:build !linux

package objstore

import (
	"io/fs"
	"os"
	"path/filepath"
)

// syncFilesystem brings every file and folder below dir to the disk, one by one: there is no one call for it here.
func syncFilesystem(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return ignoreAbsent(err)
		}
		f, err := os.Open(path)
		if err != nil {
			return ignoreAbsent(err)
		}
		return firstError(f.Sync(), f.Close())
	})
}
