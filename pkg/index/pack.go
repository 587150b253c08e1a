package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// gzipLevel is the level of uploaded files. Rows are mostly base64 of hashes, which no level makes smaller than six bits a
// character, so that the fastest one that codes by frequency is taken.
const gzipLevel = 3

// Compress returns the gzip of a file that is not being written.
func Compress(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot compress index file: %w", err)
	}
	defer f.Close()
	var buf bytes.Buffer
	if info, err := f.Stat(); err == nil {
		buf.Grow(int(info.Size() / 3))
	}
	zw, err := gzip.NewWriterLevel(&buf, gzipLevel)
	if err != nil {
		return nil, fmt.Errorf("cannot compress index file %s: %w", path, err)
	}
	if _, err := io.Copy(zw, f); err != nil {
		return nil, fmt.Errorf("cannot compress index file %s: %w", path, err)
	}
	if err := zw.Close(); err != nil {
		return nil, fmt.Errorf("cannot compress index file %s: %w", path, err)
	}
	return buf.Bytes(), nil
}

// Unpack writes an index object to a file that is complete, checked and on disk when Unpack returns. compressed says
// whether the object is gzip. The caller names a temporary path and renames it.
func Unpack(path string, object io.Reader, compressed bool) error {
	return UnpackWith(path, object, compressed, Check)
}

// UnpackWith is Unpack for an object of another format, which check knows. A damaged gzip wraps ErrCorrupt.
func UnpackWith(path string, object io.Reader, compressed bool, check func(path string) error) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return fmt.Errorf("cannot unpack index file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path)
		}
	}()
	if compressed {
		zr, err := gzip.NewReader(object)
		if err != nil {
			return gzipError(path, err)
		}
		if _, err := io.Copy(f, zr); err != nil {
			return gzipError(path, err)
		}
	} else if _, err := io.Copy(f, object); err != nil {
		return fmt.Errorf("cannot unpack index file %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot unpack index file %s: %w", path, err)
	}
	return check(path)
}

// gzipError marks what the object is to blame for.
func gzipError(path string, err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot unpack index file %s: %w: %w", path, ErrCorrupt, err)
	}
	return fmt.Errorf("cannot unpack index file %s: %w", path, err)
}
