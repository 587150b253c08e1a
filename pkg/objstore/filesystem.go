package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// tempPrefix begins the name of a file that is still being written. No key may have a name that begins so.
const tempPrefix = ".logstore-tmp-"

// FilesystemConfig configures a bucket in a folder.
type FilesystemConfig struct {
	// Directory is the root: the object with the key "a/b" is the file Directory/a/b.
	Directory string
	// Fsync makes each Put wait until the object is on the disk. Without it an object survives a crash of the process
	// as soon as Put returns, and a crash of the machine once Sync has returned.
	Fsync bool
}

// DefaultFilesystemConfig returns the configuration of a store with no settings at all.
func DefaultFilesystemConfig() FilesystemConfig {
	return FilesystemConfig{Directory: filepath.Join("data", "chunks")}
}

// Validate checks the configuration.
func (c FilesystemConfig) Validate() error {
	if c.Directory == "" {
		return errors.New("directory of the filesystem store must not be empty")
	}
	return nil
}

// Filesystem is a bucket in a folder. Keys cannot lead out of the folder; a symbolic link that somebody placed inside it
// is followed, so that parts of it may lie on other disks.
type Filesystem struct {
	root  string
	fsync bool
	run   uint64 // tells the temp files of processes on the same folder apart
	temps atomic.Uint64
}

// NewFilesystem opens a bucket and creates its folder if that is missing.
func NewFilesystem(cfg FilesystemConfig) (*Filesystem, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(cfg.Directory)
	if err == nil {
		err = os.MkdirAll(root, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the filesystem store: %w", err)
	}
	return &Filesystem{root: root, fsync: cfg.Fsync, run: rand.Uint64()}, nil
}

// Name implements Bucket.
func (f *Filesystem) Name() string { return "filesystem " + f.root }

// Put implements Bucket. The body goes to a temporary file in the object's folder, which then takes the object's name, so
// that no reader ever sees half an object.
func (f *Filesystem) Put(ctx context.Context, key string, body []byte) error {
	path, err := f.path(ctx, key)
	if err == nil {
		err = f.put(path, body)
	}
	if err != nil {
		return fmt.Errorf("cannot put object %s: %w", key, err)
	}
	return nil
}

// Create implements creator.
func (f *Filesystem) Create(ctx context.Context, key string, body []byte) error {
	path, err := f.path(ctx, key)
	if err == nil {
		err = f.place(path, body, linkNew)
	}
	if errors.Is(err, fs.ErrExist) {
		err = ErrExists
	}
	if err != nil {
		return fmt.Errorf("cannot create object %s: %w", key, err)
	}
	return nil
}

// linkNew gives a temporary file its name unless that is taken.
func linkNew(temp, path string) error {
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return os.Remove(temp)
}

func (f *Filesystem) put(path string, body []byte) error { return f.place(path, body, os.Rename) }

// place writes the body to a temporary file and gives it its name with a function that does so at once: a rename replaces what is
// there, a link does not.
func (f *Filesystem) place(path string, body []byte, name func(temp, path string) error) error {
	dir := filepath.Dir(path)
	temp := fmt.Sprintf("%s%c%s%x-%x", dir, filepath.Separator, tempPrefix, f.run, f.temps.Add(1))
	file, err := f.create(temp, dir)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	if err == nil && f.fsync {
		err = file.Sync()
	}
	err = firstError(err, file.Close())
	if err == nil {
		err = name(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	if f.fsync {
		return syncDir(dir)
	}
	return nil
}

// create makes the temporary file. The folder exists nearly always, so it is only made when the file system misses it:
// cheaper than asking each time, and no record of known folders can go stale. A Delete may prune the folder again before
// the file is in it, hence the loop.
func (f *Filesystem) create(temp, dir string) (*os.File, error) {
	const attempts = 100
	for attempt := 1; ; attempt++ {
		file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrNotExist) || attempt == attempts {
			return file, err
		}
		if err := f.makeDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// makeDir creates dir with its parents. With fsync on, each new folder's entry in its parent is brought to the disk too.
func (f *Filesystem) makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) && dir != f.root {
		if err := f.makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil && f.fsync:
		return syncDir(filepath.Dir(dir))
	}
	return err
}

// Get implements Bucket.
func (f *Filesystem) Get(ctx context.Context, key string) ([]byte, error) {
	body, err := f.read(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return body, nil
}

// GetRange implements Bucket.
func (f *Filesystem) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	err := checkRange(offset, length)
	var body []byte
	if err == nil {
		body, err = f.read(ctx, key, offset, length)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get a part of object %s: %w", key, err)
	}
	return body, nil
}

// read returns length bytes from offset, or all bytes if length is negative.
func (f *Filesystem) read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	file, size, err := f.open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if length < 0 {
		length = size
	}
	body := make([]byte, clip(offset, length, size))
	if _, err := file.ReadAt(body, offset); err != nil && len(body) > 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // The file shrank under us.
		}
		return nil, err
	}
	return body, nil
}

// GetReader implements Bucket.
func (f *Filesystem) GetReader(ctx context.Context, key string) (io.ReadCloser, error) {
	file, size, err := f.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("cannot get object %s: %w", key, err)
	}
	return newExactReader(file, size), nil
}

// Stat implements Bucket.
func (f *Filesystem) Stat(ctx context.Context, key string) (ObjectInfo, error) {
	path, err := f.path(ctx, key)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(path)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		return ObjectInfo{}, fmt.Errorf("cannot stat object %s: %w", key, absent(err))
	}
	return ObjectInfo{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete implements Bucket. Folders that it leaves empty are removed as well.
func (f *Filesystem) Delete(ctx context.Context, key string) error {
	path, err := f.path(ctx, key)
	if err == nil {
		err = f.remove(path)
	}
	if err != nil {
		return fmt.Errorf("cannot delete object %s: %w", key, err)
	}
	return nil
}

// remove uses the system's calls for a file and for a folder each, since os.Remove tries both: it would take an empty
// folder for the object, or another object for an empty folder.
func (f *Filesystem) remove(path string) error {
	if err := absent(syscall.Unlink(path)); err != nil && !errors.Is(err, ErrNotFound) {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			return nil // A folder is no object.
		}
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	for dir := filepath.Dir(path); dir != f.root; dir = filepath.Dir(dir) {
		if syscall.Rmdir(dir) != nil {
			break // It is not empty, or no longer there.
		}
	}
	return nil
}

// Sync returns when all objects put before are on the disk. One call for many objects is far cheaper than Fsync, but it
// waits for everything else that was written to the same file system too.
func (f *Filesystem) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := syncFilesystem(f.root); err != nil {
		return fmt.Errorf("cannot sync the filesystem store: %w", err)
	}
	return nil
}

// RemoveTemps removes what writers killed in the middle left behind: temporary files older than age. Nothing else
// looks at those, so it need not be called often.
func (f *Filesystem) RemoveTemps(ctx context.Context, age time.Duration) (removed int, err error) {
	limit := time.Now().Add(-age)
	err = filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), tempPrefix) {
			return firstError(ctx.Err(), ignoreAbsent(err))
		}
		info, err := d.Info()
		if err != nil || info.ModTime().After(limit) {
			return ignoreAbsent(err)
		}
		if err := os.Remove(path); err != nil {
			return ignoreAbsent(err)
		}
		removed++
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("cannot remove temporary files: %w", err)
	}
	return removed, nil
}

// path returns the object's file. The key's check is what keeps it inside the root.
func (f *Filesystem) path(ctx context.Context, key string) (string, error) {
	if err := firstError(ctx.Err(), checkKey(key)); err != nil {
		return "", err
	}
	local := filepath.FromSlash(key)
	if !filepath.IsLocal(local) {
		return "", fmt.Errorf("%w: %q is not a path below a folder", ErrBadKey, key)
	}
	if strings.HasPrefix(key, tempPrefix) || strings.Contains(key, "/"+tempPrefix) {
		return "", fmt.Errorf("%w: %q has a temporary file's name", ErrBadKey, key)
	}
	return f.root + string(filepath.Separator) + local, nil
}

// open returns the object's file and size.
func (f *Filesystem) open(ctx context.Context, key string) (*os.File, int64, error) {
	path, err := f.path(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, absent(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// absent turns the file system's ways of saying that there is no such file into ErrNotFound. A part of the path that is
// a file itself is one of them: that file is another object.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return ErrNotFound
	}
	return err
}

// ignoreAbsent drops the error of a file that vanished meanwhile.
func ignoreAbsent(err error) error {
	if errors.Is(absent(err), ErrNotFound) {
		return nil
	}
	return err
}

// syncDir brings a folder's entries to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return firstError(d.Sync(), d.Close())
}
