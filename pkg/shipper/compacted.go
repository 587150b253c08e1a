package shipper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"logstore/pkg/schema"
)

// uploadedFile lists, below uploaderFolder, the local files that are in the bucket and not removed yet. After a crash these
// must not be uploaded once more: the compactor may have merged them meanwhile, and removed chunks that they name.
const uploadedFile = "uploaded"

// noteUploaded writes the list anew. A file that is missing in it because of a crash is uploaded again, as one that was not
// uploaded at all: that is harmless for as long as its chunks are there.
func (s *Shipper) noteUploaded() {
	var names []string
	for _, f := range s.local.expired(s.now().Add(time.Hour)) {
		for _, p := range *f.parts.Load() {
			names = append(names, filepath.ToSlash(filepath.Join(f.table, filepath.Base(p.path))))
		}
	}
	slices.Sort(names)
	path := filepath.Join(s.cfg.ActiveIndexDirectory, uploaderFolder, uploadedFile)
	err := os.WriteFile(path+tempSuffix, []byte(strings.Join(names, "\n")), 0o666)
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		s.logger.Warn("cannot note which index files are uploaded", "err", err)
	}
}

// dropNoted removes the files that an earlier run noted as uploaded.
func (s *Shipper) dropNoted() error {
	text, err := os.ReadFile(filepath.Join(s.cfg.ActiveIndexDirectory, uploaderFolder, uploadedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read which index files are uploaded: %w", err)
	}
	for name := range strings.Lines(string(text)) {
		name = filepath.FromSlash(strings.TrimSpace(name))
		if name == "" || !filepath.IsLocal(name) {
			continue
		}
		path := filepath.Join(s.cfg.ActiveIndexDirectory, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove an uploaded index file: %w", err)
		}
		_ = os.Remove(filepath.Dir(path)) // It succeeds if the folder is empty.
	}
	return nil
}

// dropCompacted removes the local files of a table whose uploads the compactor has replaced: what it removed must not be
// found in them any more. listed is when the listing began; files that were uploaded shortly before are not missed in it.
func (s *Shipper) dropCompacted(key tableKey, found map[schema.IndexFile]bool, listed time.Time) {
	var gone []*localFile
	for _, f := range s.local.expired(listed.Add(-s.cfg.ResyncInterval)) {
		if f.period == key.period && f.day == key.day && !found[f.object()] {
			gone = append(gone, f)
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := s.drop(gone); err != nil {
		s.logger.Warn("cannot remove local index files that were compacted", "err", err)
	}
}
