package shipper

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

const (
	// partRows is the least number of rows that get a part of their own. Fewer go into a part that takes transactions.
	partRows = 4096
	// partFanIn is how many parts of one level are merged into one of the next, so that the number of parts grows with the
	// logarithm of the rows.
	partFanIn = 12
)

// part is one table file on the disk. Large batches are written as parts of their own, since ids of streams are hashes
// and a transaction with many of them would rewrite most pages of a growing file. All parts are merged when they are uploaded.
type part struct {
	path string
	// level is 0 for the part that takes transactions, 1 for a batch, and one more for each merge.
	level int
	// file is set on the part that takes transactions.
	file *index.File
}

// nextPart returns the path of a new part. The first is named like the file.
func (f *localFile) nextPart() string {
	name := f.name
	if f.serial > 0 {
		name = fmt.Sprintf("%s.%d", f.name, f.serial)
	}
	f.serial++
	return filepath.Join(f.s.cfg.ActiveIndexDirectory, f.table, name)
}

// putRows makes rows durable.
func (f *localFile) putRows(buckets map[string][]schema.Row, count int) error {
	if count < partRows {
		return f.putSmall(buckets)
	}
	p := &part{path: f.nextPart(), level: 1}
	if err := f.s.makeFolder(f.table); err != nil {
		return err
	}
	if err := index.Build(p.path, buckets); err != nil {
		return err
	}
	f.setParts(append(slices.Clone(*f.parts.Load()), p))
	return f.mergeParts()
}

// putSmall puts rows in a transaction.
func (f *localFile) putSmall(buckets map[string][]schema.Row) error {
	parts := *f.parts.Load()
	for _, p := range parts {
		if p.level == 0 {
			return p.file.Put(buckets)
		}
	}
	file, err := index.Create(f.nextPart())
	if err != nil {
		return err
	}
	if err := file.Put(buckets); err != nil {
		return errors.Join(err, file.Close())
	}
	f.s.pool.adopt(file.Path(), file)
	f.setParts(append(slices.Clone(parts), &part{path: file.Path(), file: file}))
	return nil
}

func (f *localFile) setParts(parts []*part) { f.parts.Store(&parts) }

// mergeParts merges the parts of a level that has too many. It runs within the write that made the last of them, so that
// writers cannot outrun it.
func (f *localFile) mergeParts() error {
	for level := 1; ; level++ {
		var full, rest []*part
		for _, p := range *f.parts.Load() {
			if p.level == level {
				full = append(full, p)
			} else {
				rest = append(rest, p)
			}
		}
		if len(full) < partFanIn {
			return nil
		}
		merged := &part{path: f.nextPart(), level: level + 1}
		if err := f.s.mergeFiles(merged.path, full); err != nil {
			// The rows are durable and visible as they are.
			f.s.logger.Error("cannot merge parts of an index file", "table", f.table, "file", f.name, "err", err)
			return nil
		}
		f.setParts(append(rest, merged))
		for _, p := range full {
			f.s.forget(p.path)
		}
	}
}

// mergeFiles merges parts into a new file.
func (s *Shipper) mergeFiles(path string, parts []*part) error {
	files := make([]*index.File, 0, len(parts))
	for _, p := range parts {
		file, release, err := s.pool.acquire(p.path)
		if err != nil {
			return err
		}
		defer release()
		files = append(files, file)
	}
	return index.Merge(path, files...)
}

// pack returns the object that a sealed file becomes.
func (f *localFile) pack() ([]byte, error) {
	parts := *f.parts.Load()
	if len(parts) == 1 && parts[0].level > 0 {
		return index.Compress(parts[0].path)
	}
	temp := filepath.Join(f.s.cfg.ActiveIndexDirectory, f.table, f.name+packSuffix)
	if err := f.s.mergeFiles(temp, parts); err != nil {
		return nil, err
	}
	defer f.s.forget(temp)
	return index.Compress(temp)
}
