package shipper

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFullCacheDisk looks up while there is no room for copies in the cache location: they go elsewhere, and are gone at the end.
func TestFullCacheDisk(t *testing.T) {
	w := newWorld(t)
	writer := w.open(w.config())
	put(t, writer, chunkOf("acme", 1, stream(1)))
	require.NoError(t, writer.Flush(t.Context()))
	t.Setenv("TMPDIR", t.TempDir())
	reader := w.open(w.config())
	unpack := reader.copies.format.unpack
	reader.copies.format.unpack = func(path string, r io.Reader, compressed bool) error {
		if strings.HasPrefix(path, reader.cfg.CacheLocation) {
			return fmt.Errorf("cannot write: %w", syscall.ENOSPC)
		}
		return unpack(path, r, compressed)
	}
	require.Equal(t, []string{"1 1"}, find(t, reader, "acme", wholeDay))
	spares := reader.copies.spares()
	copies := func() []string {
		found, err := filepath.Glob(filepath.Join(spares[0], "*", "*", "*"))
		require.NoError(t, err)
		return found
	}
	require.Len(t, copies(), 1)
	require.NoError(t, reader.shutdown(t.Context()))
	require.Empty(t, copies())

	// Where there is no room anywhere the lookup says why.
	reader = w.open(w.config())
	reader.copies.format.unpack = func(string, io.Reader, bool) error { return syscall.ENOSPC }
	_, err := trySelect(t.Context(), reader, "acme", wholeDay)
	require.ErrorIs(t, err, syscall.ENOSPC)
}
