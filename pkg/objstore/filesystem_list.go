package objstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// dirEntry is one name in a folder.
type dirEntry struct {
	name string // with a slash at the end for a folder, which makes the names' order the keys' order
	fs.DirEntry
}

func (e dirEntry) isDir() bool { return strings.HasSuffix(e.name, "/") }

// List implements Bucket. Objects that come or go meanwhile may be missing or shown.
func (f *Filesystem) List(ctx context.Context, prefix string, fn func(ObjectInfo) error) error {
	dir, rest := splitPrefix(prefix)
	return f.walk(ctx, dir, rest, fn)
}

// walk lists the objects below dir, which is empty or ends with a slash, whose next name begins with rest.
func (f *Filesystem) walk(ctx context.Context, dir, rest string, fn func(ObjectInfo) error) error {
	entries, err := f.readDir(ctx, dir, rest)
	if err != nil {
		return fmt.Errorf("cannot list objects under %q: %w", dir+rest, err)
	}
	for _, e := range entries {
		if e.isDir() {
			if err := f.walk(ctx, dir+e.name, "", fn); err != nil {
				return err
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot list objects under %q: %w", dir+rest, err)
		}
		info, err := f.info(dir, e)
		if err != nil {
			if errors.Is(err, ErrNotFound) {
				continue
			}
			return fmt.Errorf("cannot list objects under %q: %w", dir+rest, err)
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

func (f *Filesystem) info(dir string, e dirEntry) (ObjectInfo, error) {
	info, err := e.Info()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		info, err = os.Stat(f.dirPath(dir + e.name))
	}
	if err != nil {
		return ObjectInfo{}, absent(err)
	}
	return ObjectInfo{Key: dir + e.name, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// ListDirs implements Bucket. A folder without any object in it is not shown, as S3 would not.
func (f *Filesystem) ListDirs(ctx context.Context, prefix string, fn func(dir string) error) error {
	dir, rest := splitPrefix(prefix)
	entries, err := f.readDir(ctx, dir, rest)
	if err != nil {
		return fmt.Errorf("cannot list folders under %q: %w", prefix, err)
	}
	for _, e := range entries {
		if !e.isDir() {
			continue
		}
		switch used, err := f.holdsObject(ctx, dir+e.name); {
		case err != nil:
			return fmt.Errorf("cannot list folders under %q: %w", prefix, err)
		case !used:
			continue
		}
		if err := fn(dir + e.name); err != nil {
			return err
		}
	}
	return nil
}

// holdsObject reports whether any object lies in dir or below.
func (f *Filesystem) holdsObject(ctx context.Context, dir string) (bool, error) {
	entries, err := f.readDir(ctx, dir, "")
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(entries, func(e dirEntry) bool { return !e.isDir() }) {
		return true, nil
	}
	for _, e := range entries {
		if used, err := f.holdsObject(ctx, dir+e.name); used || err != nil {
			return used, err
		}
	}
	return false, nil
}

// readDir returns the folders and objects of dir whose name begins with rest, in the order of keys. Temporary files,
// names that no key may have and other things than files are left out; a folder that is not there has no entries.
func (f *Filesystem) readDir(ctx context.Context, dir, rest string) ([]dirEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !possiblePrefix(dir) {
		return nil, nil
	}
	d, err := os.Open(f.dirPath(dir))
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	defer func() { _ = d.Close() }()
	found, err := d.ReadDir(-1)
	if err = ignoreAbsent(err); err != nil {
		return nil, err
	}
	var entries []dirEntry
	for _, e := range found {
		name := e.Name()
		if !strings.HasPrefix(name, rest) && !strings.HasPrefix(name+"/", rest) {
			continue
		}
		if strings.HasPrefix(name, tempPrefix) || !validName(name) || !utf8.ValidString(name) {
			continue
		}
		switch mode := f.mode(dir, e); {
		case mode.IsDir():
			entries = append(entries, dirEntry{name + "/", e})
		case mode.IsRegular():
			entries = append(entries, dirEntry{name, e})
		}
	}
	slices.SortFunc(entries, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// mode returns the type of an entry, or of what it links to.
func (f *Filesystem) mode(dir string, e fs.DirEntry) fs.FileMode {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type()
	}
	info, err := os.Stat(f.dirPath(dir + e.Name()))
	if err != nil {
		return fs.ModeIrregular
	}
	return info.Mode().Type()
}

func (f *Filesystem) dirPath(dir string) string {
	return filepath.Join(f.root, filepath.FromSlash(dir))
}
