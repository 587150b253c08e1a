package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"logstore/pkg/objstore"
)

// AcceptanceTest checks that the bucket keeps every promise of objstore.Bucket. The bucket must be empty, and is empty again
// when the test passes.
func AcceptanceTest(t *testing.T, b objstore.Bucket) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, objstore.Bucket)
	}{
		{"absent objects", testAbsent},
		{"put and get", testPutGet},
		{"keys", testKeys},
		{"bad keys", testBadKeys},
		{"range", testRange},
		{"reader", testReader},
		{"ownership of bytes", testOwnership},
		{"overwrite", testOverwrite},
		{"delete", testDelete},
		{"list", testList},
		{"list many", testListMany},
		{"list dirs", testListDirs},
		{"callback errors", testCallbackErrors},
		{"cancelled context", testCancelled},
		{"concurrency", testConcurrency},
		{"concurrent replacement", testReplacement},
		{"create", testCreate},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, b)
			clear(t, b)
		})
	}
}

// Keys returns the keys of the bucket that begin with prefix, in the order in which they are listed.
func Keys(t *testing.T, b objstore.Bucket, prefix string) []string {
	t.Helper()
	keys := []string{}
	require.NoError(t, b.List(t.Context(), prefix, func(o objstore.ObjectInfo) error {
		keys = append(keys, o.Key)
		return nil
	}))
	return keys
}

// Dirs returns what ListDirs shows.
func Dirs(t *testing.T, b objstore.Bucket, prefix string) []string {
	t.Helper()
	dirs := []string{}
	require.NoError(t, b.ListDirs(t.Context(), prefix, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	}))
	return dirs
}

func clear(t *testing.T, b objstore.Bucket) {
	t.Helper()
	for _, key := range Keys(t, b, "") {
		require.NoError(t, b.Delete(t.Context(), key))
	}
	require.Empty(t, Keys(t, b, ""))
	require.Empty(t, Dirs(t, b, ""))
}

func put(t *testing.T, b objstore.Bucket, keys ...string) {
	t.Helper()
	for _, key := range keys {
		require.NoError(t, b.Put(t.Context(), key, []byte("body of "+key)))
	}
}

func testAbsent(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	put(t, b, "folder/object")
	require.NotEmpty(t, b.Name())
	for _, key := range []string{"absent", "folder", "folder/absent", "folder/obj", "no/such/folder"} {
		_, err := b.Get(ctx, key)
		require.ErrorIs(t, err, objstore.ErrNotFound, key)
		require.Contains(t, err.Error(), key)
		_, err = b.GetRange(ctx, key, 0, 1)
		require.ErrorIs(t, err, objstore.ErrNotFound, key)
		_, err = b.GetRange(ctx, key, 0, 0)
		require.ErrorIs(t, err, objstore.ErrNotFound, key)
		_, err = b.GetReader(ctx, key)
		require.ErrorIs(t, err, objstore.ErrNotFound, key)
		_, err = b.Stat(ctx, key)
		require.ErrorIs(t, err, objstore.ErrNotFound, key)
		require.NoError(t, b.Delete(ctx, key), key)
	}
	require.Equal(t, []string{"folder/object"}, Keys(t, b, ""))
	require.Empty(t, Keys(t, b, "absent"))
	require.Empty(t, Dirs(t, b, "absent"))
	require.Empty(t, Dirs(t, b, "folder/"))
}

func testPutGet(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 7, 4096, 1 << 20, 5<<20 + 1} {
		key := fmt.Sprintf("tenant/%d", size)
		body := make([]byte, size)
		_, _ = random.Read(body)
		before := time.Now()
		require.NoError(t, b.Put(ctx, key, body))
		got, err := b.Get(ctx, key)
		require.NoError(t, err)
		require.NotNil(t, got)
		require.True(t, bytes.Equal(body, got), "body of %d bytes differs", size)
		info, err := b.Stat(ctx, key)
		require.NoError(t, err)
		require.Equal(t, key, info.Key)
		require.Equal(t, int64(size), info.Size)
		require.WithinDuration(t, before, info.ModTime, time.Minute)
	}
	require.NoError(t, b.Put(ctx, "nil", nil))
	got, err := b.Get(ctx, "nil")
	require.NoError(t, err)
	require.Empty(t, got)
}

// oddKeys are keys that a URL, a shell or a path could mangle.
var oddKeys = []string{
	"acme/39f314664f94044d:19baa5a3fff:19baa5a4000:a2bd1dff",
	"fake/39f314664f94044d/19baa5a3fff:19baa5a4000:a2bd1dff",
	"YWNtZS8zOWYzMTQ2NjRmOTQwNDRkOjE5YmFhNWEzZmZmOjE5YmFhNWE0MDAwOmEyYmQxZGZm==",
	"index/index_20463/ingester-0-1700000000.gz",
	"!-_.*'()/x",
	"with space/and  two",
	"plus+equals=amp&semi;comma,at@hash#question?percent%25",
	"percent%2Fencoded%zz",
	`back\slash "quoted" <tag> {brace} [bracket] ^caret` + "`tick`|pipe~",
	"ünïcödé/日本語/😀",
	".hidden/..twodots/...",
	"a/b/c/d/e/f/g/h",
	strings.Repeat("n", 255),
}

func testKeys(t *testing.T, b objstore.Bucket) {
	put(t, b, oddKeys...)
	for _, key := range oddKeys {
		got, err := b.Get(t.Context(), key)
		require.NoError(t, err, key)
		require.Equal(t, "body of "+key, string(got))
		info, err := b.Stat(t.Context(), key)
		require.NoError(t, err, key)
		require.Equal(t, key, info.Key)
		require.Equal(t, []string{key}, Keys(t, b, key))
	}
	want := slices.Sorted(slices.Values(oddKeys))
	require.Equal(t, want, Keys(t, b, ""))
	require.Contains(t, Dirs(t, b, ""), "with space/")
	require.Equal(t, []string{"ünïcödé/日本語/"}, Dirs(t, b, "ünïcödé/"))
}

func testBadKeys(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	for _, key := range []string{
		"", "/", "/absolute", "trailing/", "a//b", ".", "..", "../up", "a/../b", "a/./b", "a/..", "nul\x00", "line\nfeed",
		"\xff\xfe", "del\x7f", strings.Repeat("long/", 300) + "x",
	} {
		require.ErrorIs(t, b.Put(ctx, key, nil), objstore.ErrBadKey, "%q", key)
		_, err := b.Get(ctx, key)
		require.ErrorIs(t, err, objstore.ErrBadKey, "%q", key)
		_, err = b.GetRange(ctx, key, 0, 1)
		require.ErrorIs(t, err, objstore.ErrBadKey, "%q", key)
		_, err = b.GetReader(ctx, key)
		require.ErrorIs(t, err, objstore.ErrBadKey, "%q", key)
		_, err = b.Stat(ctx, key)
		require.ErrorIs(t, err, objstore.ErrBadKey, "%q", key)
		require.ErrorIs(t, b.Delete(ctx, key), objstore.ErrBadKey, "%q", key)
	}
	require.Empty(t, Keys(t, b, ""))
	put(t, b, "a/b")
	for _, prefix := range []string{"/", "//", "../", "./", "a/../a/", "a//"} {
		require.Empty(t, Keys(t, b, prefix), prefix)
		require.Empty(t, Dirs(t, b, prefix), prefix)
	}
}

func testRange(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	require.NoError(t, b.Put(ctx, "digits", []byte("0123456789")))
	require.NoError(t, b.Put(ctx, "empty", nil))
	f := func(key string, offset, length int64, want string) {
		t.Helper()
		got, err := b.GetRange(ctx, key, offset, length)
		require.NoError(t, err)
		require.NotNil(t, got)
		require.Equal(t, want, string(got))
	}
	f("digits", 0, 10, "0123456789")
	f("digits", 0, 1, "0")
	f("digits", 9, 1, "9")
	f("digits", 3, 4, "3456")
	f("digits", 3, 0, "")
	f("digits", 8, 5, "89")
	f("digits", 0, math.MaxInt64, "0123456789")
	f("digits", 5, math.MaxInt64, "56789")
	f("digits", 10, 1, "")
	f("digits", 1000, 1, "")
	f("digits", math.MaxInt64, math.MaxInt64, "")
	f("empty", 0, 1, "")
	f("empty", 5, 5, "")
	_, err := b.GetRange(ctx, "digits", -1, 1)
	require.ErrorContains(t, err, "negative")
	_, err = b.GetRange(ctx, "digits", 0, -1)
	require.ErrorContains(t, err, "negative")
}

func testReader(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	require.NoError(t, b.Put(ctx, "streamed", body))
	r, err := b.GetReader(ctx, "streamed")
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(body, got))
	require.NoError(t, r.Close())

	// A reader that is closed in the middle leaves nothing behind.
	for range 20 {
		r, err = b.GetReader(ctx, "streamed")
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
}

func testOwnership(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	body := []byte("first")
	require.NoError(t, b.Put(ctx, "owned", body))
	copy(body, "XXXXX")
	got, err := b.Get(ctx, "owned")
	require.NoError(t, err)
	require.Equal(t, "first", string(got))
	copy(got, "YYYYY")
	part, err := b.GetRange(ctx, "owned", 0, 3)
	require.NoError(t, err)
	require.Equal(t, "fir", string(part))
	copy(part, "ZZZ")
	got, err = b.Get(ctx, "owned")
	require.NoError(t, err)
	require.Equal(t, "first", string(got))
}

func testOverwrite(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	for _, body := range []string{"long body", "short", "", "again"} {
		require.NoError(t, b.Put(ctx, "a/key", []byte(body)))
		got, err := b.Get(ctx, "a/key")
		require.NoError(t, err)
		require.Equal(t, body, string(got))
	}
	require.Equal(t, []string{"a/key"}, Keys(t, b, ""))
}

func testDelete(t *testing.T, b objstore.Bucket) {
	ctx := t.Context()
	put(t, b, "a/b/c", "a/b/d", "a/e", "f")
	require.NoError(t, b.Delete(ctx, "a/b/c"))
	require.NoError(t, b.Delete(ctx, "a/b/c"))
	require.Equal(t, []string{"a/b/d", "a/e", "f"}, Keys(t, b, ""))
	require.NoError(t, b.Delete(ctx, "a/b/d"))
	require.Equal(t, []string{"a/e", "f"}, Keys(t, b, ""))
	require.Empty(t, Dirs(t, b, "a/"))
	require.NoError(t, b.Delete(ctx, "a/e"))
	require.Empty(t, Dirs(t, b, ""))
	put(t, b, "a/b/c")
	require.Equal(t, []string{"a/b/c", "f"}, Keys(t, b, ""))
	// What was an object may become a folder once it is gone.
	require.NoError(t, b.Delete(ctx, "f"))
	put(t, b, "f/g")
	require.Equal(t, []string{"a/b/c", "f/g"}, Keys(t, b, ""))
}

func testList(t *testing.T, b objstore.Bucket) {
	keys := []string{"a", "b-c", "b/c", "b/c-d", "b/d/e", "b/d/f", "b0", "ba/x", "c/1", "c/10", "c/2"}
	put(t, b, keys...)
	f := func(prefix string, want ...string) {
		t.Helper()
		if want == nil {
			want = []string{}
		}
		require.Equal(t, want, Keys(t, b, prefix), prefix)
	}
	f("", keys...)
	f("b", "b-c", "b/c", "b/c-d", "b/d/e", "b/d/f", "b0", "ba/x")
	f("b/", "b/c", "b/c-d", "b/d/e", "b/d/f")
	f("b/c", "b/c", "b/c-d")
	f("b/d", "b/d/e", "b/d/f")
	f("b/d/", "b/d/e", "b/d/f")
	f("c/1", "c/1", "c/10")
	f("a", "a")
	f("a/")
	f("d")
	f("b/d/e/")
	require.NoError(t, b.List(t.Context(), "", func(o objstore.ObjectInfo) error {
		require.Equal(t, int64(len("body of "+o.Key)), o.Size)
		require.WithinDuration(t, time.Now(), o.ModTime, time.Minute)
		return nil
	}))
}

// testListMany asks for more objects than S3 gives on one page.
func testListMany(t *testing.T, b objstore.Bucket) {
	var want []string
	for i := range 1234 {
		want = append(want, fmt.Sprintf("many/%d/%04x", i%3, i))
	}
	var wg sync.WaitGroup
	for part := range slices.Chunk(want, 100) {
		wg.Go(func() {
			for _, key := range part {
				if err := b.Put(t.Context(), key, []byte{1}); err != nil {
					t.Errorf("cannot put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	require.Equal(t, want, Keys(t, b, "many"))
	require.Equal(t, []string{"many/0/", "many/1/", "many/2/"}, Dirs(t, b, "many/"))
	// The listing's callback may use the bucket.
	require.NoError(t, b.List(t.Context(), "many/", func(o objstore.ObjectInfo) error {
		return b.Delete(t.Context(), o.Key)
	}))
	require.Empty(t, Keys(t, b, ""))
}

func testListDirs(t *testing.T, b objstore.Bucket) {
	put(t, b, "index/index_1/x.gz", "index/index_1/tenant/y.gz", "index/index_10/z.gz", "index/index_2/z.gz", "index/file",
		"index-old/x", "top")
	f := func(prefix string, want ...string) {
		t.Helper()
		if want == nil {
			want = []string{}
		}
		require.Equal(t, want, Dirs(t, b, prefix), prefix)
	}
	f("", "index-old/", "index/")
	f("index", "index-old/", "index/")
	f("index/", "index/index_1/", "index/index_10/", "index/index_2/")
	f("index/index_1", "index/index_1/", "index/index_10/")
	f("index/index_1/", "index/index_1/tenant/")
	f("index/index_2/")
	f("to")
	f("x")
}

func testCallbackErrors(t *testing.T, b objstore.Bucket) {
	put(t, b, "a/1", "b/1", "c/1")
	stop := errors.New("stop here")
	calls := 0
	err := b.List(t.Context(), "", func(objstore.ObjectInfo) error {
		calls++
		if calls == 2 {
			return stop
		}
		return nil
	})
	require.Equal(t, stop, err, "the callback's error must come back as it is")
	require.Equal(t, 2, calls)
	calls = 0
	err = b.ListDirs(t.Context(), "", func(string) error {
		calls++
		return io.ErrUnexpectedEOF // An error that a retry would repeat if it were the store's.
	})
	require.Equal(t, io.ErrUnexpectedEOF, err)
	require.Equal(t, 1, calls)
}

func testCancelled(t *testing.T, b objstore.Bucket) {
	put(t, b, "a/1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Put(ctx, "a/2", nil), context.Canceled)
	_, err := b.Get(ctx, "a/1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.GetRange(ctx, "a/1", 0, 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.GetReader(ctx, "a/1")
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.Stat(ctx, "a/1")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, b.Delete(ctx, "a/1"), context.Canceled)
	require.ErrorIs(t, b.List(ctx, "", func(objstore.ObjectInfo) error { return nil }), context.Canceled)
	require.ErrorIs(t, b.ListDirs(ctx, "", func(string) error { return nil }), context.Canceled)
	require.Equal(t, []string{"a/1"}, Keys(t, b, ""))
}

func testConcurrency(t *testing.T, b objstore.Bucket) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("shared/%d/%d", i%4, worker)
				body := fmt.Appendf(nil, "%d by %d", i, worker)
				err := b.Put(t.Context(), key, body)
				var got []byte
				if err == nil {
					got, err = b.Get(t.Context(), key)
				}
				if err == nil && !bytes.Equal(body, got) {
					err = fmt.Errorf("%s holds %q instead of %q", key, got, body)
				}
				if err == nil {
					err = b.Delete(t.Context(), key)
				}
				if err != nil {
					t.Errorf("worker %d, round %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, Keys(t, b, ""))
}

// testReplacement reads an object while it is replaced by others of different lengths: each read shows one of them, whole, or says that
// it cannot, for some servers replace the bytes and what describes them one after the other.
func testReplacement(t *testing.T, b objstore.Bucket) {
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1000*(i+1)) }
	require.NoError(t, b.Put(t.Context(), "replaced", body(0)))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 60 {
			if err := b.Put(t.Context(), "replaced", body(i%5)); err != nil {
				t.Errorf("cannot put: %v", err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := b.Get(t.Context(), "replaced")
				if objstore.IsTemporary(err) {
					continue
				}
				if err != nil || len(got) == 0 || !bytes.Equal(got, body(int(got[0]-'a'))) {
					t.Errorf("read a mixture of %d bytes: %v", len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := b.Get(t.Context(), "replaced")
	require.NoError(t, err)
	require.Equal(t, body(59%5), got)
}

// testCreate wants that one of many who create an object succeeds. A bucket may also say that it cannot tell.
func testCreate(t *testing.T, b objstore.Bucket) {
	if err := objstore.Create(t.Context(), b, "create/probe", []byte("a")); errors.Is(err, objstore.ErrNoCreate) {
		t.Skip(err)
	}
	require.ErrorIs(t, objstore.Create(t.Context(), b, "create/probe", []byte("b")), objstore.ErrExists)
	got, err := b.Get(t.Context(), "create/probe")
	require.NoError(t, err)
	require.Equal(t, "a", string(got))
	var wg sync.WaitGroup
	var winners atomic.Int32
	for range 8 {
		wg.Go(func() {
			switch err := objstore.Create(t.Context(), b, "create/race", []byte("x")); {
			case err == nil:
				winners.Add(1)
			case !errors.Is(err, objstore.ErrExists):
				t.Errorf("cannot create: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, winners.Load())
	require.Error(t, objstore.Create(t.Context(), b, "/bad", nil))
	require.NoError(t, b.Delete(t.Context(), "create/probe"))
	require.NoError(t, objstore.Create(t.Context(), b, "create/probe", nil))
}
