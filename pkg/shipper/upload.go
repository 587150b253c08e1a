package shipper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"logstore/pkg/failpoint"
	"logstore/pkg/index"
)

const (
	uploaderFolder = "uploader"
	uploaderFile   = "name"
	// tempSuffix marks what is not complete.
	tempSuffix = ".temp"
	// packSuffix marks a copy that is made for an upload.
	packSuffix = ".pack" + tempSuffix
	// snapshotSuffix marks a copy that Loki made for its queries.
	snapshotSuffix = ".snapshot"
	// corruptSuffix marks a file that could not be read and is kept for a human.
	corruptSuffix = ".corrupt"

	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// Where a crash hurts most on the way of index rows into the bucket.
var (
	pointWritten  = failpoint.New("shipper/written", "index rows are on the disk, nobody was told")
	pointPacked   = failpoint.New("shipper/packed", "an index file is packed, its upload has not begun")
	pointUploaded = failpoint.New("shipper/uploaded", "an index file is in the bucket, this process does not know it")
	pointDropping = failpoint.New("shipper/dropping", "an index file was uploaded, its local file is about to be removed")
)

// openActiveDirectory reads the uploader's name and takes up the files of earlier runs.
func (s *Shipper) openActiveDirectory() error {
	dir := s.cfg.ActiveIndexDirectory
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("cannot open active index directory: %w", err)
	}
	// Only queries need the copies, but then it would be late to say that they have no place.
	if err := s.copies.openCache(); err != nil {
		return err
	}
	if err := s.readUploader(filepath.Join(dir, uploaderFolder, uploaderFile)); err != nil {
		return fmt.Errorf("cannot read the uploader's name: %w", err)
	}
	if err := s.dropNoted(); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot open active index directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == uploaderFolder {
			continue
		}
		if err := s.adoptTable(e); err != nil {
			return fmt.Errorf("cannot open active table %s: %w", e.Name(), err)
		}
	}
	s.metrics.pendingFiles.Set(float64(s.local.waiting()))
	sweepCorrupt(dir, maxCorruptFiles, s.logger)
	return nil
}

// readUploader reads the name under which this process uploads, or makes it. It is kept over restarts, so that an upload that
// is repeated goes to the same name.
func (s *Shipper) readUploader(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(text)) != "" {
		s.uploader = strings.TrimSpace(string(text))
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.uploader = s.cfg.IngesterID + "-" + strconv.FormatInt(s.now().UnixNano(), 10)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path+tempSuffix, []byte(s.uploader), 0o666); err != nil {
		return err
	}
	return os.Rename(path+tempSuffix, path)
}

// adoptTable takes up the files in a table's folder. Folders that are no table of any period are left alone.
func (s *Shipper) adoptTable(e fs.DirEntry) error {
	name := e.Name()
	period, day, ok := s.periods.FindTable(name)
	if !ok {
		s.logger.Warn("the active index directory has something that is no table of any period", "name", name)
		return nil
	}
	dir := filepath.Join(s.cfg.ActiveIndexDirectory, name)
	if !e.IsDir() {
		// A very old writer left the table as a bare file.
		if err := moveIntoFolder(dir, name); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch {
		case f.IsDir() || strings.HasSuffix(f.Name(), corruptSuffix):
		case strings.HasSuffix(f.Name(), tempSuffix), strings.HasSuffix(f.Name(), snapshotSuffix):
			if err := os.Remove(path); err != nil {
				return err
			}
		default:
			s.adoptFile(period, day, name, f.Name(), path)
		}
	}
	_ = os.Remove(dir) // It succeeds if the folder is empty.
	return nil
}

func moveIntoFolder(path, name string) error {
	if err := os.Rename(path, path+tempSuffix); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		return err
	}
	return os.Rename(path+tempSuffix, filepath.Join(path, name))
}

// adoptFile takes up a file of an earlier run. One that cannot be read is set aside: it must not stop the start.
func (s *Shipper) adoptFile(period int, day int64, table, name, path string) {
	if err := index.Check(path); errors.Is(err, index.ErrCorrupt) {
		s.setAside(path, err)
		return
	}
	f := newLocalFile(s, period, day, table, name)
	f.sets, f.sealed = nil, true
	f.setParts([]*part{{path: path}})
	s.local.add(f)
}

// makeFolder makes the folder of a table.
func (s *Shipper) makeFolder(table string) error {
	if err := os.MkdirAll(filepath.Join(s.cfg.ActiveIndexDirectory, table), 0o777); err != nil {
		return fmt.Errorf("cannot make a folder for an index table: %w", err)
	}
	return nil
}

// setAside keeps a corrupt file for a human. Its rows were nowhere else, but the chunks that they name are in the bucket.
func (s *Shipper) setAside(path string, cause error) {
	s.metrics.corruptFiles.Inc()
	setAside(path, cause, s.logger)
	s.logger.Error("chunks may be in the bucket that no index names: logstore check finds them, logstore rebuild-index indexes them", "path", path)
}

// forgetDecoded drops what was decoded of a file that is about to be removed.
func (s *Shipper) forgetDecoded(path string) {
	s.sets.forget(path)
	s.rows.forget(path)
}

// forget removes a local file as soon as nobody reads it.
func (s *Shipper) forget(path string) {
	s.forgetDecoded(path)
	if err := s.pool.forget(path); err != nil {
		s.logger.Warn("cannot remove a part of an index file", "path", path, "err", err)
	}
}

// upload puts all sealed files into the bucket; force also tries those that wait for their next attempt. Files that fail
// are kept and tried again.
func (s *Shipper) upload(ctx context.Context, force bool) error {
	// One at a time: who flushes must not pass over a file that somebody else is just uploading.
	select {
	case s.uploadTurn <- struct{}{}:
		defer func() { <-s.uploadTurn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var errs []error
	done := 0
	for _, f := range s.local.due(s.now(), force) {
		err := ctx.Err()
		if err == nil {
			err = s.uploadFile(ctx, f)
			s.metrics.uploads.WithLabelValues(status(err)).Inc()
		}
		if err != nil {
			errs = append(errs, err)
			s.logger.Error("cannot upload an index file, it is kept and tried again", "table", f.table, "file", f.name, "err", err)
		}
		s.local.uploadEnded(f, s.now(), err)
		if err == nil {
			s.noteUploaded()
			done++
		}
	}
	if done > 0 && s.uploaded != nil {
		s.uploaded()
	}
	s.metrics.pendingFiles.Set(float64(s.local.waiting()))
	return errors.Join(errs...)
}

func (s *Shipper) uploadFile(ctx context.Context, f *localFile) error {
	object, err := f.pack()
	if err != nil {
		return err
	}
	if err := pointPacked.Hit(); err != nil {
		return err
	}
	p := &s.periods[f.period]
	key := f.object().Key(p.TableKey(f.table))
	if err := s.bucket(f.period).Put(ctx, key, object); err != nil {
		return fmt.Errorf("cannot upload %s: %w", key, err)
	}
	if err := pointUploaded.Hit(); err != nil {
		return err
	}
	s.metrics.uploadedBytes.Add(float64(len(object)))
	s.logger.Info("uploaded an index file", "key", key, "bytes", len(object))
	return nil
}

// uploadEnded notes how an upload went.
func (l *localFiles) uploadEnded(f *localFile, now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		f.uploaded, f.failures = now, 0
		return
	}
	f.retryAt = now.Add(min(minBackoff<<min(f.failures, 20), maxBackoff))
	f.failures++
}

// dropUploaded removes local files of which every reader has seen the upload.
func (s *Shipper) dropUploaded() {
	if err := s.drop(s.local.expired(s.now().Add(-s.cfg.retention()))); err != nil {
		s.logger.Error("cannot remove uploaded index files", "err", err)
	}
}

// dropAllUploaded removes all uploaded files, when this process ends: the next one finds them in the bucket.
func (s *Shipper) dropAllUploaded() error {
	files := s.local.expired(s.now().Add(time.Hour))
	err := s.drop(files)
	for _, f := range files {
		_ = os.Remove(filepath.Join(s.cfg.ActiveIndexDirectory, f.table)) // It succeeds if the folder is empty.
	}
	return err
}

func (s *Shipper) drop(files []*localFile) error {
	if len(files) == 0 {
		return nil
	}
	var errs []error
	defer s.noteUploaded()
	for _, f := range files {
		if err := pointDropping.Hit(); err != nil {
			return err
		}
		// Lookups that took the file read on until they let go of it; those that come now look into the bucket.
		s.local.remove(f)
		for _, p := range *f.parts.Load() {
			s.forgetDecoded(p.path)
			errs = append(errs, s.pool.forget(p.path))
		}
	}
	return errors.Join(errs...)
}
