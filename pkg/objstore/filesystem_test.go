package objstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

func newFilesystem(t testing.TB, fsync bool) (*objstore.Filesystem, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "made", "by", "new")
	b, err := objstore.NewFilesystem(objstore.FilesystemConfig{Directory: root, Fsync: fsync})
	require.NoError(t, err)
	return b, root
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	b, root := newFilesystem(t, false)
	objstoretest.AcceptanceTest(t, b)
	left, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, left, "neither temporary files nor empty folders may be left")
}

func TestFilesystemWithFsync(t *testing.T) {
	t.Parallel()
	b, _ := newFilesystem(t, true)
	objstoretest.AcceptanceTest(t, b)
}

func TestFilesystemLayout(t *testing.T) {
	b, root := newFilesystem(t, false)
	require.NoError(t, b.Put(t.Context(), "tenant/a:b", []byte("body")))
	require.NoError(t, objstore.Sync(t.Context(), b))
	got, err := os.ReadFile(filepath.Join(root, "tenant", "a:b"))
	require.NoError(t, err)
	require.Equal(t, "body", string(got))
	require.Contains(t, b.Name(), root)
}

// TestFilesystemEscape checks that no key reaches a file beside the root.
func TestFilesystemEscape(t *testing.T) {
	b, root := newFilesystem(t, false)
	outside := filepath.Join(filepath.Dir(root), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	for _, key := range []string{"../outside", "a/../../outside", "/../outside", outside} {
		_, err := b.Get(t.Context(), key)
		require.ErrorIs(t, err, objstore.ErrBadKey, key)
		require.ErrorIs(t, b.Put(t.Context(), key, nil), objstore.ErrBadKey, key)
		require.ErrorIs(t, b.Delete(t.Context(), key), objstore.ErrBadKey, key)
	}
	require.Empty(t, objstoretest.Keys(t, b, "../"))
	require.Empty(t, objstoretest.Dirs(t, b, "../"))
	got, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "secret", string(got))
}

func TestFilesystemIgnoresTemporaryFiles(t *testing.T) {
	b, root := newFilesystem(t, false)
	require.NoError(t, b.Put(t.Context(), "a/object", nil))
	young, old := filepath.Join(root, "a", ".logstore-tmp-1-1"), filepath.Join(root, ".logstore-tmp-1-2")
	for _, path := range []string{young, old} {
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "empty", "deep"), 0o755))
	yesterday := time.Now().Add(-24 * time.Hour)
	require.NoError(t, os.Chtimes(old, yesterday, yesterday))

	require.Equal(t, []string{"a/object"}, objstoretest.Keys(t, b, ""))
	require.Equal(t, []string{"a/"}, objstoretest.Dirs(t, b, ""))
	require.ErrorIs(t, b.Put(t.Context(), "a/.logstore-tmp-x", nil), objstore.ErrBadKey)
	require.ErrorIs(t, b.Put(t.Context(), ".logstore-tmp-x/a", nil), objstore.ErrBadKey)

	n, err := b.RemoveTemps(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoFileExists(t, old)
	require.FileExists(t, young)
	require.Equal(t, []string{"a/object"}, objstoretest.Keys(t, b, ""))
}

func TestFilesystemKeyBothObjectAndFolder(t *testing.T) {
	b, root := newFilesystem(t, false)
	require.NoError(t, b.Put(t.Context(), "a/b", []byte("object")))
	require.ErrorContains(t, b.Put(t.Context(), "a/b/c", nil), "cannot put object a/b/c")
	require.NoError(t, b.Put(t.Context(), "d/e", nil))
	require.ErrorContains(t, b.Put(t.Context(), "d", nil), "cannot put object d")
	require.NoError(t, b.Delete(t.Context(), "d"), "a folder is no object")
	require.NoError(t, b.Delete(t.Context(), "a/b/c"))
	require.Equal(t, []string{"a/b", "d/e"}, objstoretest.Keys(t, b, ""))
	left, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, left, 2, "a failed put must take its temporary file away")
}

func TestFilesystemFollowsLinks(t *testing.T) {
	b, root := newFilesystem(t, false)
	other := t.TempDir()
	require.NoError(t, os.Symlink(other, filepath.Join(root, "linked")))
	require.NoError(t, os.Symlink(filepath.Join(root, "nowhere"), filepath.Join(root, "dangling")))
	require.NoError(t, b.Put(t.Context(), "linked/object", []byte("x")))
	require.FileExists(t, filepath.Join(other, "object"))
	require.Equal(t, []string{"linked/object"}, objstoretest.Keys(t, b, ""))
	require.Equal(t, []string{"linked/"}, objstoretest.Dirs(t, b, ""))
}

// TestFilesystemPruneRace puts and deletes neighbours in folders that come and go.
func TestFilesystemPruneRace(t *testing.T) {
	b, _ := newFilesystem(t, false)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			key := fmt.Sprintf("deep/er/folder/%d", worker)
			for range 300 {
				if err := b.Put(context.Background(), key, nil); err != nil {
					t.Errorf("cannot put: %v", err)
				}
				if err := b.Delete(context.Background(), key); err != nil {
					t.Errorf("cannot delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, objstoretest.Keys(t, b, ""))
}

func TestFilesystemConfig(t *testing.T) {
	require.NoError(t, objstore.DefaultFilesystemConfig().Validate())
	_, err := objstore.NewFilesystem(objstore.FilesystemConfig{})
	require.ErrorContains(t, err, "must not be empty")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = objstore.NewFilesystem(objstore.FilesystemConfig{Directory: file})
	require.ErrorContains(t, err, "cannot open the filesystem store")
}

func BenchmarkFilesystemPut(b *testing.B) {
	bucket, _ := newFilesystem(b, false)
	body := []byte(strings.Repeat("x", 4096))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		require.NoError(b, bucket.Put(b.Context(), fmt.Sprintf("tenant/%x/%x:%x", i%1000, i, i), body))
	}
}

func BenchmarkFilesystemGet(b *testing.B) {
	bucket, _ := newFilesystem(b, false)
	require.NoError(b, bucket.Put(b.Context(), "tenant/a/b", make([]byte, 4096)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := bucket.Get(b.Context(), "tenant/a/b")
		require.NoError(b, err)
	}
}

func BenchmarkFilesystemList(b *testing.B) {
	bucket, _ := newFilesystem(b, false)
	const objects = 10_000
	for i := range objects {
		require.NoError(b, bucket.Put(b.Context(), fmt.Sprintf("tenant/%x/%x:%x", i%100, i, i), nil))
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		require.NoError(b, bucket.List(b.Context(), "", func(objstore.ObjectInfo) error { n++; return nil }))
		require.Equal(b, objects, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*objects), "ns/object")
}
