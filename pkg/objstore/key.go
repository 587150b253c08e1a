package objstore

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrBadKey is returned for a key that not every bucket could hold, or that would lead out of a folder.
var ErrBadKey = errors.New("bad object key")

// maxKeyLength is S3's limit in bytes.
const maxKeyLength = 1024

// checkKey accepts the same keys for every implementation, so that what works in a test works in S3 and in a folder:
// UTF-8 names joined by single slashes, none of them empty, "." or "..", without control characters.
func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrBadKey)
	case len(key) > maxKeyLength:
		return fmt.Errorf("%w: %.40q... has %d bytes, at most %d are allowed", ErrBadKey, key, len(key), maxKeyLength)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: %q is not UTF-8", ErrBadKey, key)
	}
	for name := range strings.SplitSeq(key, "/") {
		if !validName(name) {
			return fmt.Errorf("%w: %q has the name %q between its slashes", ErrBadKey, key, name)
		}
	}
	return nil
}

// validName reports whether a key may hold the name between slashes. U+FFFE and U+FFFF cannot be written in XML, in
// which S3 lists its keys.
func validName(name string) bool {
	if name == "" || name == "." || name == ".." {
		return false
	}
	for _, r := range name {
		if r < 0x20 || r == 0x7f || r == 0xfffe || r == 0xffff {
			return false
		}
	}
	return true
}

// possiblePrefix reports whether any key may begin with prefix.
func possiblePrefix(prefix string) bool {
	dir, _ := splitPrefix(prefix)
	return dir == "" || checkKey(dir[:len(dir)-1]) == nil
}

// splitPrefix cuts a prefix behind its last slash.
func splitPrefix(prefix string) (dir, rest string) {
	i := strings.LastIndexByte(prefix, '/') + 1
	return prefix[:i], prefix[i:]
}

// nextDir returns the part of key up to and with the first slash behind prefix.
func nextDir(key, prefix string) (dir string, ok bool) {
	if !strings.HasPrefix(key, prefix) {
		return "", false
	}
	i := strings.IndexByte(key[len(prefix):], '/')
	if i < 0 {
		return "", false
	}
	return key[:len(prefix)+i+1], true
}
